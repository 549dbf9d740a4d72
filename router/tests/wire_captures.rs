//! Requests of real clients: every one is read whole, and what is not edited stays as it was.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test: a failure is a panic, and what was skipped is printed"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use router::wire::{self, Dialect, Edit, Endpoint, Given, View};
use serde_json::Value;

/// One recorded request: where it is from, its dialect, and its body.
struct Capture {
    name: String,
    dialect: Dialect,
    body: Vec<u8>,
}

/// The folder with recorded requests, which is not part of the repository.
fn shared() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let root = std::env::var_os("OPENSHELL_SHARED").map_or_else(beside, PathBuf::from);
    let captures = root.join("captures");
    if captures.is_dir() {
        return Some(captures);
    }
    eprintln!("SKIPPED: no recorded requests at {}", captures.display());
    None
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

fn captures() -> Vec<Capture> {
    let Some(folder) = shared() else { return Vec::new() };
    let mut files = Vec::new();
    json_files(&folder, &mut files);
    files.iter().filter_map(|path| capture(path)).collect()
}

fn capture(path: &Path) -> Option<Capture> {
    let record: Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let recorded = record.get("request");
    let request = recorded.unwrap_or(&record);
    let target = match request.get("target").or_else(|| request.get("uri"))?.as_str()? {
        url if url.starts_with("https://") => url.splitn(4, '/').nth(3)?,
        target => target,
    };
    // A provider's answer to a wrong request proves nothing about how it should be read.
    let refused =
        record.pointer("/response/status").and_then(Value::as_u64).is_some_and(|s| s >= 400);
    let target = format!("/{}", target.trim_start_matches('/'));
    let Endpoint::Inference { dialect, .. } =
        wire::route(request.get("method")?.as_str()?, &target)
    else {
        return None;
    };
    let body = request.get("body").filter(|body| body.is_object() && !refused)?;
    let body = serde_json::to_vec(body).unwrap();
    Some(Capture { name: path.display().to_string(), dialect, body })
}

fn each(check: impl Fn(&Capture, &View<'_>)) {
    for capture in captures() {
        let view = wire::read(capture.dialect, &capture.body)
            .unwrap_or_else(|error| panic!("{}: {error}", capture.name));
        check(&capture, &view);
    }
}

fn spliced(body: &[u8], edits: Vec<Edit>) -> Vec<u8> {
    wire::splice(&Bytes::copy_from_slice(body), edits).concat()
}

/// All strings of a value, and all names.
fn leaves<'v>(value: &'v Value, strings: &mut Vec<&'v str>, names: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => strings.push(text),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, strings, names)),
        Value::Object(map) => map.iter().for_each(|(name, value)| {
            names.push(name);
            leaves(value, strings, names);
        }),
        _ => {}
    }
}

#[test]
fn every_string_of_a_recorded_request_is_a_segment() {
    let mut counts: BTreeMap<Dialect, usize> = BTreeMap::new();
    for capture in captures() {
        *counts.entry(capture.dialect).or_default() += 1;
    }
    eprintln!("recorded requests: {counts:?}");
    each(|capture, view| {
        let value: Value = serde_json::from_slice(&capture.body).unwrap();
        let (mut strings, mut names) = (Vec::new(), Vec::new());
        leaves(&value, &mut strings, &mut names);
        strings.retain(|text| !text.is_empty());
        let mut found: Vec<&str> = Vec::new();
        for segment in view.segments.iter().filter(|segment| !segment.number) {
            if segment.key {
                assert!(names.contains(&&*segment.text), "{}: a name", capture.name);
            } else {
                found.push(&segment.text);
            }
        }
        // What is not a segment must be listed as a payload or as opaque data of a backend.
        let text_at = |span: &std::ops::Range<usize>| {
            let raw = std::str::from_utf8(&capture.body[span.clone()]).unwrap();
            router::json::unescape(raw).into_owned()
        };
        let inline = view.attachments.iter().filter(|a| a.given == Given::Inline);
        let elsewhere: Vec<String> = inline
            .map(|attachment| text_at(&attachment.span))
            .chain(view.backend_bound.iter().map(|bound| text_at(&bound.value)))
            .collect();
        let mut rest = strings.clone();
        rest.retain(|text| {
            let missing = !found.contains(text);
            assert!(
                !missing || elsewhere.iter().any(|other| other == text),
                "{}: no segment for {text:?}",
                capture.name
            );
            missing
        });
        let headers = found.iter().filter(|text| !strings.contains(*text)).count();
        assert!(headers <= view.attachments.len(), "{}: invented segments", capture.name);
        assert_eq!(found.len() - headers + rest.len(), strings.len(), "{}", capture.name);
    });
}

#[test]
fn segments_are_in_document_order_and_their_spans_hold_their_text() {
    each(|capture, view| {
        let mut last = 0;
        for segment in &view.segments {
            assert!(segment.span.start >= last, "{}", capture.name);
            last = segment.span.end;
            let raw = std::str::from_utf8(&capture.body[segment.span.clone()]).unwrap();
            assert_eq!(router::json::unescape(raw), segment.text, "{}", capture.name);
        }
    });
}

#[test]
fn a_request_without_edits_stays_as_it_was() {
    each(|capture, _| assert_eq!(spliced(&capture.body, Vec::new()), capture.body));
}

#[test]
fn another_model_changes_nothing_but_the_model() {
    each(|capture, view| {
        let body = spliced(&capture.body, vec![wire::model_edit(view, "other/model:1")]);
        let mut wanted: Value = serde_json::from_slice(&capture.body).unwrap();
        wanted["model"] = "other/model:1".into();
        // The recorded bodies are printed by the same printer, in order, so the bytes are comparable.
        assert_eq!(body, serde_json::to_vec(&wanted).unwrap(), "{}", capture.name);
    });
}

#[test]
fn stripping_leaves_sound_json_that_says_the_same_without_the_caller() {
    each(|capture, view| {
        let body = spliced(&capture.body, view.strip.clone());
        let text = String::from_utf8(body.clone()).unwrap();
        let stripped = wire::read(capture.dialect, &body)
            .unwrap_or_else(|error| panic!("{}: {error}: {text}", capture.name));
        assert!(stripped.strip.is_empty(), "{}", capture.name);
        assert_eq!(stripped.model, view.model);
        assert_eq!(stripped.messages.len(), view.messages.len());
        for name in
            ["\"user_id\":", "\"client_metadata\":", "x-anthropic-billing", "\"prompt_cache_key\":"]
        {
            assert!(!text.contains(name), "{}: {name}", capture.name);
        }
    });
}

#[test]
fn usage_can_be_asked_for_in_every_recorded_stream() {
    each(|capture, view| {
        let Some(edit) = view.usage_edit.clone() else { return };
        assert!(view.stream);
        let body = spliced(&capture.body, vec![edit]);
        let again = wire::read(capture.dialect, &body).unwrap();
        assert_eq!(again.include_usage, Some(true), "{}", capture.name);
        assert_eq!(again.usage_edit, None);
    });
}

#[test]
fn opaque_reasoning_can_be_taken_out() {
    each(|capture, view| {
        let slots = view.backend_bound.iter().map(|bound| &bound.slot);
        let body = spliced(&capture.body, wire::removal(slots));
        let again = wire::read(capture.dialect, &body)
            .unwrap_or_else(|error| panic!("{}: {error}", capture.name));
        assert!(again.backend_bound.is_empty(), "{}", capture.name);
    });
}
