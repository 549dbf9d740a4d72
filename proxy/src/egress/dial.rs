//! Opens the connection that a policy granted: resolve once, check every address, dial exactly those.
//!
//! Not here: whether it may be opened (`policy`), names (`resolve`), TLS. Invariant: no address is dialled that
//! [`Grant::check_address`] has not let pass, and one bad address of a host refuses all of them, so that nobody wins by
//! mixing good and bad answers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use domain::{Destination, Host};
use policy::{Grant, address::Blocked};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{
    resolve::{Resolve, ResolveError, System},
    upstream_proxy::UpstreamProxy,
};

/// How long it may take until a connection stands, names and proxies included.
const DIAL: Duration = Duration::from_secs(20);

/// How long one address is tried before the next is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Most addresses of a host that are tried; all are checked.
const ADDRESSES_MAX: usize = 8;

/// Why a granted connection is not opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host has no address.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// No endpoint names the host, so that nobody is asked for its address.
    #[error(
        "no endpoint names this host; one without a host takes addresses, and names of this machine's hosts file"
    )]
    Unlisted,
    /// One of its addresses may not be dialled.
    #[error("{0}")]
    Blocked(Blocked),
    /// No address answers; the error of the last one.
    #[error("no address of the host answers")]
    Connect(#[source] io::Error),
    /// It took too long.
    #[error("connecting took too long")]
    Timeout,
    /// The upstream proxy cannot be reached or does not speak HTTP.
    #[error("the upstream proxy cannot be used")]
    UpstreamProxy(#[source] io::Error),
    /// The upstream proxy refuses, with this status.
    #[error("the upstream proxy answers {0}")]
    UpstreamRefused(u16),
}

impl DialError {
    /// The word in records and answers; stable.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Blocked(_) => "ssrf_denied",
            Self::Unlisted => "host_not_listed",
            Self::Resolve(_) => "unresolved",
            Self::Connect(_) => "unreachable",
            Self::Timeout => "connect_timeout",
            Self::UpstreamProxy(_) => "upstream_proxy_failed",
            Self::UpstreamRefused(_) => "upstream_proxy_refused",
        }
    }
}

/// Opens connections. One for all sandboxes of an operator, or one for each.
#[derive(Clone, Debug)]
pub struct Dialer {
    resolver: Arc<dyn Resolve>,
    upstream: Option<Arc<UpstreamProxy>>,
    limit: Duration,
    /// Whether names are resolved that no endpoint lists.
    any_name: bool,
}

/// A connection, and what it was found to lead to.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: TcpStream,
    /// The address that was checked; `None` where an upstream proxy was left to resolve the name.
    pub address: Option<IpAddr>,
}

impl Default for Dialer {
    fn default() -> Self {
        Self::new(Arc::new(System::default()), None)
    }
}

impl Dialer {
    /// A dialler that asks `resolver` for addresses and goes through `upstream` where there is one.
    pub fn new(resolver: Arc<dyn Resolve>, upstream: Option<UpstreamProxy>) -> Self {
        Self { resolver, upstream: upstream.map(Arc::new), limit: DIAL, any_name: false }
    }

    /// The same for a sandbox that is watched to learn what it needs: its endpoints without a host take any name, and so any
    /// name can carry data to whoever answers for it.
    #[must_use]
    pub fn resolving_any_name(self) -> Self {
        Self { any_name: true, ..self }
    }

