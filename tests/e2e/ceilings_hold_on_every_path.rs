//! Promise: a request above a zone's ceiling never leaves for that zone: not by retry, fallback, probe, cache or count.

use std::time::Duration;

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Ask,
    script::{Script, Step},
    text::{self, assert_absent},
    upstream::{ScriptedUpstream, dead_address},
    wire,
    world::{Backend, Config},
};
use serde_json::{Value, json};

/// Cards stay on this machine and are not masked: the hard case, because the text itself must not leave.
const CARDS_STAY: &[(&str, &str, &str)] =
    &[("payment/*", "restricted", "route"), ("pii/*", "confidential", "route")];
const CEILINGS: [&str; 4] = ["public", "public", "private", "local"];

/// A cheap public backend that tempts, and a dear local one.
fn config(local: &str, public: &ScriptedUpstream) -> Config {
    Config::new([
        Backend::new("here", local).zone("local").priced("small", 50.0, 50.0),
        Backend::new("cloud", &public.url()).zone("public").priced("big", 0.01, 0.01),
    ])
    .sensitivity(CEILINGS, CARDS_STAY)
    .section("timeouts: {connect: 1s, first_byte: 1s, idle: 1s, total: 5s}")
}

fn prompt() -> String {
    format!("please charge {} for the order", text::CARD)
}

#[test]
fn a_harmless_request_takes_the_cheap_cloud() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    let reply = world.chat("how much is two and two?").expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("cloud/big"));
    assert_eq!(local.count(), 0);
}

#[test]
fn a_sensitive_request_stays_in_every_dialect() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    for dialect in DIALECTS {
        for stream in [false, true] {
            let reply = world.post(dialect.target(), &dialect.ask(&prompt(), stream)).expect(200);
            assert_eq!(reply.header("x-openshell-route"), Some("here/small"));
            assert_eq!(reply.header("x-openshell-sensitivity"), Some("restricted"));
        }
    }
    assert_eq!(public.count(), 0);
}

#[test]
fn nothing_fails_over_to_a_wider_zone() {
    let down = |status| Script::json(status, &wire::error("down", "server_error"));
    let failing = vec![
        ("server error", down(500)),
        ("unavailable", down(503)),
        ("limited", wire::rate_limited(1)),
        ("refused key", down(401)),
        ("silent", Script::raw(vec![Step::Stall])),
        ("closing", Script::raw(vec![Step::Close])),
        (
            "garbage",
            Script::raw(vec![Step::Send(b"\x00\x01 no http\r\n\r\n".to_vec()), Step::Close]),
        ),
        (
            "a page",
            Script::whole(200, &[("content-type", "text/html")], b"<html>maintenance</html>"),
        ),
    ];
    for (name, script) in failing {
        let (local, public) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
        let world = config(&local.url(), &public).start();
        for dialect in DIALECTS {
            for stream in [false, true] {
                let reply = world.post(dialect.target(), &dialect.ask(&prompt(), stream));
                let failed = reply.status >= 400
                    || reply.events().iter().any(|event| dialect.is_error(event));
                assert!(failed, "{name}: {}", reply.text());
            }
        }
        assert_eq!(public.count(), 0, "{name}");
        assert_absent(text::CARD, &world.traces(), "log, audit or metrics");
    }
}

#[test]
fn a_dead_local_backend_is_an_error_that_says_why() {
    let public = echo::upstream(Cut::NONE);
    let world = config(&format!("http://{}", dead_address()), &public).start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask(&prompt(), false));
        assert!(reply.status >= 400);
        let message = dialect.error_message(&reply);
        assert!(message.len() > 20, "an error helps its reader: {message}");
        assert_absent(text::CARD, message.as_bytes(), "the error");
    }
    assert_eq!(public.count(), 0);
}

#[test]
fn without_any_local_backend_the_request_is_refused() {
    let public = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("cloud", &public.url()).zone("public").model("big")])
        .sensitivity(CEILINGS, CARDS_STAY)
        .start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask(&prompt(), false));
        assert!((400..500).contains(&reply.status), "{}", reply.status);
        let message = dialect.error_message(&reply).to_lowercase();
        assert!(message.contains("local") || message.contains("restricted"), "{message}");
    }
    assert_eq!(public.count(), 0);
}

