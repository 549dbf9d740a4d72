//! Lets connections in, as many as there is room for; the others wait a moment and are refused.
//!
//! Invariant: a sandbox that fills its room is told so at once, whatever it holds open, and costs no more than that room.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

use super::{captured, explicit, refusal::Refusal, service::Shared};
use crate::tasks::Tasks;

/// How long a connection waits for room, and those behind it; while there is none, the next are refused at once.
const ROOM: Duration = Duration::from_secs(1);

/// Read of a connection that is refused, so that what it is told is not lost with a reset.
const UNREAD_BYTES: usize = 4 << 10;

/// Pause after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves the explicit proxy.
pub(super) async fn explicit(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(own) = listener.local_addr() else { return };
    let mut door = Door { listener, shared: Arc::clone(&shared), is_full: false };
    loop {
        let (place, stream, from) = door.next(tell).await;
        let Some(tasks) = shared.tasks.upgrade() else { return };
        let connection = explicit::serve(Arc::clone(&shared), stream, from, own);
        spawn(&tasks, place, connection);
    }
}

/// Serves what was captured.
pub(super) async fn captured(listener: TcpListener, shared: Arc<Shared>) {
    let Ok(own) = listener.local_addr() else { return };
    let mut door = Door { listener, shared: Arc::clone(&shared), is_full: false };
    loop {
        // What it speaks is not known, so nothing can be said.
        let (place, stream, from) = door.next(|_, _| {}).await;
        let Some(tasks) = shared.tasks.upgrade() else { return };
        let connection = captured::serve(Arc::clone(&shared), stream, from, own);
        spawn(&tasks, place, connection);
    }
}

fn spawn(
    tasks: &Tasks,
    place: OwnedSemaphorePermit,
    connection: impl Future<Output = ()> + Send + 'static,
) {
    // Boxed: a connection begins with little and grows with what it carries.
    let connection = Box::pin(connection);
    tasks.spawn("egress connection", async move {
        connection.await;
        drop(place);
    });
}

/// One way in.
struct Door {
    listener: TcpListener,
    shared: Arc<Shared>,
    is_full: bool,
}

impl Door {
    /// The next connection that there is room for; `tell` says to the others why they are refused.
    async fn next(
        &mut self,
        tell: impl Fn(&TcpStream, &Refusal),
    ) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
        loop {
            let Ok((stream, from)) = self.listener.accept().await else {
                // Out of descriptors, or the caller is gone already.
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            if stream.set_nodelay(true).is_err() {
                continue;
            }
            let patience = if self.is_full { Duration::ZERO } else { ROOM };
            let place = timeout(patience, Arc::clone(&self.shared.places).acquire_owned()).await;
            self.is_full = place.is_err();
            match place {
                Ok(Ok(place)) => return (place, stream, from),
                // The semaphore is never closed.
                Ok(Err(_)) => {}
                Err(_) => {
                    let detail = "this sandbox has as many connections open as it may";
                    let reason = "too_many_connections";
                    let refusal = Refusal::new(503, "too_many_connections", reason, detail);
                    explicit::unread(&self.shared, from, &refusal);
                    tell(&stream, &refusal);
                }
            }
        }
    }
}

/// Says as much as can be said without waiting.
fn tell(stream: &TcpStream, refusal: &Refusal) {
    // Whoever has gone, or takes nothing, is told nothing.
    drop(stream.try_read(&mut [0; UNREAD_BYTES]));
    drop(stream.try_write(&refusal.http1()));
}