    /// Opens the connection. `to` is the destination that the grant is about. Cancel-safe: a drop closes what is open.
    ///
    /// Behind an upstream proxy the proxy is asked for the first address that was checked. Only for a name that does not
    /// resolve here it is asked for the name, and only if the policy lists no addresses to hold it to.
    ///
    /// # Errors
    /// When the host does not resolve, an address may not be dialled, or none answers in time.
    pub async fn dial(&self, grant: &Grant<'_>, to: &Destination) -> Result<Dialled, DialError> {
        let work = async {
            let found = if self.any_name || to.host.address().is_some() || is_listed(grant) {
                self.addresses(&to.host).await
            } else {
                // Whoever may have any name resolved can say anything to whoever answers for it.
                let own = self.resolver.own(&to.host).await;
                if own.is_empty() {
                    return Err(DialError::Unlisted);
                }
                Ok(own)
            };
            let addresses = match found {
                Ok(addresses) => checked(grant, addresses)?,
                Err(error) if self.upstream.is_some() && may_stay_unresolved(grant) => {
                    tracing::debug!(error = %error, "the upstream proxy resolves the name");
                    Vec::new()
                }
                Err(error) => return Err(error.into()),
            };
            match &self.upstream {
                Some(upstream) if upstream.is_for(to, &addresses) => {
                    let address = addresses.first().copied();
                    let stream = self.through(upstream, to, address).await?;
                    Ok(Dialled { stream, address })
                }
                // Unresolved, and no proxy to leave it to: an exception, or a name of this network.
                _ if addresses.is_empty() => Err(ResolveError::Unknown.into()),
                _ => self.direct(&addresses, to.port()).await,
            }
        };
        timeout(self.limit, work).await.map_err(|_| DialError::Timeout)?
    }

    /// At least one address. Those that stand in a destination itself are nothing that a resolver could answer for.
    async fn addresses(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(address) = host.address() {
            return Ok(vec![address]);
        }
        let addresses = self.resolver.resolve(host).await?;
        if addresses.is_empty() { Err(ResolveError::Unknown) } else { Ok(addresses) }
    }

    async fn direct(&self, addresses: &[IpAddr], port: u16) -> Result<Dialled, DialError> {
        let reach = |address: &IpAddr| self.resolver.reach(SocketAddr::new(*address, port));
        let places: Vec<SocketAddr> = addresses.iter().take(ADDRESSES_MAX).map(reach).collect();
        let stream = first_of(places.clone()).await.map_err(DialError::Connect)?;
        let at = stream.peer_addr().map_err(DialError::Connect)?;
        let place = places.iter().position(|place| *place == at);
        Ok(Dialled { address: place.and_then(|place| addresses.get(place)).copied(), stream })
    }

    async fn through(
        &self,
        upstream: &UpstreamProxy,
        to: &Destination,
        address: Option<IpAddr>,
    ) -> Result<TcpStream, DialError> {
        let at = upstream.at();
        let unusable = |error: ResolveError| DialError::UpstreamProxy(io::Error::other(error));
        let addresses = self.addresses(&at.host).await.map_err(unusable)?;
        let place = |address: IpAddr| SocketAddr::new(address, at.port());
        let places = addresses.into_iter().take(ADDRESSES_MAX).map(place).collect();
        let mut stream = first_of(places).await.map_err(DialError::UpstreamProxy)?;
        let pinned = address.and_then(|address| Destination::new(Host::from(address), to.port()));
        let target = pinned.as_ref().unwrap_or(to);
        match upstream.connect(&mut stream, target).await {
            Ok(200..=299) => Ok(stream),
            Ok(status) => Err(DialError::UpstreamRefused(status)),
            Err(error) => Err(DialError::UpstreamProxy(error)),
        }
    }
}

/// The addresses, if every one of them may be dialled.
fn checked(grant: &Grant<'_>, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, DialError> {
    for address in &addresses {
        grant.check_address(*address).map_err(DialError::Blocked)?;
    }
    Ok(addresses)
}

/// Whether some endpoint names the host, alone or among others.
fn is_listed(grant: &Grant<'_>) -> bool {
    let mut listed = false;
    grant.each(|place| listed |= place.endpoint.host.is_some());
    listed
}

/// Whether some endpoint opens the destination wherever its name leads.
fn may_stay_unresolved(grant: &Grant<'_>) -> bool {
    let mut open = false;
    grant.each(|place| open |= place.endpoint.allowed_ips.is_empty());
    open
}

/// A connection to the first place that answers; each gets a head start over the next.
async fn first_of(places: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = places.into_iter();
    let mut trying = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let next = waiting.next();
        let more = next.is_some();
        if let Some(place) = next {
            trying.spawn(TcpStream::connect(place));
        } else if trying.is_empty() {
            return Err(last);
        }
        let ended = if more && waiting.len() > 0 {
            timeout(HEAD_START, trying.join_next()).await
        } else {
            Ok(trying.join_next().await)
        };
        match ended {
            Ok(Some(Ok(Ok(stream)))) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(broken))) => last = io::Error::other(broken),
            Ok(None) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
