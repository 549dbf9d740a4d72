//! Where model calls go: the router service, over a connection that proves which sandbox is calling.
//!
//! The router strips the caller's own credential. Not here: which calls are model calls (`policy`, `link`).

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use bytes::BytesMut;
use http::{HeaderName, HeaderValue};
use tokio::net::{TcpStream, UnixStream};

use super::socket::{Socket, Wire};
use crate::sandbox_token::SANDBOX_TOKEN_HEADER;

/// Carries the proof of the sandbox to the router; a caller's own header of this name is dropped.
pub(super) const TOKEN: HeaderName = HeaderName::from_static(SANDBOX_TOKEN_HEADER);

/// Gives the proof of a sandbox for one request.
type Prove = Arc<dyn Fn() -> Option<HeaderValue> + Send + Sync>;

/// The router service.
#[derive(Clone)]
pub struct InferenceTarget {
    address: RouterAddress,
    prove: Prove,
}

/// Where the router service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterAddress {
    /// At a TCP address.
    Tcp(SocketAddr),
    /// At a Unix socket.
    Unix(PathBuf),
}

impl InferenceTarget {
    /// A router that believes `token`.
    pub fn new(address: RouterAddress, token: HeaderValue) -> Self {
        Self::proving(address, move || Some(token.clone()))
    }

    /// A router that believes what `prove` gives, which is asked for every request: a proof can be short-lived. Without one the
    /// router decides what it thinks of the request.
    pub fn proving(
        address: RouterAddress,
        prove: impl Fn() -> Option<HeaderValue> + Send + Sync + 'static,
    ) -> Self {
        Self { address, prove: Arc::new(prove) }
    }

    /// The proof of the sandbox.
    pub(super) fn token(&self) -> Option<HeaderValue> {
        let mut token = (self.prove)()?;
        token.set_sensitive(true);
        Some(token)
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not listen.
    pub(super) async fn connect(&self) -> std::io::Result<Wire> {
        let socket = match &self.address {
            RouterAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Socket::tcp(stream, BytesMut::new())
            }
            RouterAddress::Unix(path) => Socket::unix(UnixStream::connect(path).await?),
        };
        Ok(Wire::plain(socket))
    }
}

impl fmt::Debug for InferenceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InferenceTarget").field("address", &self.address).finish_non_exhaustive()
    }
}
