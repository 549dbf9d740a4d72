//! Endpoints of one policy that speak for the same requests in different protocols: nobody could tell which of them
//! reads the body.

use document::{Mark, Report};

use crate::model::{Endpoint, Protocol};

/// Most endpoints that are compared with each other; beyond, a request at two protocols is refused when it comes.
const COMPARED_MAX: usize = 512;

/// Reports each endpoint that an earlier one of another protocol overlaps.
pub(super) fn check(endpoints: &[Endpoint], marks: &[(Mark, String)], report: &mut Report) {
    let inspected = |endpoint: &Endpoint| endpoint.protocol.is_some_and(Protocol::is_inspected);
    let all = endpoints.iter().zip(marks).take(COMPARED_MAX);
    let all: Vec<_> = all.filter(|(endpoint, _)| inspected(endpoint)).collect();
    for (index, (endpoint, (mark, path))) in all.iter().enumerate() {
        let earlier = all.iter().take(index).find(|(other, _)| ambiguous(other, endpoint));
        if let Some((other, _)) = earlier {
            let word = other.protocol.map(Protocol::as_str).unwrap_or_default();
            let message = format!(
                "ambiguous endpoints: an earlier one speaks `{word}` for the same host, port and path"
            );
            report.fault(*mark, path, message, Some("give each its own `path`"));
        }
    }
}

fn ambiguous(one: &Endpoint, two: &Endpoint) -> bool {
    let hosts = match (&one.host, &two.host) {
        (Some(one), Some(two)) => one.overlaps(two),
        (None, _) | (_, None) => true,
    };
    let alike = match (one.protocol, two.protocol) {
        (Some(one), Some(two)) => one.reads_like(two),
        _ => true,
    };
    !alike && hosts && one.ports.iter().any(|port| two.ports.contains(port)) && paths_meet(one, two)
}

/// Whether a path may be meant by both selectors. One without a selector speaks for what no other of its host and
/// port selects.
fn paths_meet(one: &Endpoint, two: &Endpoint) -> bool {
    match (&one.path, &two.path) {
        (Some(one), Some(two)) => one.as_str() == two.as_str() || one.meets(two),
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
    }
}
