//! Spans for OpenTelemetry: what they say, whose they are, and that neither they nor their collector cost a caller
//! anything. Never content, never a credential.

use std::time::{Duration, Instant};

use openshell_tests::{
    clients::installed,
    collector::Collector,
    dialect::Dialect,
    echo::{self, Cut},
    http::Ask,
    script::{Script, Step},
    text::{CLOUD_KEY, EMAIL, assert_absent},
    upstream::{ScriptedUpstream, dead_address},
    wire,
    world::{Backend, Config, World},
};
use serde_json::{Value, json};

const BACKEND_KEY: &str = "sk-backend-9dK2mPq7";
const CALLER_KEY: &str = "sk-caller-4hT8xWz1";
const COLLECTOR_KEY: &str = "collector-key-5rB6";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0dd902b7";

fn start(config: Config, collector: &Collector) -> World {
    config.flags(&["--otel-endpoint", &collector.url()]).start()
}

fn one(upstream: &ScriptedUpstream) -> Config {
    let backend = Backend::new("only", &upstream.url()).credential(BACKEND_KEY);
    Config::new([backend.priced("gpt-5-mini", 1000.0, 2000.0)])
}

fn ask(world: &World, dialect: Dialect, prompt: &str, stream: bool) {
    let mut body = dialect.ask(prompt, stream);
    body["model"] = json!("gpt-5-mini");
    let ask = Ask::post(dialect.target(), &body)
        .header("authorization", &format!("Bearer {CALLER_KEY}"))
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-01"))
        .header("tracestate", "vendor=state-of-the-caller");
    let _ = ask.send(world.address()).expect(200);
}

/// The attribute of a span.
fn at<'s>(span: &'s Value, name: &str) -> &'s Value {
    &span["attributes"][name]
}

/// The spans of calls, and those of attempts.
fn parted(spans: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    spans.into_iter().partition(|span| at(span, "gen_ai.operation.name").is_string())
}

#[test]
fn a_call_says_what_the_conventions_ask_for() {
    let Some([otel]) = installed(["otel"]) else { return };
    let (collector, upstream) = (Collector::start(&otel), echo::upstream(Cut::NONE));
    let config = one(&upstream)
        .variable("OTEL_SERVICE_NAME", "the-router")
        .variable("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20{COLLECTOR_KEY}"));
    let world = start(config, &collector);
    for stream in [false, true] {
        ask(&world, Dialect::Chat, "hello", stream);
    }
    let (mut calls, attempts) = parted(collector.wait_for(4));
    calls.sort_by_key(|call| call["start"].as_u64());
    assert_eq!((calls.len(), attempts.len()), (2, 2));
    for (call, streamed) in calls.iter().zip([false, true]) {
        assert_eq!(
            (&call["name"], &call["kind"]),
            (&json!("chat gpt-5-mini"), &json!("SPAN_KIND_CLIENT"))
        );
        assert_eq!((&call["trace"], &call["parent"]), (&json!(TRACE), &json!(SPAN)));
        assert_eq!(call["status"], "STATUS_CODE_UNSET");
        assert_eq!(call["resource"]["service.name"], "the-router");
        for (name, expected) in [
            ("gen_ai.operation.name", json!("chat")),
            ("gen_ai.provider.name", json!("openai-compatible")),
            ("gen_ai.request.model", json!("gpt-5-mini")),
            ("gen_ai.response.model", json!("gpt-5-mini")),
            ("gen_ai.response.finish_reasons", json!(["stop"])),
            ("gen_ai.request.stream", if streamed { json!(true) } else { Value::Null }),
            ("http.response.status_code", json!(200)),
            ("server.address", json!("127.0.0.1")),
            ("server.port", json!(upstream.address().port())),
            ("error.type", Value::Null),
            ("openshell.backend", json!("only")),
            ("openshell.zone", json!("local")),
            ("openshell.sensitivity", json!("public")),
            ("openshell.candidates.tried", json!(["only/gpt-5-mini"])),
        ] {
            assert_eq!(at(call, name), &expected, "{name} {call}");
        }
        let first = at(call, "gen_ai.response.time_to_first_chunk").as_f64();
        assert_eq!(first.is_some(), streamed, "{call}");
        let attempt = attempts.iter().find(|attempt| attempt["parent"] == call["span"]).unwrap();
        assert_eq!(
            (&attempt["name"], &attempt["trace"]),
            (&json!("attempt only/gpt-5-mini"), &json!(TRACE))
        );
        assert!(call["start"].as_u64() <= attempt["start"].as_u64(), "{call} {attempt}");
        assert!(attempt["end"].as_u64() <= call["end"].as_u64(), "{call} {attempt}");
    }
    same_as_the_audit(&world, &calls);
    for export in collector.exports() {
        assert_eq!(export["path"], "/v1/traces");
        let headers = export["headers"].to_string();
        assert!(headers.contains(&format!("Bearer {COLLECTOR_KEY}")), "{headers}");
    }
}

