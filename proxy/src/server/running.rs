//! A service inside another program, which may change what it works by.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
};

use tokio::sync::{Notify, oneshot};

use super::{
    Addresses, LAST_WORDS, ListenAddr, Options, Server, SnapshotError, StartError, runtime,
};
use crate::service::Router;

/// A service inside this process, on threads of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    reload: Arc<Notify>,
    router: Arc<Router>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts a service and returns when it listens.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(options: &Options) -> Result<Self, StartError> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let options = options.clone();
        // The runtime lives and ends on its own thread: the caller may itself be inside one.
        let thread = std::thread::Builder::new()
            .name("router".to_owned())
            .spawn(move || live(&options, &tell, stopped))
            .map_err(|source| StartError::System { what: "thread", source })?;
        let broken = |error| StartError::System { what: "thread", source: io::Error::other(error) };
        let (addresses, reload, router) = started.recv().map_err(broken)??;
        Ok(Self { addresses, reload, router, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The first TCP address for calls.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addresses.listen.iter().find_map(|address| match address {
            ListenAddr::Tcp(address) => Some(*address),
            ListenAddr::Unix(_) => None,
        })
    }

    /// The address for administration.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.addresses.admin
    }

    /// Reads the file again without waiting for the next look at it.
    pub fn reload(&self) {
        self.reload.notify_one();
    }

    /// Takes over another configuration, with credentials read anew; calls under way keep theirs. Blocks while it is built. What
    /// it says of audit counts from the next start.
    ///
    /// # Errors
    /// Why it cannot be used; then the old one stays in force.
    pub fn replace(&self, text: &str) -> Result<(), SnapshotError> {
        self.router.reload(text)?;
        self.router.metrics.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The backends that cannot be asked, each with what is missing.
    pub fn missing(&self) -> Vec<(String, String)> {
        let snapshot = self.router.snapshot.load();
        let backends = snapshot.configuration.backends.iter().zip(&snapshot.reaches);
        let missing = backends.filter_map(|(backend, reach)| {
            Some((backend.name.as_str().to_owned(), reach.missing.clone()?))
        });
        missing.collect()
    }

    /// Stops the service; returns when its last call has ended or the grace is over. Blocks.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The receiver only ends with the thread, which is joined below.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the service had failed");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

type Started = Result<(Addresses, Arc<Notify>, Arc<Router>), StartError>;

/// The life of a [`Running`] service; `tell` learns whether it began.
fn live(
    options: &Options,
    tell: &std::sync::mpsc::SyncSender<Started>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = match runtime(options.threads) {
        Ok(runtime) => runtime,
        Err(error) => return told(tell, Err(error)),
    };
    runtime.block_on(async {
        let mut server = match Server::start(options) {
            Ok(server) => server,
            Err(error) => return told(tell, Err(error)),
        };
        let started =
            (server.addresses.clone(), Arc::clone(&server.reload), Arc::clone(&server.router));
        told(tell, Ok(started));
        // An error means that the handle is gone, which is an order to stop as well.
        let ordered = stopped.await;
        tracing::debug!(ordered = ordered.is_ok(), "stopping");
        server.stop(std::pin::pin!(std::future::pending())).await;
    });
    runtime.shutdown_timeout(LAST_WORDS);
}

fn told(tell: &std::sync::mpsc::SyncSender<Started>, started: Started) {
    if tell.send(started).is_err() {
        tracing::debug!("nobody waits for the start any more");
    }
}
