//! A gateway from start to end: its state is opened, its sandboxes are kept, its port is served.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use api::{
    gateway::{Info, Login, OidcLogin},
    user::Role,
};
use drivers::Local;
use futures_util::FutureExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sandbox::state::Home;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        access::{Table, table},
        authority::{Authority, AuthorityError, server::ServerLeaf},
        failures::Failures,
        files,
        layer::{Gate, Lookups, Unavailable, guarded},
        oidc::{self, Issuer},
        origin::Origins,
        principal::{NameError, UserName, Workspace},
        revoked::Revocations,
        sandbox::{KeyError, Keyring, Keys as SandboxKeys},
        scope::Scopes,
        token::StoredToken,
    },
    broker::{Broker, Kept},
    http::{self, App, Doors, Pulse, Records, Upkeep, metrics::counted},
    identities::{self, Outside},
    inference::{
        Door, Inference, StartError,
        books::{Books, BooksError},
    },
    lifecycle::{Desired, Keeper, written},
    records::{EVERYWHERE, SandboxRecord, UserRecord, WorkspaceRecord},
    secrets::{KeySource, KeysError},
    serve::{
        Limits, Server,
        listen::{self, Addresses},
        live::Live,
        tls::{self, Clients, TlsError},
    },
    store::{Place, PlaceClaim, Store, StoreError},
};

/// The socket of the local user, in the folder of the state.
pub const SOCKET: &str = "gateway.sock";

/// How often a folder that is taken is tried again, and the pause before that.
const LOCK_TRIES: usize = 25;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// How a gateway is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub name: String,
    /// The folder of its state, which it has for itself: keys, certificates, sandboxes, and the database unless it is elsewhere.
    pub state: PathBuf,
    /// Where the database is, if not in that folder.
    pub store: Option<Place>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Further names and addresses under which it is reached.
    pub names: Vec<String>,
    /// Where the key of stored secrets comes from, if not from that folder.
    pub key: Option<KeySource>,
    /// Whether TLS without a client certificate is refused at once, also for those who have a token.
    pub certificates_only: bool,
    /// The name of the user who runs it: its first administrator.
    pub user: String,
    /// How routers are run that answer model calls; `None` leaves that to others.
    pub router: Option<Door>,
    /// Whose tokens it takes beside its own.
    pub oidc: Option<oidc::Config>,
    /// How much of the audit is kept, unless it is set.
    pub audit: Kept,
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens, with the ports that it got.
    pub addresses: Vec<SocketAddr>,
    /// The socket of the local user.
    pub socket: PathBuf,
    /// The certificate of its authority.
    pub ca: PathBuf,
}

