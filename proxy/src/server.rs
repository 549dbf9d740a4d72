//! Starts the router service, keeps it running, and stops it without breaking what is under way.
//!
//! [`run`] is the service of a process: it ends with a signal. [`Running`] is the same service inside another program (`running`).
//! Stopping: listeners close at once, calls under way may go on for the grace, then each is cut with an error that its
//! caller can read. Pingora's own server would wait out its grace even when idle, so its services run on our runtime.
//!
//! Invariant: when a stop returns, no task of the server runs and every audit line is on disk.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use pingora::{
    apps::ServerApp,
    server::{Fds, ListenFds},
    services::{Service as _, listening::Service},
};
use tokio::{
    runtime::Runtime,
    sync::{Notify, watch},
};

use crate::{
    admin::Admin,
    audit::Sink,
    listen::{self, Bound, Gate},
    pool, probe, reload,
    sandbox_token::SandboxKey,
    service::Router,
    spans::Spans,
    state::{self, State},
    tasks::Tasks,
};
mod running;

pub use self::running::Running;
pub use crate::{
    audit::AuditOptions,
    books::{Answered, Books, Closed, Held, NotBooked, Reserving},
    credentials::Environment,
    listen::{ListenAddr, ListenAddrError, TlsFiles},
    snapshot::SnapshotError,
    spans::{SpanError, SpanOptions},
    upstream::AuthorityError,
};

/// After the cut, how long calls get to write their last words.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the service is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// The router file.
    pub config: PathBuf,
    /// What the file says, where somebody else keeps it: then no file is read or watched, and [`Running::replace`] changes it.
    pub text: Option<String>,
    /// Where to listen for calls.
    pub listen: Vec<ListenAddr>,
    /// Certificate and key for the TCP addresses; without them HTTP is spoken in clear.
    pub tls: Option<TlsFiles>,
    /// Where to serve `/metrics`, `/healthz` and `/readyz`.
    pub admin: Option<SocketAddr>,
    /// Whether HTTP/2 without TLS is taken. A client that sends less than 24 bytes is then never answered, so leave it
    /// off where strangers can connect.
    pub h2c: bool,
    /// Threads that serve calls; 0 takes one per processor.
    pub threads: usize,
    /// How long calls under way may go on after the order to stop; `None` takes what the file says.
    pub grace: Option<Duration>,
    /// Where audit lines go; `None` takes what the file says.
    pub audit: Option<AuditOptions>,
    /// Where spans go; `None` makes none.
    pub spans: Option<SpanOptions>,
    /// Where credentials are read from.
    pub environment: Environment,
    /// The key that tokens of sandboxes are checked with; `None` believes nobody to be one.
    pub sandbox_key: Option<PathBuf>,
    /// The folder of what outlives the process; `None` forgets everything.
    pub state: Option<PathBuf>,
    /// Where calls are booked outside of this process; then what was spent is not kept in the folder as well.
    pub books: Option<Books>,
}

