//! Where a name leads, as the host sees it: the sandbox cannot choose the resolver.
//!
//! Not here: whether a name may be asked about (`policy`, before), whether its addresses may be dialled (`dial`).
//! Invariant: lookups and the time of each are bounded; one that hangs keeps its place until it ends.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::Host;
use tokio::{io::AsyncReadExt as _, sync::Semaphore};

/// How long a lookup may take; resolvers of the host try twice within it.
const LOOKUP: Duration = Duration::from_secs(10);

/// Lookups at once. Each holds a thread, and a resolver that is gone holds it for long.
const LOOKUPS_MAX: usize = 64;

/// The names that this machine knows by itself.
const HOSTS: &str = "/etc/hosts";

/// How much of that file is read, bytes, and the most addresses of one name in it.
const HOSTS_BYTES_MAX: u64 = 1 << 20;
const ADDRESSES_MAX: usize = 64;

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

    /// The addresses that this machine itself has for the name; nobody else is asked. None where that is not known.
    async fn own(&self, _host: &Host) -> Vec<IpAddr> {
        Vec::new()
    }

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
    hosts: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(LOOKUPS_MAX));
        Self { places, limit: LOOKUP, hosts: HOSTS.into() }
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

    async fn own(&self, host: &Host) -> Vec<IpAddr> {
        let file = tokio::fs::File::open(&self.hosts).await;
        let mut text = String::new();
        let read = match file {
            Ok(file) => file.take(HOSTS_BYTES_MAX).read_to_string(&mut text).await,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            tracing::debug!(error = %error, "the file of hosts cannot be read");
        }
        host.name().map(|name| listed(&text, name)).unwrap_or_default()
    }
}

/// The addresses of a name in the text of a hosts file (`hosts(5)`): an address, then names, `#` begins a remark.
fn listed(text: &str, name: &str) -> Vec<IpAddr> {
    let of = |line: &str| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name)).then_some(address)
    };
    text.lines().filter_map(of).take(ADDRESSES_MAX).collect()
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
        let places = Arc::new(Semaphore::new(0));
        let system = System { places, limit: Duration::from_millis(1), ..System::default() };
        let host = "example.com".parse().unwrap();
        assert_eq!(system.resolve(&host).await, Err(ResolveError::Timeout));
    }

    #[tokio::test]
    async fn names_of_this_machine_are_those_of_its_hosts_file() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        let text = "10.0.0.1 one.example One # two.example\n# 10.0.0.3 two.example\n\n\
                    fd00::1\tone.example.\nnonsense one.example\n";
        std::fs::write(&hosts, text).unwrap();
        let system = System { hosts, ..System::default() };
        let own = async |host: &str| system.own(&host.parse().unwrap()).await;
        let expected: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|one| one.parse().unwrap()).into();
        assert_eq!(own("one.example").await, expected);
        assert_eq!(own("two.example").await, Vec::<IpAddr>::new());
        let absent = System { hosts: folder.path().join("absent"), ..System::default() };
        assert!(absent.own(&"one.example".parse().unwrap()).await.is_empty());
    }
}
