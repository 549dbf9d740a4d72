//! One egress proxy with its sandbox's ends, its callers, its records, and names that lead to servers of the test.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use domain::Host;
use parking_lot::Mutex;
use policy::{Policy, PolicyFile};
use proxy::{
    audit::{Activity, Event},
    egress::{
        Authority, Connection, Egress, EgressError, Ends, Identify, Identity, InferenceTarget,
        Record, Settings, Unidentified,
        credentials::{Credentials, Provider, Secret},
        dial::Dialer,
        resolve::{Resolve, ResolveError},
    },
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    process::Command,
    task::JoinSet,
    time::timeout,
};

use crate::server::{self, Log};

/// No test waits longer.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The policy of most tests.
pub(crate) const POLICY: &str = r#"
version: 1
network_policies:
  web:
    endpoints:
      - host: api.example.com
        ports: [80, 443]
        protocol: rest
        enforcement: enforce
        rules:
          - allow: {method: GET, path: "/public/**"}
          - allow: {method: HEAD, path: "/public/**"}
          - allow: {method: POST, path: "/public/**"}
      - {host: audited.example.com, port: 80, protocol: rest, enforcement: audit, access: read-only}
      - host: keys.example.com
        port: 80
        protocol: rest
        enforcement: enforce
        access: full
        request_body_credential_rewrite: true
        credential_binding: {provider: work}
      - {host: careful.example.com, port: 80, protocol: rest, enforcement: enforce, access: full, sensitivity: block}
      - {host: hidden.example.com, port: 80, protocol: rest, enforcement: enforce, access: full, sensitivity: redact}
      - host: graph.example.com
        port: 80
        protocol: graphql
        enforcement: enforce
        rules: [{allow: {operation_type: query, fields: [viewer]}}]
      - {host: loop.example.com, port: 80}
      - {host: private.example.com, port: 80}
      - {host: plain.example.com, ports: [80, 443]}
      - {host: untrusted.example.com, port: 443}
      - {host: dead.example.com, port: 81}
      - {host: raw.example.com, port: 7000}
      - {host: skip.example.com, port: 443, tls: skip}
      - {host: native.example.com, port: 443, protocol: tcp}
      - {host: ws.example.com, port: 7000, protocol: websocket, enforcement: enforce, rules: [{allow: {method: GET, path: "/chat"}}, {allow: {method: WEBSOCKET_TEXT, path: "/chat"}}]}
      - {host: talk.example.com, port: 7000, protocol: websocket, enforcement: enforce, access: full, credential_binding: {provider: work}, websocket_credential_rewrite: true}
    binaries: [{path: /usr/bin/curl}]
  other:
    endpoints: [{host: other.example.com, port: 80}]
    binaries: [{path: /usr/bin/git}]
"#;

/// A compiled policy.
pub(crate) fn policy(text: &str) -> Arc<Policy> {
    let file = PolicyFile::parse(text).map_err(|faults| format!("{faults:?}"));
    Arc::new(Policy::new(file.unwrap().0))
}

/// Everything that a test needs.
pub(crate) struct Lab {
    pub(crate) egress: Egress,
    pub(crate) proxy: SocketAddr,
    pub(crate) captured: SocketAddr,
    dns: SocketAddr,
    /// What came to the server on port 80, and to the one on port 443.
    pub(crate) plain: Log,
    pub(crate) secure: Log,
    pub(crate) journal: Arc<Journal>,
    pub(crate) callers: Arc<Callers>,
    /// Where captured connections are said to have been meant to go.
    pub(crate) meant: Arc<Mutex<Option<SocketAddr>>>,
    pub(crate) folder: tempfile::TempDir,
    /// Where the server on port 80 is.
    pub(crate) plain_address: SocketAddr,
    servers: Vec<JoinSet<()>>,
}

/// Decisions, as they came.
#[derive(Default)]
pub(crate) struct Journal(Mutex<Vec<Event>>);

impl Record for Journal {
    fn record(&self, event: Event) {
        self.0.lock().push(event);
    }
}

impl Journal {
    /// All events so far, but not how connections ended: that comes at its own time.
    pub(crate) fn all(&self) -> Vec<Event> {
        let is_close = |event: &Event| matches!(event.activity, Activity::Close { .. });
        self.0.lock().iter().filter(|event| !is_close(event)).cloned().collect()
    }

