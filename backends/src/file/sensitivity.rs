//! The section `sensitivity`: ceilings, labels, the operator's own terms.

use document::{Key, Report, Spot, Table};
use domain::{LabelPattern, Sensitivity, Zone};
use regex::RegexBuilder;
use router::rules::{Action, Ceilings, Consequence, LabelRule, Rules};

/// Most label rules: each finding is compared with all of them.
const LABELS_MAX: usize = 512;

/// Most terms.
const TERMS_MAX: usize = 4096;

/// Longest pattern of a term, bytes.
const PATTERN_BYTES_MAX: usize = 1024;

/// Most patterns that are regular expressions, all terms together: each reads every text once more. Words are bounded
/// by the size of the file alone.
const EXPRESSIONS_MAX: usize = 256;

/// Fewest letters and digits of a word: shorter ones would be everywhere.
const WORD_CHARS_MIN: usize = 2;

/// Largest compiled pattern, bytes: bounds the time and memory of `[a-z]{1000}{1000}`.
const PATTERN_COMPILED_BYTES_MAX: usize = 1 << 20;

const LEVELS: [(&str, Sensitivity); 4] = [
    ("public", Sensitivity::Public),
    ("internal", Sensitivity::Internal),
    ("confidential", Sensitivity::Confidential),
    ("restricted", Sensitivity::Restricted),
];

/// The name of a term and its patterns.
type Term = (String, Vec<String>);

/// The rules and terms; defaults where the file is silent.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> (Rules, Vec<Term>) {
    let mut rules = Rules::default();
    let known = ["ceilings", "labels", "terms", "unreadable", "max_text_bytes"];
    let Some(section) = table.take("sensitivity").and_then(|spot| spot.table(&known, report))
    else {
        return (rules, Vec::new());
    };
    if let Some(spot) = section.take("ceilings") {
        rules.ceilings = ceilings(&spot, report);
    }
    let terms = section.take("terms").map(|spot| terms(&spot, report)).unwrap_or_default();
    if let Some(spot) = section.take("labels") {
        rules.labels = labels(&spot, &terms, report);
    }
    if let Some(level) = section.take("unreadable").and_then(|spot| spot.word(&LEVELS, report)) {
        rules.unreadable = level;
    }
    if let Some(bytes) =
        section.take("max_text_bytes").and_then(|spot| spot.integer(1024..=(64 << 20), report))
    {
        rules.text_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    (rules, terms)
}

fn ceilings(spot: &Spot<'_>, report: &mut Report) -> Ceilings {
    let mut ceilings = Ceilings::default();
    let known = LEVELS.map(|(word, _)| word);
    let Some(fields) = spot.table(&known, report) else {
        return ceilings;
    };
    let zones = Zone::ALL.map(|zone| (zone.as_str(), zone));
    let mut set = |name: &str, ceiling: &mut Zone| {
        let Some(zone) = fields.take(name).and_then(|field| field.word(&zones, report)) else {
            return;
        };
        *ceiling = zone;
    };
    set("public", &mut ceilings.public);
    set("internal", &mut ceilings.internal);
    set("confidential", &mut ceilings.confidential);
    set("restricted", &mut ceilings.restricted);
    if let Some((less, more)) = ceilings.inversion() {
        let message = format!(
            "{more} text may go to {} backends but {less} text only to {} ones",
            ceilings.of(more),
            ceilings.of(less)
        );
        let help = format!(
            "narrow `{more}` or widen `{less}`; levels that are not given keep their default"
        );
        spot.fault(report, message, Some(&help));
    }
    for level in [Sensitivity::Confidential, Sensitivity::Restricted] {
        if ceilings.of(level) == Zone::Public {
            spot.notice(report, format!("{level} text may go to any cloud"));
        }
    }
    ceilings
}

fn labels(spot: &Spot<'_>, terms: &[Term], report: &mut Report) -> Vec<LabelRule> {
    let entries = spot.entries(report);
    if entries.len() > LABELS_MAX {
        spot.fault(report, format!("at most {LABELS_MAX} labels are possible"), None);
    }
    let mut rules = Vec::new();
    for (key, field) in entries.into_iter().take(LABELS_MAX) {
        let consequence = consequence(&field, report);
        let pattern = match key.text.parse::<LabelPattern>() {
            Ok(pattern) => pattern,
            Err(error) => {
                report.fault(key.mark, &field.path, error.to_string(), Some("as `pii/*`"));
                continue;
            }
        };
        let term = key.text.strip_prefix("term/").filter(|name| !name.contains('*'));
        if term.is_some_and(|name| terms.iter().all(|(known, _)| known != name)) {
            report.notice(key.mark, &field.path, "there is no such term under `terms`");
        }
        rules.extend(consequence.map(|consequence| LabelRule { pattern, consequence }));
    }
    rules
}

