//! One sandbox's network: what it needs to start, what is shared by its connections, how it changes and ends.
//!
//! Invariant: a connection or request is decided by one snapshot; a new one is announced to all that are open.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;
use domain::{Host, limits::EGRESS_CONNECTIONS_MAX};
use parking_lot::Mutex;
use policy::{Policy, inference};
use router::rules::Rules;
use tokio::sync::{OnceCell, Semaphore, watch};

use super::{
    accept,
    authority::{Authority, AuthorityError},
    caller::Identify,
    credentials::Credentials,
    denials::{Denial, Inbox},
    dial::Dialer,
    dns::{self, Zone},
    inference::InferenceTarget,
    names::Names,
    room::Room,
    roots::Authorities,
    scrutiny::Detectors,
    tls::{Unverified, Verifier},
};
use crate::{
    audit::{Activity, Event, Outcome, Sink},
    tasks::Tasks,
};

/// The sockets that are a sandbox's only network; whoever holds them is that network.
#[derive(Debug)]
pub struct Ends {
    /// Takes `CONNECT` and absolute-form requests.
    pub proxy: TcpListener,
    /// Takes every other TCP connection, IPv4 as mapped addresses.
    pub captured: TcpListener,
    /// Takes questions for names by UDP.
    pub dns: Vec<UdpSocket>,
    /// The same by TCP.
    pub dns_tcp: Vec<TcpListener>,
}

/// Takes what was decided. Must not wait: a queue that is full counts what it drops.
pub trait Record: Send + Sync + 'static {
    /// Takes one event.
    fn record(&self, event: Event);
}

impl Record for Sink {
    fn record(&self, event: Event) {
        // What finds no room is counted there.
        let _sent = self.send(event);
    }
}

/// Finds out where a captured connection was meant to go.
pub type Original = Arc<dyn Fn(&TcpStream) -> io::Result<SocketAddr> + Send + Sync>;

/// What an egress proxy is made of.
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The sandbox's name in records.
    pub sandbox: String,
    /// What it may do.
    pub policy: Arc<Policy>,
    /// Which version of the policy that is.
    pub revision: u64,
    /// Who knows the callers.
    pub identify: Arc<dyn Identify>,
    /// Whom the sandbox trusts.
    pub authority: Arc<Authority>,
    /// Who dials.
    pub dial: Dialer,
    /// What the sandbox may use without seeing it.
    pub credentials: Credentials,
    /// What looks for sensitive data where an endpoint asks for it; without it the built-in labels are.
    pub detectors: Option<Arc<Detectors>>,
    /// Where model calls go; without it nothing is routed for inference.
    pub inference: Option<InferenceTarget>,
    /// Whether calls of models to hosts that no policy opens go to the router as well, known by their shape. What a tunnel
    /// to port 443 of such a host carries is then looked into, refused unless it is a model call, and sent nowhere
    /// else. Without inference this changes nothing.
    pub model_calls_by_shape: bool,
    /// Authorities that servers may be vouched for by. Those that are named are read before [`Egress::start`] returns, those of
    /// the system beside it.
    pub authorities: Authorities,
    /// Further ones, as PEM.
    pub extra_ca_pem: Option<String>,
    /// Where decisions go on record.
    pub record: Arc<dyn Record>,
    /// How captured connections tell where they were meant to go.
    pub original: Original,
}

