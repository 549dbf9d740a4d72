//! A real model behind the router, in each dialect that its server speaks, and masked values through a real answer.

use openshell_tests::{
    clients::installed,
    dialect::{DIALECTS, Dialect},
    foreign::LlamaServer,
    http::Ask,
    text::EMAIL,
    world::{Backend, Config, World},
};
use serde_json::json;

const KEY: &str = "sk-backend-llama-1";

fn stage(provider: &str) -> Option<(LlamaServer, World)> {
    let [llama] = installed(["llama"])?;
    let server = LlamaServer::start(&llama, KEY);
    let backend =
        Backend::new("llama", &server.url()).provider(provider).credential(KEY).model("smollm2");
    let world =
        Config::new([backend]).section("timeouts: {first_byte: 60s, idle: 60s, total: 5m}").start();
    Some((server, world))
}

fn ask(dialect: Dialect, prompt: &str, stream: bool) -> serde_json::Value {
    let mut body = dialect.ask(prompt, stream);
    body["temperature"] = json!(0);
    body[if dialect == Dialect::Responses { "max_output_tokens" } else { "max_tokens" }] =
        json!(24);
    body
}

#[test]
fn answers_in_every_dialect() {
    for provider in DIALECTS.map(Dialect::provider) {
        let Some((_server, world)) = stage(provider) else { return };
        for dialect in DIALECTS {
            for stream in [false, true] {
                let body = ask(
                    dialect,
                    "What is the capital of France? Answer in one short sentence.",
                    stream,
                );
                let reply = Ask::post(dialect.target(), &body)
                    .header("authorization", "Bearer wrong")
                    .send(world.address());
                let reply = reply.expect(200);
                let text = dialect.text(&reply);
                assert!(
                    text.contains("Paris"),
                    "{provider} {dialect:?} {stream}: {}",
                    reply.text()
                );
                if stream {
                    assert_eq!(dialect.events_ended(&reply), 1, "{}", reply.text());
                }
            }
        }
    }
}

#[test]
fn its_usage_is_counted() {
    let Some((_server, world)) = stage("llamacpp") else { return };
    let usage = world
        .post("/v1/chat/completions", &ask(Dialect::Chat, "Say hello.", false))
        .expect(200)
        .json();
    assert!(
        usage["usage"]["completion_tokens"]
            .as_u64()
            .is_some_and(|tokens| (1..=24).contains(&tokens)),
        "{usage}"
    );
}

#[test]
fn a_masked_prompt_gives_no_unrestored_answer() {
    let Some([llama]) = installed(["llama"]) else { return };
    let server = LlamaServer::start(&llama, KEY);
    let world = Config::new([Backend::new("llama", &server.url())
        .zone("public")
        .credential(KEY)
        .model("smollm2")])
    .sensitivity(["public", "public", "private", "local"], &[("pii/*", "confidential", "redact")])
    .start();
    let prompt = format!("Repeat this address exactly, nothing else: {EMAIL}");
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &ask(dialect, &prompt, true)).expect(200);
        assert!(reply.header("x-openshell-sensitivity").is_some());
        let log = world.log();
        assert!(!log.contains(EMAIL), "the log holds the address");
        assert_eq!(dialect.events_ended(&reply), 1, "{}", reply.text());
    }
}
