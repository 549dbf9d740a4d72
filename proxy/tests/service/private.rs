//! What a backend sees of a prompt, and what the caller sees of the answer.

use std::time::Duration;

use crate::support::{Reply, Upstream, World, config, json, post, prompt, stream};

const MAIL: &str = "ada.lovelace@analytical-engines.org";

/// The last thing that looks like a placeholder in a body.
fn placeholder(body: &str) -> String {
    let (_, rest) = body.split_once('<').unwrap();
    let (inside, _) = rest.split_once('>').unwrap();
    format!("<{inside}>")
}

/// Answers with what it was sent in place of the mail address.
fn echo(_: &str, body: &[u8]) -> Reply {
    let body = String::from_utf8(body.to_vec()).unwrap();
    let said = placeholder(&body);
    if body.contains("\"stream\":true") {
        let head = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":";
        let delta = |text: &str| {
            format!("{head}{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n")
        };
        let (one, two) = said.split_at(4);
        let end = format!("{head}{{}},\"finish_reason\":\"stop\"}}]}}\n\n");
        let usage = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}\n\n";
        let chunks = [&delta(&format!("to {one}")), &delta(two), &end, usage, "data: [DONE]\n\n"];
        return stream(&chunks, Duration::ZERO, true);
    }
    json(
        200,
        "",
        &format!(
            "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"to {said}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}}}"
        ),
    )
}

#[test]
fn a_mail_address_is_hidden_from_the_backend_and_restored_for_the_caller() {
    let upstream = Upstream::start(echo);
    let world = World::start(&config(&[&upstream], ""));
    for more in ["", ",\"stream\":true"] {
        let (head, body) = world.chat(&prompt(&format!("write to {MAIL}"), more));
        assert!(head.starts_with("HTTP/1.1 200"), "{head} {body}");
        assert!(body.contains("to ") && body.contains(MAIL), "{body}");
        assert!(!body.contains("<EMAIL"), "{body}");
    }
    for (_, body) in upstream.requests() {
        let body = String::from_utf8(body).unwrap();
        assert!(!body.contains(MAIL) && body.contains("<EMAIL"), "{body}");
    }
    for line in world.audit() {
        let text = line.to_string();
        assert!(!text.contains(MAIL) && text.contains("pii/email"), "{text}");
        assert_eq!(line.pointer("/unmapped/openshell/tokens/output").unwrap(), 4);
    }
}

#[test]
fn a_caller_of_another_dialect_is_answered_in_its_own() {
    let upstream = Upstream::start(echo);
    let world = World::start(&config(&[&upstream], ""));
    for stream in ["false", "true"] {
        let body = format!(
            "{{\"model\":\"m\",\"max_tokens\":50,\"stream\":{stream},\"messages\":[{{\"role\":\"user\",\"content\":\"write to {MAIL}\"}}]}}"
        );
        let (head, body) = world.send(post("/v1/messages", "x-api-key: c\r\n", &body).as_bytes());
        assert!(head.starts_with("HTTP/1.1 200"), "{head} {body}");
        assert!(body.contains(MAIL) && !body.contains("<EMAIL"), "{body}");
        let sign = if stream == "true" { "event: message_stop" } else { "\"type\":\"message\"" };
        assert!(body.contains(sign), "{body}");
    }
    for (head, _) in upstream.requests() {
        assert!(head.starts_with("POST /v1/chat/completions "), "{head}");
    }
}

#[test]
fn nothing_above_the_ceiling_leaves_whoever_fails() {
    let local = Upstream::start(|_, _| json(500, "", "{}"));
    let public = Upstream::start(|_, _| json(200, "", "{}"));
    let rules = "sensitivity:\n  terms: {falcon: {any: [\"Project Falcon\"]}}\n  labels: {\"term/falcon\": {level: restricted, action: route}}\n";
    let text = config(&[&local, &public], rules).replace("name: b1", "name: cloud");
    let (before, after) = text.split_once("name: cloud").unwrap();
    let text = format!("{before}name: cloud{}", after.replacen("zone: local", "zone: public", 1));
    let world = World::start(&text);
    let secret = prompt("what becomes of Project Falcon?", "");
    let (head, _) = world.chat(&secret);
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert_eq!((local.requests().len(), public.requests().len()), (1, 0));
    let (head, _) = world.chat(&prompt("hello there", ""));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(public.requests().len(), 1);
}

#[test]
fn tokens_are_counted_here_and_models_are_listed() {
    let upstream = Upstream::start(echo);
    let world = World::start(&config(&[&upstream], "aliases: {fast: {min_quality: 10}}\n"));
    let body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]}";
    let (head, body) = world.send(post("/v1/messages/count_tokens", "", body).as_bytes());
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("x-openshell-token-count"), "{head}");
    assert!(body.starts_with("{\"input_tokens\":"), "{body}");
    assert!(upstream.requests().is_empty());
    let get = |path: &str| world.send(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes());
    let (_, body) = get("/v1/models");
    assert!(body.contains("\"id\":\"m\"") && body.contains("\"id\":\"fast\""), "{body}");
    assert!(body.contains("\"zone\":\"local\""), "{body}");
    assert!(get("/v1/models/m").0.contains(" 200 ") && get("/v1/models/x").0.contains(" 404 "));
}

#[test]
fn a_refusal_is_recorded_with_what_was_found_and_without_content() {
    let upstream = Upstream::start(echo);
    let rules = "sensitivity:\n  terms: {falcon: {any: [\"Project Falcon\"]}}\n  labels: {\"term/falcon\": {level: restricted, action: block}}\n";
    let world = World::start(&config(&[&upstream], rules));
    let (head, body) = world.chat(&prompt("tell me about Project Falcon", ""));
    assert!(head.starts_with("HTTP/1.1 403") && body.contains("content_blocked"), "{head} {body}");
    assert!(upstream.requests().is_empty());
    let lines = world.audit();
    let own = lines[0].pointer("/unmapped/openshell").unwrap();
    assert_eq!(own.pointer("/labels/0/label").unwrap(), "term/falcon");
    assert_eq!(own.pointer("/sensitivity").unwrap(), "restricted");
    assert!(!lines[0].to_string().contains("Project"), "{}", lines[0]);
}
