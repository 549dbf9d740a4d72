//! Binds the sockets, and knows who is on the other side of the Unix one.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{net::sockopt, process::geteuid};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixSocket, UnixStream};

/// Connections that the kernel keeps waiting for us.
const BACKLOG: u32 = 1024;

/// After which silence the kernel asks whether the other side is still there, how often, and how many times.
const ASK_AFTER: Duration = Duration::from_mins(1);
const ASK_EVERY: Duration = Duration::from_secs(15);
const ASK_TIMES: u32 = 4;

/// Namespaces that a caller over the Unix socket shares with us. An agent in a sandbox runs as the same user; it never shares
/// these two.
const SHARED: [&str; 2] = ["user", "net"];

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// TLS; port 0 takes any free one.
    pub tcp: Vec<SocketAddr>,
    /// The socket of the local user.
    pub unix: Option<PathBuf>,
}

/// Sockets that listen.
#[derive(Debug)]
pub struct Bound {
    tcp: Vec<TcpListener>,
    unix: Option<(UnixListener, SocketFile)>,
}

/// The file of a Unix socket; removed when dropped, unless another server has put its own there.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket of the local user cannot be removed");
        }
    }
}

/// Binds all of them or none. Needs a runtime.
///
/// # Errors
/// An address that is taken or not ours; a living server at the path of the Unix socket, or something that is no socket.
pub fn bind(addresses: &Addresses) -> io::Result<Bound> {
    let tcp = addresses.tcp.iter().map(|address| bind_tcp(*address)).collect::<io::Result<_>>()?;
    let unix = addresses.unix.as_deref().map(bind_unix).transpose()?;
    Ok(Bound { tcp, unix })
}

impl Bound {
    /// The addresses for TLS, with their real ports.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.tcp.iter().map(TcpListener::local_addr).collect()
    }

    pub(super) fn into_parts(self) -> (Vec<TcpListener>, Option<(UnixListener, SocketFile)>) {
        (self.tcp, self.unix)
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    // Before it listens, so that nobody else can connect in between.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let file = SocketFile { path: path.to_owned(), inode: fs::symlink_metadata(path)?.ino() };
    Ok((socket.listen(BACKLOG)?, file))
}

/// Removes a socket that a dead server left behind; a living one keeps it.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            fs::remove_file(path)
        }
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Small answers at once, and an end for callers that vanished without a word.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, ASK_EVERY)?;
    sockopt::set_tcp_keepcnt(stream, ASK_TIMES)?;
    Ok(())
}

/// Why a caller over the Unix socket is not the local user.
#[derive(Debug, thiserror::Error)]
pub enum NotOwnUser {
    /// The kernel does not say who it is.
    #[error("the caller cannot be known")]
    Unknown(#[from] io::Error),
    /// Another user.
    #[error("the caller is user {0}")]
    Other(u32),
    /// A process behind walls, such as an agent.
    #[error("the caller is in another {0} namespace")]
    Elsewhere(&'static str),
}

/// Whether the process at the other end is of our user and behind no walls.
pub(super) fn check_own_user(stream: &UnixStream) -> Result<(), NotOwnUser> {
    let peer = stream.peer_cred()?;
    if peer.uid() != geteuid().as_raw() {
        return Err(NotOwnUser::Other(peer.uid()));
    }
    let pid = peer.pid().ok_or(io::ErrorKind::NotFound).map_err(io::Error::from)?;
    for kind in SHARED {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{kind}"));
        if of(&pid.to_string())? != of("self")? {
            return Err(NotOwnUser::Elsewhere(kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_for_its_owner_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.sock");
        let addresses = Addresses { unix: Some(path.clone()), ..Addresses::default() };
        let bound = bind(&addresses).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(bind(&addresses).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        // What a server leaves behind that was killed.
        let (_, unix) = bound.into_parts();
        let (listener, file) = unix.unwrap();
        drop(listener);
        std::mem::forget(file);
        let bound = bind(&addresses).unwrap();
        drop(bound);
        assert!(!path.exists());
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&addresses).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_process_of_our_own_user_is_known() {
        let (one, _two) = UnixStream::pair().unwrap();
        check_own_user(&one).unwrap();
    }
}
