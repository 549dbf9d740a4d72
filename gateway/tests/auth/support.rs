//! A gateway that lives for one test: the real door and port, in front of routes that say who came in.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::user::Role;
use axum::{
    Router,
    body::Bytes,
    extract::WebSocketUpgrade,
    response::{IntoResponse as _, Response},
    routing::{MethodFilter, any, on},
};
use gateway::{
    auth::{
        access::{self, Access, At, Permit, Row, Table, table},
        authority::{Authority, Bundle, server::ServerLeaf},
        failures::Failures,
        layer::{Gate, Lookups, Unavailable, guarded},
        oidc::{Issuer, Verified},
        origin::Origins,
        principal::{Grants, Principal, UserName},
        refused::Refused,
        revoked::Revocations,
        sandbox::{Keyring, Keys},
        scope::{Scope, Scopes},
        token::{self, StoredToken, TokenHash},
    },
    serve::{Limits, Server, listen, live::Live, tls},
};
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use secrecy::ExposeSecret as _;
use tokio::{sync::oneshot, task::JoinHandle};
use uuid::Uuid;

/// Waits for what must come; a test that waits for ever says nothing.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), future).await.expect("it does not come")
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What the store would hold.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) users: HashMap<UserName, Grants>,
    pub(crate) tokens: HashMap<TokenHash, StoredToken>,
    pub(crate) sandboxes: HashSet<Uuid>,
    /// Whether it cannot be read.
    pub(crate) is_away: bool,
}

/// How a world differs from the usual one.
#[derive(Clone, Copy)]
pub(crate) struct With {
    pub(crate) clients: tls::Clients,
    pub(crate) limits: Limits,
    /// How long ago the leaf of the gateway was made, seconds.
    pub(crate) leaf_age: u64,
}

impl Default for With {
    fn default() -> Self {
        Self { clients: tls::Clients::MayShow, limits: Limits::default(), leaf_age: 0 }
    }
}