impl Options {
    /// The service of `config` on `listen`, with credentials from the environment of this process.
    pub fn new(config: impl Into<PathBuf>, listen: ListenAddr) -> Self {
        Self {
            config: config.into(),
            text: None,
            listen: vec![listen],
            tls: None,
            admin: None,
            h2c: false,
            threads: 0,
            grace: None,
            audit: None,
            spans: None,
            environment: Environment::process(),
            sandbox_key: None,
            state: None,
            books: None,
        }
    }
}

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot be used.
    #[error("cannot use {path}")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SnapshotError,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the certificate and key: {0}")]
    Tls(String),
    /// The audit file cannot be opened.
    #[error("cannot open the audit file")]
    Audit(#[source] io::Error),
    /// The key of sandbox tokens cannot be used.
    #[error("cannot use the key of sandbox tokens")]
    SandboxKey(#[source] io::Error),
    /// The folder of what outlives the process cannot be used.
    #[error("cannot use the state folder {path}")]
    State {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Spans cannot be sent anywhere.
    #[error("cannot export spans")]
    Spans(#[source] SpanError),
    /// Threads, signals or randomness are not to be had.
    #[error("the system gives no {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs the service until SIGTERM or SIGINT; SIGHUP reads the file again. A second signal ends the grace. Blocks.
///
/// # Errors
/// When it does not start. `ready` is called with the addresses once it does.
pub fn run(options: &Options, ready: impl FnOnce(&Addresses)) -> Result<(), StartError> {
    let runtime = runtime(options.threads)?;
    let result = runtime.block_on(async {
        let mut signals = Signals::install()?;
        let mut server = Server::start(options)?;
        ready(&server.addresses);
        while signals.next().await == Signal::Reload {
            server.reload.notify_one();
        }
        tracing::info!("stopping");
        let mut again = std::pin::pin!(async { while signals.next().await != Signal::Stop {} });
        server.stop(again.as_mut()).await;
        Ok(())
    });
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// Where a service listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// For calls, in the order of the options, with the real ports.
    pub listen: Vec<ListenAddr>,
    /// For administration.
    pub admin: Option<SocketAddr>,
}

/// A service that listens.
struct Server {
    router: Arc<Router>,
    state: Option<Arc<State>>,
    tasks: Tasks,
    listeners: Tasks,
    shutdown: watch::Sender<bool>,
    reload: Arc<Notify>,
    addresses: Addresses,
    grace: Option<Duration>,
}

impl Server {
    /// Builds everything and lets it run. Needs to be inside a runtime.
    fn start(options: &Options) -> Result<Self, StartError> {
        let state = options.state.as_deref().map(open_state).transpose()?;
        let router = router(options, state.as_deref())?;
        let tls = options.tls.as_ref();
        if let Some(files) = tls {
            listen::tls(files).map_err(StartError::Tls)?;
        }
        let bound = options.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let admin = options.admin.map(|address| bind(&ListenAddr::Tcp(address))).transpose()?;
        let (tasks, listeners) = (Tasks::default(), Tasks::default());
        let shutdown = watch::Sender::new(false);
        let addresses = Addresses {
            listen: bound.iter().map(|bound| bound.address.clone()).collect(),
            admin: admin.as_ref().and_then(|bound| match bound.address {
                ListenAddr::Tcp(address) => Some(address),
                ListenAddr::Unix(_) => None,
            }),
        };
        let gate = Gate::new(Arc::clone(&router));
        serve(&listeners, &shutdown, "router", gate, (&bound, tls))?;
        if let Some(bound) = admin {
            let app = Admin { router: Arc::clone(&router) };
            serve(&tasks, &shutdown, "admin", app, (&[bound], None))?;
        }
        let reload = Arc::new(Notify::new());
        if options.text.is_none() {
            let path = options.config.clone();
            tasks.spawn("reload", reload::run(Arc::clone(&router), path, Arc::clone(&reload)));
        }
        tasks.spawn("probe", probe::run(Arc::clone(&router)));
        tasks.spawn("idle connections", pool::run(Arc::clone(&router)));
        // Kept in one place only.
        if let Some(state) = state.as_ref().filter(|_| router.books.is_none()) {
            tasks.spawn("books", state::run(Arc::clone(&router), Arc::clone(state)));
        }
        let grace = options.grace;
        Ok(Self { router, state, tasks, listeners, shutdown, reload, addresses, grace })
    }

    /// Stops: first nothing new, then what is under way ends or is cut.
    async fn stop(&mut self, hurry: std::pin::Pin<&mut (impl Future<Output = ()> + ?Sized)>) {
        self.shutdown.send_replace(true);
        let grace = self.router.snapshot.load().configuration.server.grace;
        let grace = self.grace.unwrap_or(grace);
        let flights = &self.router.flights;
        tokio::select! {
            biased;
            () = flights.none() => {}
            () = tokio::time::sleep(grace) => {}
            () = hurry => {}
        }
        if flights.count() > 0 {
            tracing::warn!(calls = flights.count(), "the grace is over; calls are cut");
            flights.cut();
            if tokio::time::timeout(LAST_WORDS, flights.none()).await.is_err() {
                tracing::warn!(calls = flights.count(), "calls did not end when they were cut");
            }
        }
        self.listeners.finish().await;
        self.tasks.finish().await;
        for address in &self.addresses.listen {
            if let ListenAddr::Unix(path) = address
                && let Err(error) = std::fs::remove_file(path)
            {
                tracing::debug!(path = %path.display(), error = %error, "the socket was gone");
            }
        }
        let (router, state) = (Arc::clone(&self.router), self.state.take());
        let finish = move || {
            let kept_here = state.filter(|_| router.books.is_none());
            let _saved = kept_here.is_none_or(|state| state::save(&router, &state));
            router.audit.finish();
            router.spans.as_ref().inspect(|spans| spans.finish());
        };
        if tokio::task::spawn_blocking(finish).await.is_err() {
            tracing::error!("the last audit lines could not be written");
        }
    }
}

fn runtime(threads: usize) -> Result<Runtime, StartError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    builder
        .thread_name("router")
        .enable_all()
        .build()
        .map_err(|source| StartError::System { what: "runtime", source })
}

fn open_state(path: &Path) -> Result<Arc<State>, StartError> {
    let unusable = |source| StartError::State { path: path.to_owned(), source };
    State::open(path).map(Arc::new).map_err(unusable)
}

/// The service with what `state` remembers.
fn router(options: &Options, state: Option<&State>) -> Result<Arc<Router>, StartError> {
    let unusable = |source| StartError::Configuration { path: options.config.clone(), source };
    let text = match &options.text {
        Some(text) => text.clone(),
        None => std::fs::read_to_string(&options.config)
            .map_err(|source| unusable(SnapshotError::Read(source)))?,
    };
    let mut key = [0; 32];
    match state {
        Some(state) => key = state.key,
        None => getrandom::fill(&mut key)
            .map_err(|error| StartError::System { what: "randomness", source: error.into() })?,
    }
    let sandboxes = options.sandbox_key.as_deref().map(SandboxKey::open).transpose();
    let sandboxes = sandboxes.map_err(StartError::SandboxKey)?;
    let audit = match &options.audit {
        Some(audit) => audit.clone(),
        None => audit_of(&text),
    };
    let sink = Sink::open(&audit).map_err(StartError::Audit)?;
    let environment = options.environment.clone();
    let spans = options.spans.as_ref();
    let spans = spans.map(|spans| Spans::start(spans, &environment)).transpose();
    let spans = spans.map_err(StartError::Spans)?;
    let mut router = Router::new(&text, environment, (sink, spans), (&key, sandboxes), options.h2c)
        .map_err(unusable)?;
    router.books.clone_from(&options.books);
    if let Some(books) = &options.books {
        router.memory.ledger.restore(books.spent.iter().cloned());
    } else if let Some(state) = state {
        let unreadable = |source| StartError::State { path: state.folder().to_owned(), source };
        router.memory.ledger.restore(state.books().map_err(unreadable)?);
    }
    Ok(Arc::new(router))
}

/// What the file says about audit; a file with faults is reported elsewhere.
fn audit_of(text: &str) -> AuditOptions {
    let Ok((configuration, _)) = backends::file::parse(text) else {
        return AuditOptions::default();
    };
    let audit = configuration.audit;
    AuditOptions {
        file: audit.file.map(|path| Path::new(&path).to_owned()),
        rotate_bytes: audit.rotate_bytes,
        keep: usize::try_from(audit.keep).unwrap_or(usize::MAX),
        stdout: audit.stdout,
    }
}

fn bind(address: &ListenAddr) -> Result<Bound, StartError> {
    listen::bind(address)
        .map_err(|source| StartError::Listen { address: address.to_string(), source })
}

/// Lets Pingora accept on `bound` for `app`.
fn serve<A: ServerApp + Send + Sync + 'static>(
    tasks: &Tasks,
    shutdown: &watch::Sender<bool>,
    name: &'static str,
    app: A,
    bound: (&[Bound], Option<&TlsFiles>),
) -> Result<(), StartError> {
    let mut service = Service::new(name.to_owned(), app);
    let mut table = Fds::new();
    let (bound, tls) = bound;
    for bound in bound {
        bound.register(&mut table);
        let tls = tls.map(listen::tls).transpose().map_err(StartError::Tls)?;
        service.add_listener(bound.listener(tls));
    }
    let (table, shutdown): (ListenFds, _) = (Arc::new(Mutex::new(table)), shutdown.subscribe());
    tasks.spawn(name, async move { service.start_service(Some(table), shutdown, 1).await });
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Stop,
    Reload,
}

/// The signals that are listened to.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn install() -> Result<Self, StartError> {
        use tokio::signal::unix::{SignalKind, signal};
        let of =
            |kind| signal(kind).map_err(|source| StartError::System { what: "signals", source });
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
            hangup: of(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
