#![no_main]
//! Globs: any pattern is compiled or refused, and matches what a search through all cuts of the text matches.

use libfuzzer_sys::fuzz_target;
use policy::Glob;

/// Longest pattern and text for the search, which takes exponential time.
const CHARS_MAX: usize = 10;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, text) = input;
    let Ok(glob) = Glob::path(pattern) else { return };
    let matches = glob.matches(text);
    let special = |c: char| "[]{}\\,".contains(c);
    if pattern.contains(special) || pattern.contains("***") {
        return;
    }
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    if pattern.len() <= CHARS_MAX && text.len() <= CHARS_MAX {
        assert_eq!(matches, search(&pattern, &text));
    }
});

fn search(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => (0..=text.len()).any(|cut| search(rest, &text[cut..])),
        ['*', rest @ ..] => {
            let end = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=end).any(|cut| search(rest, &text[cut..]))
        }
        ['?', rest @ ..] => text.first().is_some_and(|c| *c != '/') && search(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && search(rest, &text[1..]),
    }
}
