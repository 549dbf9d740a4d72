//! `/metrics`, `/healthz` and `/readyz`, on an address of their own.
//!
//! Not here: anything about prompts. Invariant: what is served here cannot change anything.

use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, header};
use pingora::{
    apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use tokio::time::{Duration, timeout};

use crate::{connection::answer, health::Out, service::Router};

/// Longest time for a head to arrive.
const HEAD: Duration = Duration::from_secs(10);

/// Type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The service behind the administrative address.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Whose state is shown.
    pub(crate) router: Arc<Router>,
}

#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !matches!(timeout(HEAD, session.read_request()).await, Ok(Ok(true))) {
            return None;
        }
        let stopping = *shutdown.borrow();
        session.set_keepalive(if stopping { None } else { Some(HEAD.as_secs()) });
        let (status, kind, body) = self.page(session.req_header(), stopping);
        let headers = vec![(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
        answer(&mut session, status, headers, body.into()).await.ok()?;
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

impl Admin {
    fn page(
        &self,
        head: &pingora::http::RequestHeader,
        stopping: bool,
    ) -> (u16, &'static str, String) {
        if head.method != Method::GET && head.method != Method::HEAD {
            return (405, "text/plain", "only GET\n".to_owned());
        }
        match head.uri.path() {
            "/metrics" => (200, METRICS_TYPE, self.router.render_metrics()),
            "/healthz" => (200, "text/plain", "ok\n".to_owned()),
            "/readyz" if stopping => (503, "text/plain", "stopping\n".to_owned()),
            "/readyz" => self.ready(),
            _ => (404, "text/plain", "try /metrics, /healthz or /readyz\n".to_owned()),
        }
    }

    /// Ready when at least one backend can be asked.
    fn ready(&self) -> (u16, &'static str, String) {
        let snapshot = self.router.snapshot.load();
        let now_ms = crate::service::now_ms();
        let backends = snapshot.configuration.backends.iter().zip(&snapshot.reaches);
        let usable = backends.filter(|(backend, reach)| {
            reach.missing.is_none() && self.router.health.usable(backend.name.as_str(), now_ms)
        });
        let (usable, all) = (usable.count(), snapshot.reaches.len());
        let status = if usable == 0 { 503 } else { 200 };
        let mut lines =
            vec![format!("{usable} of {all} backends, configuration {}\n", snapshot.revision)];
        let backends = snapshot.configuration.backends.iter().zip(&snapshot.reaches);
        lines.extend(backends.filter_map(|(backend, reach)| {
            Some(format!("{}: {}\n", backend.name, reach.missing.as_ref()?))
        }));
        lines.extend(self.router.health.out(now_ms).iter().map(unusable));
        (status, "text/plain", lines.concat())
    }
}

/// What is not asked now, and why, for the operator.
fn unusable(out: &Out) -> String {
    let place = match &out.model {
        Some(model) => format!("{}/{model}", out.backend),
        None => out.backend.clone(),
    };
    let seconds = out.left.as_secs().saturating_add(1);
    format!("{place}: {}; next try in {seconds} s\n", out.cause.words())
}
