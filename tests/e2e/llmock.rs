//! A mock that breaks on purpose and judges how its client takes it: its judgement of the router must be clean.
//!
//! It sees attempts, not answers. What the router does with a stream that breaks after its first word, where nothing
//! may be repeated, is in `every_stream_ends_once.rs`.

use openshell_tests::{
    clients::installed,
    dialect::Dialect,
    foreign::Llmock,
    world::{Backend, Config, World},
};
use serde_json::{Value, json};

fn stage() -> Option<(Llmock, World)> {
    let [client] = installed(["llmock"])?;
    let mock = Llmock::start(&client);
    let world =
        Config::new([Backend::new("mock", &mock.url()).credential("sk-any").model("gpt-4o")])
            .section("timeouts: {connect: 2s, first_byte: 2s, idle: 2s, total: 30s}")
            .start();
    Some((mock, world))
}

/// Plans faults, asks a few times, and gives the judgement.
fn judged(faults: &Value, asks: usize, stream: bool) -> Option<(Value, Vec<u16>)> {
    let (mock, world) = stage()?;
    mock.plan(faults);
    let ask = |number: usize| Dialect::Chat.ask(&format!("request {number}"), stream);
    let statuses =
        (0..asks).map(|number| world.post("/v1/chat/completions", &ask(number)).status).collect();
    let report = mock.report(&["--url", &mock.url(), "--json"]);
    let verdict: Value = serde_json::from_str(&report.stdout)
        .unwrap_or_else(|error| panic!("no verdict ({error}): {}", report.said()));
    assert_eq!(verdict["passed"], true, "{verdict:#}");
    Some((verdict, statuses))
}

#[test]
fn without_faults() {
    let Some((verdict, statuses)) = judged(&json!([{"type": "reply", "text": "hello"}]), 3, false)
    else {
        return;
    };
    assert_eq!(statuses, [200, 200, 200]);
    assert_eq!(verdict["attempts"], 3, "{verdict:#}");
}

#[test]
fn a_limit_is_respected() {
    let faults = json!([{"type": "fail", "status": 429, "retry_after": 1.0, "times": 1}]);
    let Some((verdict, _)) = judged(&faults, 2, false) else { return };
    assert!(verdict["faults_injected"].as_u64() >= Some(1), "{verdict:#}");
}

#[test]
fn an_error_of_the_caller_is_not_repeated() {
    let faults = json!([
        {"type": "fail", "status": 400, "times": 1}, {"type": "fail", "status": 422, "times": 1},
        {"type": "fail", "status": 404, "times": 1}, {"type": "fail", "status": 401, "times": 1}]);
    let Some((verdict, statuses)) = judged(&faults, 4, false) else { return };
    assert_eq!(verdict["attempts"], 4, "{verdict:#}");
    assert!(statuses.iter().all(|status| *status >= 400), "{statuses:?}");
}

#[test]
fn a_failing_server_sees_no_storm() {
    let faults = json!([{"type": "fail", "status": 500, "times": 3}, {"type": "fail", "status": 503, "times": 3}]);
    let Some((verdict, _)) = judged(&faults, 4, true) else { return };
    assert!(verdict["attempts"].as_u64() <= Some(16), "{verdict:#}");
}

#[test]
fn a_stall_is_given_up() {
    let faults =
        json!([{"type": "stream_fault", "kind": "stall", "after_chunks": 0, "stall_seconds": 8.0}]);
    let Some((verdict, _)) = judged(&faults, 1, true) else { return };
    let codes: Vec<&str> =
        verdict["findings"].as_array().unwrap().iter().filter_map(|f| f["code"].as_str()).collect();
    assert!(!codes.contains(&"no_read_timeout"), "{verdict:#}");
}