/// Tokens, cost and identity of each call are those of its event in the audit.
fn same_as_the_audit(world: &World, calls: &[Value]) {
    let events = world.wait_for_audit(calls.len(), |_| true);
    for call in calls {
        let own = |event: &&Value| {
            event["unmapped"]["openshell"]["request_id"] == *at(call, "openshell.request_id")
        };
        let event =
            &events.iter().find(own).expect("each span has an event")["unmapped"]["openshell"];
        for (name, field) in [
            ("gen_ai.usage.input_tokens", "input"),
            ("gen_ai.usage.output_tokens", "output"),
            ("gen_ai.usage.cache_read.input_tokens", "cached"),
        ] {
            assert!(at(call, name).is_u64(), "{name} {call}");
            assert_eq!(at(call, name), &event["tokens"][field], "{name}");
        }
        let micro = at(call, "openshell.cost_micro_usd").as_f64().expect("a cost");
        let usd = event["cost_usd"].as_f64().expect("a cost");
        assert!(micro > 0.0 && (micro - usd * 1e6).abs() < 1.0, "{micro} {usd}");
    }
}

#[test]
fn neither_content_nor_credentials_nor_names_that_a_caller_made_up() {
    let Some([otel]) = installed(["otel"]) else { return };
    let collector = Collector::start(&otel);
    let mut echoed = wire::chat("hello");
    echoed["id"] = json!(BACKEND_KEY);
    let upstream = ScriptedUpstream::start(move |seen, turn| match turn {
        0 => Script::json(200, &echoed),
        _ => echo::answer(seen, Cut::NONE),
    });
    let world = start(one(&upstream), &collector);
    let secrets = format!("purple-giraffe {EMAIL} {CLOUD_KEY}");
    for dialect in [Dialect::Chat, Dialect::Messages, Dialect::Responses] {
        for stream in [false, true] {
            ask(&world, dialect, &secrets, stream);
        }
    }
    let mut body = Dialect::Chat.ask(&secrets, false);
    body["model"] = json!("model-of-my-own-invention");
    let _ = world.post("/v1/chat/completions?key=of-the-query", &body).expect(200);
    let (calls, _) = parted(collector.wait_for(14));
    let made_up = calls.iter().find(|call| call["name"] == "chat").expect("no model in its name");
    assert_eq!(at(made_up, "gen_ai.request.model"), &Value::Null);
    let labels = at(made_up, "openshell.labels").to_string();
    assert!(labels.contains("pii/email") && labels.contains("credential/"), "{labels}");
    assert_ne!(made_up["trace"], TRACE);
    let sent = collector.everything();
    for secret in [
        "purple-giraffe",
        EMAIL,
        CLOUD_KEY,
        CALLER_KEY,
        BACKEND_KEY,
        "you said",
        "model-of-my-own-invention",
        "of-the-query",
        "state-of-the-caller",
    ] {
        assert_absent(secret, &sent, "what the collector got");
    }
    for seen in upstream.seen() {
        let all = seen.everything();
        for identifier in ["traceparent", "tracestate", TRACE, SPAN] {
            assert_absent(identifier, &all, "what the backend got");
        }
    }
}

#[test]
fn every_attempt_of_a_failover_is_told() {
    let Some([otel]) = installed(["otel"]) else { return };
    let (collector, second) = (Collector::start(&otel), echo::upstream(Cut::NONE));
    let first = ScriptedUpstream::always(Script::json(503, &wire::error("down", "server_error")));
    let config = Config::new([
        Backend::new("first", &first.url()).priced("cheap", 0.1, 0.1),
        Backend::new("second", &second.url()).priced("dear", 5.0, 5.0),
    ]);
    let world = start(config, &collector);
    let _ = world.chat("hello").expect(200);
    let (calls, attempts) = parted(collector.wait_for(3));
    assert_eq!(calls[0]["name"], "chat auto");
    assert_eq!(at(&calls[0], "openshell.candidates.tried"), &json!(["first/cheap", "second/dear"]));
    assert_eq!(at(&calls[0], "server.port"), &json!(second.address().port()));
    let told: Vec<[&Value; 5]> = attempts
        .iter()
        .map(|attempt| {
            assert_eq!(attempt["parent"], calls[0]["span"]);
            [
                at(attempt, "openshell.backend"),
                at(attempt, "openshell.attempt.outcome"),
                at(attempt, "http.response.status_code"),
                at(attempt, "error.type"),
                &attempt["status"],
            ]
        })
        .collect();
    let outcome = at(&attempts[0], "openshell.attempt.outcome").clone();
    assert!(outcome == "server_error" || outcome == "overloaded", "{outcome}");
    assert_eq!(
        told[0],
        [&json!("first"), &outcome, &json!(503), &outcome, &json!("STATUS_CODE_ERROR")]
    );
    assert_eq!(
        told[1],
        [
            &json!("second"),
            &json!("answered"),
            &json!(200),
            &Value::Null,
            &json!("STATUS_CODE_UNSET")
        ]
    );
}

