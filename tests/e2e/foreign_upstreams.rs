//! The upstreams that others wrote are what the other files take them for: a mock that refuses a wrong key, a judge that
//! finds faults, a model that answers. Without this, a test behind them could pass for the wrong reason.

use openshell_tests::{
    clients::installed,
    dialect::{DIALECTS, Dialect},
    foreign::{Aimock, LlamaServer, Llmock, sdk_fixtures},
    http::Ask,
};
use serde_json::json;

fn address(url: &str) -> std::net::SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

#[test]
fn the_mock_opens_to_its_key_only() {
    let Some([aimock]) = installed(["aimock"]) else { return };
    let mock = Aimock::start(&aimock, "right", &sdk_fixtures());
    for dialect in DIALECTS {
        let mut body = dialect.ask("hello", true);
        body["model"] = json!("gpt-4o");
        for (key, status) in [("wrong", 401), ("right", 200)] {
            let ask = Ask::post(dialect.target(), &body)
                .header("authorization", &format!("Bearer {key}"));
            let reply = ask.send(address(&mock.url())).expect(status);
            if status == 200 {
                assert_eq!(dialect.text(&reply), "Good morning to you, too.");
            }
        }
    }
    assert!(mock.journal().to_string().contains("hello"));
}

#[test]
fn the_judge_finds_a_client_that_ignores_a_wait() {
    let Some([llmock]) = installed(["llmock"]) else { return };
    let mock = Llmock::start(&llmock);
    let faults = json!([{"type": "fail", "status": 429, "retry_after": 5.0, "times": 1}]);
    mock.plan(&faults);
    for _ in 0..2 {
        let mut body = Dialect::Chat.ask("hello", false);
        body["model"] = json!("gpt-4o");
        let _ = Ask::post("/v1/chat/completions", &body)
            .header("authorization", "Bearer k")
            .send(mock.address());
    }
    let report = mock.report(&["--url", &mock.url(), "--json"]).expect(1);
    assert!(report.stdout.contains("retry_after_ignored"), "{}", report.stdout);
}

#[test]
fn the_model_answers_to_its_key_only() {
    let Some([llama]) = installed(["llama"]) else { return };
    let server = LlamaServer::start(&llama, "right");
    let mut body = Dialect::Chat.ask("What is the capital of France?", false);
    body["max_tokens"] = json!(16);
    body["temperature"] = json!(0);
    for (key, status) in [("wrong", 401), ("right", 200)] {
        let ask = Ask::post("/v1/chat/completions", &body)
            .header("authorization", &format!("Bearer {key}"));
        let reply = ask.send(address(&server.url())).expect(status);
        // What a small model says is its own affair.
        assert!(status != 200 || !Dialect::Chat.text(&reply).is_empty(), "{}", reply.text());
    }
}
