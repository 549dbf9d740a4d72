//! What the system says in the middle of a conversation, for models whose templates refuse it there.

use openshell_tests::{
    clients::installed,
    dialect::Dialect,
    echo::{self, Cut},
    foreign::LlamaServer,
    http::Ask,
    world::{Backend, Config},
};
use serde_json::{Value, json};

/// As templates of open models have it.
const STRICT: &str = "{% for m in messages %}{% if m.role == 'system' and not loop.first %}\
    {{ raise_exception('System message must be at the beginning.') }}{% endif %}\
    <|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A conversation of an agent, in a dialect that has such messages.
fn conversation(dialect: Dialect) -> Value {
    let mut body = json!({"model": "auto", "max_tokens": 8, "messages": [
        {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "go on"}, {"role": "system", "content": "be brief"}]});
    if dialect == Dialect::Messages {
        body["system"] = json!("you help");
    }
    body
}

#[test]
fn goes_into_the_users_turn_where_templates_refuse_it() {
    let tagged = "<system>\nbe brief\n</system>";
    for (provider, speaks, caller, expected) in [
        ("vllm", Dialect::Chat, Dialect::Chat, true),
        ("vllm", Dialect::Chat, Dialect::Messages, true),
        ("llamacpp", Dialect::Messages, Dialect::Messages, true),
        ("openai-compatible", Dialect::Chat, Dialect::Messages, true),
        ("openai-compatible", Dialect::Chat, Dialect::Chat, false),
        ("openai", Dialect::Chat, Dialect::Chat, false),
        ("anthropic", Dialect::Messages, Dialect::Messages, false),
    ] {
        let upstream = echo::upstream(Cut::NONE);
        let backend = Backend::new("only", &upstream.url()).speaks(speaks).provider(provider);
        let world = Config::new([backend.model("m")]).start();
        let _ = world.post(caller.target(), &conversation(caller)).expect(200);
        let sent = upstream.only().json();
        let last = sent["messages"].as_array().unwrap().last().unwrap().clone();
        let case = format!("{provider} {caller:?} to {speaks:?}: {sent}");
        if expected {
            assert_eq!(last["role"], "user", "{case}");
            assert!(
                last["content"].to_string().contains("<system>\\nbe brief\\n</system>"),
                "{case}"
            );
        } else {
            assert_eq!(
                (&last["role"], &last["content"]),
                (&json!("system"), &json!("be brief")),
                "{case}"
            );
        }
        assert_eq!(sent.to_string().contains(&tagged.replace('\n', "\\n")), expected, "{case}");
    }
}

#[test]
fn reaches_a_real_model_with_a_strict_template() {
    let Some([llama]) = installed(["llama"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("strict.jinja");
    std::fs::write(&template, STRICT).unwrap();
    let words = ["--jinja", "--chat-template-file", template.to_str().unwrap()];
    let server = LlamaServer::start_with(&llama, "sk-llama-strict", &words);
    let direct = Ask::post("/v1/chat/completions", &conversation(Dialect::Chat))
        .header("authorization", "Bearer sk-llama-strict")
        .send(server.address());
    assert_ne!(direct.status, 200, "the template refuses it: {}", direct.text());
    for dialect in [Dialect::Chat, Dialect::Messages] {
        for speaks in [Dialect::Chat, Dialect::Messages] {
            let backend = Backend::new("llama", &server.url()).speaks(speaks).provider("llamacpp");
            let backend = backend.credential("sk-llama-strict").model("smollm2");
            let world = Config::new([backend]).start();
            let reply = world.post(dialect.target(), &conversation(dialect));
            assert_eq!(reply.status, 200, "{dialect:?} to {speaks:?}: {}", reply.text());
        }
    }
}
