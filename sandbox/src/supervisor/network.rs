//! The network of the sandbox: its sockets in the hands of the egress proxy, which asks who is calling and decides.
//!
//! Not here: decisions (`policy`), connections (`proxy`), callers (`identity`). Invariant: without the proxy the sockets are
//! closed, and every connection is refused.

use std::{
    fs::DirBuilder, net::AddrParseError, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc,
};

use http::HeaderValue;
use parking_lot::Mutex;
use policy::{Policy, PolicyFile};
use proxy::{
    SandboxKey,
    audit::{AuditOptions, Sink},
    egress::{
        Authority, Egress, EgressError, Ends, InferenceTarget, RouterAddress, Settings,
        dial::Dialer,
        resolve::{Resolve, System},
        upstream_proxy::{UpstreamProxy, UpstreamProxyError},
    },
};
use serde_json::Value;

use crate::{
    Callers, Sandbox,
    control::Failed,
    providers::Supplied,
    resolve::{Resolver, Stub},
    state::{Folder, Record, Upstream, now},
};

/// How long a proof of the sandbox is good for, in seconds: a request and its retries.
const PROOF_SECONDS: u64 = 600;

/// What the sandbox reaches.
#[derive(Debug)]
pub(super) struct Network {
    egress: Egress,
    audit: Arc<Sink>,
    /// What decides together.
    current: Mutex<Current>,
}

/// What the policy says, and what the providers bring along.
#[derive(Debug)]
struct Current {
    policy: PolicyFile,
    version: u64,
    supplied: Supplied,
}

impl Current {
    fn policy(&self) -> Arc<Policy> {
        Arc::new(Policy::new(self.supplied.opened(&self.policy)))
    }
}

/// What a network is made of beside its sandbox.
pub(super) struct Means<'a> {
    /// What was asked for, and where the record of decisions is.
    pub(super) record: &'a Record,
    pub(super) folder: &'a Folder,
    /// The sandbox's own authority, which it trusts already.
    pub(super) authority: Arc<Authority>,
    /// What it may reach, and which version of that it is.
    pub(super) policy: (PolicyFile, u64),
    /// Who finds the addresses of hosts.
    pub(super) resolver: Resolver,
}

impl Network {
    /// Hands the sockets of the sandbox to a proxy of its own, on the current runtime.
    pub(super) async fn start(sandbox: &mut Sandbox, means: Means<'_>) -> Result<Self, Failed> {
        let Means { record, folder, authority, policy: (policy, version), resolver } = means;
        let sockets =
            sandbox.take_sockets().ok_or_else(|| Failed::new("the sandbox has no sockets", ""))?;
        let watch = sandbox.take_watch();
        let callers = Callers::new(sockets.diagnosis, watch, sandbox.process(), record.callers());
        let callers = callers.map_err(|error| {
            let hint = "its process must be shown in /proc of the supervisor";
            Failed::new(format!("callers cannot be known: {error}"), hint)
        })?;
        let current = Current { policy, version, supplied: Supplied::default() };
        let policy = current.policy();
        let options = AuditOptions { file: Some(folder.audit()), ..AuditOptions::default() };
        let audit = Sink::open(&options).map(Arc::new).map_err(|error| {
            Failed::new(format!("decisions cannot go on record: {error}"), "look at the disk")
        })?;
        let on_record: Arc<Sink> = Arc::clone(&audit);
        let mut settings =
            Settings::new(&record.name, policy, Arc::new(callers), authority, on_record);
        settings.revision = version;
        settings.extra_ca_pem.clone_from(&record.upstream.ca_pem);
        settings.dial = dialer(&record.upstream, resolver)?;
        if record.learning {
            settings.dial = settings.dial.resolving_any_name();
        }
        settings.inference = target(folder, record)?;
        settings.model_calls_by_shape = is_inference_configured(folder, record);
        let ends = Ends {
            proxy: sockets.proxy,
            captured: sockets.captured,
            dns: sockets.dns,
            dns_tcp: sockets.dns_tcp,
        };
        let egress = Egress::start(ends, settings).await.map_err(|error| {
            let hint = match error {
                EgressError::Roots(_) => {
                    "correct that file, or unset SSL_CERT_FILE and SSL_CERT_DIR"
                }
                _ => "see the sandbox's log",
            };
            Failed::new(format!("the proxy cannot start: {error}"), hint)
        })?;
        Ok(Self { egress, audit, current: Mutex::new(current) })
    }

