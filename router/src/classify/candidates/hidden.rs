//! Marks what may hide a value: the beginnings of escapes, and places where two pieces meet.

use super::Candidates;
use crate::classify::masks::{Bits, Masks};

/// Looks at the set bits of one block.
#[inline]
pub(super) fn step(text: &[u8], base: usize, masks: &Masks, out: &mut Candidates) {
    for at in Bits(masks.escape) {
        if begins_escape(text.get(base + at..).unwrap_or_default()) {
            out.escapes.push(base + at);
        }
    }
    for at in Bits(masks.joint) {
        let Some(found) = joint(text, base + at) else { continue };
        // Joints do not overlap: `" " +` is one.
        if out.joints.last().is_none_or(|last| found >= *last + length(text, *last)) {
            out.joints.push(found);
        }
    }
}

/// Whether `rest` begins with an escape of an ASCII character.
#[inline]
fn begins_escape(rest: &[u8]) -> bool {
    match rest {
        [b'%', b'2'..=b'7', ..]
        | [b'&', b'#', ..]
        | [b'\\', b'x', ..]
        | [b'\\', b'u' | b'U', b'0', b'0', ..]
        | [b'=', b'3', b'D', ..]
        | [b'=', b'\r', b'\n', ..] => true,
        [b'&', b'q' | b'a', ..] => rest.starts_with(b"&quot;") || rest.starts_with(b"&amp;"),
        _ => false,
    }
}

/// The joint that the quote, the backslash or the `d` at `at` belongs to.
#[inline]
fn joint(text: &[u8], at: usize) -> Option<usize> {
    let start = if matches!(text.get(at), Some(b'd' | b'D')) { at.checked_sub(1)? } else { at };
    (length(text, start) > 0).then_some(start)
}

/// The length of the joint at `start`; 0 when there is none.
fn length(text: &[u8], start: usize) -> usize {
    match text.get(start..).unwrap_or_default() {
        [b'"', b' ', b'+' | b'.' | b'&' | b'"', ..]
        | [b'\'', b' ', b'+' | b'.' | b'\'', ..]
        | [b'`', b' ', b'+', ..] => 3,
        [b'"' | b'\'', b'+', ..] | [b'\\', b'\n', ..] => 2,
        [b' ', b'd', b'o', b't', b' ', ..]
        | [b' ', b'D', b'O', b'T', b' ', ..]
        | [b'[', b'd', b'o', b't', b']', ..]
        | [b'(', b'd', b'o', b't', b')', ..]
        | [b'{', b'd', b'o', b't', b'}', ..] => 5,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::classify::candidates::Candidates;

    /// Where the phrases stand in `text`, found one place after the other; of those at the same place the first counts.
    fn naive(text: &str, triggers: &[&str]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < text.len() {
            let rest = text.get(at..).unwrap_or_default();
            match triggers.iter().find(|trigger| rest.starts_with(**trigger)) {
                Some(trigger) => {
                    found.push(at);
                    at += trigger.len();
                }
                None => at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        found
    }

    const ESCAPES: [&str; 14] = [
        "\\u00", "\\U00", "\\x", "&#", "=3D", "=\r\n", "%2", "%3", "%4", "%5", "%6", "%7",
        "&quot;", "&amp;",
    ];
    const JOINTS: [&str; 16] = [
        "\" +", "' +", "\"+", "'+", "\" .", "' .", "\" &", "\\\n", "\" \"", "' '", " dot ",
        "[dot]", "(dot)", " DOT ", "{dot}", "` +",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn marks_are_those_of_a_search_for_each_phrase(
            text in "([ \"'`+.&dDotT\\[\\](){}%=\\\\xu037q;#\r\n]{0,6}(dot |&amp;|&quot;|=3D|u00|é)?){0,40}"
        ) {
            let marks = Candidates::of(&text);
            prop_assert_eq!(marks.escapes, naive(&text, &ESCAPES));
            prop_assert_eq!(marks.joints, naive(&text, &JOINTS));
        }
    }
}
