//! Makes few rules of many requests: parts of paths that name one thing of many become wildcards.
//!
//! Invariant: what comes out covers what went in, and a path is widened only where there are more requests than a person
//! would read.

use std::collections::BTreeSet;

/// Requests that are taken as they are; of more the parts that look like identifiers are left open.
const EXACT_MAX: usize = 4;

/// Methods with globs of paths that cover the requests. A path that has a wildcard in it itself is left out: as a rule it
/// would mean others.
pub(super) fn rules<'s>(
    samples: impl Iterator<Item = (&'s str, &'s str)>,
) -> BTreeSet<(String, String)> {
    let samples: BTreeSet<(&str, &str)> = samples.filter(|(_, path)| is_plain(path)).collect();
    let widen = samples.len() > EXACT_MAX;
    let rule = |(method, path): &(&str, &str)| {
        let path = if widen { widened(path) } else { (*path).to_owned() };
        ((*method).to_owned(), path)
    };
    samples.iter().map(rule).collect()
}

/// Whether a path means itself when it is read as a glob.
pub(super) fn is_plain(path: &str) -> bool {
    !path.contains(['*', '?', '[', ']', '{', '}'])
}

fn widened(path: &str) -> String {
    let part = |part| if is_identifier(part) { "*" } else { part };
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// Whether a part of a path names one thing of many: a number, a UUID, a hash, a long word with digits.
fn is_identifier(part: &str) -> bool {
    let digits = part.bytes().filter(u8::is_ascii_digit).count();
    let hex = part.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let is_number = digits > 0 && digits == part.len();
    is_number || (digits > 0 && hex && part.len() >= 7) || (digits > 1 && part.len() >= 20)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_requests_are_taken_as_they_are_and_many_without_their_identifiers() {
        let few = [("GET", "/repos/1"), ("GET", "/repos/2"), ("POST", "/a*b")];
        let expected = [("GET", "/repos/1"), ("GET", "/repos/2")];
        let owned = |(method, path): &(&str, &str)| ((*method).to_owned(), (*path).to_owned());
        assert_eq!(rules(few.into_iter()), expected.iter().map(owned).collect());
        let many = [
            ("GET", "/repos/1/pulls"),
            ("GET", "/repos/23/pulls"),
            ("PUT", "/repos/4/pulls"),
            ("GET", "/commit/ab12cd3"),
            ("GET", "/commit/123e4567-e89b-12d3-a456-426614174000"),
            ("GET", "/v1/feedback"),
        ];
        let expected = [
            ("GET", "/commit/*"),
            ("GET", "/repos/*/pulls"),
            ("GET", "/v1/feedback"),
            ("PUT", "/repos/*/pulls"),
        ];
        assert_eq!(rules(many.into_iter()), expected.iter().map(owned).collect());
    }

    proptest! {
        #[test]
        fn every_request_is_covered(paths in proptest::collection::vec("(/[a-c0-9]{1,8}){1,3}", 1..12)) {
            let samples = || paths.iter().map(|path| ("GET", path.as_str()));
            let globs: Vec<policy::Glob> =
                rules(samples()).iter().map(|(_, path)| policy::Glob::path(path).unwrap()).collect();
            for path in &paths {
                prop_assert!(globs.iter().any(|glob| glob.matches(path)), "{}", path);
            }
        }
    }
}
