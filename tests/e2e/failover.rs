//! When a backend fails, the next one is tried: on connect errors, 429, 5xx and silence, until the first content byte
//! has gone to the caller. Never to a wider zone (that is a promise with its own file).

use std::time::Duration;

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Ask,
    script::{Script, Step},
    upstream::{ScriptedUpstream, dead_address},
    wire,
    world::{Backend, Config, World},
};

/// The cheap backend fails in the way of the test, the dear one answers.
fn config(first: &str, second: &ScriptedUpstream) -> Config {
    Config::new([
        Backend::new("first", first).priced("cheap", 0.1, 0.1),
        Backend::new("second", &second.url()).priced("dear", 5.0, 5.0),
    ])
    .section("timeouts: {connect: 1s, first_byte: 1s, idle: 1s, total: 10s}")
}

fn failing() -> Vec<(&'static str, Script)> {
    let down = |status| Script::json(status, &wire::error("down", "server_error"));
    vec![
        ("500", down(500)),
        ("502", down(502)),
        ("503", down(503)),
        ("529", down(529)),
        ("429 with a wait", wire::rate_limited(30)),
        ("429 without", Script::json(429, &wire::error("slow down", "rate_limit_exceeded"))),
        ("408", down(408)),
        ("silence", Script::raw(vec![Step::Stall])),
        ("a closed door", Script::raw(vec![Step::Close])),
        ("half a head", Script::raw(vec![Step::Send(b"HTTP/1.1 200".to_vec()), Step::Close])),
        (
            "no HTTP",
            Script::raw(vec![Step::Send(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Step::Close]),
        ),
        (
            "a page of a load balancer",
            Script::whole(502, &[("content-type", "text/html")], b"<html>bad gateway</html>"),
        ),
    ]
}

#[test]
fn to_the_next_backend_on_everything_that_may_pass() {
    for (name, script) in failing() {
        let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
        let world = config(&first.url(), &second).start();
        // An answer that is no stream may take as long as the whole call.
        let forms: &[bool] = if name == "silence" { &[true] } else { &[false, true] };
        for dialect in DIALECTS {
            for stream in forms {
                let reply = world.post(dialect.target(), &dialect.ask("hello", *stream));
                assert_eq!(reply.status, 200, "{name}: {}", reply.text());
                assert_eq!(dialect.text(&reply), "you said: hello", "{name}");
                assert_eq!(reply.header("x-openshell-route"), Some("second/dear"), "{name}");
            }
        }
        assert!(first.count() > 0, "{name}");
    }
}

#[test]
fn when_nothing_listens() {
    let second = echo::upstream(Cut::NONE);
    let world = config(&format!("http://{}", dead_address()), &second).start();
    let reply = world.chat("hello").expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("second/dear"));
}

#[test]
fn a_mistake_of_the_caller_is_not_repeated_elsewhere() {
    for status in [400, 413, 422] {
        let script = Script::json(status, &wire::error("your mistake", "invalid_request_error"));
        let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
        let world = config(&first.url(), &second).start();
        let reply = world.chat("hello");
        assert_eq!(reply.status, status, "{}", reply.text());
        assert_eq!((first.count(), second.count()), (1, 0), "{status}");
    }
}

