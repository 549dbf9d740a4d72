//! The network of the sandbox: its sockets in the hands of the egress proxy, which asks who is calling and decides.
//!
//! Not here: decisions (`policy`), connections (`proxy`), callers (`identity`). Invariant: without the proxy the sockets are
//! closed, and every connection is refused.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use http::HeaderValue;
use policy::{Policy, PolicyFile};
use proxy::{
    audit::{AuditOptions, Sink},
    egress::{
        Authority, Egress, Ends, InferenceTarget, RouterAddress, Settings,
        dial::Dialer,
        resolve::System,
        upstream_proxy::{UpstreamProxy, UpstreamProxyError},
    },
};
use serde_json::Value;

use crate::{
    Callers, Sandbox,
    control::Failed,
    state::{Folder, Record, Upstream},
};

/// What the sandbox reaches.
#[derive(Debug)]
pub(super) struct Network {
    egress: Egress,
    audit: Arc<Sink>,
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
}

impl Network {
    /// Hands the sockets of the sandbox to a proxy of its own, on the current runtime.
    pub(super) async fn start(sandbox: &mut Sandbox, means: Means<'_>) -> Result<Self, Failed> {
        let Means { record, folder, authority, policy: (policy, version) } = means;
        let sockets =
            sandbox.take_sockets().ok_or_else(|| Failed::new("the sandbox has no sockets", ""))?;
        let watch = sandbox.take_watch();
        let callers = Callers::new(sockets.diagnosis, watch, sandbox.process(), record.callers());
        let callers = callers.map_err(|error| {
            let hint = "its process must be shown in /proc of the supervisor";
            Failed::new(format!("callers cannot be known: {error}"), hint)
        })?;
        let policy = Arc::new(Policy::new(policy));
        let options = AuditOptions { file: Some(folder.audit()), ..AuditOptions::default() };
        let audit = Sink::open(&options).map(Arc::new).map_err(|error| {
            Failed::new(format!("decisions cannot go on record: {error}"), "look at the disk")
        })?;
        let on_record: Arc<Sink> = Arc::clone(&audit);
        let mut settings =
            Settings::new(&record.name, policy, Arc::new(callers), authority, on_record);
        settings.revision = version;
        settings.extra_ca_pem.clone_from(&record.upstream.ca_pem);
        settings.dial = dialer(&record.upstream)?;
        settings.inference = record.router.as_deref().map(|at| target(at, folder)).transpose()?;
        let ends = Ends {
            proxy: sockets.proxy,
            captured: sockets.captured,
            dns: sockets.dns,
            dns_tcp: sockets.dns_tcp,
        };
        let egress = Egress::start(ends, settings).await.map_err(|error| {
            Failed::new(format!("the proxy cannot start: {error}"), "see the sandbox's log")
        })?;
        Ok(Self { egress, audit })
    }

    /// Puts another policy in force for every connection, open ones too.
    pub(super) fn replace_policy(&self, policy: PolicyFile, version: u64) {
        self.egress.replace_policy(Arc::new(Policy::new(policy)), version);
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
fn dialer(upstream: &Upstream) -> Result<Dialer, Failed> {
    let Some(proxy) = &upstream.proxy else { return Ok(Dialer::default()) };
    let wrong = |why: UpstreamProxyError| {
        let hint = "write it as http://[USER:PASSWORD@]HOST[:PORT], exceptions as NO_PROXY does";
        Failed::new(format!("the upstream proxy cannot be used: {why}"), hint)
    };
    let proxy: UpstreamProxy = proxy.0.parse().map_err(wrong)?;
    let proxy = proxy.without(&upstream.no_proxy).map_err(wrong)?;
    Ok(Dialer::new(Arc::new(System::default()), Some(proxy)))
}

/// The router at this address, which knows the sandbox by its token. Without one, it is a caller like any other.
fn target(at: &str, folder: &Folder) -> Result<InferenceTarget, Failed> {
    let wrong = |why: String| {
        Failed::new(
            format!("the router cannot be at {at:?}: {why}"),
            "write it as IP:PORT or unix:PATH, as `openshell router run --listen` does",
        )
    };
    let address = if let Some(path) = at.strip_prefix("unix:") {
        RouterAddress::Unix(PathBuf::from(path))
    } else {
        let at = at.strip_prefix("http://").unwrap_or(at).trim_end_matches('/');
        let address: SocketAddr = at.parse().map_err(|error| wrong(format!("{error}")))?;
        RouterAddress::Tcp(address)
    };
    let unusable = |why: String| Failed::new(format!("the sandbox's token is unusable: {why}"), "");
    let token = folder.token().map_err(|error| unusable(error.to_string()))?.unwrap_or_default();
    let token = HeaderValue::from_bytes(&token).map_err(|error| unusable(error.to_string()))?;
    Ok(InferenceTarget::new(address, token))
}
