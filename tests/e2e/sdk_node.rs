//! The JavaScript libraries of both dialects, against a mock that opens only to the backend's key.

use std::time::Duration;

use openshell_tests::{
    clients::installed,
    foreign::{Aimock, sdk_fixtures},
    process::run,
    world::{Backend, Config},
};

const KEY: &str = "sk-backend-node-1";

fn check(provider: &str, parts: &[&str]) {
    let Some([node, aimock]) = installed(["sdk-node", "aimock"]) else { return };
    let mock = Aimock::start(&aimock, KEY, &sdk_fixtures());
    let mut backend =
        Backend::new("mock", &mock.url()).provider(provider).credential(KEY).model("gpt-4o");
    if parts.contains(&"rest") {
        backend = backend.model("text-embedding-3-small");
    }
    let world = Config::new([backend]).start();
    let mut command = node.node("sdk_node.mjs");
    command.arg(world.url()).args(parts);
    let ended = run("sdk_node.mjs", &mut command, Duration::from_mins(2)).expect(0);
    assert!(ended.stdout.ends_with("all is well\n"), "{}", ended.stdout);
    assert!(!mock.journal().to_string().contains("caller-key"), "a caller's key reached the mock");
}

#[test]
fn with_a_backend_of_the_responses_dialect() {
    check("openai", &["chat", "responses", "rest", "messages"]);
}

#[test]
fn with_a_backend_of_the_chat_dialect() {
    check("openai-compatible", &["chat", "responses", "rest", "messages"]);
}

#[test]
fn with_a_backend_of_the_messages_dialect() {
    check("anthropic", &["chat", "responses", "messages"]);
}
