//! What is found in requests that are read, besides their segments.

use super::*;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";

fn chat(part: &Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": [part]}]})
}

type MediaCase = (Dialect, Value, Media, Given);

fn media_of_openai() -> Vec<MediaCase> {
    let url = format!("data:image/png;base64,{PNG}");
    let chat_case = |part: Value, media, given| (OpenAiChat, chat(&part), media, given);
    let responses_case = |part: Value, media, given| {
        let body = json!({"model": "m", "input": [{"role": "user", "content": [part]}]});
        (OpenAiResponses, body, media, given)
    };
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let file = |file: Value| json!({"type": "file", "file": file});
    let audio = json!({"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}});
    vec![
        chat_case(image(&url), Media::Image, Given::Inline),
        chat_case(image("https://x/y.png"), Media::Image, Given::Url),
        chat_case(audio, Media::Audio, Given::Inline),
        chat_case(file(json!({"file_data": url, "filename": "a"})), Media::File, Given::Inline),
        chat_case(file(json!({"file_id": "file-1"})), Media::File, Given::Id),
        responses_case(
            json!({"type": "input_image", "image_url": url}),
            Media::Image,
            Given::Inline,
        ),
        responses_case(json!({"type": "input_file", "file_id": "f"}), Media::File, Given::Id),
    ]
}

fn media_of_anthropic() -> Vec<MediaCase> {
    let case = |part: Value, media, given| {
        let mut body = chat(&part);
        body["max_tokens"] = 1.into();
        (AnthropicMessages, body, media, given)
    };
    let image = |source: Value| json!({"type": "image", "source": source});
    let base64 = |kind: &str| json!({"type": "base64", "media_type": kind, "data": PNG});
    let document = json!({"type": "document", "source": base64("application/pdf")});
    let result = json!({"type": "tool_result", "content": [document]});
    vec![
        case(image(base64("image/png")), Media::Image, Given::Inline),
        case(image(json!({"type": "url", "url": "https://x/y"})), Media::Image, Given::Url),
        case(image(json!({"type": "file", "file_id": "f"})), Media::Image, Given::Id),
        case(result, Media::File, Given::Inline),
    ]
}

#[test]
fn media_are_listed_and_their_payloads_are_no_segments() {
    for (dialect, body, media, given) in media_of_openai().into_iter().chain(media_of_anthropic()) {
        read_value(dialect, &body, |view, bytes| {
            assert_eq!(view.media, [media], "{body}");
            let attachment = &view.attachments[0];
            assert_eq!((attachment.given, attachment.turn), (given, Some(0)), "{body}");
            assert!(view.segments.iter().all(|s| !s.text.contains("iVBOR")), "{body}");
            let inline = std::str::from_utf8(&bytes[attachment.span.clone()]).unwrap();
            assert_eq!(inline.ends_with(PNG), given == Given::Inline, "{body}");
            assert_eq!(view.server_state, (given == Given::Id).then_some("file_id"));
            let needs = [view.needs.images, view.needs.files, view.needs.audio];
            let wanted = [Media::Image, Media::File, Media::Audio].map(|kind| kind == media);
            assert_eq!(needs, wanted, "{body}");
        });
    }
}

#[test]
fn text_that_stands_where_a_payload_should_is_still_searched() {
    let bodies = [
        chat(
            &json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,my secret is 7"}}),
        ),
        chat(&json!({"type": "image_url", "image_url": {"url": "data:text/plain,my secret is 7"}})),
        chat(&json!({"type": "input_audio", "input_audio": {"data": "my secret is 7"}})),
        chat(&json!({"type": "file", "file": {"file_data": "my secret is 7"}})),
        chat(&json!({"type": "thinking", "signature": "my secret is 7"})),
        chat(&json!({"type": "redacted_thinking", "data": "my secret is 7"})),
    ];
    for body in bodies {
        read_value(OpenAiChat, &body, |view, _| {
            assert!(view.segments.iter().any(|s| s.text.contains("my secret is 7")), "{body}");
        });
    }
}

#[test]
fn token_numbers_cannot_be_read() {
    let cases = [
        (OpenAiEmbeddings, json!({"model": "m", "input": [1, 2, 3]}), vec![Some(0)]),
        (OpenAiEmbeddings, json!({"model": "m", "input": [[1], [2, 3]]}), vec![Some(0), Some(1)]),
        (OpenAiCompletions, json!({"model": "m", "prompt": ["a", [2]]}), vec![Some(1)]),
    ];
    for (dialect, body, turns) in cases {
        read_value(dialect, &body, |view, _| {
            let found: Vec<_> = view.attachments.iter().map(|a| a.turn).collect();
            assert_eq!(found, turns, "{body}");
            assert!(view.media.iter().all(|media| *media == Media::Tokens), "{body}");
        });
    }
}

#[test]
fn needs_say_what_a_backend_must_be_able_to_do() {
    let none = Needs::default();
    let schema = json!({"type": "json_schema", "json_schema": {"name": "a", "schema": {}}});
    let cases = [
        (OpenAiChat, json!({"tools": []}), none),
        (OpenAiChat, json!({"tools": [{"type": "function"}]}), Needs { tools: true, ..none }),
        (OpenAiChat, json!({"response_format": schema}), Needs { json_schema: true, ..none }),
        (OpenAiChat, json!({"response_format": {"type": "json_object"}}), none),
        (OpenAiChat, json!({"reasoning_effort": "high"}), Needs { reasoning: true, ..none }),
        (OpenAiChat, json!({"reasoning_effort": "none"}), none),
        (OpenAiResponses, json!({"text": {"format": schema}}), Needs { json_schema: true, ..none }),
        (
            OpenAiResponses,
            json!({"reasoning": {"effort": "low"}}),
            Needs { reasoning: true, ..none },
        ),
        (OpenAiResponses, json!({"reasoning": {"effort": null}}), none),
        (
            AnthropicMessages,
            json!({"thinking": {"type": "adaptive"}}),
            Needs { reasoning: true, ..none },
        ),
        (AnthropicMessages, json!({"thinking": {"type": "disabled"}}), none),
        (
            AnthropicMessages,
            json!({"output_config": {"format": {"type": "json_schema"}}}),
            Needs { json_schema: true, ..none },
        ),
    ];
    for (dialect, mut body, needs) in cases {
        let required = json!({"model": "m", "messages": [], "input": "x", "max_tokens": 1});
        body.as_object_mut().unwrap().extend(required.as_object().unwrap().clone());
        read_value(dialect, &body, |view, _| assert_eq!(view.needs, needs, "{body}"));
    }
}

#[test]
fn limits_and_state_are_read() {
    let body = json!({"model": "m", "messages": [], "max_tokens": 7, "max_completion_tokens": 8,
        "n": 3, "stream": true, "store": true});
    read_value(OpenAiChat, &body, |view, _| {
        assert_eq!((view.output_max, view.choices), (Some(8), 3));
        assert!(view.stream && view.stored);
        assert_eq!(view.server_state, None);
    });
    let cases = [
        (json!({}), None, true),
        (json!({"store": false}), None, false),
        (json!({"previous_response_id": "resp_1"}), Some("previous_response_id"), true),
        (json!({"previous_response_id": null, "background": false}), None, true),
        (json!({"background": true}), Some("background"), true),
        (json!({"conversation": {"id": "c"}}), Some("conversation"), true),
        (json!({"prompt": {"id": "p"}}), Some("prompt"), true),
        (json!({"input": [{"type": "item_reference", "id": "i"}]}), Some("item_reference"), true),
        (
            json!({"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}),
            Some("vector_store_ids"),
            true,
        ),
    ];
    for (mut body, state, stored) in cases {
        let required = json!({"model": "m", "input": "x", "max_output_tokens": 5});
        for (name, field) in required.as_object().unwrap() {
            body.as_object_mut().unwrap().entry(name).or_insert(field.clone());
        }
        read_value(OpenAiResponses, &body, |view, _| {
            assert_eq!((view.server_state, view.stored), (state, stored), "{body}");
            assert_eq!(view.output_max, Some(5));
        });
    }
}

#[test]
fn messages_and_the_first_of_the_user_are_found() {
    let body = r#"{"model":"m","messages":[ {"role":"system","content":"s"} , {"role":"user","content":"u"},{"role":"user","content":"v"}]}"#;
    let view = read(OpenAiChat, body.as_bytes()).unwrap();
    let texts: Vec<&str> =
        view.messages.iter().map(|span| body.get(span.clone()).unwrap()).collect();
    assert_eq!(texts[0], r#"{"role":"system","content":"s"}"#);
    assert_eq!(texts[2], r#"{"role":"user","content":"v"}"#);
    assert_eq!(view.anchor, Some(1));
}

#[test]
fn stripping_takes_out_the_caller_and_nothing_else() {
    let billing = "x-anthropic-billing-header: cc_version=1; cch=2";
    let rest = json!({"model": "m", "max_tokens": 1, "messages": []});
    let cases = [
        (json!({"user": "u", "safety_identifier": "s", "prompt_cache_key": "k"}), json!({})),
        (json!({"metadata": {"user_id": "u"}}), json!({"metadata": {}})),
        (
            json!({"metadata": {"a": "1", "user_id": "u", "b": "2"}}),
            json!({"metadata": {"a": "1", "b": "2"}}),
        ),
        (json!({"user": null}), json!({"user": null})),
        (json!({"client_metadata": {"x": [1, {"user_id": "u"}]}}), json!({})),
        (
            json!({"mcp_servers": [{"type": "url", "url": "u", "authorization_token": "t"}]}),
            json!({"mcp_servers": [{"type": "url", "url": "u"}]}),
        ),
        (
            json!({"tools": [{"type": "mcp", "authorization": "a", "headers": {"x": "y"}, "server_url": "u"}]}),
            json!({"tools": [{"type": "mcp", "server_url": "u"}]}),
        ),
        (
            json!({"system": [{"type": "text", "text": billing}, {"type": "text", "text": "be"}]}),
            json!({"system": [{"type": "text", "text": "be"}]}),
        ),
        (json!({"system": [{"type": "text", "text": billing}]}), json!({})),
        (json!({"system": format!("{billing}\nbe \"good\"")}), json!({"system": "be \"good\""})),
        (json!({"system": "be good"}), json!({"system": "be good"})),
    ];
    for (fields, wanted) in cases {
        // At the start, at the end, and around the other members.
        for order in 0..3 {
            let mut body = serde_json::Map::new();
            let (fields, rest) = (fields.as_object().unwrap(), rest.as_object().unwrap());
            match order {
                0 => body.extend(fields.clone().into_iter().chain(rest.clone())),
                1 => body.extend(rest.clone().into_iter().chain(fields.clone())),
                _ => {
                    body.extend(fields.clone().into_iter().take(1).chain(rest.clone()));
                    body.extend(fields.clone().into_iter().skip(1));
                }
            }
            let mut wanted = wanted.clone();
            wanted.as_object_mut().unwrap().extend(rest.clone());
            read_value(AnthropicMessages, &Value::Object(body), |view, bytes| {
                assert_eq!(edited(bytes, view.strip.clone()), wanted);
            });
        }
    }
}

#[test]
fn white_space_around_stripped_members_does_no_harm() {
    let body = b" { \"user\" : \"u\" , \"prompt_cache_key\":\"k\" ,\n\"model\":\"m\", \"messages\":[ ] , \"safety_identifier\": \"s\" } ";
    let view = read(OpenAiChat, body).unwrap();
    assert_eq!(edited(body, view.strip.clone()), json!({"model": "m", "messages": []}));
    let kinds: Vec<_> = view.identifiers.iter().map(|i| (i.kind, &body[i.value.clone()])).collect();
    let wanted: [(IdentifierKind, &[u8]); 3] = [
        (IdentifierKind::User, b"u"),
        (IdentifierKind::CacheKey, b"k"),
        (IdentifierKind::User, b"s"),
    ];
    assert_eq!(kinds, wanted);
    // A cache key can be replaced instead.
    let key = &view.identifiers[1];
    let mut edits = removal([&view.identifiers[0].slot, &view.identifiers[2].slot]);
    edits.push(Edit { span: key.value.clone(), with: "hash".to_owned() });
    let wanted = json!({"prompt_cache_key": "hash", "model": "m", "messages": []});
    assert_eq!(edited(body, edits), wanted);
}

#[test]
fn tools_that_only_some_backends_know_can_be_taken_out() {
    let body = json!({"model": "m", "input": "x", "tools": [
        {"type": "web_search"},
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "definition": "x"}},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]},
        {"type": "mcp", "server_label": "l"},
    ]});
    read_value(OpenAiResponses, &body, |view, bytes| {
        let kinds: Vec<&str> = view.provider_tools.iter().map(|tool| &*tool.kind).collect();
        assert_eq!(kinds, ["web_search", "namespace", "mcp"]);
        let after = edited(bytes, removal(view.provider_tools.iter().map(|tool| &tool.slot)));
        let names: Vec<_> = after["tools"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
        assert_eq!(names, ["f", "c"]);
    });
}

#[test]
fn opaque_reasoning_is_bound_to_its_backend() {
    let sealed = "gAAAAABpQk-_".repeat(20);
    let body = json!({"model": "m", "input": [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "n", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": null},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": sealed},
    ]});
    read_value(OpenAiResponses, &body, |view, bytes| {
        assert_eq!(view.backend_bound.len(), 2);
        assert!(view.segments.iter().all(|s| s.text != sealed.as_str()));
        let first = &view.backend_bound[0];
        assert_eq!(first.disposal, Disposal::Element);
        assert_eq!(&bytes[first.value.clone()], sealed.as_bytes());
        let pair: Value = serde_json::from_slice(&bytes[first.pair.clone().unwrap()]).unwrap();
        assert_eq!(pair["id"], "fc_1");
        assert_eq!(view.backend_bound[1].pair, None);
        let without = edited(bytes, removal(view.backend_bound.iter().map(|b| &b.slot)));
        let ids: Vec<_> = without["input"].as_array().unwrap().iter().map(|i| &i["id"]).collect();
        assert_eq!(ids, [&Value::Null, &json!("fc_1"), &Value::Null, &json!("rs_2")]);
    });
}

#[test]
fn a_signed_thought_goes_as_a_block_and_a_signature_on_a_call_alone() {
    let body = json!({"model": "m", "messages": [{"role": "assistant",
        "content": [
            {"type": "redacted_thinking", "data": "AAAA".repeat(40)},
            {"type": "thinking", "thinking": "hm", "signature": "AAAA".repeat(40)},
            {"type": "text", "text": "so"},
        ],
        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "n", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "AAAA".repeat(40)}}}],
    }]});
    read_value(OpenAiChat, &body, |view, bytes| {
        let disposals: Vec<_> = view.backend_bound.iter().map(|b| b.disposal).collect();
        assert_eq!(disposals, [Disposal::Element, Disposal::Element, Disposal::Member]);
        let without = edited(bytes, removal(view.backend_bound.iter().map(|b| &b.slot)));
        let message = &without["messages"][0];
        assert_eq!(message["content"], json!([{"type": "text", "text": "so"}]));
        assert_eq!(message["tool_calls"][0]["extra_content"], json!({"google": {}}));
        assert_eq!(message["tool_calls"][0]["id"], "c");
    });
}

