//! Figures for operators, as Prometheus reads them. No name of a sandbox or a user is among them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::{Method, header};
use parking_lot::Mutex;

use super::App;
use crate::auth::access::Permit;

/// The bounds of how long an answer takes, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];
/// The format (Prometheus text exposition, version 0.0.4).
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What was counted since the gateway began. There is an entry for each route and status, so there are few.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    answers: Mutex<BTreeMap<(&'static str, String, u16), u64>>,
    times: Mutex<BTreeMap<String, Times>>,
}

/// How long the answers of a route took.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    within: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Times {
    fn add(&mut self, took: Duration) {
        let took = took.as_secs_f64();
        for (within, bound) in self.within.iter_mut().zip(BOUNDS) {
            *within += u64::from(took <= bound);
        }
        self.count += 1;
        self.sum += took;
    }
}

/// Counts what these routes answer, refusals at the door too.
pub(crate) fn counted(routes: Router, metrics: &Arc<Metrics>) -> Router {
    routes.layer(from_fn_with_state(Arc::clone(metrics), count))
}

async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let path = path.map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let method = word(request.method());
    let began = Instant::now();
    let response = next.run(request).await;
    // A stream has begun by now; how long it goes on is its reader's affair.
    metrics.times.lock().entry(path.clone()).or_default().add(began.elapsed());
    *metrics.answers.lock().entry((method, path, response.status().as_u16())).or_default() += 1;
    response
}

/// The method; `OTHER` for those that nobody needs here, of which a stranger may make up any number.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        _ => "OTHER",
    }
}

/// Figures of the gateway, as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", tag = "gateway",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(_permit: Permit, State(app): State<Arc<App>>) -> Response {
    let began = Instant::now();
    let store = app.store.ping().await.is_ok().then(|| began.elapsed().as_secs_f64());
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], text(&app, store)).into_response()
}

fn text(app: &App, store: Option<f64>) -> String {
    let mut out = String::new();
    // Writing to a text never fails.
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        writeln!(out, "# HELP openshell_gateway_{name} {help}").ok();
        writeln!(out, "# TYPE openshell_gateway_{name} {kind}").ok();
    };
    head(&mut out, "sandboxes", "gauge", "Sandboxes by phase.");
    for (phase, count) in app.keeper.phases() {
        writeln!(out, "openshell_gateway_sandboxes{{phase=\"{phase}\"}} {count}").ok();
    }
    head(&mut out, "requests_total", "counter", "Answers by method, route and status.");
    for ((method, route, status), count) in &*app.records.metrics.answers.lock() {
        writeln!(
            out,
            "openshell_gateway_requests_total{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}} {count}"
        )
        .ok();
    }
    head(&mut out, "request_seconds", "histogram", "Time until an answer begins, by route.");
    for (route, times) in &*app.records.metrics.times.lock() {
        histogram(&mut out, route, times);
    }
    let (stored, lost) = app.records.broker.counts();
    let figures: [(&str, &str, &str, f64); 6] = [
        ("connections", "gauge", "Open connections.", number(app.doors.live.count() as u64)),
        (
            "watchers",
            "gauge",
            "Streams of changes and logs that are open.",
            number(app.keeper.changes.listeners() as u64),
        ),
        (
            "steps_failed_total",
            "counter",
            "Steps in the life of sandboxes that failed.",
            number(app.keeper.failures()),
        ),
        ("audit_events_total", "counter", "Events of sandboxes that were stored.", number(stored)),
        ("audit_lost_total", "counter", "Events of sandboxes that never came.", number(lost)),
        (
            "store_up",
            "gauge",
            "Whether the store answers.",
            if store.is_some() { 1.0 } else { 0.0 },
        ),
    ];
    for (name, kind, help, value) in figures {
        head(&mut out, name, kind, help);
        writeln!(out, "openshell_gateway_{name} {value}").ok();
    }
    if let Some(seconds) = store {
        head(&mut out, "store_seconds", "gauge", "How long the store took to answer just now.");
        writeln!(out, "openshell_gateway_store_seconds {seconds}").ok();
    }
    out
}

fn histogram(out: &mut String, route: &str, times: &Times) {
    let name = "openshell_gateway_request_seconds";
    // Writing to a text never fails.
    for (bound, within) in BOUNDS.iter().zip(times.within) {
        writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {within}").ok();
    }
    writeln!(out, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {}", times.count).ok();
    writeln!(out, "{name}_sum{{route=\"{route}\"}} {}", times.sum).ok();
    writeln!(out, "{name}_count{{route=\"{route}\"}} {}", times.count).ok();
}

fn number(count: u64) -> f64 {
    // Exact to 2^53, which nothing here reaches.
    #[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "figures for people")]
    let number = count as f64;
    number
}
