//! Promise: every stream ends exactly once: with its end mark or with an error in the caller's dialect, never with
//! silence, never with both.

use std::time::Duration;

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    http::{Ask, Event, Reply},
    script::{Script, Step},
    upstream::ScriptedUpstream,
    wait,
    world::{Backend, Config, World},
};
use serde_json::json;

fn world(upstream: &ScriptedUpstream, speaks: Dialect) -> World {
    Config::new([Backend::new("only", &upstream.url()).speaks(speaks).model("m")])
        .section("timeouts: {connect: 1s, first_byte: 1s, idle: 1s, total: 10s}")
        .start()
}

/// The stream ended once; gives whether it ended well.
fn ended_once(dialect: Dialect, reply: &Reply, name: &str) -> bool {
    if reply.status >= 400 {
        dialect.error_message(reply);
        return false;
    }
    let events = reply.events();
    // The chat dialect may close an error with its end mark; either way nothing follows the first error.
    let errors = events.iter().filter(|event| dialect.is_error(event)).count();
    let ends = events.iter().filter(|event| dialect.is_end(event)).count();
    assert!(
        errors <= 1 && ends <= 1 && errors + ends >= 1,
        "{name}: {errors} errors, {ends} ends: {}",
        reply.text()
    );
    if dialect != Dialect::Chat {
        assert_eq!(errors + ends, 1, "{name}: {}", reply.text());
    }
    let last = events.last().expect("a stream has events");
    assert!(dialect.is_end(last) || dialect.is_error(last), "{name}: {last:?} comes last");
    // A client that overlooks the error event still sees that the body has no end, or an ended body that says so.
    assert!(
        reply.whole || errors == 1,
        "{name}: the connection broke without a word: {}",
        reply.text()
    );
    errors == 0
}

#[test]
fn when_all_is_well() {
    for speaks in DIALECTS {
        let upstream = ScriptedUpstream::always(Script::events(&speaks.events(&["Hel", "lo"])));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", true)).expect(200);
            assert!(ended_once(dialect, &reply, "whole"), "{}", reply.text());
            assert_eq!(dialect.text(&reply), "Hello");
        }
    }
}

#[test]
fn wherever_the_upstream_breaks_off() {
    for speaks in DIALECTS {
        let events = speaks.events(&["Hel", "lo"]);
        let enough =
            events.iter().position(|event| speaks.is_end(event)).expect("a stream has an end");
        for (how, end) in [("closes", Step::Close), ("stalls", Step::Stall)] {
            for writes in (1..=enough).step_by(if how == "stalls" { 3 } else { 1 }) {
                let upstream =
                    ScriptedUpstream::always(Script::events(&events).then(writes, end.clone()));
                let world = world(&upstream, speaks);
                for dialect in DIALECTS {
                    let name =
                        format!("{speaks:?} {how} after {writes} writes, asked as {dialect:?}");
                    let reply = world.post(dialect.target(), &dialect.ask("hi", true));
                    assert!(
                        !ended_once(dialect, &reply, &name) || speaks == Dialect::Chat,
                        "{name}: {}",
                        reply.text()
                    );
                }
            }
        }
    }
}

#[test]
fn when_the_upstream_ends_cleanly_but_early() {
    for speaks in DIALECTS {
        let events: Vec<Event> = speaks.events(&["Hel", "lo"]).into_iter().take(3).collect();
        let upstream = ScriptedUpstream::always(Script::events(&events));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", true));
            assert!(
                !ended_once(dialect, &reply, "early"),
                "half an answer is no answer: {}",
                reply.text()
            );
        }
    }
}

#[test]
fn when_the_upstream_forgets_the_end_mark() {
    let events = Dialect::Chat.events(&["Hel", "lo"]).into_iter();
    let events: Vec<Event> = events.filter(|event| !Dialect::Chat.is_end(event)).collect();
    let upstream = ScriptedUpstream::always(Script::events(&events));
    let world = world(&upstream, Dialect::Chat);
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask("hi", true));
        assert!(ended_once(dialect, &reply, "no mark"), "{}", reply.text());
    }
}

#[test]
fn when_the_upstream_reports_an_error_in_the_middle() {
    for speaks in DIALECTS {
        let mut events: Vec<Event> = speaks.events(&["Hel", "lo"]).into_iter().take(5).collect();
        events.push(match speaks {
            Dialect::Chat => Event::data(
                &json!({"error": {"message": "boom", "type": "server_error", "code": null}}),
            ),
            Dialect::Messages => Event::typed(
                &json!({"type": "error", "error": {"type": "overloaded_error", "message": "boom"}}),
            ),
            Dialect::Responses => Event::typed(
                &json!({"type": "error", "code": "server_error", "message": "boom", "param": null}),
            ),
        });
        let upstream = ScriptedUpstream::always(Script::events(&events));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", true));
            assert!(!ended_once(dialect, &reply, "error"), "{}", reply.text());
        }
    }
}

#[test]
fn when_the_upstream_talks_after_its_end() {
    for speaks in DIALECTS {
        let mut events = speaks.events(&["Hello"]);
        events.extend(speaks.events(&["again"]));
        let upstream = ScriptedUpstream::always(Script::events(&events));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", true));
            assert!(ended_once(dialect, &reply, "twice"), "{}", reply.text());
            assert_eq!(dialect.text(&reply), "Hello");
        }
    }
}

#[test]
fn when_garbage_comes_between() {
    for speaks in DIALECTS {
        let mut events: Vec<Event> = speaks.events(&["Hel", "lo"]).into_iter().take(3).collect();
        events.push(Event {
            name: String::new(),
            data: "{\"choices\": [ this is no JSON".to_owned(),
        });
        let upstream = ScriptedUpstream::always(Script::events(&events));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", true));
            assert!(!ended_once(dialect, &reply, "garbage"), "{}", reply.text());
        }
    }
}

#[test]
fn every_reservation_is_settled() {
    let events = Dialect::Chat.events(&["Hel", "lo"]);
    let down =
        json!({"error": {"message": "down", "type": "server_error", "param": null, "code": null}});
    let scripts = [
        Script::events(&events),
        Script::events(&events).then(3, Step::Close),
        Script::events(&events).then(1, Step::Close),
        Script::json(400, &down),
    ];
    let upstream = ScriptedUpstream::start(move |_, count| scripts[count % scripts.len()].clone());
    // A request reserves 1 USD for a thousand tokens of answer and costs a cent or two: only a reservation that is
    // never settled can use up the budget of 3 USD.
    let world = Config::new([Backend::new("only", &upstream.url()).priced("m", 0.0, 1000.0)])
        .section("budgets:\n  - {scope: sandbox, limit_usd: 3, per: day, on_exceed: block}")
        .start();
    let mut body = Dialect::Chat.ask("hi", true);
    body["max_tokens"] = json!(1000);
    for turn in 0..16 {
        if turn % 4 == 3 {
            Ask::post("/v1/chat/completions", &body).open(world.address()).leave();
        } else {
            let reply = world.post("/v1/chat/completions", &body);
            assert!(!reply.text().contains("budget"), "turn {turn}: {}", reply.text());
        }
    }
    let begun = world.metric("openshell_router_in_flight", &[]);
    wait::until(&format!("the last of {begun} requests to end"), Duration::from_secs(15), || {
        (world.metric("openshell_router_in_flight", &[]).abs() < 0.5).then_some(())
    });
    for _ in 0..2 {
        let reply = world.post("/v1/chat/completions", &body);
        assert!(!reply.text().contains("budget"), "{}", reply.text());
    }
}
