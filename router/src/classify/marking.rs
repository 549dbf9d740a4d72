//! Markings that say who may read a document: `CONFIDENTIAL`, `TLP:RED`, `SECRET//NOFORN`, `Attorney-Client Privileged`.
//!
//! A marking is a line of its own, the head or the tail of a line, or the value of a classification key. The same words inside
//! a sentence (`the talks are confidential`, `confidential client`) are prose or code and no marking.
//! Invariant: linear time; only the beginning and the end of a line are read.

use domain::Label;

mod phrases;

use super::{
    Finding,
    candidates::{Candidates, slice},
    masks,
    names::lists::Words,
};
use phrases::{COMPANY, OPENINGS, WORDS};

/// So much of each end of a line is read.
const END_BYTES_MAX: usize = 160;

/// Shortest line that is read, without what decorates it.
pub(super) const BYTES_MIN: usize = 6;

/// Adds the markings of `text`.
pub(crate) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for span in &candidates.lines {
        line(text, span.start, span.end, out);
    }
}

/// Characters that decorate a line: comment signs, quotes, rules, brackets, list marks.
fn is_frame(c: char) -> bool {
    match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => masks::is_frame(byte),
        _ => matches!(c, '\u{2014}' | '\u{2013}' | '\u{2022}' | '\u{b7}' | '\u{feff}'),
    }
}

/// Whether what stands between the ASCII frames of a line may hold a marking. Decides for almost every line.
#[inline]
pub(super) fn may_mark(body: &[u8]) -> bool {
    let ([first, second, ..], Some(last)) = (body, body.last()) else { return false };
    let tail = match last {
        b'A'..=b'Z' | 0x80.. => true,
        b'l' => body.ends_with(b"ial"),
        b'y' => body.ends_with(b"nly"),
        _ => false,
    };
    let head = match first {
        b'x' | b's' | b'c' | b'X' | b'S' | b'C' if !second.is_ascii_alphabetic() => true,
        b'a'..=b'z' | b'A'..=b'Z' => STARTERS.may_begin(*first, *second),
        _ => *first >= 0x80,
    };
    body.len() >= BYTES_MIN && (head && is_starter(body) || tail || *first >= 0x80)
}

fn line(text: &str, start: usize, end: usize, out: &mut Vec<Finding>) {
    let Some(whole) = text.get(start..end) else { return };
    let framed = |c: char| c.is_ascii() && is_frame(c);
    let plain = whole.trim_matches(framed);
    // Frames that are not ASCII may stand between those that are.
    let foreign =
        plain.starts_with(|c: char| !c.is_ascii()) || plain.ends_with(|c: char| !c.is_ascii());
    let body = if foreign { whole.trim_matches(is_frame) } else { plain };
    if body.len() < BYTES_MIN {
        return;
    }
    let from = body.as_ptr().addr() - text.as_ptr().addr();
    let head = slice(body, 0..END_BYTES_MAX);
    if is_starter(head.as_bytes())
        && let Some((length, label, confidence)) = head_marking(head, body.len())
    {
        push(out, label, from..from + length, confidence);
        return;
    }
    tail(text, whole, body, out);
}

fn push(out: &mut Vec<Finding>, label: &'static str, span: std::ops::Range<usize>, confidence: u8) {
    out.push(Finding {
        label: Label::fixed(label),
        span,
        confidence,
        evidence: "marking",
        example: false,
    });
}

/// First words of lines that can be a marking, folded, sorted. Decides for almost every line.
static STARTERS: Words = Words::new(
    "all attorney business c classification classified client commercial company confidencial confidential confidentiality confidentiel controlled copyright cosmic cts cui \
     data diffusion distribution do document draft embargoed employees estrictamente eyes for fouo handling highly information internal klassifizierung law legally \
     marking material mnpi nato need noforn not nur official personal privileged property proprietary restricted riservato s secret security sensitive sensitivity solicitor \
     streng strettamente strictement strictly subject this tlp top trade ts unauthorised unauthorized unclassified under uso vertraulich very vs x ",
);

