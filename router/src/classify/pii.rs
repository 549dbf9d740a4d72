//! Personal data, payment data and health numbers: one walk over a text in which every value is weighed as all of them.
//!
//! A number is one thing only: a card, a telephone, an identity or nothing, so the kinds are not looked for one after
//! the other. The walk finds cue words, capitalised words and numbers (`lex`), joins numbers to groups (`group`), asks what
//! stands near (`near`), and offers the value to the kinds in the order of their certainty (`numbers`).
//! Not here: names of people and addresses (`names`, `address`), which are read from the same walk.
//! Invariant: linear time; findings may overlap, the caller settles that.

pub(crate) mod codes;
pub(crate) mod cue;
pub(crate) mod date;
pub(crate) mod email;
pub(crate) mod government;
pub(crate) mod group;
pub(crate) mod lex;
pub(crate) mod near;
pub(crate) mod net;
pub(crate) mod numbers;
pub(crate) mod phone;

use super::{Finding, address, candidates::Candidates, names};

/// Adds everything personal, payable or medical in `text`, names and addresses included.
pub(crate) fn scan(
    text: &str,
    (candidates, lexed): (&Candidates, &lex::Lexed),
    out: &mut Vec<Finding>,
) {
    let first = out.len();
    email::scan(text, candidates, out);
    if lexed.is_empty() && candidates.segments.is_empty() {
        return;
    }
    numbers::scan(text, lexed, out);
    codes::scan(text, lexed, out);
    date::scan(text, lexed, out);
    address::scan(text, lexed, first, out);
    let names = out.len();
    names::scan(text, (candidates, lexed), first, out);
    // Of two findings that are equally good the first counts, and names do before what supports them.
    let count = out.len() - names;
    if let (1.., Some(all)) = (count, out.get_mut(first..)) {
        all.rotate_right(count);
    }
}

#[cfg(test)]
mod tests;
