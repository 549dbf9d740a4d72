//! Who opened a connection of a sandbox, by the executables that really run.
//!
//! Twice: at `connect()`, while the kernel holds the call for us, it is seen which process makes it on which socket, and what
//! it runs; when the proxy accepts, the kernel says which socket the connection has, and whoever holds it by then must be
//! the same. What a process says of itself (`argv`, `comm`, environment) is never looked at.
//!
//! | module | what it does |
//! |---|---|
//! | `watch` | answers the kernel at `connect()` |
//! | `records` | socket to caller, bounded |
//! | `process` | a process, what it runs and its ancestors, through `/proc` |
//! | `binary` | executables: are they still what their path names, and what they were when first used? |
//! | `code` | the strict check: no code from where the sandbox can write |
//! | `diagnosis` | a connection to its socket |
//! | `holders` | a socket to the processes that hold it |
//!
//! Not here: what follows (`policy`). Invariant: what cannot be known for sure is an error, never a guess.

use std::{io, os::fd::OwnedFd, sync::Arc, thread::JoinHandle};

use async_trait::async_trait;
use proxy::egress::{Connection, Identify, Identity, Unidentified};
use rustix::{
    event::{EventfdFlags, eventfd},
    process::Pid,
};

use crate::spec::CallerCheck;
use shared::Shared;

mod binary;
mod code;
mod diagnosis;
mod holders;
mod process;
mod records;
mod shared;
mod watch;

/// The right to be asked before each `connect()` of a sandbox. Nobody gets through until [`Callers`] serve it; dropped, every
/// `connect()` fails with `ENOSYS`.
#[derive(Debug)]
pub struct ConnectWatch(OwnedFd);

impl ConnectWatch {
    pub(crate) fn new(listener: OwnedFd) -> Self {
        Self(listener)
    }
}

/// The callers of one sandbox. Dropped, no `connect()` succeeds in there any more.
#[derive(Debug)]
pub struct Callers {
    shared: Arc<Shared>,
    stop: OwnedFd,
    watch: Option<JoinHandle<()>>,
}

impl Callers {
    /// Begins to answer at `connect()` in a thread of its own, so call it after [`crate::Sandbox::start`] of every sandbox that
    /// this process makes. Without a watch, callers are looked up when their connection is accepted: then a process that
    /// connects and runs another program is what it runs by then.
    ///
    /// `diagnosis` is [`crate::Sockets::diagnosis`], `init` is [`crate::Sandbox::process`].
    ///
    /// # Errors
    /// When `/proc` of this process does not show the sandbox, or the system has no descriptors or threads left.
    pub fn new(
        diagnosis: OwnedFd,
        watch: Option<ConnectWatch>,
        init: Pid,
        check: CallerCheck,
    ) -> io::Result<Self> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
        let shared = Arc::new(Shared::new(diagnosis, init, check, watch.is_some())?);
        let watch = match watch {
            None => None,
            Some(ConnectWatch(listener)) => {
                let (shared, stop) = (Arc::clone(&shared), stop.try_clone()?);
                let thread = std::thread::Builder::new().name("callers".to_owned());
                Some(thread.spawn(move || watch::serve(&listener, &stop, &shared))?)
            }
        };
        Ok(Self { shared, stop, watch })
    }

    /// Whether callers are known as they were at `connect()`.
    pub fn are_watched(&self) -> bool {
        self.watch.is_some()
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        let told = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let (Ok(_), Some(watch)) = (told, self.watch.take()) {
            // It has no result, and a panic of it has ended the watch already.
            watch.join().ok();
        }
    }
}

#[async_trait]
impl Identify for Callers {
    async fn identify(&self, connection: &Connection) -> Result<Arc<Identity>, Unidentified> {
        let socket = self.shared.diagnosis.socket_of(connection)?;
        if self.shared.is_quick(&socket) {
            return self.shared.conclude(&socket);
        }
        let shared = Arc::clone(&self.shared);
        let concluded = tokio::task::spawn_blocking(move || shared.conclude(&socket)).await;
        concluded.map_err(|_| Unidentified::System("the look-up broke off".to_owned()))?
    }
}