#[test]
fn counting_and_embedding_are_bound_too() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    let messages = json!({"model": "auto", "messages": [{"role": "user", "content": prompt()}]});
    let _ = world.post("/v1/messages/count_tokens", &messages);
    let _ = world.post("/v1/embeddings", &json!({"model": "auto", "input": prompt()}));
    let _ = world
        .post("/v1/completions", &json!({"model": "auto", "prompt": prompt(), "max_tokens": 5}));
    assert_eq!(public.count(), 0);
}

#[test]
fn asking_for_a_public_model_by_name_does_not_help() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    for model in ["big", "cloud/big"] {
        let mut body = Dialect::Chat.ask(&prompt(), false);
        body["model"] = json!(model);
        let _ = world.post("/v1/chat/completions", &body);
    }
    assert_eq!(public.count(), 0);
}

/// Where in a request the card may hide.
fn hiding_places() -> Vec<(&'static str, Value)> {
    let card = text::CARD;
    let user = |content: Value| json!({"model": "auto", "messages": [{"role": "user", "content": content}]});
    let percent: String = card.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let spaced: String = card.chars().flat_map(|letter| [letter, '\u{200b}']).collect();
    let base64 = text::base64(format!("card number: {card} end").as_bytes());
    vec![
        ("percent-encoded", user(json!(format!("decode {percent} please")))),
        ("with zero-width spaces", user(json!(format!("charge {spaced}")))),
        ("in base64", user(json!(format!("decode {base64}")))),
        (
            "in a part",
            user(json!([{"type": "text", "text": "hi"}, {"type": "text", "text": card}])),
        ),
        (
            "in an earlier turn",
            json!({"model": "auto", "messages": [
            {"role": "user", "content": card}, {"role": "assistant", "content": "noted"},
            {"role": "user", "content": "thanks"}]}),
        ),
        (
            "in a tool's answer",
            json!({"model": "auto", "messages": [
            {"role": "user", "content": "read the file"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "read", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": card}]}),
        ),
        (
            "in arguments",
            json!({"model": "auto", "messages": [
            {"role": "user", "content": "read the file"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "pay", "arguments": json!({"card": card}).to_string()}}]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"}]}),
        ),
        (
            "in the system prompt",
            json!({"model": "auto", "messages": [
            {"role": "system", "content": format!("the card is {card}")}, {"role": "user", "content": "hi"}]}),
        ),
        (
            "in a tool's description",
            json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "pay", "description": format!("uses {card}"),
                "parameters": {"type": "object", "properties": {}}}}]}),
        ),
        (
            "in an unknown field",
            json!({"model": "auto", "messages": [{"role": "user", "content": "hi"}],
            "x_notes": format!("card {card}")}),
        ),
    ]
}

#[test]
fn what_hides_is_found() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    for (place, body) in hiding_places() {
        let before = public.count();
        let reply = world.post("/v1/chat/completions", &body);
        assert_eq!(public.count(), before, "{place}: {}", reply.text());
    }
}

#[test]
fn json_escapes_hide_nothing() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    let escaped: String =
        text::CARD.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    let body = format!(
        "{{\"model\":\"auto\",\"messages\":[{{\"role\":\"user\",\"content\":\"{escaped}\"}}]}}"
    );
    let ask = Ask::new("POST", "/v1/chat/completions")
        .header("content-type", "application/json")
        .body(body);
    let _ = ask.send(world.address());
    assert_eq!(public.count(), 0);
}

#[test]
fn an_idle_router_sends_nothing_anywhere() {
    let (local, public) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = config(&local.url(), &public).start();
    let _ = world.post("/v1/chat/completions", &Dialect::Chat.ask(&prompt(), false)).expect(200);
    std::thread::park_timeout(Duration::from_millis(300));
    for seen in public.seen() {
        assert!(seen.body.is_empty(), "a probe carries no content: {}", seen.text());
    }
}