fn consequence(spot: &Spot<'_>, report: &mut Report) -> Option<Consequence> {
    let fields = spot.table(&["level", "action"], report)?;
    let level = fields.need("level", "public, internal, confidential or restricted", report);
    let level = level.and_then(|spot| spot.word(&LEVELS, report));
    let words = Action::ALL.map(|action| (action.as_str(), action));
    let action = fields.need("action", "allow, redact, route or block", report);
    let action = action.and_then(|spot| spot.word(&words, report));
    Some(Consequence { level: level?, action: action? })
}

fn terms(spot: &Spot<'_>, report: &mut Report) -> Vec<Term> {
    let entries = spot.entries(report);
    if entries.len() > TERMS_MAX {
        spot.fault(report, format!("at most {TERMS_MAX} terms are possible"), None);
    }
    let mut expressions = 0_usize;
    let mut terms = Vec::new();
    for (key, field) in entries.into_iter().take(TERMS_MAX) {
        named(key, &field, report);
        let help = "list its patterns, as {any: [\"Project Falcon\"]}";
        let any = field.table(&["any"], report).and_then(|fields| fields.need("any", help, report));
        let Some(any) = any else { continue };
        let spots = any.list(report);
        if spots.is_empty() {
            any.fault(report, "at least one pattern is needed", Some(help));
        }
        let mut patterns = Vec::new();
        for spot in &spots {
            patterns.extend(pattern(spot, &mut expressions, report));
        }
        terms.push((key.text.clone(), patterns));
    }
    if expressions > EXPRESSIONS_MAX {
        let message = format!("at most {EXPRESSIONS_MAX} patterns may be regular expressions");
        spot.fault(report, message, Some("words without special characters are not limited"));
    }
    terms
}

/// A term's name becomes part of a label.
fn named(key: &Key, field: &Spot<'_>, report: &mut Report) {
    let label = format!("term/{}", key.text);
    let plain = !key.text.is_empty() && key.text.len() <= 64 && !key.text.contains(['*', '/']);
    if !plain || label.parse::<LabelPattern>().is_err() {
        let help = "use lower-case letters, digits, '-', '_' and '.', at most 64";
        report.fault(key.mark, &field.path, "this is no name for a term", Some(help));
    }
}

/// A word, or a regular expression when it holds a character that only those need; a dot alone does not make one.
fn pattern(spot: &Spot<'_>, expressions: &mut usize, report: &mut Report) -> Option<String> {
    let text = spot.text(report)?;
    if text.len() > PATTERN_BYTES_MAX {
        let message = format!("a pattern has at most {PATTERN_BYTES_MAX} bytes");
        spot.fault(report, message, None);
        return None;
    }
    if text.contains(['\\', '[', ']', '(', ')', '{', '}', '^', '$', '*', '+', '?', '|']) {
        *expressions = expressions.saturating_add(1);
        // What is too much is refused as a whole; compiling it would only take time.
        return if *expressions > EXPRESSIONS_MAX { None } else { expression(spot, text, report) };
    }
    if text.chars().filter(|c| c.is_alphanumeric()).count() < WORD_CHARS_MIN {
        let message = format!("a word needs at least {WORD_CHARS_MIN} letters or digits");
        spot.fault(report, message, None);
        return None;
    }
    Some(text.to_owned())
}

fn expression(spot: &Spot<'_>, text: &str, report: &mut Report) -> Option<String> {
    let compiled =
        RegexBuilder::new(text).size_limit(PATTERN_COMPILED_BYTES_MAX).nest_limit(64).build();
    match compiled {
        Ok(pattern) if pattern.is_match("") => {
            let message = "this pattern matches the empty text, so it would match everywhere";
            spot.fault(report, message, None);
            None
        }
        Ok(_) => Some(text.to_owned()),
        Err(error) => {
            let help = "escape what is meant literally with a backslash";
            spot.fault(report, wrong(&error), Some(help));
            None
        }
    }
}

/// The last line of the library's error says what is wrong; those before it draw the pattern.
fn wrong(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "this pattern is too large when compiled".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
            format!("this is no regular expression: {last}")
        }
    }
}
