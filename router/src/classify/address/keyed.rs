//! Parts of an address that a key announces: `"street": "799 Main Rd"`, `City: Tallinn`, `New address is Motzstr. 49 in Aspisheim`.

use domain::Label;

use super::{grow, street::is_state};
use crate::classify::{
    Finding,
    candidates::slice,
    names::lists::{COMMON, Folded},
    pii::{
        cue::Cue,
        group::byte,
        lex::{Hit, Lexed},
    },
};

/// Longest value.
const VALUE_BYTES_MAX: usize = 96;

/// Adds the parts of addresses behind keys.
pub(super) fn scan(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
    for hit in &lexed.hits {
        if matches!(hit.cue, Cue::Street | Cue::Name) && byte(text.as_bytes(), hit.start) >= 0xE2 {
            unspaced(text, hit, out);
            continue;
        }
        if !matches!(hit.cue, Cue::Street | Cue::City | Cue::Region | Cue::Zip | Cue::Place)
            || is_machine(text, hit)
        {
            continue;
        }
        let Some((start, quoted)) = value(text, hit.end) else { continue };
        let rest = slice(text, start..start.saturating_add(VALUE_BYTES_MAX));
        let found = match hit.cue {
            Cue::City => town(rest).map(|size| ("pii/location", start + size)),
            Cue::Zip => code(rest).map(|size| ("pii/address", start + size)),
            Cue::Region if quoted => region(rest).map(|size| ("pii/location", start + size)),
            Cue::Street | Cue::Place => {
                street(rest).map(|size| ("pii/address", grow::forward(text, start + size)))
            }
            _ => None,
        };
        if let Some((label, end)) = found {
            let label = Label::fixed(label);
            out.push(Finding {
                label,
                span: start..end,
                confidence: 86,
                evidence: "key",
                example: false,
            });
        }
    }
}

/// Adds the value of a key in a script without spaces: `地址：北京市朝阳区建国路88号`, `氏名: 山田太郎`.
fn unspaced(text: &str, hit: &Hit, out: &mut Vec<Finding>) {
    let rest = slice(text, hit.end..hit.end.saturating_add(160));
    let body = rest.trim_start_matches([':', '\u{ff1a}', ' ', '\u{3000}', '"', '=']);
    if body.len() == rest.len() {
        return;
    }
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                ',' | ';'
                    | '"'
                    | '.'
                    | '\u{ff0c}'
                    | '\u{3002}'
                    | '\u{3001}'
                    | '\u{ff1b}'
                    | '<'
                    | '|'
            )
    };
    let value = body.get(..body.find(ends).unwrap_or(body.len())).unwrap_or_default();
    let letters = value.chars().count();
    let script = value.chars().next().is_some_and(|c| u32::from(c) >= 0x2E80);
    let (label, fits) = match hit.cue {
        Cue::Street => ("pii/address", (5..=48).contains(&letters)),
        _ => ("pii/person", (2..=6).contains(&letters)),
    };
    if script && fits {
        let start = value.as_ptr().addr() - text.as_ptr().addr();
        let label = Label::fixed(label);
        out.push(Finding {
            label,
            span: start..start + value.len(),
            confidence: 85,
            evidence: "key",
            example: false,
        });
    }
}

/// Whether the word before makes it the address of a machine: `IP address`, `remote_addr`, `email address`.
fn is_machine(text: &str, hit: &Hit) -> bool {
    const MACHINES: [&str; 24] = [
        "ip", "mac", "email", "mail", "e-mail", "web", "memory", "remote", "local", "server",
        "host", "bind", "listen", "contract", "wallet", "btc", "eth", "base", "network",
        "physical", "peer", "client", "command", "new",
    ];
    let head = slice(text, hit.start.saturating_sub(12)..hit.start);
    let word = head
        .trim_end_matches([' ', '_', '-', '.'])
        .rsplit(|c: char| !c.is_ascii_alphanumeric())
        .next();
    let word = word.unwrap_or_default().to_ascii_lowercase();
    hit.cue == Cue::Street && MACHINES.contains(&word.as_str()) && word != "new"
        || hit.cue == Cue::Place && word == "command"
}