    /// Puts another policy in force for every connection, open ones too.
    pub(super) fn replace_policy(&self, policy: PolicyFile, version: u64) {
        let mut current = self.current.lock();
        current.policy = policy;
        current.version = version;
        self.egress.replace_policy(current.policy(), version);
    }

    /// Puts other providers in force: what they open, and their credentials.
    pub(super) fn supply(&self, supplied: Supplied) {
        let mut current = self.current.lock();
        current.supplied = supplied;
        // Either alone gives nothing away: a placeholder without its secret is refused, and a secret without its endpoint.
        self.egress.replace_credentials(current.supplied.credentials.clone());
        self.egress.replace_policy(current.policy(), current.version);
    }

    /// What programs find in their environment instead of secrets.
    pub(super) fn placeholders(&self) -> Vec<(String, String)> {
        let current = self.current.lock();
        let all = current.supplied.credentials.environment();
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Forgets a refusal that somebody has decided about.
    pub(super) fn forget(&self, id: &str) {
        self.egress.forget_denial(id);
    }

    /// What was refused lately.
    pub(super) fn denials(&self) -> Vec<Value> {
        let denials = self.egress.denials();
        // What cannot be told as JSON is not told.
        denials.iter().filter_map(|denial| serde_json::to_value(denial).ok()).collect()
    }

    /// Writes down what was decided. Blocks for as long as the disk takes.
    pub(super) fn finish(&self) {
        self.audit.finish();
    }
}

/// Who dials, through the proxy of the operator where there is one.
fn dialer(upstream: &Upstream, resolver: Resolver) -> Result<Dialer, Failed> {
    let resolver: Arc<dyn Resolve> = match resolver {
        Resolver::System => Arc::new(System::default()),
        Resolver::Own => Arc::new(Stub::default()),
    };
    let Some(proxy) = &upstream.proxy else { return Ok(Dialer::new(resolver, None)) };
    let wrong = |why: UpstreamProxyError| {
        let hint = "write it as http://[USER:PASSWORD@]HOST[:PORT], exceptions as NO_PROXY does";
        Failed::new(format!("the upstream proxy cannot be used: {why}"), hint)
    };
    let proxy: UpstreamProxy = proxy.0.parse().map_err(wrong)?;
    let proxy = proxy.without(&upstream.no_proxy).map_err(wrong)?;
    Ok(Dialer::new(resolver, Some(proxy)))
}

/// The router that was asked for, which knows the sandbox by its token; without one, it is a caller like any other. Else the
/// router of this user, which may start later and knows the sandbox by a proof that is made anew for every request.
fn target(folder: &Folder, record: &Record) -> Result<Option<InferenceTarget>, Failed> {
    if let Some(at) = record.router.as_deref() {
        let unusable =
            |why: String| Failed::new(format!("the sandbox's token is unusable: {why}"), "");
        let token = folder.token().map_err(|error| unusable(error.to_string()))?;
        let token = token.map(|token| HeaderValue::from_bytes(&token)).transpose();
        let token = token.map_err(|error| unusable(error.to_string()))?;
        return Ok(Some(InferenceTarget::proving(address(at)?, move || token.clone())));
    }
    let Some(home) = folder.home().map(|home| home.join("router")) else { return Ok(None) };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&home);
    let key = made.and_then(|()| SandboxKey::open(&home.join("key"))).map_err(|error| {
        Failed::new(format!("the key for the router cannot be used: {error}"), "look at the disk")
    })?;
    let name = record.qualified_name();
    let prove = move || key.mint(&name, now().saturating_add(PROOF_SECONDS));
    let address = RouterAddress::Unix(home.join("router.sock"));
    Ok(Some(InferenceTarget::proving(address, prove)))
}

/// Whether somebody has said where model calls go: for this sandbox, or for all of this user.
fn is_inference_configured(folder: &Folder, record: &Record) -> bool {
    let of_user = || folder.home().is_some_and(|home| home.join("router.yaml").exists());
    record.router.is_some() || of_user()
}

fn address(at: &str) -> Result<RouterAddress, Failed> {
    if let Some(path) = at.strip_prefix("unix:") {
        return Ok(RouterAddress::Unix(PathBuf::from(path)));
    }
    let text = at.strip_prefix("http://").unwrap_or(at).trim_end_matches('/');
    text.parse().map(RouterAddress::Tcp).map_err(|error: AddrParseError| {
        Failed::new(
            format!("the router cannot be at {at:?}: {error}"),
            "write it as IP:PORT or unix:PATH, as `openshell router run --listen` does",
        )
    })
}
