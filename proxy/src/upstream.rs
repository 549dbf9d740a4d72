//! Where a backend is, and the pools of connections to all of them.
//!
//! Names are resolved once per connection and the addresses are dialled as they come; redirects are never followed.
//! Pools outlive a reload: a backend that did not change keeps its connections.
//! Invariant: TLS is always verified against the backend's own name; connections of one backend serve no other one.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    net::Ipv4Addr,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use backends::configuration::{Backend, BaseUrl};
use parking_lot::Mutex;
use pingora::{
    Error, ErrorType, OrErr,
    connectors::{ConnectorOptions, http::Connector, l4::Connect},
    protocols::{
        ALPN,
        l4::{socket::SocketAddr, stream::Stream},
    },
    tls,
    upstreams::peer::{HttpPeer, Peer, PeerOptions},
};

use crate::pool::{IDLE_CONNECTIONS_MAX, Pool};

/// Calls that share one HTTP/2 connection; servers commonly allow 100 (RFC 9113 section 6.5.2).
const H2_STREAMS_MAX: usize = 100;

/// How often an HTTP/2 connection with calls is asked whether it still lives.
const H2_PING_EVERY: Duration = Duration::from_secs(20);

/// The pools, one for each set of trusted authorities.
#[derive(Default)]
pub(crate) struct Pools {
    by_authorities: Mutex<HashMap<Option<String>, Arc<Pool>>>,
}

impl Pools {
    /// The pool whose connections trust the authorities of `ca_file`, or those of the system.
    ///
    /// # Errors
    /// When the file cannot be read, or holds anything else than certificates, or none.
    pub(crate) fn of(&self, ca_file: Option<&str>) -> Result<Arc<Pool>, AuthorityError> {
        let mut pools = self.by_authorities.lock();
        let pool = match pools.entry(ca_file.map(str::to_owned)) {
            Entry::Occupied(pool) => pool.into_mut(),
            Entry::Vacant(place) => {
                vouch(ca_file)?;
                let mut options = ConnectorOptions::new(IDLE_CONNECTIONS_MAX);
                options.ca_file = ca_file.map(str::to_owned);
                place.insert(Arc::new(Pool::new(Connector::new(Some(options)))))
            }
        };
        Ok(Arc::clone(pool))
    }

    /// Closes idle connections that are of no more use.
    pub(crate) fn sweep(&self) {
        let pools: Vec<_> = self.by_authorities.lock().values().cloned().collect();
        for pool in pools {
            pool.sweep();
        }
    }
}

/// Why nobody would vouch for a backend.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be used.
    #[error("cannot use {path} as a PEM file of certificates and nothing else")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The file is empty, or is none in PEM format.
    #[error("{0} holds no certificate in PEM format")]
    Nobody(String),
    /// The system's own cannot be used.
    #[error("cannot use the certificate authorities of the system")]
    System(#[source] Box<Error>),
}

/// Checks that a connector can be made: Pingora's own way of doing so panics where it cannot.
fn vouch(ca_file: Option<&str>) -> Result<(), AuthorityError> {
    let mut store = tls::RootCertStore::empty();
    let Some(path) = ca_file else {
        let loaded = tls::load_platform_certs_incl_env_into_store(&mut store);
        return loaded.map_err(AuthorityError::System);
    };
    tls::load_ca_file_into_store(path, &mut store)
        .map_err(|source| AuthorityError::File { path: path.to_owned(), source })?;
    if store.is_empty() {
        return Err(AuthorityError::Nobody(path.to_owned()));
    }
    Ok(())
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}

/// One backend as a destination. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Target(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    name: String,
    host_header: String,
    address: SocketAddr,
    sni: String,
    tls: bool,
    reuse: u64,
    options: PeerOptions,
}

impl Target {
    /// The destination of `backend`, which must be reached within `connect`, TLS included.
    pub(crate) fn new(backend: &Backend, connect: Duration) -> Self {
        let url = &backend.base_url;
        // Pingora wants an address to describe the peer; the one that is dialled comes from `Dial`.
        let nowhere = std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, url.port));
        let sni = if url.tls { url.host.clone() } else { String::new() };
        let mut options = HttpPeer::new(nowhere, url.tls, sni.clone()).options;
        options.total_connection_timeout = Some(connect);
        options.alpn = if url.tls { ALPN::H2H1 } else { ALPN::H1 };
        options.max_h2_streams = H2_STREAMS_MAX;
        options.h2_ping_interval = Some(H2_PING_EVERY);
        options.custom_l4 = Some(Arc::new(Dial { url: url.clone() }));
        let mut hasher = DefaultHasher::new();
        (&backend.name, url, &backend.ca_file).hash(&mut hasher);
        Self(Arc::new(Parts {
            name: backend.name.as_str().to_owned(),
            host_header: url.host_header(),
            address: SocketAddr::Inet(nowhere),
            sni,
            tls: url.tls,
            reuse: hasher.finish(),
            options,
        }))
    }

    /// The backend's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// Value of the `host` header.
    pub(crate) fn host_header(&self) -> &str {
        &self.0.host_header
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl Peer for Target {
    fn address(&self) -> &SocketAddr {
        &self.0.address
    }

    fn tls(&self) -> bool {
        self.0.tls
    }

    fn sni(&self) -> &str {
        &self.0.sni
    }

    fn reuse_hash(&self) -> u64 {
        self.0.reuse
    }

    fn get_peer_options(&self) -> Option<&PeerOptions> {
        Some(&self.0.options)
    }

    /// The pool's key already says which backend it is; the address of a name may have changed meanwhile.
    fn matches_fd<V: std::os::fd::AsRawFd>(&self, _: V) -> bool {
        true
    }
}

/// Opens TCP connections to one host.
#[derive(Debug)]
struct Dial {
    url: BaseUrl,
}

#[async_trait]
impl Connect for Dial {
    /// Resolves and connects; addresses are tried in the order of the resolver. The peer's total limit bounds it all.
    async fn connect(&self, _: &SocketAddr) -> pingora::Result<Stream> {
        let host = (self.url.host.as_str(), self.url.port);
        let addresses = tokio::net::lookup_host(host)
            .await
            .or_err(ErrorType::ConnectError, "cannot resolve the host of the backend")?;
        let mut last = None;
        for address in addresses {
            match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream.into()),
                Err(error) => last = Some(error),
            }
        }
        let text = "cannot connect to the backend";
        match last {
            Some(error) => Error::e_because(ErrorType::ConnectError, text, error),
            None => Error::e_explain(ErrorType::ConnectError, text),
        }
    }
}
