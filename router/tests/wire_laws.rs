//! Laws of edits: what is taken out is gone, all else stays, and the JSON stays sound.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a failure is a panic")]

use bytes::Bytes;
use proptest::prelude::*;
use router::{
    json,
    wire::{Dialect, Edit, Slot, read, removal, splice},
};
use serde_json::{Value, json as value};

/// The slots of all members and elements, and a printed document, where `gap` stands between the tokens.
fn slots(parsed: json::Value<'_, '_>, found: &mut Vec<Slot>) {
    let mut list: Vec<(usize, usize)> = Vec::new();
    for (name, member) in parsed.members() {
        list.push((name.outer().start, member.outer().end));
        slots(member, found);
    }
    for element in parsed.elements() {
        list.push((element.outer().start, element.outer().end));
        slots(element, found);
    }
    for (index, (start, end)) in list.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| list[index].1);
        let after = list.get(index + 1).map(|next| next.0);
        found.push(Slot { span: *start..*end, before, after });
    }
}

/// A document with a number at each leaf, so that each leaf is known by it, and spaces wherever they may be.
fn spaced(shape: &[u8], next: &mut u32, depth: u8) -> String {
    let Some((&kind, rest)) = shape.split_first() else { return "0".to_owned() };
    *next += 1;
    if depth == 0 || kind % 3 == 0 {
        return next.to_string();
    }
    let count = usize::from(kind % 5);
    let parts = (0..count).map(|index| {
        let name = if kind % 3 == 1 { format!("\"n{index}\" : ") } else { String::new() };
        let from = rest.len() * index / count.max(1);
        format!("{name}{}", spaced(rest.get(from..).unwrap_or_default(), next, depth - 1))
    });
    let inside = parts.collect::<Vec<_>>().join(" ,\n");
    if kind % 3 == 1 { format!("{{ {inside} }}") } else { format!("[ {inside} ]") }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_slots_can_be_taken_out_together(
        shape in proptest::collection::vec(any::<u8>(), 1..24),
        chosen in any::<u64>(),
    ) {
        let body = spaced(&shape, &mut 0, 4);
        let tape = json::parse(body.as_bytes()).unwrap();
        let mut all = Vec::new();
        slots(tape.root(), &mut all);
        let taken: Vec<&Slot> = all
            .iter()
            .enumerate()
            .filter(|(index, _)| chosen >> (index % 64) & 1 == 1)
            .map(|(_, slot)| slot)
            .collect();
        let kept = without(tape.root(), &taken);
        let bytes = Bytes::copy_from_slice(body.as_bytes());
        let after = splice(&bytes, removal(taken.iter().copied())).concat();
        let after: Result<Value, _> = serde_json::from_slice(&after);
        prop_assert_eq!(after.map_err(|error| error.to_string()), Ok(kept));
    }

    #[test]
    fn pieces_are_the_body_with_disjoint_edits_applied(
        body in "[a-z]{0,40}",
        cuts in proptest::collection::vec((any::<proptest::sample::Index>(), "[A-Z]{0,3}"), 0..8),
    ) {
        let mut places: Vec<(usize, String)> =
            cuts.into_iter().map(|(cut, with)| (cut.index(body.len() + 1), with)).collect();
        places.sort_by_key(|place| place.0);
        let edits: Vec<Edit> = places
            .chunks_exact(2)
            .map(|pair| Edit { span: pair[0].0..pair[1].0, with: pair[0].1.clone() })
            .collect();
        let mut wanted = body.clone();
        for edit in edits.iter().rev() {
            wanted.replace_range(edit.span.clone(), &edit.with);
        }
        let pieces = splice(&Bytes::copy_from_slice(body.as_bytes()), edits).concat();
        prop_assert_eq!(String::from_utf8(pieces).unwrap(), wanted);
    }

    #[test]
    fn nothing_that_an_edit_covers_comes_through(
        edits in proptest::collection::vec((0..50_usize, 0..20_usize, "[A-Z]{0,3}"), 0..10),
    ) {
        // Every byte of the body is its own character, so what survives can be told.
        let body: String = (0..50_u8).map(|at| char::from(b'\'' + at)).collect();
        let body = body.replace(|c: char| c.is_ascii_uppercase(), "~");
        let edits: Vec<Edit> = edits
            .into_iter()
            .map(|(start, length, with)| Edit { span: start..start + length, with })
            .collect();
        let covered = |at: usize| edits.iter().any(|edit| edit.span.contains(&at));
        let kept: String =
            body.chars().enumerate().filter(|(at, _)| !covered(*at)).map(|(_, c)| c).collect();
        let after = splice(&Bytes::copy_from_slice(body.as_bytes()), edits.clone()).concat();
        let mut after = String::from_utf8(after).unwrap();
        after.retain(|c| !c.is_ascii_uppercase());
        prop_assert_eq!(after, kept);
    }

    #[test]
    fn reading_anything_ends_and_spans_stay_inside(
        key in "(messages|input|prompt|system|tools|metadata|[a-z]{3})",
        shape in proptest::collection::vec(any::<u8>(), 1..24),
        dialect in 0..6_usize,
    ) {
        let dialect = [
            Dialect::OpenAiChat,
            Dialect::OpenAiCompletions,
            Dialect::OpenAiResponses,
            Dialect::OpenAiEmbeddings,
            Dialect::AnthropicMessages,
            Dialect::AnthropicCountTokens,
        ][dialect];
        let mut body = value!({"model": "m", "max_tokens": 1, "messages": [], "input": "x", "prompt": "y"});
        let noise = words(&shape, 5);
        body[key] = noise;
        let body = serde_json::to_vec(&body).unwrap();
        if let Ok(view) = read(dialect, &body) {
            for segment in &view.segments {
                let raw = std::str::from_utf8(&body[segment.span.clone()]).unwrap();
                prop_assert_eq!(&json::unescape(raw), &segment.text);
            }
            let after = splice(&Bytes::copy_from_slice(&body), view.strip.clone()).concat();
            prop_assert!(serde_json::from_slice::<Value>(&after).is_ok());
            let bound = removal(view.backend_bound.iter().map(|bound| &bound.slot));
            let after = splice(&Bytes::copy_from_slice(&body), bound).concat();
            prop_assert!(serde_json::from_slice::<Value>(&after).is_ok());
        }
    }
}

