//! Who opened a connection: what the proxy asks whoever can see the processes of a sandbox.
//!
//! The answer is about the moment of `connect()`: a process that connects and then runs another program is what it was.
//! Not here: how it is found out (`sandbox`), what follows from it (`policy`).

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;

/// A TCP connection as the one who opened it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Its own end.
    pub from: SocketAddr,
    /// Where it wanted to go: the address given to `connect()`, before any capture.
    pub to: SocketAddr,
}

/// A process and those that started it, by their real executables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The executable of the process, as the kernel resolved it; absolute.
    pub binary: String,
    /// The executables of its ancestors, the parent first.
    pub ancestors: Vec<String>,
    /// Its number, as the supervisor counts processes.
    pub process: i32,
    /// SHA-256 of the executable, trusted on first use.
    pub sha256: Option<[u8; 32]>,
}

/// Why nobody can say who opened a connection. It is refused then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    /// No process of the sandbox holds it.
    #[error("no process of the sandbox holds this connection")]
    NotFound,
    /// Processes with different executables hold it.
    #[error("ambiguous shared socket ownership: {0}")]
    Ambiguous(String),
    /// The executable was deleted, or is no file.
    #[error("the executable {0} is deleted or was never a file")]
    NoFile(String),
    /// The executable is not the one that was first seen under this path.
    #[error("Binary integrity violation: {0} has changed since it was first used")]
    Changed(String),
    /// Code of the process comes from where the sandbox can write.
    #[error("the process runs code from {0}, which the sandbox can write")]
    Writable(String),
    /// The system does not answer.
    #[error("the caller cannot be looked up: {0}")]
    System(String),
}

impl Unidentified {
    /// The word in records; stable.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotFound => "caller_not_found",
            Self::Ambiguous(_) => "caller_ambiguous",
            Self::NoFile(_) => "binary_deleted",
            Self::Changed(_) => "binary_changed",
            Self::Writable(_) => "code_writable",
            Self::System(_) => "caller_unknown",
        }
    }
}

/// Finds out who opened a connection.
#[async_trait]
pub trait Identify: Send + Sync + 'static {
    /// The caller, as it was at `connect()`.
    ///
    /// # Errors
    /// When it cannot be known for sure.
    async fn identify(&self, connection: &Connection) -> Result<Arc<Identity>, Unidentified>;
}
