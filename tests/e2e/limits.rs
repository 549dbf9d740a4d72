//! Limits that an operator sets: time, money, and what a model can hold. Each is real, and each says which it was.

use std::time::Duration;

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    script::{Script, Step},
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config},
};
use serde_json::json;

#[test]
fn a_stream_that_falls_silent_ends_after_the_idle_time() {
    let script = Script::events(&wire::chat_events(&["one", "two"])).then(3, Step::Stall);
    let upstream = ScriptedUpstream::always(script);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")])
        .section("timeouts: {connect: 1s, first_byte: 10s, idle: 1s, total: 60s}")
        .start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask("hi", true)).expect(200);
        assert!(
            reply.took > Duration::from_millis(800) && reply.took < Duration::from_secs(5),
            "{:?}",
            reply.took
        );
        assert!(reply.events().iter().any(|event| dialect.is_error(event)), "{}", reply.text());
    }
}

#[test]
fn a_stream_that_never_ends_ends_after_the_total_time() {
    let words: Vec<&str> = std::iter::repeat_n("word ", 500).collect();
    let script = Script::events(&wire::chat_events(&words)).paced(Duration::from_millis(50));
    let upstream = ScriptedUpstream::always(script);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")])
        .section("timeouts: {connect: 1s, first_byte: 2s, idle: 2s, total: 3s}")
        .start();
    let reply = world.post("/v1/messages", &Dialect::Messages.ask("hi", true)).expect(200);
    assert!(
        reply.took > Duration::from_secs(2) && reply.took < Duration::from_secs(8),
        "{:?}",
        reply.took
    );
    assert!(reply.events().iter().any(|event| Dialect::Messages.is_error(event)));
}

#[test]
fn a_spent_budget_blocks_with_a_reason() {
    let upstream = echo::upstream(Cut::NONE);
    // 11 tokens in and 7 out at these prices cost 0.18 USD each.
    let world =
        Config::new([Backend::new("only", &upstream.url()).priced("m", 10_000.0, 10_000.0)])
            .section("budgets:\n  - {scope: sandbox, limit_usd: 0.5, per: day, on_exceed: block}")
            .start();
    let mut body = Dialect::Chat.ask("hello", false);
    body["max_tokens"] = json!(7);
    let statuses: Vec<u16> =
        (0..8).map(|_| world.post("/v1/chat/completions", &body).status).collect();
    assert_eq!(statuses.first(), Some(&200), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() <= 4, "{statuses:?}");
    let reply = world.post("/v1/chat/completions", &body);
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    assert!(Dialect::Chat.error_message(&reply).contains("budget"), "{}", reply.text());
}

#[test]
fn a_spent_budget_moves_to_what_is_free() {
    let (dear, free) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = Config::new([
        Backend::new("dear", &dear.url()).model_with(
            "good",
            "quality: 90, price: {input: 10000, cached_input: 10000, output: 10000}",
        ),
        Backend::new("free", &free.url())
            .model_with("plain", "quality: 20, price: {input: 0, cached_input: 0, output: 0}"),
    ])
    .section("aliases:\n  smart: {min_quality: 80}\n  auto: {}")
    .section("budgets:\n  - {scope: sandbox, limit_usd: 0.3, per: day, on_exceed: downgrade}")
    .start();
    let mut body = Dialect::Chat.ask("hello", false);
    body["model"] = json!("smart");
    body["max_tokens"] = json!(7);
    for _ in 0..6 {
        let _ = world.post("/v1/chat/completions", &body).expect(200);
    }
    assert!(dear.count() >= 1 && free.count() >= 2, "dear {}, free {}", dear.count(), free.count());
}

#[test]
fn a_conversation_goes_where_it_fits() {
    let (small, large) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let yaml = format!(
        "version: 1\nbackends:\n  - {{name: small, provider: openai-compatible, base_url: {}, zone: local, models: \
         [{{id: s, context: 512, quality: 50, price: {{input: 0, cached_input: 0, output: 0}}}}]}}\n  - {{name: large, \
         provider: openai-compatible, base_url: {}, zone: local, models: [{{id: l, context: 200000, quality: 50, \
         price: {{input: 3, cached_input: 1, output: 3}}}}]}}\n",
        small.url(),
        large.url()
    );
    let world = Config::new([Backend::new("small", &small.url()).model("s")]).start();
    world.write_file(&yaml);
    world.hang_up();
    openshell_tests::wait::until(
        "the large model to be known",
        openshell_tests::wait::LONG,
        || {
            (world.chat(&"many words ".repeat(2000)).header("x-openshell-route") == Some("large/l"))
                .then_some(())
        },
    );
    let mut body = Dialect::Chat.ask("hello", false);
    body["max_tokens"] = json!(50);
    let reply = world.post("/v1/chat/completions", &body).expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("small/s"));
}

#[test]
fn what_fits_nowhere_is_refused_with_the_sizes() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    let reply = world.chat(&"many different words ".repeat(100_000));
    assert!((400..500).contains(&reply.status), "{}", reply.status);
    let message = Dialect::Chat.error_message(&reply);
    assert!(message.contains("128000") || message.contains("context"), "{message}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn many_callers_at_once_all_get_their_own_answer() {
    let upstream = echo::upstream(Cut { delta: 3, write: 0 });
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    std::thread::scope(|scope| {
        for caller in 0..40 {
            let world = &world;
            scope.spawn(move || {
                for turn in 0..3 {
                    let dialect = DIALECTS[(caller + turn) % 3];
                    let words = format!("caller {caller} turn {turn}");
                    let reply = world
                        .post(dialect.target(), &dialect.ask(&words, turn % 2 == 0))
                        .expect(200);
                    assert_eq!(dialect.text(&reply), format!("you said: {words}"));
                }
            });
        }
    });
}