/// The value without the chosen members and elements.
fn without(parsed: json::Value<'_, '_>, taken: &[&Slot]) -> Value {
    let gone = |start: usize| taken.iter().any(|slot| slot.span.start == start);
    // An element and its first inner element never begin together: a bracket is between them.
    match parsed.kind() {
        json::Kind::Object => parsed
            .members()
            .filter(|(name, _)| !gone(name.outer().start))
            .map(|(name, member)| (name.text().into_owned(), without(member, taken)))
            .collect(),
        json::Kind::Array => parsed
            .elements()
            .filter(|element| !gone(element.outer().start))
            .map(|element| without(element, taken))
            .collect(),
        _ => serde_json::from_str(parsed.raw()).unwrap(),
    }
}

const WORDS: [&str; 24] = [
    "type",
    "role",
    "content",
    "text",
    "source",
    "data",
    "url",
    "image_url",
    "file",
    "file_id",
    "signature",
    "encrypted_content",
    "input",
    "arguments",
    "tool_calls",
    "function",
    "tools",
    "user_id",
    "cache_control",
    "reasoning",
    "thinking",
    "base64",
    "image",
    "parameters",
];

/// A value made of words of the protocols in the wrong places.
fn words(shape: &[u8], depth: u8) -> Value {
    let Some((&kind, rest)) = shape.split_first() else { return Value::Null };
    let word = |at: usize| WORDS[(usize::from(kind) + at * 7) % WORDS.len()];
    let part = |at: usize| words(rest.get(rest.len() * at / 4..).unwrap_or_default(), depth - 1);
    match (kind / 24) % 4 {
        _ if depth == 0 => word(0).into(),
        0 => word(0).into(),
        1 => u64::from(kind).pow(5).into(),
        2 => (0..usize::from(kind % 4)).map(part).collect(),
        _ => (0..usize::from(kind % 5)).map(|at| (word(at).to_owned(), part(at))).collect(),
    }
}
