//! Names of people, where the words themselves or their surroundings give them away.
//!
//! Evidence from the words: a frequent given name before another capitalised word, the ending of a family name
//! (`-sson`, `-ović`, `-enko`). Evidence from outside: a title, a greeting, a key or a column for names, a mail address made of the same
//! words. Words of code, headings, firms and streets are kept out by what stands beside them.
//! Invariant: linear time; a run of capitalised words is at most [`RUN_MAX`] words long.

mod context;
pub(super) mod lists;
mod run;

use domain::Label;

use super::{
    Finding,
    candidates::Candidates,
    pii::{lex::Lexed, near::Columns},
};
use context::{Context, Surroundings};
use run::{Run, Stretch, Word};

/// Most words of one run.
pub(crate) const RUN_MAX: usize = 8;

/// Adds the names in `text`. What was found from number `known` on, mail addresses and identifiers, supports a name beside it.
pub(crate) fn scan(
    text: &str,
    (candidates, lexed): (&Candidates, &Lexed),
    known: usize,
    out: &mut Vec<Finding>,
) {
    if !lexed.caps.is_empty() {
        scan_words(text, lexed, known, out);
    }
    context::scan_claims(text, candidates, out);
    context::scan_claimed(text, lexed, out);
}

/// Adds the names among the capitalised words.
fn scan_words(text: &str, lexed: &Lexed, known: usize, out: &mut Vec<Finding>) {
    let surroundings = Surroundings::new(text, lexed, out.get(known..).unwrap_or_default());
    let mut columns = Columns::default();
    let mut at = 0;
    let mut keyed = None;
    let mut run = Run::new();
    while at < lexed.caps.len() {
        run.read(text, lexed, at);
        at += run.caps.max(1);
        for stretch in run.stretches() {
            let context = match stretch.name.first() {
                None => continue,
                Some(_) if stretch.titled => Context::Title,
                // `Patient: SMITH, JOHN`: what follows the comma belongs to the key, too.
                Some(first)
                    if keyed.is_some_and(|end| text.get(end..first.start) == Some(", "))
                        && first.is_given() =>
                {
                    Context::Key
                }
                Some(first) => surroundings.of(first.start, stretch.name, &mut columns),
            };
            let found = judge(&stretch, context, &surroundings);
            keyed = found.as_ref().filter(|_| context == Context::Key).map(|found| found.span.end);
            out.extend(found);
        }
    }
}

fn finding(name: &[Word], confidence: u8, evidence: &'static str) -> Option<Finding> {
    let (first, last) = (name.first()?, name.last()?);
    let label = Label::fixed("pii/person");
    Some(Finding { label, span: first.start..last.end, confidence, evidence, example: false })
}

/// Decides whether the words of a stretch are a name.
fn judge(
    stretch: &Stretch<'_>,
    context: Context,
    surroundings: &Surroundings<'_>,
) -> Option<Finding> {
    let name = stretch.name;
    let (first, last) = (name.first()?, name.last()?);
    // More than five words are a heading or a list; inner capitals are code.
    let words = name.iter().filter(|word| !word.is_initial()).count();
    if words == 0 || name.len() > 5 || name.iter().any(Word::has_hump) {
        return None;
    }
    let thing =
        stretch.rest.iter().take(2).any(Word::is_thing) || last.is_thing() && !last.is_family();
    let listed = name.iter().any(Word::is_listed);
    let shouted = name.iter().all(|word| word.is_upper() || word.is_initial());
    let mixed = !shouted || listed && words >= 2;
    match context {
        Context::Title if !thing => return finding(name, 92, "title"),
        Context::Key if words <= 4 && (mixed || listed) => return finding(name, 88, "key"),
        Context::Trigger if !thing && words <= 3 && mixed => return finding(name, 80, "context"),
        Context::Record if words >= 2 && !thing && mixed => return finding(name, 75, "record"),
        Context::Mail => return finding(name, 90, "mail"),
        Context::Letterhead if (2..=3).contains(&words) && !thing && !shouted => {
            return finding(name, 62, "record");
        }
        Context::Speech if words == 1 && listed && !thing => return finding(name, 62, "context"),
        _ => {}
    }
    if thing {
        return None;
    }
    let found = unannounced(stretch, context, (shouted, words), surroundings);
    found.filter(|_| !surroundings.is_place(first.start, last.end))
}

/// The same for words that nothing around announces.
fn unannounced(
    stretch: &Stretch<'_>,
    context: Context,
    (shouted, words): (bool, usize),
    surroundings: &Surroundings<'_>,
) -> Option<Finding> {
    let name = stretch.name;
    let (first, last) = (name.first()?, name.last()?);
    if shouted {
        let sure = words >= 2
            && name.iter().all(|word| word.is_initial() || word.is_given() || word.is_family());
        return if sure && name.iter().any(Word::is_given) {
            finding(name, 65, "names")
        } else {
            None
        };
    }
    if words >= 2 && !stretch.hyphened {
        return pair(name, context);
    }
    let given = first.is_given() && !first.is_upper() && (words == 1 || last.is_given());
    let family = words == 1 && first.has_ending() && first.end - first.start >= 8;
    let prose = (given || family) && surroundings.is_prose(first.start, last.end, context);
    let alone = matches!(context, Context::Line | Context::Letterhead);
    if prose { finding(name, if alone && given { 70 } else { 60 }, "names") } else { None }
}

/// Two words or more.
fn pair(name: &[Word], context: Context) -> Option<Finding> {
    let known = context == Context::PlainKey || context == Context::Record;
    // A given name further on begins the name; what stands before it is a word that the lists do not know.
    let from = name.iter().position(Word::is_given).filter(|at| at + 1 < name.len()).unwrap_or(0);
    let name = name.get(from..)?;
    let (first, last) = (name.first()?, name.last()?);
    let family = last.is_family() || last.has_ending();
    let confidence = match (first.is_given(), first.is_weak(), family) {
        (true, _, true) => 90,
        (true, ..) => 80,
        (_, true, true) => 78,
        (_, true, _) if known => 75,
        (_, _, true) if known => 80,
        _ if last.has_ending() => 65,
        _ if first.is_family() && last.is_given() => 72,
        _ if last.is_given() && known => 70,
        _ => return None,
    };
    finding(name, confidence, "names")
}

#[cfg(test)]
mod tests;
