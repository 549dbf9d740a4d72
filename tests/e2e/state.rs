//! What has been spent outlives the router, however it ends.

use std::path::Path;

use openshell_tests::{
    dialect::Dialect,
    echo::{self, Cut},
    http::Ask,
    wait,
    world::{self, Backend, Config, World},
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// A router that may spend 0.5 USD a day for each caller, where each call costs 0.18, and that remembers in `state`.
fn thrifty(upstream: &str, state: &str) -> Config {
    Config::new([Backend::new("only", upstream).priced("m", 10_000.0, 10_000.0)])
        .section("budgets:\n  - {scope: sandbox, limit_usd: 0.5, per: day, on_exceed: block}")
        .flags(&["--state", state])
}

fn status(world: &World, key: &str) -> u16 {
    let mut body = Dialect::Chat.ask("hello", false);
    body["max_tokens"] = json!(7);
    let ask = Ask::post("/v1/chat/completions", &body);
    ask.header("authorization", &format!("Bearer {key}")).send(world.address()).status
}

/// Calls until the budget is spent; three calls are more than it allows.
fn spend_all(world: &World, key: &str) {
    let refused = (0..4).map(|_| status(world, key)).find(|status| *status != 200);
    assert!(refused.is_some_and(|status| (400..500).contains(&status)), "{key}: {refused:?}");
}

fn spend(world: &World) {
    spend_all(world, "sk-one");
    assert!((400..500).contains(&status(world, "sk-one")));
    assert_eq!(status(world, "sk-two"), 200, "each caller has a budget of its own");
}

/// How many callers the books know.
fn owners(books: &Path) -> usize {
    let books = std::fs::read(books).expect("books");
    let books: Value = serde_json::from_slice(&books).expect("whole books");
    books["spent"].as_array().expect("accounts").len()
}

#[test]
fn a_spent_budget_stays_spent_after_a_stop_and_after_a_kill() {
    let upstream = echo::upstream(Cut::NONE);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let state = folder.path().join("state");
    let config = thrifty(&upstream.url(), state.to_str().expect("a plain path"));

    let mut world = config.start();
    spend(&world);
    let _ = world.terminate().expect(0);

    let mut world = config.start();
    assert!((400..500).contains(&status(&world, "sk-one")), "a stop forgets nothing");
    spend_all(&world, "sk-two");
    // Who comes last is in the books together with everything before.
    assert_eq!(status(&world, "sk-last"), 200);
    wait::until("the books to be written", wait::LONG, || {
        (owners(&state.join("spent.json")) == 3).then_some(())
    });
    world.router().signal(Signal::KILL);
    world.router().wait(wait::LONG);

    let world = config.start();
    assert!((400..500).contains(&status(&world, "sk-one")));
    assert!((400..500).contains(&status(&world, "sk-two")), "a kill forgets a second at most");
    assert_eq!(status(&world, "sk-three"), 200);
}

#[test]
fn books_that_cannot_be_read_stop_the_start_with_advice() {
    let upstream = echo::upstream(Cut::NONE);
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("spent.json"), "{").expect("a file can be written");
    let config = thrifty(&upstream.url(), folder.path().to_str().expect("a plain path"));
    let file = folder.path().join("router.yaml");
    std::fs::write(&file, config.yaml()).expect("a file can be written");
    let ended = world::command(&[
        "router",
        "run",
        "--config",
        file.to_str().expect("a plain path"),
        "--state",
        folder.path().to_str().expect("a plain path"),
    ]);
    let ended = ended.expect(1);
    assert!(ended.stderr.contains("move it aside"), "{}", ended.stderr);
}