#[test]
fn what_tells_the_caller_and_what_is_opaque_go_together() {
    let body = json!({"model": "m", "max_tokens": 1, "messages": [], "system": [
        {"type": "text", "text": "x-anthropic-billing-header: a"},
        {"type": "redacted_thinking", "data": "AAAA".repeat(40)},
        {"type": "text", "text": "be good"},
    ]});
    read_value(AnthropicMessages, &body, |view, bytes| {
        let others = view.identifiers.iter().map(|identifier| &identifier.slot);
        let after = edited(bytes, detachment(&view.backend_bound, others));
        assert_eq!(after["system"], json!([{"type": "text", "text": "be good"}]));
    });
}

#[test]
fn a_message_of_which_nothing_would_be_left_goes_as_a_whole() {
    let sealed = "AAAA".repeat(40);
    let thought = json!({"type": "thinking", "thinking": "hm", "signature": sealed});
    let hidden = json!({"type": "redacted_thinking", "data": sealed});
    let text = json!({"type": "text", "text": "so"});
    let call = json!([{"id": "c", "type": "function", "function": {"name": "n"}}]);
    let from = |fields: Value| {
        let mut message = json!({"role": "assistant"});
        message.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        message
    };
    let user = json!({"role": "user", "content": "u"});
    let cases = [
        (vec![from(json!({"content": [thought, hidden]}))], vec![]),
        (vec![from(json!({"content": [thought]})), user.clone()], vec![user.clone()]),
        (
            vec![
                user.clone(),
                from(json!({"content": [thought]})),
                from(json!({"content": [hidden]})),
                from(json!({"content": [thought, text]})),
            ],
            vec![user.clone(), from(json!({"content": [text]}))],
        ),
        (
            vec![from(json!({"content": [thought], "tool_calls": call}))],
            vec![from(json!({"content": [], "tool_calls": call}))],
        ),
        (
            vec![from(json!({"content": "so", "reasoning_details": [thought]}))],
            vec![from(json!({"content": "so", "reasoning_details": []}))],
        ),
    ];
    for (messages, wanted) in cases {
        let body = json!({"model": "m", "messages": messages});
        read_value(OpenAiChat, &body, |view, bytes| {
            let after = edited(bytes, detachment(&view.backend_bound, []));
            assert_eq!(after["messages"], Value::from(wanted), "{body}");
        });
    }
}

