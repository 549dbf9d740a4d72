//! Promise: content is never in logs, metrics, audit or error messages, at any log level and however a request ends.

use openshell_tests::{
    dialect::DIALECTS,
    echo::{self, Cut},
    http::Ask,
    script::{Script, Step},
    text::{EMAIL, assert_absent},
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config, World},
};

/// Words of the prompt and of the answer that stand nowhere else.
const ASKED: &str = "zebra-quilt-4417";
const ANSWERED: &str = "marmot-lantern-9923";

fn assert_silent(world: &World) {
    let traces = world.traces();
    for word in [ASKED, ANSWERED, EMAIL] {
        assert_absent(word, &traces, "log, audit, metrics or home");
    }
}

#[test]
fn whatever_an_upstream_does() {
    let answer = wire::chat(ANSWERED);
    let scripts = vec![
        ("answers", Script::json(200, &answer)),
        ("fails", Script::json(500, &wire::error(&format!("{ANSWERED} {ASKED}"), "server_error"))),
        (
            "refuses",
            Script::json(
                400,
                &wire::error(&format!("bad prompt: {ASKED}"), "invalid_request_error"),
            ),
        ),
        ("sends a page", Script::whole(200, &[("content-type", "text/html")], ANSWERED.as_bytes())),
        (
            "sends no JSON",
            Script::whole(200, &[("content-type", "application/json")], ANSWERED.as_bytes()),
        ),
        (
            "breaks a stream",
            Script::events(&wire::chat_events(&[ANSWERED, ASKED])).then(3, Step::Close),
        ),
        (
            "streams no JSON",
            Script::whole(
                200,
                &[("content-type", "text/event-stream")],
                format!("data: {{{ANSWERED}\n\n").as_bytes(),
            ),
        ),
    ];
    for (name, script) in scripts {
        let upstream = ScriptedUpstream::always(script);
        let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
        for dialect in DIALECTS {
            for stream in [false, true] {
                let _ =
                    world.post(dialect.target(), &dialect.ask(&format!("{ASKED} {EMAIL}"), stream));
            }
        }
        assert!(upstream.count() > 0, "{name}");
        assert_silent(&world);
    }
}

#[test]
fn whatever_a_caller_sends() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    let bodies = [
        format!(
            "{{\"model\": \"auto\", \"messages\": [{{\"role\": \"user\", \"content\": \"{ASKED}"
        ),
        format!("{{\"{ASKED}\": \"{ASKED}\"}}"),
        format!("{{\"model\": \"{ASKED}\", \"messages\": \"{ASKED}\"}}"),
        format!("{{\"model\": 7, \"messages\": [{{\"role\": \"{ASKED}\", \"content\": 7}}]}}"),
        ASKED.to_owned(),
    ];
    for body in bodies {
        for dialect in DIALECTS {
            let ask = Ask::new("POST", dialect.target()).header("content-type", "application/json");
            let _ = ask.header("x-note", ASKED).body(body.clone()).send(world.address());
        }
    }
    for target in
        [format!("/{ASKED}"), format!("/v1/{ASKED}?q={ASKED}"), format!("/v1/models?q={ASKED}")]
    {
        let _ = Ask::get(&target).send(world.address());
    }
    assert_silent(&world);
}

#[test]
fn what_was_found_is_named_by_its_kind_only() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).zone("public").model("m")])
        .sensitivity(
            ["public", "public", "private", "local"],
            &[("pii/*", "confidential", "redact")],
        )
        .start();
    let reply = world.chat(&format!("{ASKED}: write to {EMAIL}")).expect(200);
    let id =
        reply.header("x-openshell-request-id").expect("an answer names its request").to_owned();
    let events = world.wait_for_audit(1, |event| event.to_string().contains(&id));
    assert!(events[0].to_string().contains("pii/email"), "evidence is named: {}", events[0]);
    assert_silent(&world);
}

#[test]
fn an_error_does_not_repeat_what_was_asked() {
    let world = Config::new([Backend::new("cloud", "http://127.0.0.1:9")
        .zone("public")
        .model("m")])
    .sensitivity(["public", "public", "private", "local"], &[("pii/*", "restricted", "block")])
    .start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask(&format!("{ASKED} {EMAIL}"), false));
        assert!(reply.status >= 400);
        assert_absent(ASKED, &reply.everything(), "the error");
        assert_absent(EMAIL, &reply.everything(), "the error");
    }
    assert_silent(&world);
}
