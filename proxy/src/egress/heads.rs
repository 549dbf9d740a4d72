//! The heads of a request and its answer, as they go on.
//!
//! Invariant: what belongs to one connection, or says who the caller is, stays behind; the path that goes on is the one
//! that was judged.

use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora::{
    ErrorType, OrErr as _,
    http::{RequestHeader, ResponseHeader},
    protocols::http::ServerSession,
};

use super::{
    ask::Judged,
    content::{Content, Kept},
    inference::{self, InferenceTarget},
    link::Link,
    reflect::Needles,
    upstream::Upstream,
};

/// Headers that belong to one connection (RFC 9110, section 7.6.1), and those of proxies.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// How names begin that no caller gives: what some servers take for another method, path or host than the one that was
/// judged, and what says who the caller is or where it comes from.
const WITHHELD: [&str; 14] = [
    "forwarded",
    "true-client-ip",
    "x-client-ip",
    "x-forwarded-",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-method-override",
    "x-openshell-",
    "x-original-",
    "x-override-",
    "x-real-ip",
    "x-rewrite-",
    "x-sandbox-",
];

/// Whether a header stays behind whatever the request is. Servers that hand headers to programs as variables take `_` for
/// `-`, so a name that differs by that alone is the same.
fn is_withheld(name: &HeaderName) -> bool {
    let name = name.as_str();
    let begins = |with: &str| {
        let same = |(is, wanted): (u8, u8)| is == wanted || (is == b'_' && wanted == b'-');
        name.len() >= with.len() && name.bytes().zip(with.bytes()).all(same)
    };
    let is = |other: &str| name.len() == other.len() && begins(other);
    let disguised = || is("content-length") || HOP_BY_HOP.iter().any(|hop| is(hop.as_str()));
    WITHHELD.iter().any(|with| begins(with)) || (name.contains('_') && disguised())
}

