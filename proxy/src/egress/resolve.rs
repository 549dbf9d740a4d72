//! Where a name leads, as the host sees it: the sandbox cannot choose the resolver.
//!
//! Not here: whether a name may be asked about (`policy`, before), whether its addresses may be dialled (`dial`).
//! Invariant: lookups and the time of each are bounded; one that hangs keeps its place until it ends.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::Host;
use tokio::sync::Semaphore;

/// How long a lookup may take; resolvers of the host try twice within it.
const LOOKUP: Duration = Duration::from_secs(10);

/// Lookups at once. Each holds a thread, and a resolver that is gone holds it for long.
const LOOKUPS_MAX: usize = 64;

/// Why a name leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The resolver knows no address of it, or does not answer.
    #[error("the name does not resolve")]
    Unknown,
    /// It took too long, or too many lookups wait already.
    #[error("resolving the name took too long")]
    Timeout,
}

/// Finds the addresses of hosts. [`System`] does it for real; tests point names at servers of their own.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of a host, at least one, in the order in which to try them. An address is its own.
    ///
    /// # Errors
    /// When there is none.
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError>;

    /// Where an address that has passed every check is reached: there. Tests, whose servers are on the loopback device
    /// that no policy opens, say otherwise.
    fn reach(&self, checked: SocketAddr) -> SocketAddr {
        checked
    }
}

/// The resolver of the host, with all that its administrator configured.
#[derive(Clone, Debug)]
pub struct System {
    places: Arc<Semaphore>,
    limit: Duration,
}

impl Default for System {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LOOKUPS_MAX)), limit: LOOKUP }
    }
}

#[async_trait]
impl Resolve for System {
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match (host.address(), host.name()) {
            (Some(address), _) => return Ok(vec![address]),
            (None, Some(name)) => name.to_owned(),
            (None, None) => return Err(ResolveError::Unknown),
        };
        let places = Arc::clone(&self.places);
        let lookup = async {
            let place = places.acquire_owned().await.map_err(|_| ResolveError::Unknown)?;
            let look_up = move || {
                let found = (name.as_str(), 0).to_socket_addrs();
                drop(place);
                found.map(|addresses| addresses.map(|address| address.ip()).collect::<Vec<_>>())
            };
            let found = tokio::task::spawn_blocking(look_up).await;
            found.ok().and_then(Result::ok).ok_or(ResolveError::Unknown)
        };
        let found = tokio::time::timeout(self.limit, lookup).await;
        let mut addresses = found.map_err(|_| ResolveError::Timeout)??;
        let mut seen = Vec::with_capacity(addresses.len());
        addresses.retain(|address| {
            let new = !seen.contains(address);
            seen.push(*address);
            new
        });
        if addresses.is_empty() { Err(ResolveError::Unknown) } else { Ok(addresses) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_resolved_by_the_host() {
        let system = System::default();
        let of = async |host: &str| system.resolve(&host.parse().unwrap()).await;
        assert_eq!(of("10.1.2.3").await, Ok(vec!["10.1.2.3".parse().unwrap()]));
        let local = of("localhost").await.unwrap();
        assert!(local.iter().all(IpAddr::is_loopback), "{local:?}");
        assert_eq!(of("does-not-exist.invalid").await, Err(ResolveError::Unknown));
    }

    #[tokio::test]
    async fn a_lookup_that_finds_no_place_ends_in_time() {
        let system =
            System { places: Arc::new(Semaphore::new(0)), limit: Duration::from_millis(1) };
        let host = "example.com".parse().unwrap();
        assert_eq!(system.resolve(&host).await, Err(ResolveError::Timeout));
    }
}