impl Settings {
    /// Settings of a sandbox without inference, that asks the kernel where captured connections were meant to go.
    pub fn new(
        sandbox: &str,
        policy: Arc<Policy>,
        identify: Arc<dyn Identify>,
        authority: Arc<Authority>,
        record: Arc<dyn Record>,
    ) -> Self {
        Self {
            sandbox: sandbox.to_owned(),
            policy,
            revision: 1,
            identify,
            authority,
            dial: Dialer::default(),
            credentials: Credentials::default(),
            detectors: None,
            inference: None,
            model_calls_by_shape: true,
            authorities: Authorities::of_environment(),
            extra_ca_pem: None,
            record,
            original: Arc::new(super::captured::original),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("sandbox", &self.sandbox).finish_non_exhaustive()
    }
}

/// Why an egress proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// A socket cannot be used.
    #[error("a socket of the sandbox cannot be used")]
    Socket(#[source] io::Error),
    /// The authorities of servers cannot be used.
    #[error("the certificate authorities for servers cannot be used: {0}")]
    Roots(String),
    /// The detectors of sensitive data cannot be made.
    #[error("the detectors of sensitive data cannot be made: {0}")]
    Detectors(String),
    /// The sandbox's own authority cannot be used.
    #[error("the certificate authority of the sandbox cannot be used")]
    Authority(#[from] AuthorityError),
}

/// What decides about a connection or request, from its start to its end.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) policy: Arc<Policy>,
    pub(super) revision: u64,
    pub(super) credentials: Credentials,
}

/// What all connections of a sandbox share.
pub(super) struct Shared {
    pub(super) sandbox: Arc<str>,
    pub(super) snapshot: ArcSwap<Snapshot>,
    pub(super) identify: Arc<dyn Identify>,
    pub(super) authority: Arc<Authority>,
    verifier: OnceCell<Verifier>,
    pub(super) dial: Dialer,
    pub(super) detectors: Arc<Detectors>,
    pub(super) inference: Option<InferenceTarget>,
    pub(super) model_calls_by_shape: bool,
    pub(super) record: Arc<dyn Record>,
    pub(super) original: Original,
    pub(super) tasks: Weak<Tasks>,
    pub(super) places: Arc<Semaphore>,
    pub(super) bodies: Arc<Room>,
    pub(super) names: Names,
    pub(super) inbox: Inbox,
    changed: watch::Sender<u64>,
}

impl Shared {
    /// Who verifies servers. The authorities of the system are read once the proxy serves: that takes longer than everything
    /// else that a sandbox starts with. Who comes before waits for it.
    ///
    /// # Errors
    /// When TLS cannot use them.
    pub(super) async fn verifier(&self) -> Result<&Verifier, Unverified> {
        let of_system = || verifier(Authorities::default(), None);
        self.verifier.get_or_try_init(of_system).await.map_err(Unverified::Handshake)
    }

    /// The names that the sandbox may ask about: those that somebody in it could reach.
    fn zone(self: &Arc<Self>) -> Zone {
        let (permitting, refusing) = (Arc::clone(self), Arc::clone(self));
        let permitted = move |host: &Host| {
            let known = permitting.inference.is_some() && inference::is_model_api_host(host);
            known || permitting.snapshot.load().policy.could_reach(host)
        };
        let refused = move |refused: &dns::Refused<'_>| {
            let revision = refusing.snapshot.load().revision;
            let kind = format!("{:?}", refused.kind);
            let activity = Activity::Name { kind, unlisted: refused.unlisted };
            let sandbox = Arc::clone(&refusing.sandbox);
            let mut event = Event::new(sandbox, revision, activity, Outcome::Denied);
            event.to = refused.name.to_string();
            event.reason = Some("name_not_allowed");
            refusing.record.record(event);
        };
        Zone::new(self.names.clone(), permitted, refused)
    }

