use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use policy::{Caller, Connect, Policy, PolicyFile, Verdict};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const BINARY: &str = "/usr/bin/curl";

/// Names and where their addresses are reached in this test.
#[derive(Debug, Default)]
struct Fixed {
    names: BTreeMap<&'static str, Vec<&'static str>>,
    reached: BTreeMap<&'static str, SocketAddr>,
    asked: AtomicUsize,
}

#[async_trait]
impl Resolve for Fixed {
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let name = host.name().expect("only names are asked for");
        let found = self.names.get(name).ok_or(ResolveError::Unknown)?;
        Ok(found.iter().map(|address| address.parse().unwrap()).collect())
    }

    async fn own(&self, host: &Host) -> Vec<IpAddr> {
        if host.name() == Some("own.example") {
            vec!["10.1.0.1".parse().unwrap()]
        } else {
            Vec::new()
        }
    }

    fn reach(&self, checked: SocketAddr) -> SocketAddr {
        let reached = self.reached.get(checked.ip().to_string().as_str());
        *reached.expect("only addresses of this test are dialled")
    }
}

fn policy() -> Policy {
    let text = r"
version: 1
network_policies:
  web:
    endpoints:
      - {host: good.example, port: 443}
      - {host: mixed.example, port: 443}
      - {host: inside.example, port: 443}
      - {host: 10.0.0.9, port: 443}
      - {host: listed.example, port: 443, allowed_ips: [10.0.0.0/16]}
      - {host: empty.example, port: 443, allowed_ips: [10.0.0.0/16]}
      - {port: 5432, allowed_ips: [10.1.0.0/16]}
    binaries: [{path: /usr/bin/curl}]
";
    Policy::new(PolicyFile::parse(text).unwrap().0)
}

async fn dial(dialer: &Dialer, to: &str) -> Result<TcpStream, DialError> {
    let policy = policy();
    let to: Destination = to.parse().unwrap();
    let caller = Caller { binary: BINARY, ancestors: &[] };
    match policy.connect(&Connect { caller, to: &to, inference: false }) {
        Verdict::Allow(grant) => Ok(dialer.dial(&grant, &to).await?.stream),
        other => panic!("{other:?}"),
    }
}

async fn server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A place where nothing listens.
async fn nobody() -> SocketAddr {
    server().await.1
}

fn names() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        ("good.example", vec!["198.51.0.1", "198.51.0.2"]),
        ("mixed.example", vec!["198.51.0.1", "10.0.0.1"]),
        ("inside.example", vec!["127.0.0.1"]),
        ("listed.example", vec!["10.0.0.1"]),
        ("empty.example", vec![]),
    ])
}

#[tokio::test]
async fn a_name_is_asked_once_and_the_checked_addresses_are_tried_in_order() {
    let (listener, second) = server().await;
    let reached = BTreeMap::from([("198.51.0.1", nobody().await), ("198.51.0.2", second)]);
    let fixed = Arc::new(Fixed { names: names(), reached, ..Fixed::default() });
    let dialer = Dialer::new(fixed.clone(), None);
    let mut stream = dial(&dialer, "good.example:443").await.unwrap();
    assert!(stream.nodelay().unwrap());
    let (mut other, _) = listener.accept().await.unwrap();
    other.write_all(b"hello").await.unwrap();
    let mut read = [0; 5];
    stream.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"hello");
    assert_eq!(fixed.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nobody_is_asked_for_a_name_that_no_endpoint_lists() {
    let (_listener, place) = server().await;
    let reached = BTreeMap::from([("10.1.0.1", place), ("10.1.0.2", place)]);
    let names = BTreeMap::from([("any.example", vec!["10.1.0.1"])]);
    let fixed = Arc::new(Fixed { names, reached, ..Fixed::default() });
    let dialer = Dialer::new(fixed.clone(), None);
    let refused = dial(&dialer, "any.example:5432").await.unwrap_err();
    assert_eq!(refused.as_str(), "host_not_listed");
    // An address needs nobody, and what this machine knows by itself is told to nobody.
    drop(dial(&dialer, "10.1.0.2:5432").await.unwrap());
    drop(dial(&dialer, "own.example:5432").await.unwrap());
    assert_eq!(fixed.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn one_bad_address_refuses_all() {
    let (_listener, place) = server().await;
    let reached = BTreeMap::from([("10.0.0.1", place), ("10.0.0.9", place)]);
    let fixed = Fixed { names: names(), reached, ..Fixed::default() };
    // An address that is not in `reached` would panic when it is dialled.
    let dialer = Dialer::new(Arc::new(fixed), None);
    let blocked = |error| match error {
        Err(DialError::Blocked(blocked)) => blocked,
        other => panic!("{other:?}"),
    };
    assert_eq!(blocked(dial(&dialer, "mixed.example:443").await), Blocked::Internal);
    assert_eq!(blocked(dial(&dialer, "inside.example:443").await), Blocked::Always);
    dial(&dialer, "listed.example:443").await.unwrap();
    dial(&dialer, "10.0.0.9:443").await.unwrap();
}

#[tokio::test]
async fn what_does_not_answer_or_resolve_is_told() {
    let gone = nobody().await;
    let reached = BTreeMap::from([("198.51.0.1", gone), ("198.51.0.2", gone)]);
    let dialer = Dialer::new(Arc::new(Fixed { names: names(), reached, ..Fixed::default() }), None);
    let error = dial(&dialer, "good.example:443").await.unwrap_err();
    assert_eq!(error.as_str(), "unreachable");
    let dialer = Dialer::new(Arc::new(Fixed::default()), None);
    let error = dial(&dialer, "good.example:443").await.unwrap_err();
    assert_eq!(error.as_str(), "unresolved");
}

/// An upstream proxy that answers one request with `answer` and gives the request.
async fn upstream(
    answer: &'static [u8],
) -> (UpstreamProxy, impl Future<Output = (String, TcpStream)>) {
    let (listener, address) = server().await;
    let proxy = format!("http://user:pass@{address}").parse().unwrap();
    let asked = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer).await.unwrap();
        (String::from_utf8(head).unwrap(), stream)
    };
    (proxy, asked)
}

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\nVia: corp\r\n\r\nserver first";

async fn ask(
    names: BTreeMap<&'static str, Vec<&'static str>>,
    to: &str,
    answer: &'static [u8],
) -> (Result<TcpStream, DialError>, String) {
    let (proxy, asked) = upstream(answer).await;
    let fixed = Fixed { names, ..Fixed::default() };
    let dialer = Dialer::new(Arc::new(fixed), Some(proxy));
    let (dialled, (head, mut stream)) = tokio::join!(dial(&dialer, to), asked);
    stream.shutdown().await.unwrap();
    (dialled, head)
}

#[tokio::test]
async fn an_upstream_proxy_is_asked_for_the_checked_address_and_loses_no_byte() {
    let (dialled, head) = ask(names(), "good.example:443", ESTABLISHED).await;
    let expected = "CONNECT 198.51.0.1:443 HTTP/1.1\r\nHost: 198.51.0.1:443\r\n\
                    Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n";
    assert_eq!(head, expected);
    let mut rest = String::new();
    dialled.unwrap().read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "server first");
}