#[test]
fn a_refusal_is_an_error_that_no_backend_had_part_in() {
    let Some([otel]) = installed(["otel"]) else { return };
    let (collector, upstream) = (Collector::start(&otel), echo::upstream(Cut::NONE));
    let levels = ["public", "public", "private", "local"];
    let config = one(&upstream).sensitivity(levels, &[("pii/email", "restricted", "block")]);
    let world = start(config, &collector);
    let reply = world.chat(&format!("write to {EMAIL}"));
    assert_eq!(reply.status, 403, "{}", reply.text());
    let spans = collector.wait_for(1);
    let [call] = spans.as_slice() else { panic!("{} spans", spans.len()) };
    assert_eq!(
        (&call["status"], &call["name"]),
        (&json!("STATUS_CODE_ERROR"), &json!("chat auto"))
    );
    assert_eq!(at(call, "http.response.status_code"), &json!(403));
    let event = &world.wait_for_audit(1, |_| true)[0];
    assert_eq!(at(call, "error.type"), &event["status_detail"]);
    assert_eq!(at(call, "gen_ai.provider.name"), "openshell");
    assert_eq!(at(call, "server.address"), &Value::Null);
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_stream_that_breaks_is_an_error() {
    let Some([otel]) = installed(["otel"]) else { return };
    let collector = Collector::start(&otel);
    let broken = Script::events(&wire::chat_events(&["one ", "two"])).then(3, Step::Close);
    let upstream = ScriptedUpstream::always(broken);
    let world = start(one(&upstream), &collector);
    let _ = Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hello", true))
        .open(world.address())
        .rest();
    let (calls, _) = parted(collector.wait_for(2));
    assert_eq!(calls[0]["status"], "STATUS_CODE_ERROR");
    assert!(at(&calls[0], "error.type").is_string(), "{}", calls[0]);
    assert_eq!(at(&calls[0], "gen_ai.response.finish_reasons"), &json!(["error"]));
}

#[test]
fn who_keeps_no_spans_and_who_asks_for_none_gets_none() {
    let Some([otel]) = installed(["otel"]) else { return };
    let (collector, upstream) = (Collector::start(&otel), echo::upstream(Cut::NONE));
    // The variables alone switch nothing on.
    let mut silent =
        one(&upstream).variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).start();
    let _ = silent.chat("hello").expect(200);
    let _ = silent.terminate().expect(0);
    let mut world = one(&upstream)
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
        .flags(&["--otel"])
        .start();
    let hello = Dialect::Chat.ask("hello", false);
    let unsampled = Ask::post("/v1/chat/completions", &hello)
        .header("traceparent", &format!("00-{TRACE}-{SPAN}-00"));
    let _ = unsampled.send(world.address()).expect(200);
    let _ = Ask::get("/v1/models").send(world.address()).expect(200);
    let _ =
        world.post("/v1/messages/count_tokens", &Dialect::Messages.ask("hello", false)).expect(200);
    let malformed = Ask::post("/v1/chat/completions", &hello)
        .header("traceparent", &format!("00-{}-{SPAN}-00", TRACE.to_uppercase()));
    let _ = malformed.send(world.address()).expect(200);
    let _ = world.terminate().expect(0);
    // The stop has sent what there was: the one call that could have been kept.
    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span["trace"] != TRACE), "{spans:?}");
    assert_eq!(spans[0]["resource"]["service.name"], "openshell-router");
}

#[test]
fn a_collector_that_is_away_or_slow_costs_a_caller_nothing() {
    let stalled = ScriptedUpstream::always(Script::raw(vec![Step::Stall]));
    for collector in [format!("http://{}", dead_address()), stalled.url()] {
        let upstream = echo::upstream(Cut::NONE);
        let mut world = one(&upstream).flags(&["--otel-endpoint", &collector]).start();
        let begun = Instant::now();
        for _ in 0..50 {
            let _ = world.chat("hello").expect(200);
        }
        // An export waits for ten seconds; nothing that waits for one could answer fifty calls by then.
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        if collector != stalled.url() {
            openshell_tests::wait::until(
                "dropped spans to be counted",
                openshell_tests::wait::LONG,
                || {
                    let dropped = world.metric("openshell_router_spans_dropped_total", &[]);
                    (dropped >= 2.0).then_some(())
                },
            );
        }
        assert!(world.metric("openshell_router_spans_exported_total", &[]) < 1.0);
        let ended = Instant::now();
        let _ = world.terminate().expect(0);
        assert!(ended.elapsed() < Duration::from_secs(9), "{:?}", ended.elapsed());
    }
}

#[test]
fn an_address_that_is_none_is_refused_at_the_start() {
    let upstream = echo::upstream(Cut::NONE);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("router.yaml");
    std::fs::write(&file, one(&upstream).yaml()).expect("a file can be written");
    let file = file.display().to_string();
    for address in ["localhost:4318", "http://user:pass-word@host:4318"] {
        let args = [
            "router",
            "run",
            "--config",
            &file,
            "--listen",
            "127.0.0.1:0",
            "--otel-endpoint",
            address,
        ];
        let ended = openshell_tests::world::command(&args).expect(1);
        assert!(ended.stderr.contains("address of the collector"), "{}", ended.stderr);
        assert!(!ended.said().contains("pass-word"), "{}", ended.stderr);
    }
}