/// Where the value behind a key begins, and whether it is quoted.
fn value(text: &str, from: usize) -> Option<(usize, bool)> {
    let code = ["Code", "_code", " code", "-code", " Code", "code"]
        .iter()
        .find(|word| slice(text, from..from + word.len()) == **word);
    let from = from + code.map_or(0, |word| word.len());
    let rest = slice(text, from..from.saturating_add(64));
    let spoken = [
        " is ",
        " is: ",
        " are ",
        "es are: ",
        ", here they are: ",
        " with ",
        " to ",
        " at ",
        " in ",
        " here: ",
    ];
    if let Some(words) = spoken.iter().find(|words| rest.starts_with(**words)) {
        return Some((from + words.len(), false));
    }
    let body = rest.trim_start_matches(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | ':' | '=' | '[' | '>' | '*' | '(' | '|' | '_')
    });
    let gap = rest.len() - body.len();
    let signs = rest.get(..gap)?;
    let solid = signs.chars().filter(|c| !c.is_whitespace()).count();
    let parted = signs.contains([':', '=', '>', '|']) && solid <= 8;
    (parted && !body.is_empty()).then(|| (from + gap, signs.ends_with(['"', '\''])))
}

/// The first line of an address: letters with a capital and a number, none of the signs of code.
fn street(rest: &str) -> Option<usize> {
    let end = rest.find(['\n', '"', ',', ';', '|', '\t', '<', '\\']).unwrap_or(rest.len());
    let mut line = rest.get(..end)?;
    for stop in [" in ", " for this ", " and ", " if "] {
        if let Some(at) = line.find(stop) {
            line = line.get(..at)?;
        }
    }
    if let Some(at) = line.match_indices(". ").map(|(at, _)| at).find(|at| {
        line.get(..*at)
            .and_then(|head| head.rsplit(' ').next())
            .is_some_and(|word| word.len() > 4 || word.bytes().all(|b| b.is_ascii_digit()))
    }) {
        line = line.get(..at)?;
    }
    let line = line.trim_end_matches(['.', ' ', '!', '?', '\'', ')', '*']);
    let digits = line.bytes().filter(u8::is_ascii_digit).count();
    let words = line.split(' ').count();
    let capital = line.split([' ', '/']).any(|word| {
        word.chars().next().is_some_and(char::is_uppercase) && word.chars().count() >= 3
    });
    let opens = line.chars().next().is_some_and(|c| {
        c.is_uppercase()
            || c.is_ascii_digit()
            || line.starts_with("ul")
            || line.starts_with("rue")
            || line.starts_with("calle")
            || line.starts_with("via")
    });
    let code = line.contains(['@', '=', '{', '$', '(', '_', '%', '['])
        || line.contains("://")
        || line.starts_with("0x")
        || line.matches(':').count() > 1;
    ((1..=12).contains(&digits) && (2..=9).contains(&words) && capital && opens && !code)
        .then_some(line.len())
}

/// One to five words that can be a town.
fn town(rest: &str) -> Option<usize> {
    let end = rest
        .find(['\n', '"', ',', ';', '|', '\t', '<', '\\', '\'', '.', '(', '}', ']'])
        .unwrap_or(rest.len());
    let line = rest.get(..end)?.trim_end();
    let words = line.split(' ').count();
    let letters = line.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '-' | '\''));
    let capital =
        line.chars().next().is_some_and(|c| c.is_uppercase() || !c.is_ascii() && c.is_alphabetic());
    let common = words == 1 && Folded::of(line).is_some_and(|folded| COMMON.has(folded.as_bytes()));
    let hump = line
        .as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()));
    // Files of translations give the word for a town as the value of its key.
    const LABELS: [&str; 16] = [
        "城市",
        "都市",
        "市区町村",
        "도시",
        "город",
        "stadt",
        "ort",
        "wohnort",
        "ville",
        "ciudad",
        "cidade",
        "miasto",
        "město",
        "şehir",
        "kota",
        "πόλη",
    ];
    let label = LABELS.contains(&line.to_lowercase().as_str());
    (letters && capital && !label && !common && !hump && words <= 5 && line.len() >= 2)
        .then_some(line.len())
}

/// A postal code.
fn code(rest: &str) -> Option<usize> {
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, ' ' | '-')))
        .unwrap_or(rest.len());
    let line = rest.get(..end)?.trim_end();
    let digits = line.bytes().filter(u8::is_ascii_digit).count();
    // `00000` stands in for a code.
    let empty = line.bytes().all(|b| b == b'0');
    let upper = line.bytes().all(|b| !b.is_ascii_lowercase());
    ((3..=10).contains(&line.len())
        && digits >= 2
        && !empty
        && upper
        && line.split(' ').count() <= 2)
        .then_some(line.len())
}

/// A state by its code or any capitalised words, behind a quoted key.
fn region(rest: &str) -> Option<usize> {
    let end = rest.find('"')?;
    let line = rest.get(..end)?;
    is_state(line).then_some(end)
}
