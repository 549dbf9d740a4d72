//! Promise: a caller's credential never reaches an upstream.

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Ask,
    text::assert_absent,
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config},
};

/// What a caller's secret looks like in this file; no other part of a request holds it.
const SECRET: &str = "caller-secret-7fQ2";

/// Headers in which callers of any dialect carry secrets or identify themselves.
const HEADERS: &[&str] = &[
    "Authorization",
    "authorization",
    "Proxy-Authorization",
    "x-api-key",
    "X-API-KEY",
    "api-key",
    "x-goog-api-key",
    "x-goog-user-project",
    "x-amz-security-token",
    "x-amz-date",
    "cookie",
    "openai-organization",
    "openai-project",
    "anthropic-workspace-id",
    "chatgpt-account-id",
    "x-forwarded-for",
    "forwarded",
    "via",
    "x-real-ip",
    "x-claude-code-session-id",
    "x-codex-turn-metadata",
    "session_id",
    "x-stainless-os",
    "user-agent",
    "http-referer",
    "x-client-request-id",
    "x-unheard-of",
];

fn config(upstream: &ScriptedUpstream, provider: &str) -> Config {
    let backend = Backend::new("only", &upstream.url())
        .provider(provider)
        .credential("backend-secret-1")
        .model("m");
    Config::new([backend])
}

#[test]
fn in_no_header_and_no_dialect() {
    for provider in DIALECTS.map(Dialect::provider) {
        let upstream = echo::upstream(Cut::NONE);
        let world = config(&upstream, provider).start();
        for dialect in DIALECTS {
            for stream in [false, true] {
                let mut ask = Ask::post(dialect.target(), &dialect.ask("hello", stream));
                for name in HEADERS {
                    ask = ask.header(name, SECRET);
                }
                let _reply = ask.send(world.address()).expect(200);
            }
        }
        let seen = upstream.seen();
        assert_eq!(seen.len(), 6);
        for seen in seen {
            assert_absent(SECRET, &seen.everything(), "what the upstream got");
            let key = seen.header("authorization").or(seen.header("x-api-key")).unwrap_or_default();
            assert!(key.ends_with("backend-secret-1"), "{provider}: {:?}", seen.headers);
        }
    }
}

#[test]
fn in_no_query_and_no_header_that_connection_names() {
    let upstream = echo::upstream(Cut::NONE);
    let world = config(&upstream, "anthropic").start();
    let target =
        format!("/v1/messages?beta=true&key={SECRET}&api_key={SECRET}&access_token={SECRET}");
    let ask = Ask::post(&target, &Dialect::Messages.ask("hello", false)).header("x-hop", SECRET);
    let _reply = ask.header("connection", "x-hop").send(world.address()).expect(200);
    assert_absent(SECRET, &upstream.only().everything(), "what the upstream got");
}

#[test]
fn in_no_retry_and_no_fallback() {
    let broken = ScriptedUpstream::always(openshell_tests::script::Script::json(
        503,
        &wire::error("down", "server_error"),
    ));
    let healthy = echo::upstream(Cut::NONE);
    let world = Config::new([
        Backend::new("first", &broken.url()).credential("first-key").priced("a", 1.0, 1.0),
        Backend::new("second", &healthy.url()).credential("second-key").priced("b", 9.0, 9.0),
    ])
    .start();
    let ask = Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hello", false));
    let ask = ask.header("authorization", &format!("Bearer {SECRET}"));
    let reply = ask.send(world.address()).expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("second/b"));
    for (seen, own, other) in
        [(broken.seen(), "first-key", "second-key"), (healthy.seen(), "second-key", "first-key")]
    {
        assert!(!seen.is_empty());
        for seen in seen {
            assert_absent(SECRET, &seen.everything(), "what an upstream got");
            assert_absent(other, &seen.everything(), "what an upstream got");
            assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {own}")));
        }
    }
}

#[test]
fn not_even_as_an_identity_in_the_body() {
    let upstream = echo::upstream(Cut::NONE);
    let world = config(&upstream, "anthropic").start();
    let mut body = Dialect::Messages.ask("hello", false);
    body["metadata"] = serde_json::json!({"user_id": format!("user_{SECRET}_account")});
    let _reply = world.post("/v1/messages", &body).expect(200);
    assert_absent(SECRET, &upstream.only().everything(), "what the upstream got");
}