/// Whether a line with this first word is read further.
fn is_starter(head: &[u8]) -> bool {
    let size = head.iter().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if let Some([.., third, last]) = head.get(..size)
        && !STARTERS.may_end(*third, *last)
    {
        return false;
    }
    let mut lower = [0_u8; 15];
    match (head.get(..size), lower.get_mut(..size)) {
        (Some([first]), _) => matches!(first.to_ascii_lowercase(), b'x' | b's' | b'c'),
        (Some([]), _) => head.first().is_some_and(|byte| *byte >= 0x80),
        (Some(word), Some(lower)) => {
            lower.copy_from_slice(word);
            lower.make_ascii_lowercase();
            STARTERS.has(lower)
        }
        _ => false,
    }
}

/// Whether a line that begins in lower case is no marking: its first word opens no key and no licence, and not all of its words are
/// those of markings. Decides for almost all lines of code and prose.
fn is_ordinary(head: &str) -> bool {
    const OTHERS: [&str; 15] = [
        "all",
        "classification",
        "confidentiality",
        "copyright",
        "data",
        "distribution",
        "document",
        "handling",
        "information",
        "klassifizierung",
        "marking",
        "security",
        "sensitivity",
        "tlp",
        "x",
    ];
    let size = head.bytes().take_while(u8::is_ascii_alphabetic).count();
    let first = head.get(..size).unwrap_or_default();
    let known = |word: &str| {
        let is = |listed: &str| listed.eq_ignore_ascii_case(word);
        word.is_empty()
            || COMPANY.iter().any(|listed| is(listed))
            || WORDS.iter().any(|(listed, _)| is(listed))
    };
    head.starts_with(|c: char| c.is_ascii_lowercase())
        && !OTHERS.contains(&first.to_ascii_lowercase().as_str())
        && !first.starts_with("unauthori")
        && head.split([' ', ',', ';']).any(|word| !known(word.trim_matches(is_frame)))
}

/// The marking that a line begins with: its length, label and confidence. `length` is that of the whole line.
fn head_marking(head: &str, length: usize) -> Option<(usize, &'static str, u8)> {
    if head.is_ascii() && is_ordinary(head) {
        return None;
    }
    let lower = head.to_lowercase();
    if let Some((size, label)) = codeword(head) {
        return Some((size, label, 95));
    }
    let capital = head.starts_with(char::is_uppercase) || !head.is_ascii();
    let first = lower.bytes().next();
    for (opening, label) in OPENINGS {
        if opening.bytes().next() == first && lower.starts_with(opening) {
            let whole = length <= opening.len() + 60;
            let ends = opening.ends_with(' ')
                || !lower
                    .get(opening.len()..)
                    .and_then(|rest| rest.chars().next())
                    .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '(');
            let sentence = is_sentence(&lower, opening.len());
            let marked = capital && ends && (whole || is_upper(head, opening.len())) && !sentence;
            return marked.then(|| {
                (
                    clause(head, opening.len()),
                    *label,
                    if is_upper(head, opening.len()) { 95 } else { 85 },
                )
            });
        }
    }
    keyed(head, &lower).or_else(|| licence(head, &lower)).or_else(|| alone(head, &lower, length))
}

/// The end of the clause that a marking begins: up to a full stop, at most the rest of a short line.
fn clause(head: &str, least: usize) -> usize {
    let rest = head.get(least..).unwrap_or_default();
    let stop = rest.find(['.', ':', '\u{2022}', '"', '\t', '\\', ']']).unwrap_or(rest.len());
    let line = least + stop;
    let size = if line <= 90 { line } else { least };
    head.get(..size).map_or(least, |part| part.trim_end_matches(|c: char| is_frame(c)).len())
}

/// Whether a verb of prose follows, so that the words are the subject of a sentence.
fn is_sentence(lower: &str, from: usize) -> bool {
    let next = lower.get(from..).unwrap_or_default().split_whitespace().next().unwrap_or_default();
    matches!(
        next,
        "is" | "are"
            | "was"
            | "were"
            | "can"
            | "should"
            | "clients"
            | "client"
            | "computing"
            | "api"
            | "apis"
            | "methods"
            | "fields"
            | "functions"
            | "means"
            | "has"
            | "have"
    )
}

