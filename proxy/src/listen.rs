//! Binds the sockets and lets connections in, as many as there is room for.
//!
//! Sockets are bound before anything runs, so that a taken port is an error of the start and port 0 has a number.
//! Pingora accepts on them. Invariant: over the limit a connection gets a short answer and costs nothing more.

use std::{
    fmt,
    net::SocketAddr,
    os::fd::{IntoRawFd, RawFd},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use pingora::{
    apps::ServerApp,
    listeners::{ListenerConfig, tls::TlsSettings},
    protocols::Stream,
    server::{Fds, ShutdownWatch},
};
use tokio::{io::AsyncWriteExt, net::TcpSocket};

use crate::service::Router;

/// Connections that the kernel keeps waiting for us.
const BACKLOG: u32 = 4_096;

/// What a connection over the limit is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 1\r\nconnection: close\r\ncontent-length: 110\r\n\r\n\
    {\"error\":{\"message\":\"too many connections; try again\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded\"}}";

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address; port 0 takes any free port.
    Tcp(SocketAddr),
    /// A Unix socket at this path, made with mode 0660.
    Unix(PathBuf),
}

/// A text that names no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address; write IP:PORT, such as 127.0.0.1:8080, or unix:PATH")]
pub struct ListenAddrError(String);

impl FromStr for ListenAddr {
    type Err = ListenAddrError;
    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(_) => Err(ListenAddrError(text.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| ListenAddrError(text.to_owned())),
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => fmt::Display::fmt(address, f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Certificate and key of a listener, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Where; with the real port.
    pub(crate) address: ListenAddr,
    name: String,
    socket: RawFd,
}

/// Binds one address. Needs a runtime.
///
/// # Errors
/// When the address is taken or not ours.
pub(crate) fn bind(address: &ListenAddr) -> std::io::Result<Bound> {
    match address {
        ListenAddr::Tcp(address) => {
            let v4 = address.is_ipv4();
            let socket = if v4 { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            let listener = socket.listen(BACKLOG)?.into_std()?;
            let address = listener.local_addr()?;
            let socket = listener.into_raw_fd();
            Ok(Bound { address: ListenAddr::Tcp(address), name: address.to_string(), socket })
        }
        ListenAddr::Unix(path) => {
            remove_stale(path)?;
            let listener = std::os::unix::net::UnixListener::bind(path)?;
            listener.set_nonblocking(true)?;
            let name = path.to_string_lossy().into_owned();
            Ok(Bound { address: address.clone(), name, socket: listener.into_raw_fd() })
        }
    }
}

/// Removes a socket that a dead server left behind; a living one keeps it.
fn remove_stale(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(std::io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)
        }
        Ok(_) => Err(std::io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

impl Bound {
    /// Gives the socket into Pingora's table, where the listener of the same name takes it from.
    pub(crate) fn register(&self, table: &mut Fds) {
        table.add(self.name.clone(), self.socket);
    }

    /// The listener for this socket.
    pub(crate) fn listener(&self, tls: Option<TlsSettings>) -> ListenerConfig {
        match &self.address {
            ListenAddr::Tcp(_) => {
                let listener = ListenerConfig::tcp(self.name.clone());
                match tls {
                    Some(tls) => listener.tls(tls),
                    None => listener,
                }
            }
            ListenAddr::Unix(_) => {
                use std::os::unix::fs::PermissionsExt;
                let mode = std::fs::Permissions::from_mode(0o660);
                ListenerConfig::uds(self.name.clone()).permissions(mode)
            }
        }
    }
}

/// TLS with HTTP/2 and HTTP/1.1 for a listener; the files were read once to see that they fit.
///
/// # Errors
/// When a file cannot be read or the key does not belong to the certificate.
pub(crate) fn tls(files: &TlsFiles) -> Result<TlsSettings, String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let settings = || -> Result<TlsSettings, String> {
        let (certificate, key) = (path(&files.certificate), path(&files.key));
        let mut settings =
            TlsSettings::intermediate(&certificate, &key).map_err(|error| error.to_string())?;
        settings.set_certificate_chain_file(&certificate).map_err(|error| error.to_string())?;
        settings.set_private_key_file(&key).map_err(|error| error.to_string())?;
        settings.enable_h2();
        Ok(settings)
    };
    let trial = settings()?;
    // Pingora panics on a key that does not fit; better here than in a task.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(trial.build())))
        .map_err(|_| "the key does not belong to the certificate".to_owned())?;
    settings()
}

/// Lets connections in up to a limit.
#[derive(Debug)]
pub(crate) struct Gate {
    router: Arc<Router>,
}

impl Gate {
    /// A gate in front of `router`.
    pub(crate) fn new(router: Arc<Router>) -> Self {
        Self { router }
    }
}

/// Takes one off the count of open connections when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[async_trait]
impl ServerApp for Gate {
    async fn process_new(
        self: &Arc<Self>,
        mut stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let open = &self.router.metrics.connections;
        let before = open.fetch_add(1, Ordering::AcqRel);
        let _place = Place(open);
        if before >= self.router.connections_max() {
            self.router.metrics.connections_refused.fetch_add(1, Ordering::Relaxed);
            let told = async {
                stream.write_all(FULL).await?;
                stream.shutdown().await
            };
            if !matches!(tokio::time::timeout(Duration::from_secs(1), told).await, Ok(Ok(()))) {
                tracing::debug!("a connection over the limit was closed without an answer");
            }
            return None;
        }
        self.router.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.router.cleanup().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_printed_as_they_are_read() {
        for text in ["127.0.0.1:8080", "[::1]:0", "unix:/run/router.sock"] {
            assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
        }
        for text in ["localhost:80", "8080", "unix:", ""] {
            assert!(text.parse::<ListenAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_answer_over_the_limit_is_well_framed() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