#[tokio::test]
async fn a_name_that_only_the_upstream_proxy_knows_is_left_to_it() {
    let (dialled, head) = ask(BTreeMap::new(), "good.example:443", ESTABLISHED).await;
    assert!(head.starts_with("CONNECT good.example:443 HTTP/1.1\r\n"), "{head}");
    dialled.unwrap();
    let (proxy, _asked) = upstream(ESTABLISHED).await;
    let dialer = Dialer::new(Arc::new(Fixed::default()), Some(proxy));
    let error = dial(&dialer, "listed.example:443").await.unwrap_err();
    assert_eq!(error.as_str(), "unresolved", "nobody could hold it to the addresses it lists");
    let (proxy, _asked) = upstream(ESTABLISHED).await;
    let dialer = Dialer::new(Arc::new(Fixed { names: names(), ..Fixed::default() }), Some(proxy));
    let error = dial(&dialer, "empty.example:443").await.unwrap_err();
    assert_eq!(error.as_str(), "unresolved", "no address is as good as no name");
}

#[tokio::test]
async fn addresses_are_checked_before_an_upstream_proxy_is_asked() {
    let (proxy, _asked) = upstream(ESTABLISHED).await;
    let fixed = Fixed { names: names(), ..Fixed::default() };
    let dialer = Dialer::new(Arc::new(fixed), Some(proxy));
    for to in ["inside.example:443", "mixed.example:443"] {
        assert_eq!(dial(&dialer, to).await.unwrap_err().as_str(), "ssrf_denied");
    }
}

#[tokio::test]
async fn exceptions_are_dialled_directly() {
    let (listener, place) = server().await;
    let reached = BTreeMap::from([("10.0.0.1", place)]);
    let proxy: UpstreamProxy = nobody().await.to_string().parse().unwrap();
    let proxy = proxy.without("10.0.0.0/8").unwrap();
    let fixed = Fixed { names: names(), reached, ..Fixed::default() };
    let dialer = Dialer::new(Arc::new(fixed), Some(proxy));
    let (dialled, accepted) = tokio::join!(dial(&dialer, "listed.example:443"), listener.accept());
    dialled.unwrap();
    accepted.unwrap();
    let error = dial(&dialer, "good.example:443").await.unwrap_err();
    assert_eq!(error.as_str(), "upstream_proxy_failed");
}

#[tokio::test]
async fn what_an_upstream_proxy_says_instead_of_yes_is_told() {
    let refused = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n";
    let error = ask(names(), "good.example:443", refused).await.0.unwrap_err();
    assert!(matches!(error, DialError::UpstreamRefused(407)), "{error:?}");
    let error = ask(names(), "good.example:443", b"SSH-2.0\r\n\r\n").await.0.unwrap_err();
    assert_eq!(error.as_str(), "upstream_proxy_failed");
}

#[tokio::test]
async fn a_silent_upstream_proxy_is_left_in_time() {
    let (_listener, place) = server().await;
    let proxy = place.to_string().parse().unwrap();
    let fixed = Fixed { names: names(), ..Fixed::default() };
    let mut dialer = Dialer::new(Arc::new(fixed), Some(proxy));
    dialer.limit = Duration::from_millis(50);
    let error = dial(&dialer, "good.example:443").await.unwrap_err();
    assert!(matches!(error, DialError::Timeout), "{error:?}");
}
