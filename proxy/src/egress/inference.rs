//! Where model calls go: the router service, over a connection that proves which sandbox is calling.
//!
//! The router strips the caller's own credential. Not here: which calls are model calls (`policy`, `link`).

use std::{net::SocketAddr, path::PathBuf};

use http::{HeaderName, HeaderValue};
use pingora::protocols::{Stream, l4};
use tokio::net::{TcpStream, UnixStream};

/// Carries the proof of the sandbox to the router; a caller's own header of this name is dropped.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-openshell-sandbox-token");

/// The router service.
#[derive(Clone, Debug)]
pub struct InferenceTarget {
    address: RouterAddress,
    token: HeaderValue,
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
    pub fn new(address: RouterAddress, mut token: HeaderValue) -> Self {
        token.set_sensitive(true);
        Self { address, token }
    }

    /// The proof of the sandbox.
    pub(super) fn token(&self) -> HeaderValue {
        self.token.clone()
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not listen.
    pub(super) async fn connect(&self) -> std::io::Result<Stream> {
        let stream = match &self.address {
            RouterAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                l4::stream::Stream::from(stream)
            }
            RouterAddress::Unix(path) => UnixStream::connect(path).await?.into(),
        };
        Ok(Box::new(stream))
    }
}
