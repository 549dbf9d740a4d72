//! Looks whether a backend whose breaker is open has come back, so that no caller has to be the one to try.
//!
//! A probe is a `GET` of a fixed path and carries nothing of any prompt. It goes only where the breaker is open, and a
//! backend answers it in time with a status below 500 or stays closed out. It carries our credential: one that is refused
//! keeps the backend closed out as well.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Method, header};

use crate::{
    attempt::{self, Outgoing},
    failover::upstream_answer::Upstream,
    health::Sign,
    service::{Router, now_ms},
    snapshot::Reach,
};

/// How often breakers are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Longest time for a probe to be answered.
const ANSWER: Duration = Duration::from_secs(5);

/// Probes for as long as the server runs.
pub(crate) async fn run(router: Arc<Router>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let snapshot = router.snapshot.load_full();
        for (backend, reach) in snapshot.configuration.backends.iter().zip(&snapshot.reaches) {
            let name = backend.name.as_str();
            if router.health.due(name, now_ms()) && router.health.admit(name, now_ms()) {
                let sign = probe(reach).await;
                tracing::info!(backend = name, well = sign == Sign::Well, "backend probed");
                router.health.record(name, sign, now_ms());
            }
        }
    }
}

async fn probe(reach: &Reach) -> Sign {
    let request = Outgoing {
        method: Method::GET,
        path: reach.probe.path.clone(),
        headers: headers(reach),
        body: Vec::new(),
    };
    match attempt::attempt(&reach.pool, &reach.target, &request, ANSWER).await {
        Ok(session) => {
            let upstream = Upstream::new(session, reach);
            let status = upstream.status();
            upstream.discard().await;
            match status {
                // It is up, and no call that carries the same credential would fare better.
                401 if reach.credential.is_some() => Sign::Unauthorized,
                200..=499 => Sign::Well,
                _ => Sign::Ill,
            }
        }
        Err(_) => Sign::Ill,
    }
}

fn headers(reach: &Reach) -> Vec<(HeaderName, HeaderValue)> {
    let identity = (header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let route = &reach.probe;
    route.strong.iter().chain(&route.weak).cloned().chain([identity]).collect()
}
