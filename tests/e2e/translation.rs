//! A caller of one dialect, a backend of another: nothing of the conversation is lost on the way.

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    http::Event,
    script::Script,
    text::assert_absent,
    upstream::ScriptedUpstream,
    wire,
    world::{Backend, Config, World, command},
};
use serde_json::{Value, json};

fn world(upstream: &ScriptedUpstream, speaks: Dialect) -> World {
    Config::new([Backend::new("only", &upstream.url()).speaks(speaks).model("m")]).start()
}

#[test]
fn every_caller_understands_every_backend() {
    for speaks in DIALECTS {
        let upstream = echo::upstream(Cut { delta: 3, write: 17 });
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            for stream in [false, true] {
                let reply =
                    world.post(dialect.target(), &dialect.ask("tell me more", stream)).expect(200);
                assert_eq!(
                    dialect.text(&reply),
                    "you said: tell me more",
                    "{dialect:?} to {speaks:?}, {stream}"
                );
            }
        }
    }
}

#[test]
fn usage_is_told_in_the_words_of_the_caller() {
    for speaks in DIALECTS {
        let upstream = echo::upstream(Cut::NONE);
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let usage = world.post(dialect.target(), &dialect.ask("hi", false)).expect(200).json()
                ["usage"]
                .clone();
            let (input, output) = if dialect == Dialect::Chat {
                ("prompt_tokens", "completion_tokens")
            } else {
                ("input_tokens", "output_tokens")
            };
            assert_eq!(usage[input], 11, "{dialect:?} to {speaks:?}: {usage}");
            assert_eq!(usage[output], 7, "{dialect:?} to {speaks:?}: {usage}");
        }
    }
}

/// A conversation with a tool that was called, in the messages dialect, as an agent sends it.
fn conversation() -> Value {
    json!({
        "model": "auto", "max_tokens": 100, "system": [{"type": "text", "text": "you are brief"}],
        "tools": [{"name": "read", "description": "reads a file", "input_schema": {"type": "object",
            "properties": {"path": {"type": "string"}}, "required": ["path"]}}],
        "tool_choice": {"type": "auto"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "what is in a.txt?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "I look"},
                {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a.txt"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "forty-two"}]},
        ],
    })
}

#[test]
fn a_tool_call_reaches_a_chat_backend_in_its_words() {
    let upstream = ScriptedUpstream::always(Script::json(
        200,
        &wire::chat_tool("read", "{\"path\": \"b.txt\"}"),
    ));
    let world = world(&upstream, Dialect::Chat);
    let reply = world.post("/v1/messages", &conversation()).expect(200).json();
    let body = upstream.only().json();
    assert_eq!(body["messages"][0]["role"], "system");
    assert!(body["messages"][0]["content"].to_string().contains("you are brief"), "{body}");
    let call = &body["messages"][2]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "read");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert_eq!(arguments, json!({"path": "a.txt"}));
    assert_eq!(body["messages"][3]["role"], "tool");
    assert_eq!(body["messages"][3]["tool_call_id"], call["id"]);
    assert!(body["messages"][3]["content"].to_string().contains("forty-two"), "{body}");
    assert_eq!(body["tools"][0]["function"]["parameters"]["required"], json!(["path"]));
    assert_eq!(reply["stop_reason"], "tool_use");
    let call = reply["content"]
        .as_array()
        .unwrap()
        .iter()
        .find(|block| block["type"] == "tool_use")
        .expect("a call");
    assert_eq!(call["input"], json!({"path": "b.txt"}));
    assert_eq!(call["name"], "read");
}

#[test]
fn a_tool_call_streams_from_a_chat_backend_to_a_messages_caller() {
    let pieces = ["{\"pa", "th\": \"", "b.txt\"}"];
    let upstream =
        ScriptedUpstream::always(Script::events_cut(&wire::chat_tool_events("read", &pieces), 9));
    let world = world(&upstream, Dialect::Chat);
    let mut body = conversation();
    body["stream"] = json!(true);
    let events = world.post("/v1/messages", &body).expect(200).events();
    let start =
        events.iter().map(Event::json).find(|data| data["content_block"]["type"] == "tool_use");
    assert_eq!(start.expect("a call begins")["content_block"]["name"], "read");
    let parts: Vec<Value> = events.iter().map(Event::json).collect();
    let input: String =
        parts.iter().filter_map(|data| data["delta"]["partial_json"].as_str()).collect();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"path": "b.txt"}));
    assert!(parts.iter().any(|data| data["delta"]["stop_reason"] == "tool_use"));
}