/// Whether the first `size` bytes have no lower-case letter.
fn is_upper(head: &str, size: usize) -> bool {
    head.get(..size).is_some_and(|part| !part.chars().any(char::is_lowercase))
}

/// Traffic light protocol and the banner lines of governments.
fn codeword(head: &str) -> Option<(usize, &'static str)> {
    let token = head.split([' ', ',', '.', ')', ']', '"', '\t', '<']).next().unwrap_or_default();
    if let Some(colour) = token.strip_prefix("TLP:").or_else(|| token.strip_prefix("tlp:")) {
        let label = match colour.to_ascii_uppercase().as_str() {
            "RED" => "marking/tlp-red",
            "AMBER" | "AMBER+STRICT" => "marking/tlp-amber",
            "GREEN" => "marking/tlp-green",
            _ => return None,
        };
        return Some((token.len(), label));
    }
    let banner = [
        "TOP SECRET",
        "SECRET//",
        "CONFIDENTIAL//",
        "UNCLASSIFIED//",
        "RESTRICTED//",
        "TS//",
        "NATO SECRET",
        "NATO CONFIDENTIAL",
        "NATO RESTRICTED",
        "COSMIC TOP SECRET",
        "CUI//",
        "S//NF",
        "S//REL",
        "CTS//",
        "NOFORN",
    ];
    let opening = banner.iter().find(|opening| head.starts_with(**opening))?;
    let size = head
        .find(|c: char| c.is_lowercase())
        .map_or(head.len(), |at| head.get(..at).and_then(|part| part.rfind(' ')).unwrap_or(at));
    let size = head
        .get(..size)
        .map_or(opening.len(), |part| part.trim_end_matches(is_frame).len())
        .max(opening.len().min(head.len()));
    let label = if opening.starts_with("UNCLASS") || opening.starts_with("CUI") {
        "marking/official"
    } else {
        "marking/secret"
    };
    let more = head.get(opening.len()..).and_then(|rest| rest.chars().next());
    let ends = opening.ends_with("//")
        || !more.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '=');
    ends.then_some((size, label))
}

/// `Classification: Restricted`, `X-Sensitivity: Company-Confidential`, `Security level = Secret`.
fn keyed(head: &str, lower: &str) -> Option<(usize, &'static str, u8)> {
    const KEYS: [&str; 16] = [
        "classification",
        "data classification",
        "document classification",
        "security classification",
        "information classification",
        "sensitivity",
        "x-classification",
        "x-sensitivity",
        "confidentiality",
        "security level",
        "sensitivity label",
        "marking",
        "distribution",
        "handling",
        "klassifizierung",
        "sensitivity level",
    ];
    let colon = memchr::memchr2(b':', b'=', lower.as_bytes())?;
    let key = lower.get(..colon)?.trim_matches(is_frame);
    if !KEYS.contains(&key) {
        return None;
    }
    let value = head.get(colon + 1..)?;
    let word = value.trim_start_matches(is_frame);
    let at = head.len() - word.len();
    let found = word.to_lowercase();
    let level = WORDS
        .iter()
        .map(|(word, label)| (*word, *label))
        .chain([
            ("top secret", "marking/secret"),
            ("strictly", "marking/confidential"),
            ("highly", "marking/confidential"),
            ("company", "marking/confidential"),
            ("official", "marking/official"),
            ("vertraulich", "marking/confidential"),
            ("limited", "marking/restricted"),
            ("business", "marking/internal"),
            ("tlp:", "marking/tlp"),
            ("need-to-know", "marking/restricted"),
        ])
        .find(|(word, _)| found.starts_with(word))?;
    let size = word.find(['"', ',', '<', '\\', '.', '\'', ';', '}']).unwrap_or(word.len()).min(60);
    Some((at + size, level.1, 90))
}

