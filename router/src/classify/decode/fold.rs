//! Characters that are invisible, or look like ASCII without being it.

use super::{line_around, view::View};
use crate::classify::candidates::Candidates;

/// Bytes of a line around a stretch that are folded with it.
const BEFORE: usize = 128;
const AFTER: usize = 1024;

/// What a character becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fold {
    /// Itself.
    Keep,
    /// Nothing: it has no width.
    Drop,
    /// An ASCII character that it is a form of.
    Form(char),
    /// An ASCII character that it only looks like.
    Like(char),
}

/// Calls `read` with every window in which something folds.
pub(super) fn views(text: &str, candidates: &Candidates, read: &mut impl FnMut(View)) {
    let mut done = 0;
    for stretch in &candidates.foreign {
        if stretch.end <= done {
            continue;
        }
        let Some(at) = first_fold(text, stretch.start.max(done), stretch.end) else { continue };
        let window = line_around(text, at, BEFORE, AFTER);
        done = window.end.max(at + 1);
        let Some(source) = text.get(window.clone()) else { continue };
        let mut view = View::at(window.start);
        for (at, c) in source.char_indices() {
            let from = window.start + at..window.start + at + c.len_utf8();
            match fold(c) {
                Fold::Keep => view.push(c, from),
                Fold::Drop => {}
                Fold::Form(plain) | Fold::Like(plain) => view.push(plain, from),
            }
        }
        read(view);
    }
}

/// The first place where folding may reveal something: a form of an ASCII character, or, next to an ASCII letter or digit, one
/// that is invisible or looks like ASCII. Text in another script has none.
fn first_fold(text: &str, start: usize, end: usize) -> Option<usize> {
    let ascii = |at: Option<usize>| {
        at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_alphanumeric)
    };
    let stretch = text.get(start..end)?;
    stretch.char_indices().find_map(|(at, c)| {
        let at = start + at;
        let beside = || ascii(at.checked_sub(1)) || ascii(Some(at + c.len_utf8()));
        match fold(c) {
            Fold::Keep => None,
            Fold::Form(_) => Some(at),
            Fold::Drop | Fold::Like(_) => beside().then_some(at),
        }
    })
}

/// Letters of other scripts that look like ASCII ones.
const LIKE: [(&str, &str); 3] = [
    ("АВЕКМНОРСТХУЅІЈԚԜавекмнорстхуѕіјԛԝһԁɡӏ", "ABEKMHOPCTXYSIJQWabekmhopctxysijqwhdgl"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧοανρτυικχγϲϳ", "ABEZHIKMNOPTYXoavptuikxyccj"),
    ("ıȷɑʏѵ", "ijayv"),
];

/// What `c` becomes.
fn fold(c: char) -> Fold {
    match c {
        '\0'..='\u{7F}' => Fold::Keep,
        '\u{AD}'
        | '\u{34F}'
        | '\u{61C}'
        | '\u{180E}'
        | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}'
        | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}'
        | '\u{E0000}'..='\u{E007F}' => Fold::Drop,
        '\u{FF01}'..='\u{FF5E}' => form(c, 0xFEE0),
        '\u{3000}' => Fold::Form(' '),
        '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' => Fold::Like(' '),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => Fold::Like('-'),
        '\u{24B6}'..='\u{24CF}' => form(c, 0x24B6 - 0x41),
        '\u{24D0}'..='\u{24E9}' => form(c, 0x24D0 - 0x61),
        '\u{1D400}'..='\u{1D6A3}' => math_letter(c),
        '\u{1D7CE}'..='\u{1D7FF}' => digit((u32::from(c) - 0x1D7CE) % 10),
        '\u{660}'..='\u{669}' => digit(u32::from(c) - 0x660),
        '\u{6F0}'..='\u{6F9}' => digit(u32::from(c) - 0x6F0),
        '\u{966}'..='\u{96F}' => digit(u32::from(c) - 0x966),
        // None of the letters below stands beyond, and most other characters do.
        '\u{51E}'.. => Fold::Keep,
        _ => LIKE
            .iter()
            .find_map(|(from, to)| from.chars().zip(to.chars()).find(|(odd, _)| *odd == c))
            .map_or(Fold::Keep, |(_, plain)| Fold::Like(plain)),
    }
}

/// The ASCII character `distance` below.
fn form(c: char, distance: u32) -> Fold {
    u32::from(c).checked_sub(distance).and_then(char::from_u32).map_or(Fold::Keep, Fold::Form)
}

/// A letter of the mathematical alphabets: thirteen styles of 52 letters each.
fn math_letter(c: char) -> Fold {
    let at = (u32::from(c) - 0x1D400) % 52;
    let code = if at < 26 { 0x41 + at } else { 0x61 + at - 26 };
    char::from_u32(code).map_or(Fold::Keep, Fold::Form)
}

fn digit(value: u32) -> Fold {
    char::from_digit(value, 10).map_or(Fold::Keep, Fold::Form)
}