#[test]
fn usage_is_asked_for_where_the_caller_does_not() {
    let on = json!({"include_usage": true});
    let cases = [
        (OpenAiChat, json!({"stream": true}), Some(on.clone())),
        (OpenAiChat, json!({"stream": true, "stream_options": null}), Some(on.clone())),
        (OpenAiChat, json!({"stream": true, "stream_options": {}}), Some(on.clone())),
        (
            OpenAiChat,
            json!({"stream_options": {"include_usage": false}, "stream": true}),
            Some(on.clone()),
        ),
        (
            OpenAiChat,
            json!({"stream_options": {"include_usage": null}, "stream": true}),
            Some(on.clone()),
        ),
        (
            OpenAiChat,
            json!({"stream": true, "stream_options": {"include_obfuscation": false}}),
            Some(json!({"include_usage": true, "include_obfuscation": false})),
        ),
        (OpenAiCompletions, json!({"stream": true}), Some(on.clone())),
        (OpenAiChat, json!({"stream": true, "stream_options": on}), None),
        (OpenAiChat, json!({"stream": false}), None),
        (OpenAiChat, json!({}), None),
        (OpenAiResponses, json!({"stream": true}), None),
    ];
    for (dialect, mut body, wanted) in cases {
        let required = json!({"model": "m", "messages": [], "input": "x", "prompt": "x"});
        body.as_object_mut().unwrap().extend(required.as_object().unwrap().clone());
        read_value(dialect, &body, |view, bytes| {
            let options = view.usage_edit.clone().map(|edit| {
                let mut after = edited(bytes, vec![edit]);
                after["stream_options"].take()
            });
            assert_eq!(options, wanted, "{body}");
        });
    }
}

#[test]
fn the_model_is_changed_where_it_stands_or_added() {
    let body = br#"{"messages":[{"role":"user","content":"model"}],"model":"a\/b","user":"model"}"#;
    let view = read(OpenAiChat, body).unwrap();
    assert_eq!(view.model, "a/b");
    let after = splice(&Bytes::from_static(body), vec![model_edit(&view, "x:y")]).concat();
    let wanted =
        br#"{"messages":[{"role":"user","content":"model"}],"model":"x:y","user":"model"}"#;
    assert_eq!(after, wanted);

    let body = br#" { "messages":[]}"#;
    let view = read_for(OpenAiChat, Some("dep1"), body).unwrap();
    assert_eq!(view.model, "dep1");
    let after = edited(body, vec![model_edit(&view, "x:y")]);
    assert_eq!(after, json!({"model": "x:y", "messages": []}));
}