/// The head that is sent to the server.
pub(super) fn request_head(
    link: &Link,
    upstream: &Upstream,
    session: &ServerSession,
    judged: &Judged,
) -> pingora::Result<RequestHeader> {
    let from = session.req_header();
    let websocket = judged.websocket;
    let content = judged.content.as_ref();
    let path = content.and_then(Content::target).unwrap_or(&judged.path);
    let room = Some(from.headers.len());
    let mut head = RequestHeader::build(from.method.clone(), path.as_bytes(), room)?;
    let options = from.headers.get_all(header::CONNECTION).iter();
    let options = options.filter_map(|value| value.to_str().ok());
    let options: Vec<_> = options.flat_map(|value| value.split(',')).map(str::trim).collect();
    let named =
        |name: &HeaderName| options.iter().any(|option| option.eq_ignore_ascii_case(name.as_str()));
    for (name, value) in &from.headers {
        let websocket_extension = websocket && name == header::SEC_WEBSOCKET_EXTENSIONS;
        if HOP_BY_HOP.contains(name) || is_withheld(name) || websocket_extension {
            continue;
        }
        if name == header::HOST || name.as_str() == "http2-settings" || named(name) {
            continue;
        }
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(header::HOST, authority(link, upstream))?;
    for (name, values) in content.map(Content::headers).unwrap_or_default() {
        // What was left out above stays out.
        if head.remove_header(name).is_some() {
            for value in values {
                head.append_header(name.clone(), value.clone())?;
            }
        }
    }
    if content.is_some_and(Content::decodes) {
        head.remove_header(&header::CONTENT_ENCODING);
    }
    if content.and_then(Content::needles).is_some() {
        // What comes back is searched.
        head.insert_header(header::ACCEPT_ENCODING, "identity")?;
    }
    let trailers = from.headers.get(header::TE);
    if trailers.is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        head.insert_header(header::TE, "trailers")?;
    }
    let resized = content.is_some_and(Content::may_change_length) && !session_is_empty(session);
    if resized {
        head.remove_header(&header::CONTENT_LENGTH);
    }
    let open_end = session.is_http2()
        && !from.headers.contains_key(header::CONTENT_LENGTH)
        && !session_is_empty(session);
    if resized || open_end || from.headers.contains_key(header::TRANSFER_ENCODING) {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    if websocket {
        head.insert_header(header::CONNECTION, "Upgrade")?;
        head.insert_header(header::UPGRADE, "websocket")?;
    }
    if upstream.is_router()
        && let Some(token) = link.shared.inference.as_ref().and_then(InferenceTarget::token)
    {
        head.insert_header(inference::TOKEN, token)?;
    }
    head.set_version(Version::HTTP_11);
    Ok(head)
}

/// Whether a request says that it has no body.
fn session_is_empty(session: &ServerSession) -> bool {
    if let Some(stream) = session.as_http2() {
        return stream.is_body_empty();
    }
    let headers = &session.req_header().headers;
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    length.is_none_or(|length| length == b"0") && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// The value of the host header: the port only where it is not the usual one.
pub(super) fn authority(link: &Link, upstream: &Upstream) -> String {
    let usual = if upstream.is_tls() { 443 } else { 80 };
    let text = link.to.to_string();
    if link.to.port() == usual {
        let bare = text.rsplit_once(':').map(|(host, _)| host.to_owned());
        return bare.unwrap_or(text);
    }
    text
}

/// The head that is given to the caller, and what keeps credentials out of what follows it.
pub(super) fn response_head(
    session: &ServerSession,
    from: &ResponseHeader,
    needles: Option<Needles>,
) -> pingora::Result<(ResponseHeader, Option<Kept>)> {
    let mut head = from.clone();
    let kept = match needles {
        Some(needles) => {
            let mut headers = from.headers.clone();
            let kept = Kept::new(needles, &mut headers)
                .or_err(ErrorType::InvalidHTTPHeader, "an answer cannot be looked into")?;
            head = ResponseHeader::build(from.status, Some(headers.len()))?;
            for (name, value) in &headers {
                head.append_header(name.clone(), value.clone())?;
            }
            Some(kept)
        }
        None => None,
    };
    for name in HOP_BY_HOP.iter().chain([&header::TRAILER]) {
        head.remove_header(name);
    }
    let length = head.headers.contains_key(header::CONTENT_LENGTH);
    head.set_version(Version::HTTP_11);
    let request = session.req_header();
    let bodiless = is_bodiless(request, from.status);
    if !length && !bodiless && !session.is_http2() && request.version == Version::HTTP_11 {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok((head, kept))
}

/// Whether an answer with this status has no body, whatever its head says.
pub(super) fn is_bodiless(request: &RequestHeader, status: StatusCode) -> bool {
    request.method == http::Method::HEAD
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The head of an answer that makes a WebSocket of the connection, without what `needles` are for.
pub(super) fn switching(
    from: &ResponseHeader,
    needles: Option<&Needles>,
) -> pingora::Result<ResponseHeader> {
    let mut headers = from.headers.clone();
    if let Some(needles) = needles {
        needles.headers(&mut headers);
    }
    let mut head = ResponseHeader::build(StatusCode::SWITCHING_PROTOCOLS, Some(headers.len()))?;
    for (name, value) in &headers {
        if !HOP_BY_HOP.contains(name) && name != header::CONTENT_LENGTH {
            head.append_header(name.clone(), value.clone())?;
        }
    }
    head.insert_header(header::CONNECTION, HeaderValue::from_static("Upgrade"))?;
    head.insert_header(header::UPGRADE, HeaderValue::from_static("websocket"))?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_another_method_path_host_or_caller_stays_behind_however_it_is_written() {
        for name in [
            "x-http-method-override",
            "x_http_method_override",
            "x-http_method",
            "x-original-uri",
            "x-override-url",
            "x-forwarded-host",
            "forwarded",
            "x_sandbox_id",
            "content_length",
            "transfer_encoding",
            "proxy_authorization",
        ] {
            assert!(is_withheld(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["content-length", "host", "x-api-key", "x_api_key", "forward", "accept", "x"] {
            assert!(!is_withheld(&HeaderName::from_static(name)), "{name}");
        }
    }
}
