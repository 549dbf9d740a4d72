//! Every endpoint that callers know, spoken to a backend of the same dialect: the body goes through untouched but for
//! the model's name, and the answer comes back as it is.

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Ask,
    script::Script,
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config},
};
use serde_json::{Value, json};

fn config(upstream: &ScriptedUpstream, provider: &str) -> Config {
    Config::new([Backend::new("only", &upstream.url())
        .provider(provider)
        .credential("k-1")
        .model("real-model")])
}

#[test]
fn a_conversation_in_each_dialect_whole_and_streamed() {
    for dialect in DIALECTS {
        let upstream = echo::upstream(Cut { delta: 4, write: 0 });
        let world = config(&upstream, dialect.provider()).start();
        for stream in [false, true] {
            let reply =
                world.post(dialect.target(), &dialect.ask("good morning", stream)).expect(200);
            assert_eq!(dialect.text(&reply), "you said: good morning");
            assert_eq!(reply.header("x-openshell-route"), Some("only/real-model"));
            assert_eq!(reply.header("x-openshell-sensitivity"), Some("public"));
            assert!(reply.header("x-openshell-request-id").is_some_and(|id| id.len() >= 8));
            assert!(reply.header("x-openshell-reason").is_some_and(|reason| !reason.is_empty()));
        }
        for seen in upstream.seen() {
            assert_eq!(seen.json()["model"], "real-model");
            assert_eq!(seen.method, "POST");
            assert!(
                seen.target.ends_with(dialect.target().trim_start_matches("/v1")),
                "{}",
                seen.target
            );
        }
    }
}

#[test]
fn bytes_that_need_no_change_are_not_changed() {
    let upstream = echo::upstream(Cut::NONE);
    let world = config(&upstream, "openai-compatible").start();
    let body = concat!(
        "{ \"messages\" : [ {\"role\":\"user\",\n\t\"content\":\"h\\u00e9llo \\/ 1.0e2\"} ],",
        " \"x_unknown\": {\"deep\": [1.50, 2e+3, null, true]}, \"temperature\":0.70, \"model\":\"auto\" }"
    );
    let ask = Ask::new("POST", "/v1/chat/completions")
        .header("content-type", "application/json")
        .body(body);
    let _ = ask.send(world.address()).expect(200);
    assert_eq!(upstream.only().text(), body.replace("\"auto\"", "\"real-model\""));
}

#[test]
fn unknown_fields_and_events_of_an_answer_survive() {
    let mut answer = wire::chat("hello");
    answer["x_unknown"] = json!({"kept": [1, 2]});
    let upstream = ScriptedUpstream::always(Script::json(200, &answer));
    let world = config(&upstream, "openai-compatible").start();
    let reply = world.chat("hi").expect(200).json();
    assert_eq!(reply["x_unknown"], json!({"kept": [1, 2]}));
    assert_eq!(reply["usage"]["total_tokens"], 18);
}