/// Why a gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another one has the folder.
    #[error("another gateway runs on {}", .0.display())]
    Taken(PathBuf),
    /// The folder cannot be used.
    #[error("cannot use the folder {}", .folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key of stored secrets cannot be had.
    #[error("cannot have the key of stored secrets")]
    Key(#[from] KeysError),
    /// The database cannot be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The certificates cannot be had.
    #[error("cannot have the certificates of the gateway")]
    Authority(#[from] AuthorityError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The key of sandbox tokens cannot be had.
    #[error("cannot have the key of sandbox tokens")]
    SandboxKey(#[from] KeyError),
    /// The issuer of further tokens cannot be used.
    #[error("cannot use the OIDC issuer")]
    Oidc(#[from] oidc::ConfigError),
    /// The name of the local user is that of somebody else.
    #[error("the user {0} of this gateway is somebody who logs in at an OIDC issuer")]
    Outsider(UserName),
    /// It cannot be known what was spent.
    #[error("cannot have the books of the gateway")]
    Books(#[from] BooksError),
    /// It cannot be known where model calls go.
    #[error("cannot start the routers of the gateway")]
    Router(#[from] StartError),
    /// The local user has a name that no user may have.
    #[error("{name:?} cannot be the name of a user")]
    User {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: NameError,
    },
    /// It cannot listen.
    #[error("cannot listen on {}", .addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Listen {
        /// Where.
        addresses: Vec<SocketAddr>,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// Runs a gateway until `stop` is done. `ready` is told when it serves.
///
/// Sandboxes live on when it ends, and another one on the same state goes on with them.
///
/// # Errors
/// Why it cannot begin.
pub async fn run(
    options: Options,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let folder = &options.state;
    let unusable = |source| RunError::Folder { folder: folder.clone(), source };
    files::folder(folder).map_err(unusable)?;
    let _lock = lock(folder).await?;
    let user: UserName = options
        .user
        .parse()
        .map_err(|source| RunError::User { name: options.user.clone(), source })?;
    let key = options.key.clone().unwrap_or_else(|| KeySource::File(folder.join("secrets.key")));
    let place = options.store.clone().unwrap_or_else(|| Place::Sqlite(folder.join("gateway.db")));
    // Before it is opened: nobody brings the tables of a gateway that runs to another form.
    let claim = PlaceClaim::take(&place).await?;
    let store = Store::open(&place, key.load().await?).await?;
    admit(&store, &user).await?;

    let now = seconds();
    let authority = Arc::new(Authority::open(&folder.join("pki"), now)?);
    let names = names(&options);
    let leaf = Arc::new(ServerLeaf::new(Arc::clone(&authority), names.clone(), now)?);
    let clients = if options.certificates_only { Clients::MustShow } else { Clients::MayShow };
    let tls = tls::config(&authority, leaf, clients)?;
    let revoked = Arc::new(Revocations::default());
    revoked.replace(http::revoked(&store).await?);

    let addresses = Addresses { tcp: options.listen.clone(), unix: Some(folder.join(SOCKET)) };
    let bound = listen::bind(&addresses)
        .map_err(|source| RunError::Listen { addresses: options.listen.clone(), source })?;
    let told = bound.addresses().map_err(unusable)?;
    let port = told.first().map_or(443, SocketAddr::port);

    let live = Arc::new(Live::default());
    let driver = Local::new(Home::new(folder));
    let broker = Broker::new(store.clone(), driver.clone(), options.audit);
    let keeper = Keeper::new(store.clone(), driver, Arc::clone(&broker));
    let records = Arc::new(Records::new(Arc::clone(&broker)));
    let doors =
        Arc::new(Doors { authority, revoked: Arc::clone(&revoked), live: Arc::clone(&live) });
    let issuer = options.oidc.clone().map(Issuer::new).transpose()?.map(Arc::new);
    let (inference, booking) = routed(&options, &store).await?;
    let gate = Gate {
        table: Table::new(table::rows()),
        origins: Origins::new(names.iter().map(String::as_str), port),
        local: user,
        keyring: Arc::new(keyring(folder)?),
        oidc: issuer.clone(),
        revoked,
        failures: Failures::default(),
        lookups: lookups(&store, &doors),
    };
    let app = App {
        info: info(&options, &place),
        pulse: Pulse::default(),
        upkeep: Upkeep::new(key, folder.clone()),
        login: login(options.oidc.as_ref()),
        doors,
        keeper: Arc::clone(&keeper),
        records: Arc::clone(&records),
        inference: Arc::clone(&inference),
        description: http::description().to_string(),
        store: store.clone(),
    };
    let routes = counted(guarded(http::routes(app), Arc::new(gate)), &records.metrics);
    let limits = Limits::default().within(descriptors(), options.listen.len() + 1);
    let server = Server { bound, tls, routes, live, limits };

    ready(&Ready {
        addresses: told,
        socket: folder.join(SOCKET),
        ca: folder.join("pki").join("ca.crt"),
    });
    let running = Running { keeper, broker, records, inference, booking, issuer, store, claim };
    running.until(server, stop).await
}

/// What goes on beside the port.
struct Running {
    keeper: Arc<Keeper>,
    broker: Arc<Broker>,
    records: Arc<Records>,
    inference: Arc<Inference>,
    booking: Booking,
    issuer: Option<Arc<Issuer>>,
    store: Store,
    claim: PlaceClaim,
}

impl Running {
    /// Serves and keeps sandboxes until `stop` is done, or another gateway has the database.
    async fn until(
        mut self,
        server: Server,
        stop: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let stopped = CancellationToken::new();
        let mut keeping = JoinSet::new();
        keeping.spawn(self.keeper.run(stopped.clone()));
        keeping.spawn(self.broker.run(stopped.clone()));
        keeping.spawn(Arc::clone(&self.inference).follow(stopped.clone()));
        if let Some(issuer) = self.issuer {
            let stopped = stopped.clone();
            keeping.spawn(async move { issuer.run(stopped).await });
        }
        let displaced = AtomicBool::new(false);
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = self.claim.lost() => displaced.store(true, Ordering::Relaxed),
            }
        };
        let stopping = self.records.stopping.clone();
        server.run(stop.map(|()| stopping.cancel())).await;
        self.records.finish().await;
        stopped.cancel();
        while keeping.join_next().await.is_some() {}
        self.inference.stop().await;
        self.booking.finish().await;
        self.store.close().await;
        if displaced.into_inner() { Err(StoreError::Claimed.into()) } else { Ok(()) }
    }
}

/// What calls cost, on its way into the store.
struct Booking {
    told_all: CancellationToken,
    writing: JoinSet<()>,
}

impl Booking {
    /// Whoever told what calls cost is gone; waits until what they told is written.
    async fn finish(mut self) {
        self.told_all.cancel();
        while self.writing.join_next().await.is_some() {}
    }
}

/// Starts the routers, and opens their books.
async fn routed(options: &Options, store: &Store) -> Result<(Arc<Inference>, Booking), RunError> {
    let (books, writer) = Books::open(store, &options.state).await?;
    let (told_all, mut writing) = (CancellationToken::new(), JoinSet::new());
    writing.spawn(writer.run(told_all.clone()));
    let door = options.router.clone();
    let inference = Arc::new(Inference::new(store.clone(), door, books, &options.state));
    inference.start().await?;
    Ok((inference, Booking { told_all, writing }))
}

/// Takes the folder for this process. Whoever only looks whether it is taken holds it for a moment, too.
async fn lock(folder: &Path) -> Result<File, RunError> {
    for _ in 0..LOCK_TRIES {
        match try_lock(folder) {
            Err(RunError::Taken(_)) => sleep(LOCK_PAUSE).await,
            other => return other,
        }
    }
    try_lock(folder)
}

fn try_lock(folder: &Path) -> Result<File, RunError> {
    let unusable = |source| RunError::Folder { folder: folder.to_owned(), source };
    let path = folder.join("lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut lock = lock.map_err(unusable)?;
    match lock.try_lock() {
        Ok(()) => {
            lock.set_len(0).map_err(unusable)?;
            lock.write_all(std::process::id().to_string().as_bytes()).map_err(unusable)?;
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => Err(RunError::Taken(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Sees to it that the user who runs the gateway is one of its administrators, and that there is a workspace.
async fn admit(store: &Store, user: &UserName) -> Result<(), RunError> {
    match store.create(EVERYWHERE, Workspace::default().as_str(), &WorkspaceRecord {}).await {
        Ok(_) | Err(StoreError::Exists) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(found) = store.find::<UserRecord>(EVERYWHERE, user.as_str()).await? {
        // What the one is given would be the other's.
        let is_outside =
            matches!(found.body.outside, Some(Outside::Bound { role_of: Some(_), .. }));
        return if is_outside { Err(RunError::Outsider(user.clone())) } else { Ok(()) };
    }
    let record = UserRecord { role: Some(Role::Admin), ..UserRecord::default() };
    match store.create(EVERYWHERE, user.as_str(), &record).await {
        // Another gateway on the same database was faster.
        Err(StoreError::Exists) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Under which names and addresses it is reached.
fn names(options: &Options) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let listened = options.listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
    names.extend(listened.map(|ip| ip.to_string()));
    names.extend(options.names.iter().cloned());
    names.sort_unstable();
    names.dedup();
    names
}

fn info(options: &Options, place: &Place) -> Info {
    Info {
        name: options.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        driver: "local".to_owned(),
        store: match place {
            Place::Sqlite(_) => "sqlite".to_owned(),
            Place::Postgres(_) => "postgres".to_owned(),
        },
        router: options.router.is_some(),
    }
}

/// What everybody may know of how to log in.
fn login(oidc: Option<&oidc::Config>) -> Login {
    Login {
        oidc: oidc.map(|config| OidcLogin {
            issuer: config.issuer.clone(),
            client_id: config.clients.first().cloned(),
            audience: config.audience.clone(),
            scopes: config.scopes.clone(),
        }),
    }
}

/// How many files this process may have open: as many as the system lets it ask for.
fn descriptors() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, most).is_ok() {
            limit = most;
        }
    }
    // Without a number there is no limit.
    limit.current.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// The keys of sandbox tokens, made where there are none.
fn keyring(folder: &Path) -> Result<Keyring, RunError> {
    let keys = SandboxKeys::open(&folder.join("sandbox-tokens.key"), &seed()?)?;
    Ok(Keyring::new(keys))
}

fn seed() -> Result<[u8; 32], RunError> {
    let random = ring::rand::generate(&ring::rand::SystemRandom::new());
    random.map(ring::rand::Random::expose).map_err(|_| RunError::Random)
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How the door looks up users, tokens and sandboxes in the store.
fn lookups(store: &Store, doors: &Arc<Doors>) -> Lookups {
    let (users, tokens, sandboxes) = (store.clone(), store.clone(), store.clone());
    let (outsiders, doors) = (store.clone(), Arc::clone(doors));
    Lookups {
        user: Box::new(move |name| {
            let store = users.clone();
            Box::pin(async move {
                let found = store.find::<UserRecord>(EVERYWHERE, name.as_str()).await;
                let found = found.map_err(unavailable)?;
                Ok(found.map(|user| identities::grants(&user.body, user.body.role)))
            })
        }),
        token: Box::new(move |hash| {
            let store = tokens.clone();
            Box::pin(async move {
                let Some(token) = store.token(hash.as_bytes()).await.map_err(unavailable)? else {
                    return Ok(None);
                };
                // A use that is not noted is no reason to refuse it.
                store.note_token_use(&token, crate::time::now_ms()).await.ok();
                let scopes = Scopes::read(token.scopes.iter().map(String::as_str));
                let (Ok(user), Ok(scopes)) = (token.holder.parse(), scopes) else {
                    return Ok(None);
                };
                let expires = token
                    .expires_ms
                    .map_or(u64::MAX, |ms| u64::try_from(ms / 1000).unwrap_or_default());
                let revoked = token.revoked_ms.is_some();
                Ok(Some(StoredToken { id: token.id, user, scopes, expires, revoked }))
            })
        }),
        sandbox: Box::new(move |id| {
            let store = sandboxes.clone();
            Box::pin(async move {
                let found = store.find_by_id::<SandboxRecord>(id).await.map_err(unavailable)?;
                let found = found.filter(|stored| stored.body.desired != Desired::Deleted);
                Ok(found.map(|stored| stored.name.into()))
            })
        }),
        outsider: Box::new(move |who| {
            let (store, doors) = (outsiders.clone(), Arc::clone(&doors));
            Box::pin(
                async move { identities::resolve(&store, &doors, &who).await.map_err(unavailable) },
            )
        }),
    }
}

fn unavailable(error: StoreError) -> Unavailable {
    tracing::error!(error = %written(error), "who is calling cannot be looked up");
    Unavailable
}