    /// Tells when the snapshot was replaced.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// The egress proxy of one sandbox.
pub struct Egress {
    shared: Arc<Shared>,
    /// Held while a snapshot is made from another.
    changing: Mutex<()>,
    /// Owns every task: when this is dropped, all connections end.
    tasks: Arc<Tasks>,
}

impl Egress {
    /// Starts serving on the current runtime.
    ///
    /// # Errors
    /// When a socket or a certificate authority cannot be used.
    pub async fn start(ends: Ends, settings: Settings) -> Result<Self, EgressError> {
        // What an operator gave is looked at while somebody can be told what is wrong with it.
        let is_given = settings.authorities.are_named() || settings.extra_ca_pem.is_some();
        let verifier = if is_given {
            let made = verifier(settings.authorities, settings.extra_ca_pem).await;
            made.map_err(EgressError::Roots)?.into()
        } else {
            OnceCell::new()
        };
        let listener = |socket: TcpListener| {
            socket.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(socket)
        };
        let proxy = listener(ends.proxy).map_err(EgressError::Socket)?;
        let captured = listener(ends.captured).map_err(EgressError::Socket)?;
        let dns_tcp = ends.dns_tcp.into_iter().map(listener).collect::<io::Result<Vec<_>>>();
        let dns_tcp = dns_tcp.map_err(EgressError::Socket)?;
        let socket = |socket: UdpSocket| {
            socket.set_nonblocking(true)?;
            tokio::net::UdpSocket::from_std(socket)
        };
        let dns = ends.dns.into_iter().map(socket).collect::<io::Result<Vec<_>>>();
        let dns = dns.map_err(EgressError::Socket)?;
        let built_in = || Detectors::new(Vec::new(), Rules::default()).map(Arc::new);
        let detectors = settings.detectors.map_or_else(built_in, Ok);
        let detectors = detectors.map_err(|error| EgressError::Detectors(error.to_string()))?;
        let snapshot = Snapshot {
            policy: settings.policy,
            revision: settings.revision,
            credentials: settings.credentials,
        };
        let tasks = Arc::new(Tasks::default());
        let shared = Arc::new(Shared {
            sandbox: settings.sandbox.into(),
            snapshot: ArcSwap::from_pointee(snapshot),
            identify: settings.identify,
            authority: settings.authority,
            verifier,
            dial: settings.dial,
            detectors,
            model_calls_by_shape: settings.model_calls_by_shape && settings.inference.is_some(),
            inference: settings.inference,
            record: settings.record,
            original: settings.original,
            tasks: Arc::downgrade(&tasks),
            places: Arc::new(Semaphore::new(EGRESS_CONNECTIONS_MAX)),
            bodies: Arc::default(),
            names: Names::default(),
            inbox: Inbox::default(),
            changed: watch::Sender::new(settings.revision),
        });
        let reading = Arc::clone(&shared);
        tasks.spawn("egress authorities", async move {
            if let Err(error) = reading.verifier().await {
                tracing::warn!(error = %error, "servers cannot be verified");
            }
        });
        tasks.spawn("egress proxy", accept::explicit(proxy, Arc::clone(&shared)));
        tasks.spawn("egress capture", accept::captured(captured, Arc::clone(&shared)));
        let zone = Arc::new(shared.zone());
        for socket in dns {
            tasks.spawn("egress names", dns::serve_udp(socket, Arc::clone(&zone)));
        }
        for listener in dns_tcp {
            tasks.spawn("egress names", dns::serve_tcp(listener, Arc::clone(&zone)));
        }
        Ok(Self { shared, changing: Mutex::default(), tasks })
    }

    /// Puts another policy in force. Connections that it does not allow end at once.
    pub fn replace_policy(&self, policy: Arc<Policy>, revision: u64) {
        let changing = self.changing.lock();
        let credentials = self.shared.snapshot.load().credentials.clone();
        self.shared.snapshot.store(Arc::new(Snapshot { policy, revision, credentials }));
        drop(changing);
        self.shared.changed.send_replace(revision);
    }

    /// Puts other credentials in force, for the requests that follow.
    pub fn replace_credentials(&self, credentials: Credentials) {
        let changing = self.changing.lock();
        let now = self.shared.snapshot.load();
        let (policy, revision) = (Arc::clone(&now.policy), now.revision);
        self.shared.snapshot.store(Arc::new(Snapshot { policy, revision, credentials }));
        drop(changing);
    }

    /// What was refused, the latest first, with the rules that would have allowed it.
    pub fn denials(&self) -> Vec<Denial> {
        self.shared.inbox.denials(self.shared.snapshot.load().policy.file())
    }

    /// Forgets a refusal that somebody has decided about; false if there is no such.
    pub fn forget_denial(&self, id: &str) -> bool {
        self.shared.inbox.forget(id)
    }

    /// Ends every connection and stops serving.
    pub async fn stop(self) {
        self.tasks.finish().await;
    }
}

/// Reads the files of the system.
async fn verifier(authorities: Authorities, extra: Option<String>) -> Result<Verifier, String> {
    let read = move || Verifier::new(&authorities, extra.as_deref());
    let made = tokio::task::spawn_blocking(read).await;
    made.map_err(|error| error.to_string())?
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("sandbox", &self.shared.sandbox).finish_non_exhaustive()
    }
}
