//! When the caller leaves, the upstream is told at once: nobody pays for words that nobody reads.

use std::time::{Duration, Instant};

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    http::Ask,
    script::{Script, Step},
    upstream::ScriptedUpstream,
    wait, wire,
    world::{Backend, Config, World},
};

/// What may pass between a caller's leaving and the upstream's seeing it.
const NOTICE_TIME_MAX: Duration = Duration::from_millis(50);
/// A busy machine may be late once; not three times.
const TRIES: usize = 3;

fn world(script: Script) -> (World, ScriptedUpstream) {
    let upstream = ScriptedUpstream::always(script);
    let world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    (world, upstream)
}

/// The shortest notice of a few tries; `begin` brings a request to the point where its caller leaves.
fn notice(script: &Script, leave: impl Fn(&World, &ScriptedUpstream) -> Instant) -> Duration {
    let tries = (0..TRIES).map(|_| {
        let (world, upstream) = world(script.clone());
        let left = leave(&world, &upstream);
        upstream.wait_for_leave().saturating_duration_since(left)
    });
    tries.min().expect("there is a try")
}

#[test]
fn in_the_middle_of_a_stream() {
    for dialect in DIALECTS {
        let script =
            Script::events(&wire::chat_events(&["one", "two", "three"])).then(3, Step::Stall);
        let took = notice(&script, |world, _| {
            let mut incoming =
                Ask::post(dialect.target(), &dialect.ask("hi", true)).open(world.address());
            let mut left = Vec::new();
            let _first = incoming.event(&mut left).expect("the stream begins");
            let now = Instant::now();
            incoming.leave();
            now
        });
        assert!(took < NOTICE_TIME_MAX, "{dialect:?}: {took:?}");
    }
}

#[test]
fn before_the_first_byte() {
    for stream in [false, true] {
        let took = notice(&Script::raw(vec![Step::Stall]), |world, upstream| {
            use std::io::Write;
            let bytes = Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hi", stream))
                .bytes(world.address());
            let mut caller = openshell_tests::http::connect(world.address());
            caller.write_all(&bytes).unwrap();
            let _ = upstream.wait_for(1);
            let now = Instant::now();
            caller.shutdown(std::net::Shutdown::Both).unwrap();
            now
        });
        assert!(took < NOTICE_TIME_MAX, "stream {stream}: {took:?}");
    }
}

#[test]
fn while_the_upstream_talks() {
    let words: Vec<&str> = std::iter::repeat_n("word ", 2000).collect();
    let script = Script::events(&wire::chat_events(&words)).paced(Duration::from_millis(5));
    let took = notice(&script, |world, _| {
        let mut incoming =
            Ask::post("/v1/messages", &Dialect::Messages.ask("hi", true)).open(world.address());
        let mut left = Vec::new();
        for _ in 0..5 {
            let _event = incoming.event(&mut left).expect("the stream goes on");
        }
        let now = Instant::now();
        incoming.leave();
        now
    });
    assert!(took < NOTICE_TIME_MAX, "{took:?}");
}

#[test]
fn a_request_that_was_left_is_in_the_audit_and_settled() {
    let script = Script::events(&wire::chat_events(&["one", "two"])).then(3, Step::Stall);
    let (world, upstream) = world(script);
    let incoming =
        Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hi", true)).open(world.address());
    let id = incoming
        .headers
        .iter()
        .find(|(name, _)| name == "x-openshell-request-id")
        .expect("an id")
        .1
        .clone();
    incoming.leave();
    let _ = upstream.wait_for_leave();
    let events = world.wait_for_audit(1, |event| event.to_string().contains(&id));
    assert!(!events.is_empty());
    wait::until("no request to be under way", wait::LONG, || {
        (world.metric("openshell_router_in_flight", &[]).abs() < 0.5).then_some(())
    });
}