#[test]
fn a_backend_that_asked_for_time_gets_it() {
    let (first, second) =
        (ScriptedUpstream::always(wire::rate_limited(60)), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    for _ in 0..5 {
        let _ = world.chat("hello").expect(200);
    }
    assert_eq!(first.count(), 1, "it said to come back in a minute");
}

#[test]
fn a_backend_that_keeps_failing_is_left_alone() {
    let down = Script::json(500, &wire::error("down", "server_error"));
    let (first, second) = (ScriptedUpstream::always(down), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    for _ in 0..30 {
        let _ = world.chat("hello").expect(200);
    }
    assert!(first.count() < 20, "{} of 30 requests knocked at a broken door", first.count());
}

#[test]
fn the_caller_waits_for_the_time_limit_and_no_longer() {
    let first = ScriptedUpstream::always(Script::raw(vec![Step::Stall]));
    let second = echo::upstream(Cut::NONE);
    let world = config(&first.url(), &second).start();
    let body = Dialect::Chat.ask("hello", true);
    let reply = world.post(Dialect::Chat.target(), &body).expect(200);
    assert!(
        reply.took > Duration::from_millis(900) && reply.took < Duration::from_secs(5),
        "{:?}",
        reply.took
    );
}

#[test]
fn an_answer_that_is_no_stream_has_a_limit_of_its_own() {
    let mut steps = vec![Step::Pause(Duration::from_millis(1_500))];
    steps.extend(Script::json(200, &wire::chat("I thought for long")).steps().iter().cloned());
    let first = ScriptedUpstream::always(Script::raw(steps));
    let second = echo::upstream(Cut::NONE);
    let world = Config::new([
        Backend::new("first", &first.url()).priced("cheap", 0.1, 0.1),
        Backend::new("second", &second.url()).priced("dear", 5.0, 5.0),
    ])
    .section("timeouts: {connect: 1s, first_byte: 1s, answer: 5s, idle: 1s, total: 10s}")
    .start();
    let reply = world.chat("hello").expect(200);
    assert_eq!(Dialect::Chat.text(&reply), "I thought for long");
    let body = Dialect::Chat.ask("hello", true);
    let reply = world.post(Dialect::Chat.target(), &body).expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("second/dear"), "a stream begins sooner");
}

#[test]
fn a_backend_that_hangs_is_given_up_without_a_stream_too() {
    let (first, second) =
        (ScriptedUpstream::always(Script::raw(vec![Step::Stall])), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    let reply = world.chat("hello").expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("second/dear"));
    assert!(reply.took < Duration::from_secs(5), "{:?}", reply.took);
}

#[test]
fn a_backend_that_hangs_until_the_end_of_the_call_is_left_alone_in_the_end() {
    let (first, second) =
        (ScriptedUpstream::always(Script::raw(vec![Step::Stall])), echo::upstream(Cut::NONE));
    let world = Config::new([
        Backend::new("first", &first.url()).priced("cheap", 0.1, 0.1),
        Backend::new("second", &second.url()).priced("dear", 5.0, 5.0),
    ])
    .section("timeouts: {connect: 1s, first_byte: 1s, answer: 5s, idle: 1s, total: 1s}")
    .start();
    for _ in 0..3 {
        let _ = world.chat("hello").expect(504);
    }
    let reply = world.chat("hello").expect(200);
    assert_eq!(reply.header("x-openshell-route"), Some("second/dear"));
}

/// How often the first of two backends is asked in `calls` calls, and what operators see afterwards.
fn left_alone(script: Script, calls: usize) -> (usize, World) {
    let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    for _ in 0..calls {
        let reply = world.chat("hello").expect(200);
        assert_eq!(reply.header("x-openshell-route"), Some("second/dear"));
    }
    (first.count(), world)
}

#[test]
fn a_backend_that_refuses_our_credential_is_left_alone_and_its_operator_told() {
    for (status, asked) in [(401, 1), (403, 3)] {
        let script = Script::json(status, &wire::error("bad key", "authentication_error"));
        let (count, world) = left_alone(script, 6);
        assert_eq!(count, asked, "{status}");
        let ready = Ask::get("/readyz").send(world.admin()).expect(200).text();
        assert!(ready.contains("first: it refuses this router's credential; renew it"), "{ready}");
        let labels = ["backend=\"first\"", "model=\"*\"", "cause=\"credential\""];
        assert!((world.metric("openshell_router_unusable", &labels) - 1.0).abs() < 0.1);
        assert!(world.log().contains("the backend refuses this router's credential"));
    }
}

#[test]
fn when_nobody_takes_our_credential_the_caller_learns_that_waiting_does_not_help() {
    let script = Script::json(401, &wire::error("bad key", "authentication_error"));
    let only = ScriptedUpstream::always(script);
    let world = Config::new([Backend::new("only", &only.url()).model("m")]).start();
    for _ in 0..3 {
        let reply = world.chat("hello").expect(502).json();
        assert_eq!(reply["error"]["code"], "backend_credential", "{reply}");
    }
    assert_eq!(only.count(), 1);
}

#[test]
fn a_reload_forgives_a_refused_credential() {
    let refused = Script::json(401, &wire::error("bad key", "authentication_error"));
    let scripts = vec![refused, Script::json(200, &wire::chat("I know you"))];
    let (first, second) = (ScriptedUpstream::in_turn(scripts), echo::upstream(Cut::NONE));
    let config = config(&first.url(), &second);
    let world = config.start();
    let _ = world.chat("hello").expect(200);
    world.write_config(&config.section("unknown_model: auto"));
    openshell_tests::wait::until(
        "the first backend to be asked again",
        Duration::from_secs(30),
        || {
            let reply = world.chat("hello").expect(200);
            (reply.header("x-openshell-route") == Some("first/cheap")).then_some(())
        },
    );
}

#[test]
fn a_model_that_its_backend_lacks_is_left_alone_and_the_others_are_not() {
    let first = ScriptedUpstream::start(|seen, _| match seen.json()["model"].as_str() {
        Some("gone") => {
            Script::json(404, &wire::error("The model `gone` does not exist", "model_not_found"))
        }
        _ => Script::json(200, &wire::chat("here I am")),
    });
    let second = echo::upstream(Cut::NONE);
    let world = Config::new([
        Backend::new("first", &first.url()).priced("gone", 0.1, 0.1).priced("there", 1.0, 1.0),
        Backend::new("second", &second.url()).priced("dear", 5.0, 5.0),
    ])
    .start();
    for _ in 0..3 {
        let reply = world.chat("hello").expect(200);
        assert_eq!(reply.header("x-openshell-route"), Some("first/there"));
    }
    let asked = first.seen().iter().filter(|seen| seen.json()["model"] == "gone").count();
    assert_eq!(asked, 1);
    let ready = Ask::get("/readyz").send(world.admin()).expect(200).text();
    assert!(ready.contains("first/gone: it does not have this model"), "{ready}");
}

#[test]
fn a_404_about_something_else_is_the_callers() {
    let script =
        Script::json(404, &wire::error("No such File object: file-1", "invalid_request_error"));
    let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    let _ = world.chat("hello").expect(404);
    assert_eq!((first.count(), second.count()), (1, 0));
}

#[test]
fn a_wait_is_seconds_milliseconds_or_a_date() {
    let cases: [&[(&str, &str)]; 4] = [
        &[("retry-after", "60")],
        &[("retry-after", "Wed, 31 Dec 2098 23:59:59 GMT")],
        // The more exact one counts.
        &[("retry-after", "0"), ("retry-after-ms", "60000")],
        &[("retry-after-ms", "99999999999999999999")],
    ];
    for (status, headers) in cases.iter().flat_map(|headers| [(429, headers), (529, headers)]) {
        let body = wire::error("slow down", "rate_limit_exceeded").to_string();
        let all: Vec<(&str, &str)> =
            headers.iter().copied().chain([("content-type", "application/json")]).collect();
        let (count, world) = left_alone(Script::whole(status, &all, body.as_bytes()), 3);
        assert_eq!(count, 1, "{status} {headers:?}");
        let labels = ["backend=\"first\"", "cause=\"resting\""];
        assert!((world.metric("openshell_router_unusable", &labels) - 1.0).abs() < 0.1);
    }
}

#[test]
fn a_stream_that_has_begun_is_not_begun_again() {
    let script = Script::events(&wire::chat_events(&["Hello", " wor", "ld"])).then(3, Step::Close);
    let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    let reply = world.post("/v1/chat/completions", &Dialect::Chat.ask("hi", true)).expect(200);
    let events = reply.events();
    assert!(events.iter().any(|event| Dialect::Chat.is_error(event)), "{}", reply.text());
    assert_eq!(second.count(), 0, "the caller already has a part of the first answer");
}

#[test]
fn a_stream_that_breaks_before_its_first_word_is_tried_elsewhere() {
    let script = Script::events(&[]).then(1, Step::Close);
    let (first, second) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask("hi", true)).expect(200);
        assert_eq!(dialect.text(&reply), "you said: hi");
    }
}

#[test]
fn when_all_fail_the_caller_learns_it_in_its_dialect() {
    let down = || ScriptedUpstream::always(Script::json(503, &wire::error("down", "server_error")));
    let (first, second) = (down(), down());
    let world = config(&first.url(), &second).start();
    for dialect in DIALECTS {
        let reply = world.post(dialect.target(), &dialect.ask("hi", false));
        assert!(reply.status == 429 || reply.status >= 500, "{}", reply.status);
        dialect.error_message(&reply);
    }
}

#[test]
fn a_recovered_backend_is_used_again() {
    let mut scripts: Vec<Script> =
        (0..2).map(|_| Script::json(503, &wire::error("down", "server_error"))).collect();
    scripts.push(Script::json(200, &wire::chat("I am back")));
    let (first, second) = (ScriptedUpstream::in_turn(scripts), echo::upstream(Cut::NONE));
    let world = config(&first.url(), &second).start();
    openshell_tests::wait::until(
        "the first backend to be used again",
        Duration::from_mins(1),
        || {
            let reply = world.chat("hello").expect(200);
            std::thread::park_timeout(Duration::from_millis(100));
            (reply.header("x-openshell-route") == Some("first/cheap")).then_some(())
        },
    );
}