/// The header of proprietary source: a copyright with a ban on copying.
fn licence(head: &str, lower: &str) -> Option<(usize, &'static str, u8)> {
    let opens = lower.starts_with("copyright")
        || lower.starts_with("(c) ")
        || lower.starts_with("\u{a9}")
        || lower.starts_with("unauthorized copying")
        || lower.starts_with("unauthorised copying")
        || lower.starts_with("all rights reserved");
    let bans = [
        "unauthorized copying",
        "unauthorised copying",
        "strictly prohibited",
        "proprietary and confidential",
        "confidential and proprietary",
        "unauthorized use",
        "unauthorized reproduction",
        "may not be copied",
        "trade secret",
        "do not distribute",
        "not for distribution",
        "company confidential",
    ];
    (opens && bans.iter().any(|ban| lower.contains(ban))).then_some((
        head.len(),
        "marking/proprietary",
        85,
    ))
}

/// A short line of nothing but words of a marking.
fn alone(head: &str, lower: &str, length: usize) -> Option<(usize, &'static str, u8)> {
    if length > 80 || head.len() != length {
        return None;
    }
    let mut label = None;
    let mut telling = 0;
    for word in lower.split([' ', ',', ';']).filter(|word| !word.is_empty()) {
        let bare = word.trim_matches(is_frame);
        if let Some((_, found)) = WORDS.iter().find(|(known, _)| *known == bare) {
            label.get_or_insert(*found);
            telling += 1;
        } else if !(bare.is_empty() || COMPANY.contains(&bare)) {
            return None;
        }
    }
    let label = label?;
    let upper = is_upper(head, head.len());
    let many = lower.split_whitespace().count() > 1;
    let plain = matches!(
        lower,
        "private"
            | "internal"
            | "secret"
            | "sensitive"
            | "restricted"
            | "classified"
            | "privileged"
            | "proprietary"
    );
    // One plain word is a heading or a word of code unless it is shouted; `SECRET` alone is often a name of a variable.
    let fits = if plain {
        upper && !matches!(lower, "private" | "internal" | "sensitive" | "secret" | "classified")
    } else {
        upper
            || telling > 1
            || (many && head.starts_with(char::is_uppercase))
            || lower == "confidential" && head.starts_with('C')
    };
    fits.then_some((head.len(), label, if upper { 92 } else { 80 }))
}

/// A marking at the end of a line: `Page 3 of 9 - Acme Confidential`, `… | TLP:AMBER`, `[CONFIDENTIAL]` after a title.
fn tail(text: &str, whole: &str, body: &str, out: &mut Vec<Finding>) {
    let bytes = body.as_bytes();
    let last = bytes.last().copied().unwrap_or_default();
    // All these end in a capital, in `…ial` or in `…nly`.
    if !(last.is_ascii_uppercase() || bytes.ends_with(b"ial") || bytes.ends_with(b"nly")) {
        return;
    }
    let tail = slice(body, body.len().saturating_sub(48)..body.len());
    let place = |part: &str| part.as_ptr().addr() - text.as_ptr().addr();
    if let Some(at) = tail.rfind("TLP:") {
        let part = tail.get(at..).unwrap_or_default();
        if let Some((size, label)) = codeword(part) {
            push(out, label, place(part)..place(part) + size, 90);
            return;
        }
    }
    let shouted = [
        "INTERNAL USE ONLY",
        "STRICTLY CONFIDENTIAL",
        "COMPANY CONFIDENTIAL",
        "CONFIDENTIAL",
        "NOFORN",
        "DO NOT DISTRIBUTE",
        "Company Confidential",
        "Internal Use Only",
        "Strictly Confidential",
    ];
    for words in shouted {
        let Some(part) = tail.strip_suffix(words) else { continue };
        // In a title or a footer something parts it from the rest; in code it would be part of a name.
        let parted = part
            .trim_end()
            .ends_with(['-', '|', ':', '[', '(', '\u{2013}', '\u{2014}', '\u{b7}', ']', ')'])
            || words.contains(' ') && part.ends_with(' ');
        let framed = whole.trim_end().ends_with([']', ')']) && part.ends_with(['[', '(']);
        let code = part.ends_with(['_', '"', '\'', '.', '=']) || whole.contains(['=', ';', '{']);
        if (parted || framed) && !code {
            let start = place(tail) + part.len();
            push(out, "marking/confidential", start..start + words.len(), 80);
        }
        return;
    }
}

#[cfg(test)]
mod tests;
