//! Pages of others are not callers: a browser sends its user's certificate with any request that any page makes.
//!
//! What changes something, and what opens a WebSocket, must come from a page of this gateway or from no page at all. Programs
//! send no `Origin`. There are no CORS headers, so no page of others reads an answer.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, Method, header};

use crate::auth::refused::Refused;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The origins of the gateway's own pages.
#[derive(Clone, Debug, Default)]
pub struct Origins(HashSet<String>);

impl Origins {
    /// Those of `https` under these names and addresses, on that port. They are configured, not taken from `Host`: whoever
    /// points a name of theirs to our address chooses that.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, port: u16) -> Self {
        let mut origins = HashSet::new();
        for name in names {
            let name = name.to_ascii_lowercase();
            let host = if name.contains(':') { format!("[{name}]") } else { name };
            origins.insert(format!("https://{host}:{port}"));
            if port == 443 {
                origins.insert(format!("https://{host}"));
            }
        }
        Self(origins)
    }

    /// Whether a request may go on.
    ///
    /// # Errors
    /// 403 for one that a page of another origin made.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let is_safe = method.is_safe() && !is_upgrade(headers);
        let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
        // A link to us on a page of others is no harm: the page does not see where it leads.
        let navigates =
            headers.get(SEC_FETCH_MODE).is_some_and(|mode| mode.as_bytes() == b"navigate");
        if sites.any(|site| site.as_bytes() == b"cross-site") && !(is_safe && navigates) {
            return Err(refused());
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let is_own = |origin: &http::HeaderValue| {
            origin.to_str().is_ok_and(|origin| self.0.contains(origin))
        };
        if is_safe || origins.all(is_own) { Ok(()) } else { Err(refused()) }
    }
}

/// CONNECT, by which HTTP/2 opens websockets, is not a safe method anyway.
fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE) || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// What tells a request of a page of others from other refusals.
pub const FOREIGN: &str = "foreign_origin";

fn refused() -> Refused {
    Refused::forbidden(FOREIGN, "a page of another origin may not do this")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a request with these headers (`NAME: VALUE`) is refused.
    fn is_refused(method: &Method, lines: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let origins = Origins::new(["LocalHost", "::1"], 8443);
        origins.check(method, &headers).is_err()
    }

    #[test]
    fn only_our_own_pages_and_programs_change_anything() {
        for good in [
            &[][..],
            &["origin: https://localhost:8443"],
            &["origin: https://[::1]:8443", "sec-fetch-site: same-origin"],
        ] {
            for method in [Method::GET, Method::POST, Method::DELETE, Method::CONNECT] {
                assert!(!is_refused(&method, good), "{method} {good:?}");
            }
        }
        for bad in [
            &["origin: https://evil.example"][..],
            &["origin: null"],
            &["origin: "],
            &["origin: http://localhost:8443"],
            &["origin: https://localhost"],
            &["origin: https://localhost:8443.evil.example"],
            &["origin: https://localhost:8443", "origin: https://evil.example"],
            &["origin: https://localhost:8443", "sec-fetch-site: cross-site"],
            &["sec-fetch-site: cross-site", "sec-fetch-mode: navigate"],
        ] {
            for method in
                [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT]
            {
                assert!(is_refused(&method, bad), "{method} {bad:?}");
            }
        }
    }

    #[test]
    fn a_websocket_is_no_safe_request() {
        let foreign = "origin: https://evil.example";
        assert!(is_refused(&Method::GET, &["upgrade: websocket", foreign]));
        assert!(is_refused(&Method::GET, &["sec-websocket-key: x", foreign]));
        assert!(!is_refused(&Method::GET, &["upgrade: websocket"]));
        assert!(!is_refused(&Method::GET, &[foreign]), "it cannot read the answer");
    }

    #[test]
    fn a_link_from_elsewhere_may_be_followed() {
        let site = "sec-fetch-site: cross-site";
        assert!(!is_refused(&Method::GET, &[site, "sec-fetch-mode: navigate"]));
        assert!(is_refused(&Method::GET, &[site, "sec-fetch-mode: no-cors"]));
        assert!(is_refused(&Method::GET, &[site]));
    }
}
