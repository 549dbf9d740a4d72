//! A request's query as names and values, decoded once.
//!
//! Not here: what the values must be (`rule`). Invariant: pairs are sorted by name, so that a rule finds all
//! values of a name without looking at the others.

use std::{borrow::Cow, fmt};

use thiserror::Error;

/// Longest query, bytes.
pub const QUERY_BYTES_MAX: usize = 32 * 1024;
/// Most pairs of one query.
pub const PAIRS_MAX: usize = 1024;

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// Longer than [`QUERY_BYTES_MAX`].
    #[error("the query has more than {QUERY_BYTES_MAX} bytes")]
    Long,
    /// More than [`PAIRS_MAX`] pairs.
    #[error("the query has more than {PAIRS_MAX} parameters")]
    Many,
}

/// The parameters of a query. Values are not shown by `Debug`: they may hold what is not for logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query<'r> {
    pairs: Vec<(Cow<'r, str>, Cow<'r, str>)>,
}

impl<'r> Query<'r> {
    /// Takes a query apart: pairs end at `&`, `+` is a blank, escapes are undone; a `%` without two hexadecimal
    /// digits stands for itself. The empty text has no pairs.
    ///
    /// # Errors
    /// A query that is too long to be looked at on every request.
    pub fn new(raw: &'r str) -> Result<Self, QueryError> {
        if raw.len() > QUERY_BYTES_MAX {
            return Err(QueryError::Long);
        }
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() >= PAIRS_MAX {
                return Err(QueryError::Many);
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            pairs.push((decode(name), decode(value)));
        }
        pairs.sort_by(|one: &(Cow<'_, str>, _), other| one.0.cmp(&other.0));
        Ok(Self { pairs })
    }

    /// All values of a name, in the order of the query.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let first = self.pairs.partition_point(|(key, _)| &**key < name);
        let rest = self.pairs.get(first..).unwrap_or_default();
        rest.iter().take_while(move |(key, _)| key == name).map(|(_, value)| &**value)
    }
}

impl fmt::Debug for Query<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|(name, _)| name)).finish()
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let value =
            digit(0).zip(digit(1)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        match (first, value) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded_and_kept_in_order() {
        let query = Query::new("tag=v1&x=1&t%61g=v%32+%2B&flag&=e&tag=%zz&tag=%ff").unwrap();
        let all = |name| query.values(name).collect::<Vec<_>>();
        assert_eq!(all("tag"), ["v1", "v2 +", "%zz", "\u{fffd}"]);
        assert_eq!(all("flag"), [""]);
        assert_eq!(all(""), ["e"]);
        assert!(all("TAG").is_empty());
        assert_eq!(Query::new("").unwrap(), Query::default());
    }

    #[test]
    fn what_costs_too_much_is_refused() {
        assert_eq!(Query::new(&"a".repeat(QUERY_BYTES_MAX + 1)), Err(QueryError::Long));
        assert_eq!(Query::new(&"a&".repeat(PAIRS_MAX + 1)), Err(QueryError::Many));
        assert!(Query::new(&"a&".repeat(PAIRS_MAX)).is_ok());
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", Query::new("key=secret").unwrap()), "[\"key\"]");
    }
}
