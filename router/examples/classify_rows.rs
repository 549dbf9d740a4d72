//! Scans rows for the scorer: reads `{"id","text"}` lines on standard input and writes `{"id","spans"}` lines with
//! offsets in characters.

use std::io::{self, BufRead, Write};

use router::classify::{Classifier, Term};
use router::wire::Part;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let terms = std::env::args().nth(1).map(|path| read_terms(&path)).transpose()?;
    let classifier = Classifier::new(terms.unwrap_or_default())?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let text = row.get("text").and_then(Value::as_str).unwrap_or_default();
        let mut spans = Vec::new();
        let (mut bytes, mut chars) = (0, 0);
        for one in classifier.scan(text, Part::Prose) {
            if one.example {
                continue;
            }
            chars += count(text, bytes..one.span.start);
            let length = count(text, one.span.clone());
            bytes = one.span.start;
            let label = one.label.as_str();
            let kind = score_type(label);
            spans.push(json!({"start": chars, "end": chars + length, "type": kind, "label": label,
                "confidence": one.confidence, "evidence": one.evidence}));
        }
        writeln!(out, "{}", json!({"id": row.get("id"), "spans": spans}))?;
    }
    Ok(())
}

/// Characters in a part of `text`.
fn count(text: &str, span: std::ops::Range<usize>) -> usize {
    text.get(span).unwrap_or_default().chars().count()
}

/// The scorer's word for a label.
fn score_type(label: &str) -> String {
    let (family, kind) = label.split_once('/').unwrap_or((label, ""));
    match (family, kind) {
        ("credential", _) => "SECRET".into(),
        ("marking", _) => "MARKING".into(),
        ("term", _) => "CUSTOM".into(),
        ("payment", "card") => "CREDIT_CARD".into(),
        ("payment", _) => "ACCOUNT_NUMBER".into(),
        ("health", _) => "HEALTH_ID".into(),
        ("pii", "birth-date") => "DOB".into(),
        ("pii", "ip") => "IP".into(),
        ("pii", kind) if kind.starts_with("government-id") => "NATIONAL_ID".into(),
        ("pii", kind) => kind.to_uppercase(),
        _ => "OTHER".into(),
    }
}

/// Reads a list of literals: the operator's own words.
fn read_terms(path: &str) -> Result<Vec<Term>, Box<dyn std::error::Error>> {
    let words: Vec<String> = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    Ok(vec![Term { name: "own".into(), patterns: words }])
}
