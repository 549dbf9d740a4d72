//! Promise: a backend's credential never comes back to a caller, whatever the upstream does with it.

use openshell_tests::{
    dialect::DIALECTS,
    script::Script,
    text::assert_absent,
    upstream::{ScriptedUpstream, Seen},
    wire,
    world::{Backend, Config, World},
};

const KEY: &str = "sk-backend-9wX4mPq7Lr2TzB6v";

fn world(
    provider: &str,
    respond: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static,
) -> (World, ScriptedUpstream) {
    let upstream = ScriptedUpstream::start(respond);
    let backend =
        Backend::new("only", &upstream.url()).provider(provider).credential(KEY).model("m");
    (Config::new([backend]).start(), upstream)
}

/// What the upstream knows of us: the header with the key, whole.
fn reflected(seen: &Seen) -> String {
    let key = seen.header("authorization").or(seen.header("x-api-key")).unwrap_or_default();
    assert!(key.ends_with(KEY), "the upstream was not given its key");
    key.to_owned()
}

#[test]
fn not_in_an_answer() {
    for provider in ["openai-compatible", "anthropic"] {
        let (world, _upstream) = world(provider, |seen, _| {
            let text = format!("your key is {}", reflected(seen));
            let body = if seen.target.contains("messages") {
                wire::message(&text)
            } else {
                wire::chat(&text)
            };
            Script::json(200, &body)
        });
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hello", false));
            assert_absent(KEY, &reply.everything(), "the answer");
        }
        assert_absent(KEY, &world.traces(), "log, audit or metrics");
    }
}

#[test]
fn not_in_an_error() {
    for status in [400, 401, 403, 404, 429, 500] {
        let (world, _upstream) = world("openai-compatible", move |seen, _| {
            let message = format!("Incorrect API key provided: {}", reflected(seen));
            Script::json(status, &wire::error(&message, "invalid_api_key"))
        });
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hello", false));
            assert!(reply.status >= 400, "{}", reply.status);
            assert_absent(KEY, &reply.everything(), "the error");
        }
        assert_absent(KEY, &world.traces(), "log, audit or metrics");
    }
}

#[test]
fn not_in_a_header() {
    let (world, _upstream) = world("openai-compatible", |seen, _| {
        let key = reflected(seen);
        let headers = [
            ("content-type", "application/json"),
            ("x-echo", &*key),
            ("set-cookie", &*key),
            ("x-request-id", &*key),
        ];
        Script::whole(200, &headers, wire::chat("hello").to_string().as_bytes())
    });
    let reply = world.chat("hello").expect(200);
    assert_absent(KEY, &reply.everything(), "the answer");
}

#[test]
fn not_in_a_stream_however_it_is_cut() {
    for size in [1, 3, 7, 16, 64, 4096] {
        let (world, _upstream) = world("openai-compatible", move |seen, _| {
            let key = reflected(seen);
            let letters: Vec<String> = key.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            Script::events_cut(&wire::chat_events(&letters), size)
        });
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hello", true));
            assert_absent(KEY, &reply.everything(), "the stream");
            assert_absent(KEY, dialect.text(&reply).as_bytes(), "the text of the stream");
        }
    }
}

#[test]
fn not_in_what_an_operator_sees() {
    let (world, _upstream) =
        world("openai-compatible", |_, _| Script::json(200, &wire::chat("hello")));
    let _reply = world.chat("hello").expect(200);
    for target in ["/metrics", "/readyz", "/healthz", "/config", "/backends"] {
        let reply = openshell_tests::http::Ask::get(target).send(world.admin());
        assert_absent(KEY, &reply.everything(), target);
    }
    let models = openshell_tests::http::Ask::get("/v1/models").send(world.address()).expect(200);
    assert_absent(KEY, &models.everything(), "the list of models");
}