    /// How a connection ended, once one has.
    pub(crate) async fn close(&self) -> Event {
        let closed = async {
            loop {
                let all = self.0.lock().clone();
                let is_close = |event: &Event| matches!(event.activity, Activity::Close { .. });
                if let Some(event) = all.into_iter().find(is_close) {
                    return event;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, closed).await.unwrap()
    }

    /// How many connections have ended.
    pub(crate) fn count_closes(&self) -> usize {
        let is_close = |event: &&Event| matches!(event.activity, Activity::Close { .. });
        self.0.lock().iter().filter(is_close).count()
    }

    /// The last one.
    pub(crate) fn last(&self) -> Event {
        self.all().pop().unwrap()
    }
}

/// The path of a request; none for a connection.
pub(crate) fn path(event: &Event) -> Option<&str> {
    match &event.activity {
        Activity::Request { path, .. } => Some(path),
        _ => None,
    }
}

/// The method of a request; none for a connection.
pub(crate) fn method(event: &Event) -> Option<&str> {
    match &event.activity {
        Activity::Request { method, .. } => Some(method),
        _ => None,
    }
}

/// Says that curl is calling, unless told otherwise.
#[derive(Default)]
pub(crate) struct Callers {
    pub(crate) unknown: Mutex<Option<Unidentified>>,
    pub(crate) asked: Mutex<Vec<Connection>>,
}

#[async_trait]
impl Identify for Callers {
    async fn identify(&self, connection: &Connection) -> Result<Arc<Identity>, Unidentified> {
        self.asked.lock().push(*connection);
        if let Some(error) = self.unknown.lock().clone() {
            return Err(error);
        }
        let binary = "/usr/bin/curl".to_owned();
        Ok(Arc::new(Identity { binary, ancestors: Vec::new(), process: 7, sha256: None }))
    }
}

/// Names lead to public addresses that are reached on the loopback device, by their port.
#[derive(Debug)]
struct Places(HashMap<u16, SocketAddr>);

#[async_trait]
impl Resolve for Places {
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let address = match (host.name(), host.address()) {
            (_, Some(address)) => return Ok(vec![address]),
            (Some("loop.example.com"), _) => "127.0.0.1",
            (Some("private.example.com"), _) => "10.0.0.1",
            (Some("nowhere.example.com"), _) => return Err(ResolveError::Unknown),
            _ => "93.184.215.14",
        };
        Ok(vec![address.parse().unwrap()])
    }

    fn reach(&self, checked: SocketAddr) -> SocketAddr {
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        self.0.get(&checked.port()).copied().unwrap_or(nobody)
    }
}

/// The credentials of a sandbox: one secret of the provider `work`, for the variable `KEY`.
pub(crate) fn credentials(secret: &str) -> Credentials {
    let secrets = vec![("KEY".to_owned(), Secret::new(secret).unwrap())];
    let provider = Provider { name: "work".to_owned(), secrets, endpoints: Vec::new() };
    Credentials::new(vec![provider]).unwrap()
}

/// A certificate authority of the outside world and a server's certificate of it.
fn outside(names: &[&str]) -> (String, rustls::ServerConfig) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "outside");
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (pem, config)
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(POLICY, None).await
    }

    pub(crate) async fn with(text: &str, inference: Option<InferenceTarget>) -> Self {
        let (echo, task) = server::echo().await;
        let mut lab = Self::at(text, inference, (7000, echo)).await;
        lab.servers.push(task);
        lab
    }

    /// A lab where a port leads to a server of the test.
    pub(crate) async fn at(
        text: &str,
        inference: Option<InferenceTarget>,
        own: (u16, SocketAddr),
    ) -> Self {
        Self::made(text, inference, own, |_, _| {}).await.unwrap()
    }

    /// A lab whose settings are changed before it starts, in this folder.
    pub(crate) async fn made(
        text: &str,
        inference: Option<InferenceTarget>,
        own: (u16, SocketAddr),
        change: impl FnOnce(&mut Settings, &Path),
    ) -> Result<Self, EgressError> {
        let (plain, secure) = (Log::default(), Log::default());
        let (pem, config) = outside(&[
            "api.example.com",
            "plain.example.com",
            "skip.example.com",
            "native.example.com",
        ]);
        let (http, one) = server::http(Arc::clone(&plain), None).await;
        let (https, two) = server::http(Arc::clone(&secure), Some(config)).await;
        let places: Arc<dyn Resolve> =
            Arc::new(Places(HashMap::from([(80, http), (443, https), own])));
        let authority = Arc::new(Authority::new("test").unwrap());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.certificate_pem()).unwrap();
        std::fs::write(folder.path().join("outside.pem"), &pem).unwrap();
        let callers = Arc::new(Callers::default());
        let journal = Arc::new(Journal::default());
        let meant = Arc::new(Mutex::new(None::<SocketAddr>));
        let identify = Arc::clone(&callers) as Arc<dyn Identify>;
        let record = Arc::clone(&journal) as Arc<dyn Record>;
        let mut settings = Settings::new("test", policy(text), identify, authority, record);
        settings.dial = Dialer::new(places, None);
        settings.extra_ca_pem = Some(pem);
        settings.inference = inference;
        settings.credentials = credentials("sk-live-0123456789abcdef");
        let asked = Arc::clone(&meant);
        settings.original = Arc::new(move |stream| {
            let meant = *asked.lock();
            meant.map_or_else(|| stream.local_addr(), Ok)
        });
        let bind = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let names = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let dns = names.local_addr().unwrap();
        let ends =
            Ends { proxy: bind(), captured: bind(), dns: vec![names], dns_tcp: vec![bind()] };
        let proxy = ends.proxy.local_addr().unwrap();
        let captured = ends.captured.local_addr().unwrap();
        change(&mut settings, folder.path());
        let egress = Egress::start(ends, settings).await?;
        let servers = vec![one, two];
        Ok(Self {
            egress,
            proxy,
            captured,
            dns,
            plain,
            secure,
            journal,
            callers,
            meant,
            folder,
            plain_address: http,
            servers,
        })
    }

    /// A connection to the explicit proxy.
    pub(crate) async fn connect(&self) -> Peer {
        Peer(TcpStream::connect(self.proxy).await.unwrap())
    }

    /// A connection that was captured on its way to `meant`.
    pub(crate) async fn capture(&self, meant: &str) -> Peer {
        *self.meant.lock() = Some(meant.parse().unwrap());
        Peer(TcpStream::connect(self.captured).await.unwrap())
    }

    /// A tunnel to `to`.
    pub(crate) async fn tunnel(&self, to: &str) -> Peer {
        let mut peer = self.connect().await;
        peer.send(&format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n")).await;
        let head = peer.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        peer
    }

    /// What the proxy answers to `text` until it ends the connection.
    pub(crate) async fn say(&self, text: impl AsRef<[u8]>) -> String {
        let mut peer = self.connect().await;
        // It may be refused before it is taken.
        drop(peer.0.write_all(text.as_ref()).await);
        peer.rest().await
    }

    /// The IPv4 address of a name, from the sandbox's name server.
    pub(crate) async fn look_up(&self, name: &str) -> Option<Ipv4Addr> {
        let mut question = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&question, self.dns).await.unwrap();
        let mut answer = [0; 512];
        let count = timeout(SOON, socket.recv(&mut answer)).await.unwrap().unwrap();
        let answers = answer[7];
        let address: [u8; 4] = *answer.get(..count).unwrap().last_chunk().unwrap();
        (answers > 0).then(|| Ipv4Addr::from(address))
    }

    /// Real curl through the proxy, trusting the sandbox's authority; what it printed, and whether it was content.
    pub(crate) async fn curl(&self, arguments: &[&str]) -> (String, bool) {
        let folder = self.folder.path();
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--max-time", "20", "--proxy"])
            .arg(format!("http://{}", self.proxy))
            .arg("--cacert")
            .arg(folder.join("ca.pem"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .kill_on_drop(true);
        let done = timeout(SOON + SOON, command.output()).await.unwrap().unwrap();
        let mut text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&done.stderr));
        (text, done.status.success())
    }
}

/// The sandbox's side of a connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// Reads up to the end of a head.
    pub(crate) async fn head(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            match timeout(SOON, self.0.read_u8()).await.unwrap() {
                Ok(byte) => bytes.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads this many bytes.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        timeout(SOON, self.0.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// Reads until the proxy ends the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset is an end, too.
        drop(timeout(SOON, self.0.read_to_end(&mut bytes)).await.unwrap());
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