/// A running gateway.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) authority: Arc<Authority>,
    pub(crate) address: SocketAddr,
    pub(crate) known: Arc<Mutex<Known>>,
    pub(crate) revoked: Arc<Revocations>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) live: Arc<Live>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(With::default())
    }

    /// Needs a runtime.
    pub(crate) fn with(with: With) -> Self {
        Self::of(with, None)
    }

    /// One that takes tokens of that issuer too.
    #[expect(clippy::disallowed_methods, reason = "the test owns the task")]
    pub(crate) fn of(with: With, oidc: Option<Arc<Issuer>>) -> Self {
        // What reqwest takes; the gateway itself names its provider.
        drop(rustls::crypto::ring::default_provider().install_default());
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open(&folder.path().join("ca"), now()).unwrap());
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let leaf =
            ServerLeaf::new(Arc::clone(&authority), names.clone(), now() - with.leaf_age).unwrap();
        let tls = tls::config(&authority, Arc::new(leaf), with.clients).unwrap();
        let bound = listen::bind(&listen::Addresses {
            tcp: vec!["127.0.0.1:0".parse().unwrap()],
            unix: Some(folder.path().join("gateway.sock")),
        })
        .unwrap();
        let address = bound.addresses().unwrap()[0];
        let known = Arc::new(Mutex::new(Known::default()));
        let (revoked, live) = (Arc::new(Revocations::default()), Arc::new(Live::default()));
        let keyring = Arc::new(Keyring::new(Keys::new(&[1; 32]).unwrap()));
        let gate = Gate {
            table: Table::new(rows()),
            origins: Origins::new(names.iter().map(String::as_str), address.port()),
            local: "me".parse().unwrap(),
            keyring: Arc::clone(&keyring),
            oidc,
            revoked: Arc::clone(&revoked),
            failures: Failures::default(),
            lookups: lookups(&known),
        };
        let routes = guarded(routes(), Arc::new(gate));
        let server = Server { bound, tls, routes, live: Arc::clone(&live), limits: with.limits };
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let stop = Some(stop);
        Self { folder, authority, address, known, revoked, keyring, live, stop, server }
    }

    /// Waits until nobody is connected.
    pub(crate) async fn empty(&self) {
        let empty = async {
            while self.live.count() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        soon(empty).await;
    }

    /// Asks the server to stop.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has.
    pub(crate) async fn stopped(&mut self) {
        soon(&mut self.server).await.unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("gateway.sock")
    }

    /// A user with this role everywhere, and its certificate, made some time ago.
    pub(crate) fn user_made(&self, name: &str, role: Role, ago: u64) -> Bundle {
        let name: UserName = name.parse().unwrap();
        let bundle = self.authority.client(&name, now() - ago).unwrap();
        self.known.lock().users.insert(name, Grants::everywhere(role));
        bundle
    }

    pub(crate) fn user(&self, name: &str, role: Role) -> Bundle {
        self.user_made(name, role, 0)
    }

    /// A token of an administrator, good for so many seconds.
    pub(crate) fn token(&self, user: &str, scopes: &[&str], life: u64) -> (String, TokenHash) {
        let user: UserName = user.parse().unwrap();
        let random = *Uuid::new_v4().as_bytes();
        let minted = token::mint(&[random, random].concat().try_into().unwrap());
        let stored = StoredToken {
            id: Uuid::new_v4(),
            user: user.clone(),
            scopes: Scopes::read(scopes.iter().copied()).unwrap(),
            expires: now() + life,
            revoked: false,
        };
        let mut known = self.known.lock();
        known.tokens.insert(minted.hash, stored);
        known.users.entry(user).or_insert(Grants::everywhere(Role::Admin));
        (shown(&minted.text), minted.hash)
    }

    /// A sandbox and its token.
    pub(crate) fn sandbox(&self) -> (Uuid, String) {
        let id = Uuid::new_v4();
        self.known.lock().sandboxes.insert(id);
        (id, shown(&self.keyring.keys().mint(id, now())))
    }

    /// A client that trusts the gateway, with what is set on it besides.
    pub(crate) fn client(
        &self,
        set: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> reqwest::Client {
        let root = reqwest::Certificate::from_pem(self.authority.certificate_pem().as_bytes());
        let builder =
            reqwest::Client::builder().use_rustls_tls().add_root_certificate(root.unwrap());
        set(builder).build().unwrap()
    }

    /// A client with that certificate.
    pub(crate) fn client_of(&self, bundle: &Bundle) -> reqwest::Client {
        self.client(|builder| builder.identity(identity(bundle)))
    }

    /// Writes certificate and key for clients that want files.
    pub(crate) fn files_of(&self, bundle: &Bundle) -> (PathBuf, PathBuf) {
        let path = |kind| self.folder.path().join(format!("{}.{kind}", bundle.serial));
        let (certificate, key) = (path("crt"), path("key"));
        std::fs::write(&certificate, &bundle.certificate_pem).unwrap();
        std::fs::write(&key, shown(&bundle.key_pem)).unwrap();
        (certificate, key)
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca/ca.crt")
    }
}

#[expect(clippy::disallowed_methods, reason = "its owner uses it")]
pub(crate) fn shown(secret: &secrecy::SecretString) -> String {
    secret.expose_secret().to_owned()
}

pub(crate) fn identity(bundle: &Bundle) -> reqwest::Identity {
    let pem = format!("{}{}", bundle.certificate_pem, shown(&bundle.key_pem));
    reqwest::Identity::from_pem(pem.as_bytes()).unwrap()
}

/// The authority of another gateway.
pub(crate) fn foreign_authority(folder: &Path) -> Authority {
    Authority::open(&folder.join("foreign"), now()).unwrap()
}

fn lookups(known: &Arc<Mutex<Known>>) -> Lookups {
    fn look<K: Send + 'static, V: Send + 'static>(
        known: &Arc<Mutex<Known>>,
        find: impl Fn(&Known, &K) -> V + Send + Sync + Copy + 'static,
    ) -> gateway::auth::layer::Look<K, V> {
        let known = Arc::clone(known);
        Box::new(move |key| {
            let known = Arc::clone(&known);
            Box::pin(async move {
                let known = known.lock();
                if known.is_away { Err(Unavailable) } else { Ok(find(&known, &key)) }
            })
        })
    }
    Lookups {
        user: look(known, |known, name| known.users.get(name).cloned()),
        token: look(known, |known, hash| known.tokens.get(hash).cloned()),
        sandbox: look(known, |known, id: &Uuid| {
            known.sandboxes.get(id).map(|_| "brave-fox".into())
        }),
        outsider: look(known, |known, who: &Verified| {
            let name = who.name.clone().unwrap();
            let grants = known.users.get(&name).cloned();
            let unknown = || Refused::forbidden("oidc_user_unknown", "nobody knows you");
            grants.map(|grants| (name, grants)).ok_or_else(unknown)
        }),
    }
}

/// An answer that does not end.
pub(crate) const WATCH: &str = "/try/watch";
/// A websocket.
pub(crate) const TERMINAL: &str = "/try/terminal";
/// An answer that no socket holds.
pub(crate) const MUCH: &str = "/try/much";
/// A body of any length.
pub(crate) const FILE: &str = "/try/file";

/// The rows of the table, and of routes that are tried here.
fn rows() -> Vec<Row> {
    let access = Access::User {
        role: Some(Role::Viewer),
        scope: Some(Scope::SandboxRead),
        at: At::Workspace,
    };
    let row = |method, path, body| Row { method, path, access, body };
    let mut rows = table::rows();
    rows.extend([WATCH, TERMINAL, MUCH].map(|path| row(Method::GET, path, access::Body::Stream)));
    rows.push(row(Method::PUT, FILE, access::Body::Stream));
    rows.extend(supervisor_rows());
    rows
}

/// Routes for supervisors that reach the gateway over the network.
pub(crate) fn supervisor_rows() -> [Row; 2] {
    let row = |method, path, access, body| Row { method, path, access, body };
    [
        row(Method::POST, "/v1/supervisor/token", Access::SandboxRefresh, access::Body::Small),
        row(Method::GET, "/v1/supervisor/session", Access::Sandbox, access::Body::Stream),
    ]
}

/// Every route with a row, and one without.
fn routes() -> Router {
    let mut routes = Router::new().route("/v1/forgotten", any(async || "served"));
    for row in rows() {
        let method = MethodFilter::try_from(row.method.clone()).unwrap();
        let handler = match row.path {
            WATCH => on(method, watch),
            TERMINAL => on(method, exec),
            MUCH => on(method, much),
            _ => on(method, say),
        };
        routes = routes.route(row.path, handler);
    }
    routes
}

/// Who is asking, for what, and how long the body was.
async fn say(permit: Permit, headers: HeaderMap, body: Bytes) -> String {
    if headers.contains_key("authorization") {
        return "its authorization is here".to_owned();
    }
    let workspace = permit.workspace().map_or("-", |workspace| workspace.as_str());
    let length = body.len();
    match permit.principal() {
        Principal::User(user) => {
            format!("{} {} {workspace} {:?} {length}", user.name, user.how.as_str(), permit.role())
        }
        Principal::Sandbox(sandbox) => format!("{} {}", sandbox.name, sandbox.id),
        Principal::Anonymous => "anonymous".to_owned(),
    }
}

/// One piece, and then nothing for ever.
async fn watch(_: Permit) -> Response {
    let first = tokio_stream::once(Ok::<_, Infallible>(Bytes::from_static(b"data: first\n\n")));
    let stream = tokio_stream::StreamExt::chain(first, tokio_stream::pending());
    axum::body::Body::from_stream(stream).into_response()
}

/// More than any socket holds.
async fn much(_: Permit) -> Bytes {
    Bytes::from(vec![0; 64 << 20])
}

/// A terminal that says everything twice.
async fn exec(_: Permit, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async |mut socket| {
        while let Some(Ok(message)) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