#[test]
fn a_chat_caller_reaches_a_messages_backend() {
    let answer = json!({"id": "msg_2", "type": "message", "role": "assistant", "model": "scripted",
        "content": [{"type": "text", "text": "I look"},
            {"type": "tool_use", "id": "toolu_9", "name": "read", "input": {"path": "b.txt"}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 4}});
    let upstream = ScriptedUpstream::always(Script::json(200, &answer));
    let world = world(&upstream, Dialect::Messages);
    let body = json!({"model": "auto", "messages": [
            {"role": "system", "content": "you are brief"},
            {"role": "user", "content": "what is in a.txt?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "read", "arguments": "{\"path\":\"a.txt\"}"}},
                {"id": "call_2", "type": "function", "function": {"name": "read", "arguments": "{\"path\":\"c.txt\"}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "one"},
            {"role": "tool", "tool_call_id": "call_2", "content": "two"}],
        "tools": [{"type": "function", "function": {"name": "read", "description": "reads", "parameters":
            {"type": "object", "properties": {"path": {"type": "string"}}}}}]});
    let reply = world.post("/v1/chat/completions", &body).expect(200).json();
    let sent = upstream.only().json();
    assert!(sent["max_tokens"].as_u64().is_some_and(|most| most > 0), "{sent}");
    assert!(sent["system"].to_string().contains("you are brief"), "{sent}");
    let roles: Vec<&str> =
        sent["messages"].as_array().unwrap().iter().filter_map(|m| m["role"].as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user"], "results of one turn are one message: {sent}");
    assert_eq!(sent["messages"][1]["content"].as_array().map_or(0, Vec::len), 2, "{sent}");
    assert_eq!(sent["messages"][2]["content"].as_array().map_or(0, Vec::len), 2, "{sent}");
    assert_eq!(sent["tools"][0]["input_schema"]["type"], "object");
    let message = &reply["choices"][0]["message"];
    assert_eq!(message["content"], "I look");
    assert_eq!(message["tool_calls"][0]["id"], "toolu_9");
    let arguments = message["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"path": "b.txt"}));
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn what_a_backend_has_no_words_for_is_said() {
    let body = json!({"model": "auto", "max_tokens": 100, "metadata": {"user_id": "who-asks"},
        "system": [{"type": "text", "text": "you are brief", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
        "messages": [{"role": "user", "content": "hi"}]});
    let expected = "cache_control, metadata, tools.web_search";
    for stream in [false, true] {
        let upstream = echo::upstream(Cut::NONE);
        let world = world(&upstream, Dialect::Chat);
        let mut body = body.clone();
        body["stream"] = json!(stream);
        let reply = world.post("/v1/messages", &body).expect(200);
        assert_eq!(reply.header("x-openshell-omitted"), Some(expected));
        assert_absent("who-asks", &upstream.only().everything(), "the backend's request");
        let event = world.wait_for_audit(1, |_| true).remove(0);
        let omitted = event["unmapped"]["openshell"]["omitted"].clone();
        assert_eq!(omitted, json!(expected.split(", ").collect::<Vec<_>>()));

        let file = world.folder().join("request.json");
        std::fs::write(&file, body.to_string()).unwrap();
        let config = world.config_path();
        let (config, file) = (config.to_str().unwrap(), file.to_str().unwrap());
        let args = ["route", "explain", "--config", config, "-f", file];
        let said = command(&args).expect(0).stdout;
        let line = format!("only/m is asked in the dialect chat: leaves out {expected}");
        assert!(said.contains(&line), "{said}");
    }
    let upstream = echo::upstream(Cut::NONE);
    let reply = world(&upstream, Dialect::Messages).post("/v1/messages", &body).expect(200);
    assert_eq!(reply.header("x-openshell-omitted"), None, "its own dialect has words for all");
}

#[test]
fn a_hosted_tool_that_is_forced_is_refused_by_name() {
    let upstream = echo::upstream(Cut::NONE);
    let world = world(&upstream, Dialect::Chat);
    let body = json!({"model": "auto", "input": "hi", "store": false,
        "tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}});
    let reply = world.post("/v1/responses", &body).expect(400).json();
    assert_eq!(reply["error"]["param"], "tool_choice.type", "{reply}");
    assert_eq!(upstream.count(), 0);
    let file = world.folder().join("request.json");
    std::fs::write(&file, body.to_string()).unwrap();
    let config = world.config_path();
    let (config, file) = (config.to_str().unwrap(), file.to_str().unwrap());
    let said = command(&["route", "explain", "--config", config, "-f", file]).expect(1).stdout;
    assert!(
        said.contains("only/m is asked in the dialect chat: cannot: tool_choice.type"),
        "{said}"
    );
}

#[test]
fn errors_of_a_backend_come_in_the_words_of_the_caller() {
    for speaks in DIALECTS {
        let body = if speaks == Dialect::Messages {
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens is too large"}})
        } else {
            wire::error("max_tokens is too large", "invalid_request_error")
        };
        let upstream = ScriptedUpstream::always(Script::json(400, &body));
        let world = world(&upstream, speaks);
        for dialect in DIALECTS {
            let reply = world.post(dialect.target(), &dialect.ask("hi", false)).expect(400);
            dialect.error_message(&reply);
        }
    }
}
