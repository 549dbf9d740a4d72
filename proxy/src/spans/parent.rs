//! Reads `traceparent`, by which a caller says whose span ours belong to (W3C Trace Context, level 1, section 3.2).
//!
//! Invariant: what is not exactly of the standard's form is as if it were not there. `tracestate` is never read.

use http::HeaderMap;
use opentelemetry::trace::{SpanId, TraceId};

/// The span of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parent {
    /// Its trace.
    pub(crate) trace: TraceId,
    /// Itself.
    pub(crate) span: SpanId,
    /// Whether the caller keeps its own; if not, ours are not kept either.
    pub(crate) sampled: bool,
}

impl Parent {
    /// The span that the one `traceparent` among these headers names.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all("traceparent").iter();
        match (values.next(), values.next()) {
            (Some(value), None) => parse(value.to_str().ok()?),
            _ => None,
        }
    }
}

fn parse(text: &str) -> Option<Parent> {
    let mut fields = text.splitn(5, '-');
    let version = hex(fields.next()?, 2)?;
    let trace = hex(fields.next()?, 32)?;
    let span = hex(fields.next()?, 16)?;
    let flags = hex(fields.next()?, 2)?;
    // Later versions may add fields at the end; 255 is forbidden.
    let known = match version {
        0 => fields.next().is_none(),
        version => version != 0xff,
    };
    if !known || trace == 0 || span == 0 {
        return None;
    }
    let span = u64::try_from(span).ok()?;
    Some(Parent { trace: trace.into(), span: span.into(), sampled: flags & 1 == 1 })
}

/// A number of exactly this many hexadecimal digits in lower case.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != digits || !text.bytes().all(lower) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0dd902b7";

    #[test]
    fn the_form_of_the_standard_is_read() {
        for (flags, sampled) in [("01", true), ("00", false), ("03", true), ("fe", false)] {
            let parent = parse(&format!("00-{TRACE}-{SPAN}-{flags}")).unwrap();
            assert_eq!(
                (parent.trace.to_string(), parent.span.to_string()),
                (TRACE.into(), SPAN.into())
            );
            assert_eq!(parent.sampled, sampled, "{flags}");
        }
        assert!(parse(&format!("01-{TRACE}-{SPAN}-01-of-later")).is_some());
    }

    #[test]
    fn every_other_form_is_none() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{TRACE}0-{SPAN}-01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-+{}-{SPAN}-01", "a".repeat(31)),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }

    #[test]
    fn two_of_them_are_none() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(&format!("00-{TRACE}-{SPAN}-01")).unwrap();
        headers.append("traceparent", value.clone());
        assert!(Parent::of(&headers).is_some());
        headers.append("traceparent", value);
        assert_eq!(Parent::of(&headers), None);
    }
}
