//! Looks for the keys that a text begins with, without trying them all.

use std::{collections::BTreeMap, ops::Bound};

/// Calls `found` with the value of each key that `text` begins with, the longest key first.
///
/// Each step either finds a key or leaves the part of the map behind that shares less with the text, so that a
/// thousand keys cost about as many steps as the text has keys among them.
pub(crate) fn each<'m, V>(
    map: &'m BTreeMap<Box<str>, V>,
    text: &str,
    mut found: impl FnMut(&'m str, &'m V),
) {
    let mut below = Bound::Included(text);
    while let Some((key, value)) = map.range::<str, _>((Bound::Unbounded, below)).next_back() {
        if text.starts_with(&**key) {
            found(key, value);
            below = Bound::Excluded(key);
            continue;
        }
        // The key is smaller and differs, so a longer key that fits would have been found before it.
        let same = key.bytes().zip(text.bytes()).take_while(|(one, two)| one == two).count();
        let same = (0..=same).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        below = Bound::Included(text.get(..same).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_fits_is_found_once() {
        let keys = ["", "a", "ab", "abc", "abx", "b", "bc", "/usr", "/usr/", "/usr/b", "ü", "üa"];
        let map: BTreeMap<Box<str>, &str> = keys.iter().map(|key| ((*key).into(), *key)).collect();
        let texts =
            ["", "a", "abcd", "abb", "ac", "bab", "/usr/bin/x", "/opt", "/usr", "üab", "ö", "zzz"];
        for text in texts {
            let mut found = Vec::new();
            each(&map, text, |key, value| {
                assert_eq!(key, *value);
                found.push(key);
            });
            let mut expected: Vec<&str> =
                keys.iter().copied().filter(|key| text.starts_with(key)).collect();
            expected.sort_unstable();
            expected.reverse();
            assert_eq!(found, expected, "{text}");
        }
    }
}
