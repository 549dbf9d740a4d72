//! A sandbox is known by the token of its supervisor, and by nothing else.

use std::path::Path;

use openshell_tests::{
    dialect::Dialect,
    echo::{self, Cut},
    http::{Ask, Reply},
    world::{Backend, Config, World},
};
use proxy::{SANDBOX_TOKEN_HEADER, SandboxKey};

/// Seconds since 1970 that no test lives to see.
const LATER: u64 = 9_999_999_999;

fn token(key: &Path, name: &str, expires: u64) -> String {
    let key = SandboxKey::open(key).expect("the key can be used");
    let token = key.mint(name, expires).expect("a name of a sandbox");
    token.to_str().expect("plain text").to_owned()
}

fn ask(world: &World, dialect: Dialect, token: &str) -> Reply {
    let ask = Ask::post(dialect.target(), &dialect.ask("hello", false));
    ask.header(SANDBOX_TOKEN_HEADER, token).send(world.address())
}

#[test]
fn calls_are_booked_on_the_sandbox_that_the_token_names() {
    let upstream = echo::upstream(Cut::NONE);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let key = folder.path().join("sandbox.key");
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")])
        .flags(&["--sandbox-key", key.to_str().expect("a plain path")])
        .start();
    let _ = ask(&world, Dialect::Chat, &token(&key, "brave-fox", LATER)).expect(200);
    let events =
        world.wait_for_audit(1, |event| event["actor"]["user"]["uid"] == "sandbox/brave-fox");
    assert_eq!(events.len(), 1);
    for seen in upstream.seen() {
        assert_eq!(seen.header(SANDBOX_TOKEN_HEADER), None, "the token stays here");
    }
    let count = upstream.count();
    let forged = token(&key, "brave-fox", LATER).replace("brave-fox", "calm-owl");
    for (bad, word) in [
        (forged.as_str(), "not of this router"),
        (&token(&key, "brave-fox", 1), "expired"),
        ("osb1.x", "malformed"),
    ] {
        for dialect in [Dialect::Chat, Dialect::Messages] {
            let reply = ask(&world, dialect, bad).expect(401);
            assert!(dialect.error_message(&reply).contains(word), "{}", reply.text());
        }
    }
    assert_eq!(upstream.count(), count, "nothing was sent for them");
}

#[test]
fn without_a_key_nobody_is_taken_for_a_sandbox() {
    let upstream = echo::upstream(Cut::NONE);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    let token = token(&folder.path().join("key"), "brave-fox", LATER);
    let _ = ask(&world, Dialect::Chat, &token).expect(200);
    let events = world.wait_for_audit(1, |event| event["class_uid"] == 6003);
    assert_ne!(events[0]["actor"]["user"]["uid"], "sandbox/brave-fox");
}
