//! Promise: a placeholder never reaches the caller unrestored, and an original value never reaches a backend that may
//! not see it, for every way of cutting the stream.

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Reply,
    text::{EMAIL, OTHER_EMAIL, PHONE, assert_absent},
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config, World},
};
use serde_json::{Value, json};

const CEILINGS: [&str; 4] = ["public", "public", "private", "local"];
const MASKED: &[(&str, &str, &str)] =
    &[("pii/*", "confidential", "redact"), ("term/*", "confidential", "redact")];

fn world(speaks: Dialect, cut: Cut) -> (World, ScriptedUpstream) {
    let upstream = echo::upstream(cut);
    let backend = Backend::new("cloud", &upstream.url()).speaks(speaks).zone("public").model("m");
    let world = Config::new([backend]).sensitivity(CEILINGS, MASKED).start();
    (world, upstream)
}

fn prompt() -> String {
    format!("write to {EMAIL} and copy {OTHER_EMAIL}, or call {PHONE}")
}

/// The caller has its own words back, and no mark of ours.
fn assert_restored(dialect: Dialect, reply: &Reply, words: &str) {
    assert_eq!(dialect.text(reply), format!("you said: {words}"));
    assert_absent("<EMAIL_", &reply.everything(), "the answer");
}

fn assert_hidden(upstream: &ScriptedUpstream) {
    for seen in upstream.seen() {
        for value in [EMAIL, OTHER_EMAIL, PHONE] {
            assert_absent(value, &seen.everything(), "what the upstream got");
        }
    }
}

#[test]
fn in_whole_answers_between_all_dialects() {
    for speaks in DIALECTS {
        let (world, upstream) = world(speaks, Cut::NONE);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask(&prompt(), false)).expect(200);
            assert_restored(dialect, &reply, &prompt());
        }
        assert_hidden(&upstream);
    }
}

#[test]
fn in_streams_for_every_size_of_delta() {
    for delta in (1..=32).chain([64, 1000]) {
        let (world, upstream) = world(Dialect::Chat, Cut { delta, write: 0 });
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask(&prompt(), true)).expect(200);
            assert_restored(dialect, &reply, &prompt());
        }
        assert_hidden(&upstream);
    }
}

#[test]
fn in_streams_for_every_size_of_write() {
    for write in [1, 2, 3, 5, 7, 11, 13, 64, 257, 1400] {
        for speaks in DIALECTS {
            let (world, upstream) = world(speaks, Cut { delta: 3, write });
            for dialect in DIALECTS {
                let reply = world.post(dialect.target(), &dialect.ask(&prompt(), true)).expect(200);
                assert_restored(dialect, &reply, &prompt());
            }
            assert_hidden(&upstream);
        }
    }
}

fn with_tool(stream: bool, words: &str) -> Value {
    let mut body = Dialect::Chat.ask(words, stream);
    body["tools"] = json!([{"type": "function", "function": {"name": "note", "description": "takes a note",
        "parameters": {"type": "object", "properties": {"said": {"type": "string"}}}}}]);
    body
}

#[test]
fn in_the_arguments_of_tools() {
    for delta in [1, 2, 5, 9, 40, 1000] {
        let (world, upstream) = world(Dialect::Chat, Cut { delta, write: 0 });
        let reply = world.post("/v1/chat/completions", &with_tool(true, &prompt())).expect(200);
        let arguments: Value =
            serde_json::from_str(&wire::chat_arguments(&reply.events())).unwrap();
        assert_eq!(arguments["said"], prompt());
        let reply = world.post("/v1/chat/completions", &with_tool(false, &prompt())).expect(200);
        let arguments =
            reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].clone();
        let arguments: Value = serde_json::from_str(arguments.as_str().unwrap()).unwrap();
        assert_eq!(arguments["said"], prompt());
        assert_hidden(&upstream);
    }
}

#[test]
fn with_the_escapes_that_json_needs() {
    let value = "Quote \"Q\" & Back\\slash GmbH";
    for (delta, stream) in [(1, true), (7, true), (1000, true), (1000, false)] {
        let upstream = echo::upstream(Cut { delta, write: 0 });
        let terms = format!(
            "  terms:\n    client: {{any: [{}]}}\n",
            json!("Quote \"Q\" & Back\\\\slash GmbH")
        );
        let labels = "  labels:\n    \"term/client\": {level: confidential, action: redact}\n";
        let world = Config::new([Backend::new("cloud", &upstream.url()).zone("public").model("m")])
            .section(&format!("sensitivity:\n{labels}{terms}"))
            .start();
        let words = format!("the client is {value}, remember it");
        let reply = world.post("/v1/chat/completions", &with_tool(stream, &words)).expect(200);
        let arguments = if stream {
            wire::chat_arguments(&reply.events())
        } else {
            let call =
                reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
                    .clone();
            call.as_str().unwrap().to_owned()
        };
        let arguments: Value = serde_json::from_str(&arguments).unwrap();
        assert_eq!(arguments["said"], words);
        assert_absent("GmbH", &upstream.only().body, "what the upstream got");
    }
}

#[test]
fn what_somebody_typed_is_not_restored() {
    let (world, _upstream) = world(Dialect::Chat, Cut::NONE);
    let typed = format!("is <EMAIL_1_abc> a mark? ask {EMAIL}");
    let reply = world.chat(&typed).expect(200);
    let text = Dialect::Chat.text(&reply);
    assert!(text.contains("<EMAIL_1_abc>"), "{text}");
    assert_eq!(text.matches(EMAIL).count(), 1, "{text}");
}

#[test]
fn a_value_keeps_its_placeholder_over_the_turns() {
    let (world, upstream) = world(Dialect::Chat, Cut::NONE);
    let first = format!("mail {EMAIL}");
    let _ = world.chat(&first).expect(200);
    let body = json!({"model": "auto", "messages": [
        {"role": "user", "content": first},
        {"role": "assistant", "content": format!("I wrote to {EMAIL}")},
        {"role": "user", "content": format!("now {OTHER_EMAIL}, then {EMAIL} again")}]});
    let _ = world.post("/v1/chat/completions", &body).expect(200);
    let seen = upstream.seen();
    let [before, after] = seen.as_slice() else { panic!("{} requests", seen.len()) };
    let (before, after) = (before.json(), after.json());
    assert_eq!(
        before["messages"][0], after["messages"][0],
        "a provider's prompt cache needs the same bytes"
    );
    let mark = |text: &Value| {
        let text = text.as_str().unwrap_or_default();
        let from = text.find("<EMAIL_").expect("a placeholder");
        text.get(from..)
            .unwrap_or_default()
            .split_inclusive('>')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let first = mark(&after["messages"][0]["content"]);
    assert_eq!(mark(&after["messages"][1]["content"]), first);
    let last = after["messages"][2]["content"].as_str().unwrap();
    assert!(last.contains(&first), "{last}");
    assert_ne!(
        mark(&after["messages"][2]["content"]),
        first,
        "another value has another placeholder: {last}"
    );
}

#[test]
fn a_backend_that_may_see_it_gets_the_original() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("here", &upstream.url()).zone("local").model("m")])
        .sensitivity(CEILINGS, &[("pii/*", "confidential", "route")])
        .start();
    let reply = world.chat(&prompt()).expect(200);
    assert_eq!(Dialect::Chat.text(&reply), format!("you said: {}", prompt()));
    assert!(upstream.only().text().contains(EMAIL));
}
