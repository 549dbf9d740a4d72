//! Single values of the router file that have a grammar of their own: base URLs.

use std::net::IpAddr;

use crate::configuration::BaseUrl;

/// A base URL: scheme, host, optional port and path; or what is wrong with it.
pub(super) fn base_url(text: &str) -> Result<BaseUrl, &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("must begin with http:// or https://")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        _ => return Err("must begin with http:// or https://"),
    };
    if rest.contains(['?', '#']) {
        return Err("must have no query and no fragment");
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err("must not hold a user or password; name them under `credential`");
    }
    let (host, port) = authority_parts(authority, if tls { 443 } else { 80 })?;
    Ok(BaseUrl { tls, host, port, path: path_of(path)? })
}

fn authority_parts(authority: &str, default_port: u16) -> Result<(String, u16), &'static str> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, after)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| "holds no valid IPv6 address")?;
            (address, after.strip_prefix(':').or((after.is_empty()).then_some("")))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let port = match port.ok_or("holds no valid host")? {
        "" => default_port,
        digits => match digits.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err("holds no valid port"),
        },
    };
    if !is_host(host) {
        return Err("holds no valid host");
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// An IP address, or a DNS name (RFC 1035 lengths; `_` is common in container networks).
fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(label))
}

/// `/a/b` without a slash at the end; the empty text for the root.
fn path_of(path: &str) -> Result<String, &'static str> {
    let path = path.trim_matches('/');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/".contains(&byte);
    if path.len() > 1024 || !path.bytes().all(fits) {
        return Err("holds a path that is no URL path");
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("must not hold `.` or `..` in its path");
    }
    Ok(if path.is_empty() { String::new() } else { format!("/{path}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_taken_apart() {
        let cases = [
            ("http://127.0.0.1:11434", (false, "127.0.0.1", 11434, "")),
            ("https://api.openai.com/v1/", (true, "api.openai.com", 443, "/v1")),
            ("HTTPS://API.Example.com", (true, "api.example.com", 443, "")),
            ("http://[::1]:8080/a/b", (false, "::1", 8080, "/a/b")),
            ("http://ollama_1", (false, "ollama_1", 80, "")),
        ];
        for (text, (tls, host, port, path)) in cases {
            let expected = BaseUrl { tls, host: host.into(), port, path: path.into() };
            assert_eq!(base_url(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused() {
        let cases = [
            "",
            "api.openai.com",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:99999",
            "http://a b",
            "http://user:pw@a",
            "http://a/?key=1",
            "http://a/#x",
            "http://a/../b",
            "http://[::1",
            "http://[x]:1",
            "http://[::1]8080",
            "http://a/\u{7f}",
            "http://é",
            "http://a..b",
        ];
        for text in cases {
            assert!(base_url(text).is_err(), "{text}");
        }
    }
}