#[test]
fn the_list_of_models_names_aliases_and_models() {
    let upstream = echo::upstream(Cut::NONE);
    let world =
        config(&upstream, "openai-compatible").section("aliases:\n  fast: {}\n  auto: {}").start();
    let list = Ask::get("/v1/models").send(world.address()).expect(200).json();
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    for id in ["auto", "fast", "real-model"] {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
    let anthropic = Ask::get("/v1/models?limit=1000").header("anthropic-version", "2023-06-01");
    let list = anthropic.send(world.address()).expect(200).json();
    assert!(list["data"].as_array().is_some_and(|models| !models.is_empty()), "{list}");
}

#[test]
fn embeddings_and_completions() {
    let upstream = ScriptedUpstream::start(|seen, _| {
        if seen.target.ends_with("/embeddings") {
            return Script::json(200, &wire::embedding(&[0.25, -0.5]));
        }
        Script::json(
            200,
            &json!({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "real-model",
            "choices": [{"index": 0, "text": "world", "finish_reason": "stop", "logprobs": null}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}),
        )
    });
    let embeds = "abilities: {embeddings: true}, price: {input: 0, cached_input: 0, output: 0}";
    let writes = "abilities: {embeddings: false}, price: {input: 0, cached_input: 0, output: 0}";
    let backend = Backend::new("only", &upstream.url()).credential("k-1");
    let world = Config::new([backend.model_with("e", embeds).model_with("w", writes)]).start();
    let reply = world
        .post("/v1/embeddings", &json!({"model": "auto", "input": "hello"}))
        .expect(200)
        .json();
    assert_eq!(reply["data"][0]["embedding"], json!([0.25, -0.5]));
    let reply = world
        .post("/v1/completions", &json!({"model": "auto", "prompt": "hello"}))
        .expect(200)
        .json();
    assert_eq!(reply["choices"][0]["text"], "world");
}

#[test]
fn tokens_are_counted_without_asking_anyone_who_may_not_see_them() {
    let upstream = ScriptedUpstream::always(Script::json(200, &json!({"input_tokens": 12})));
    let world = config(&upstream, "anthropic").start();
    let body = json!({"model": "auto", "messages": [{"role": "user", "content": "how many tokens are these?"}]});
    let reply = world.post("/v1/messages/count_tokens", &body).expect(200).json();
    let tokens = reply["input_tokens"].as_u64().unwrap_or_default();
    assert!((5..=30).contains(&tokens), "{reply}");
}

#[test]
fn an_unknown_model_is_mapped_or_refused_as_the_file_says() {
    let upstream = echo::upstream(Cut::NONE);
    let ask = |model: &str| {
        let mut body = Dialect::Chat.ask("hi", false);
        body["model"] = json!(model);
        body
    };
    let lenient = config(&upstream, "openai-compatible").section("unknown_model: auto").start();
    let _ = lenient.post("/v1/chat/completions", &ask("gpt-nonsense")).expect(200);
    let strict = config(&upstream, "openai-compatible").section("unknown_model: reject").start();
    let reply = strict.post("/v1/chat/completions", &ask("gpt-nonsense")).expect(404);
    assert!(Dialect::Chat.error_message(&reply).contains("model"), "{}", reply.text());
    let _ = strict.post("/v1/chat/completions", &ask("real-model")).expect(200);
}

#[test]
fn the_cost_is_told_when_it_is_known() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).priced("m", 2.0, 10.0)]).start();
    let reply = world.chat("hello").expect(200);
    let cost: f64 =
        reply.header("x-openshell-cost-usd").expect("the cost").parse().expect("a number");
    // The echo reports 11 tokens in and 7 out.
    let expected = (11.0 * 2.0 + 7.0 * 10.0) / 1e6;
    assert!((cost - expected).abs() < 1e-9, "{cost} is not {expected}");
}

#[test]
fn health_is_for_operators() {
    let upstream = echo::upstream(Cut::NONE);
    let world = config(&upstream, "openai-compatible").start();
    for target in ["/healthz", "/readyz"] {
        let _ = Ask::get(target).send(world.admin()).expect(200);
    }
    let _ = world.chat("hello").expect(200);
    assert!(world.metrics().contains("openshell_router_"), "{}", world.metrics());
}

#[test]
fn the_first_event_comes_before_the_last() {
    let upstream = ScriptedUpstream::always(
        Script::events(&wire::chat_events(&["a", "b"]))
            .then(3, openshell_tests::script::Step::Stall),
    );
    let world = config(&upstream, "openai-compatible").start();
    let mut incoming =
        Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hi", true)).open(world.address());
    assert_eq!(incoming.status, 200);
    let mut left = Vec::new();
    let mut text = String::new();
    while text != "a" {
        let event = incoming.event(&mut left).expect("the upstream sent an event and waits");
        text.push_str(
            event
                .json()
                .pointer("/choices/0/delta/content")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
    }
    incoming.leave();
}
