use router::ledger::{OnExceed, Period, Scope};
use std::time::Duration;

use domain::{Price, Sensitivity, Tokens, Zone};
use router::{candidate::Prices, rules::Action, wire::Dialect};

use super::{Configuration, FILE_BYTES_MAX, parse};
use crate::configuration::{AuditSettings, CredentialSource, ServerLimits, Timeouts};

const EXAMPLE: &str = include_str!("../../tests/files/example.yaml");

/// One sound backend, to which a case adds.
const SOUND: &str = "version: 1\nbackends: [{name: a, provider: ollama, models: [{id: m, context: 1, price: {input: 0, output: 0}}]}]\n";

fn sound(text: &str) -> Configuration {
    match parse(text) {
        Ok((configuration, _)) => configuration,
        Err(faults) => panic!("{}", lines(&faults)),
    }
}

fn lines(entries: &[impl ToString]) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn faults(text: &str) -> String {
    lines(&parse(text).map(|(configuration, _)| configuration).unwrap_err())
}

fn notices(text: &str) -> String {
    match parse(text) {
        Ok((_, notices)) => lines(&notices),
        Err(faults) => panic!("{}", lines(&faults)),
    }
}

#[test]
fn the_documented_example_means_what_it_says() {
    let configuration = sound(EXAMPLE);
    let candidates = &configuration.settings.candidates;
    let names: Vec<_> = candidates.iter().map(|c| (c.backend.as_str(), c.model.as_str())).collect();
    assert_eq!(names, [("laptop", "qwen3:8b"), ("openai", "gpt-5-mini"), ("openai", "gpt-5")]);
    assert_eq!(candidates[0].zone, Zone::Local);
    assert_eq!(candidates[0].context, Some(Tokens(32768)));
    assert_eq!(candidates[0].quality, 40);
    assert_eq!(candidates[0].prices, Some(Prices::default()));
    assert_eq!(candidates[1].prices.unwrap().output, Price(2_000_000));
    assert_eq!(candidates[2].dialects, [Dialect::OpenAiChat, Dialect::OpenAiResponses]);
    assert_eq!(configuration.place(2).unwrap().name.as_str(), "openai");
    assert_eq!(configuration.indexes(2), Some((1, 1)));
    assert!(configuration.place(3).is_none());
    let openai = &configuration.backends[1];
    assert_eq!(openai.credential, Some(CredentialSource::Env("OPENAI_API_KEY".into())));
    assert_eq!(openai.base_url.host, "api.openai.com");
    let aliases: Vec<_> =
        configuration.settings.aliases.iter().map(|a| (a.name.as_str(), a.min_quality)).collect();
    assert_eq!(aliases, [("fast", Some(30)), ("smart", Some(70)), ("auto", None)]);
    let rules = &configuration.settings.rules;
    let of = |label: &'static str| rules.consequence(&domain::Label::fixed(label));
    assert_eq!(of("credential/jwt").action, Action::Redact);
    assert_eq!(of("term/falcon").action, Action::Block);
    assert_eq!(of("pii/email").level, Sensitivity::Confidential);
    let patterns = vec!["Project Falcon".to_owned(), "FLCN-[0-9]{4}".to_owned()];
    assert_eq!(configuration.terms, [("falcon".to_owned(), patterns)]);
    let budget = &configuration.settings.budgets[0];
    assert_eq!(
        (budget.scope, budget.period, budget.on_exceed),
        (Scope::Sandbox, Period::Day, OnExceed::Downgrade)
    );
    assert_eq!(budget.limit.usd().to_string(), "5");
    assert_eq!(configuration.timeouts.total, Duration::from_mins(30));
    assert_eq!(notices(EXAMPLE), "");
}

#[test]
fn every_section_but_the_backends_has_a_default() {
    let configuration = sound(SOUND);
    assert_eq!(configuration.backends[0].zone, Zone::Local);
    assert_eq!(configuration.settings.aliases[0].name, "auto");
    assert_eq!(configuration.timeouts, Timeouts::default());
    assert_eq!(configuration.server, ServerLimits::default());
    assert_eq!(configuration.audit, AuditSettings::default());
    let empty = format!("{SOUND}aliases:\nsensitivity:\nbudgets:\ntimeouts:\nserver:\naudit: ~\n");
    assert_eq!(sound(&empty).timeouts, Timeouts::default());
}

#[test]
fn everything_wrong_is_said_at_once_with_its_place() {
    let text = "\
version: 2
backends:
  - name: my laptop
    provider: olama
    zoen: local
    models:
      - {id: qwen3:8b, context: many, quality: 101}
  - name: cloud
    provider: openai
    credential: sk-secret
    zone: pubic
    models: [{id: gpt-5, price: {input: -1, output: \"2\"}, abilities: {tool: true, images: yes}}, gpt-4o]
  - name: far
    provider: openai-compatible
    base_url: ftp://example.com
    models: []
unknown_models: auto
sensitivity:
  ceilings: {public: local, confidential: everywhere}
  labels:
    \"pi/*\": {level: confidential, action: redact}
    \"pii/*\": {level: secret}
  terms:
    Falcon: {any: []}
    hawk: {any: [\"(\", \"a*\", \"[a-z]{1000}{1000}\"]}
budgets:
  - {scope: sandboxes, limit_usd: five, per: week, on_exceed: downgrade}
timeouts: {connect: 5, idle: 2d}
";
    insta::assert_snapshot!(faults(text), @r#"
    1:10: version: this version of the format is not known; write `version: 1`
    3:11: backends[0].name: ' ' cannot stand in a name
    4:15: backends[0].provider: `olama` is not known here; did you mean `ollama`?
    5:5: backends[0].zoen: unknown field; did you mean `zone`?
    7:33: backends[0].models[0].context: must be a whole number from 1 to 100000000
    7:48: backends[0].models[0].quality: must be a whole number from 0 to 100
    10:17: backends[1].credential: a credential is named here, never written into this file; write {env: NAME}, {file: PATH} or {provider: RECORD}
    11:11: backends[1].zone: `pubic` is not known here; did you mean `public`?
    12:41: backends[1].models[0].price.input: must be a price in USD per million tokens, 0 or more
    12:53: backends[1].models[0].price.output: must be a number; remove the quotes
    12:71: backends[1].models[0].abilities.tool: unknown field; did you mean `tools`?
    12:91: backends[1].models[0].abilities.images: must be true or false
    12:98: backends[1].models[1]: expected a mapping; write {id: NAME}
    15:15: backends[2].base_url: must begin with http:// or https://; write it as https://host:port/path
    16:13: backends[2].models: at least one model is needed; list what it serves, as `models: [{id: gpt-5}]`
    17:1: unknown_models: unknown field; did you mean `unknown_model`?
    19:13: sensitivity.ceilings: internal text may go to public backends but public text only to local ones; narrow `internal` or widen `public`; levels that are not given keep their default
    19:43: sensitivity.ceilings.confidential: `everywhere` is not known here; use one of local, private, public
    21:5: sensitivity.labels."pi/*": "pi" is no label family; families are credential, pii, payment, health, term, marking, code; as `pii/*`
    22:14: sensitivity.labels."pii/*": `action` is missing; allow, redact, route or block
    22:22: sensitivity.labels."pii/*".level: `secret` is not known here; use one of public, internal, confidential, restricted
    24:5: sensitivity.terms.Falcon: this is no name for a term; use lower-case letters, digits, '-', '_' and '.', at most 64
    24:19: sensitivity.terms.Falcon.any: at least one pattern is needed; list its patterns, as {any: ["Project Falcon"]}
    25:18: sensitivity.terms.hawk.any[0]: this is no regular expression: unclosed group; escape what is meant literally with a backslash
    25:23: sensitivity.terms.hawk.any[1]: this pattern matches the empty text, so it would match everywhere
    25:29: sensitivity.terms.hawk.any[2]: this pattern is too large when compiled; escape what is meant literally with a backslash
    27:13: budgets[0].scope: `sandboxes` is not known here; did you mean `sandbox`?
    27:35: budgets[0].limit_usd: must be an amount in USD, 0 or more
    27:46: budgets[0].per: `week` is not known here; use one of day, month
    28:21: timeouts.connect: must be a time from 1ms to 24h; write a number and a unit: 500ms, 5s, 30m, 2h
    28:30: timeouts.idle: must be a time from 1ms to 24h; write a number and a unit: 500ms, 5s, 30m, 2h
    "#);
}

#[test]
fn structure_is_checked_before_meaning() {
    let cases = [
        ("", "1:1: the file is empty; it needs at least `version: 1` and `backends`"),
        (
            "version: 1",
            "1:1: `backends` is missing; add at least one, as {name: openai, provider: openai, zone: public, models: [{id: gpt-5}]}",
        ),
        ("- 1", "1:1: expected a mapping, found a list"),
        (
            "version: 1\nversion: 1\nbackends: []",
            "2:1: version: `version` is given twice; keep one of them",
        ),
        ("a: &x [*x]", "1:8: a[0]: this alias stands inside the value that it names"),
        ("? [a]\n: b", "1:3: a key must be a word"),
        ("a: !!int 5\nversion: 1", "1:10: a: tags have no meaning in this file; remove it"),
        (
            "version: 1\n---\nversion: 1\n",
            "2:1: the file holds a second document; one file, one document",
        ),
    ];
    for (text, expected) in cases {
        let faults = faults(text);
        assert!(faults.lines().any(|line| line == expected), "{text}: {faults}");
    }
}

#[test]
fn broken_yaml_has_a_place() {
    for text in ["a: [", "a: \"", "a: b: c", "%YAML 1.2\n---\na: 1", "{", "a: *b", "\u{0}"] {
        let faults = faults(text);
        assert!(faults.contains("this is no YAML") || faults.contains("unknown field"), "{faults}");
    }
}

#[test]
fn a_file_that_would_cost_much_is_refused() {
    let bomb: String = std::iter::once("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned())
        .chain((1..12).map(|n| {
            let inner = vec![format!("*a{}", n - 1); 10].join(", ");
            format!("a{n}: &a{n} [{inner}]\n")
        }))
        .collect();
    assert!(faults(&bomb).contains("aliases multiply them"), "{}", faults(&bomb));
    let chain: String = std::iter::once("a0: &a0 [x]\n".to_owned())
        .chain((1..2000).map(|n| format!("a{n}: &a{n} [*a{}]\n", n - 1)))
        .collect();
    assert!(faults(&chain).contains("aliases multiply them"));
    assert!(faults(&"[".repeat(100_000)).contains("this is no YAML"));
    assert!(faults(&" ".repeat(FILE_BYTES_MAX + 1)).contains("more than 1048576 bytes"));
    let wide = (0..40_000).map(|n| format!("k{n}: 1")).collect::<Vec<_>>().join("\n");
    let told = faults(&wide);
    assert_eq!(told.lines().count(), 101);
    assert!(
        told.ends_with("more faults are not shown") || told.contains("too many values"),
        "{told}"
    );
}

#[test]
fn a_secret_in_the_file_is_never_repeated() {
    let cases = [
        "credential: sk-live-secret",
        "credential: {env: sk-live-secret}",
        "api_key: sk-live-secret",
    ];
    for case in cases {
        let text = SOUND.replace("provider: ollama", &format!("provider: ollama, {case}"));
        assert!(!faults(&text).contains("secret"), "{}", faults(&text));
    }
}

#[test]
fn zones_are_said_except_for_local_servers_here() {
    let with = |text: &str| SOUND.replace("provider: ollama", text);
    let needed = [
        "provider: ollama, base_url: http://10.0.0.1:11434",
        "provider: openai",
        "provider: openai-compatible, base_url: http://127.0.0.1:1",
    ];
    for text in needed {
        assert!(faults(&with(text)).contains("`zone` is missing"), "{text}");
    }
    let cloud = faults(&with("provider: openai, zone: local"));
    assert!(cloud.contains("api.openai.com is a cloud service"), "{cloud}");
    assert!(
        sound(&with("provider: openai, zone: local, base_url: http://127.0.0.1:1"))
            .place(0)
            .is_some()
    );
    assert!(sound(&with("provider: vllm, base_url: http://localhost:1")).place(0).is_some());
}

#[test]
fn an_unknown_price_is_free_only_here() {
    let file = |backend: &str, model: &str| {
        format!("version: 1\nbackends: [{{name: a, {backend}, models: [{{{model}}}]}}]")
    };
    let far = "provider: vllm, base_url: https://gpu.example.com, zone: private";
    assert!(faults(&file(far, "id: x")).contains("nobody knows what this model costs"));
    assert!(faults(&file(far, "id: x, price: {input: 1}")).contains("`output` is missing"));
    let told = notices(&file(
        "provider: ollama",
        "id: x, context: 1, quality: 1, abilities: {tools: true}",
    ));
    assert_eq!(
        told,
        "2:49: backends[0].models[0]: no price is given; local compute counts as free"
    );
    let priced = sound(&file(far, "id: x, price: {input: 1, output: 2}"));
    let prices = priced.settings.candidates[0].prices.unwrap();
    assert_eq!(
        (prices.input, prices.cached_input, prices.cache_write),
        (Price(1_000_000), Price(1_000_000), Price(1_000_000))
    );
    let openai = "provider: openai, zone: public";
    let part = sound(&file(openai, "id: gpt-5-mini, price: {cached_input: 0.01}"));
    let prices = part.settings.candidates[0].prices.unwrap();
    assert_eq!((prices.input, prices.cached_input), (Price(250_000), Price(10_000)));
}

#[test]
fn oddities_are_noticed_and_used_all_the_same() {
    let text = "\
version: 1
backends:
  - name: far
    provider: vllm
    base_url: http://gpu.example.com
    zone: public
    models: [{id: mystery, price: {input: 1, output: 1}}]
aliases: {mystery: {min_quality: 10}}
sensitivity:
  ceilings: {confidential: public}
  labels: {term/falcon: {level: restricted, action: block}}
timeouts: {total: 30s}
";
    insta::assert_snapshot!(notices(text), @r#"
    3:5: backends[0]: this backend is public but has no credential
    5:15: backends[0].base_url: http:// to another machine: prompts and credentials travel unencrypted
    7:19: backends[0].models[0].id: this model is not in the catalogue; assumed: quality 50, no limit on context, tools and JSON schemas, no images
    8:11: aliases.mystery: this alias has the name of a model and hides it
    10:13: sensitivity.ceilings: confidential text may go to any cloud
    11:12: sensitivity.labels."term/falcon": there is no such term under `terms`
    12:11: timeouts: `total` is shorter than another limit, which then never acts
    "#);
}

#[test]
fn an_alias_that_nothing_serves_is_a_fault() {
    let text = format!("{SOUND}aliases: {{smart: {{min_quality: 90}}}}");
    assert_eq!(
        faults(&text),
        "3:32: aliases.smart.min_quality: no model serves this alias: it asks for 90, the best has 50; \
         lower it, or set `quality` on a model"
    );
}

#[test]
fn providers_of_later_versions_have_a_way_today() {
    for provider in ["bedrock", "gemini", "vertex"] {
        let faults = faults(&SOUND.replace("ollama", provider));
        assert!(
            faults.contains("is not yet supported by this version; use `openai-compatible`"),
            "{faults}"
        );
    }
}

#[test]
fn a_model_that_its_backend_cannot_be_asked_for_is_a_fault() {
    let embeddings = "provider: anthropic, zone: public, credential: {env: A}";
    let text =
        SOUND.replace("provider: ollama", embeddings).replace("id: m", "id: nomic-embed-text");
    assert!(faults(&text).contains("the backend takes no dialect for this model"));
}

#[test]
fn models_are_bounded_over_all_backends() {
    let models: Vec<String> = (0..300).map(|n| format!("{{id: m{n}, price: {{}}}}")).collect();
    let mut text = format!(
        "version: 1\nbackends:\n- {{name: b, provider: vllm, models: &m [{}]}}\n",
        models.join(", ")
    );
    for n in 0..9 {
        text = format!("{text}- {{name: b{n}, provider: vllm, models: *m}}\n");
    }
    assert_eq!(faults(&text), "9:3: backends[6]: at most 2048 models are possible in all backends");
}

#[test]
fn words_are_many_and_expressions_few() {
    let file = |patterns: Vec<String>| {
        format!("{SOUND}sensitivity: {{terms: {{t: {{any: [{}]}}}}}}", patterns.join(", "))
    };
    let words = (0..20_000).map(|n| format!("\"customer {n}\"")).collect();
    assert_eq!(sound(&file(words)).terms[0].1.len(), 20_000);
    let expressions = (0..257).map(|n| format!("\"x{n}+\"")).collect();
    assert!(faults(&file(expressions)).contains("at most 256 patterns may be regular expressions"));
    assert!(faults(&file(vec!["\"a.\"".to_owned()])).contains("at least 2 letters or digits"));
}

#[test]
fn variables_are_not_expanded() {
    let text = SOUND.replace("provider: ollama", "provider: ollama, base_url: \"http://${HOST}\"");
    assert!(faults(&text).contains("variables are not expanded in this file"));
}

#[test]
fn a_window_that_ollama_may_cut_is_noticed() {
    let text = SOUND.replace("id: m, context: 1,", "id: \"qwen3:8b\",");
    assert!(notices(&text).contains("Ollama cuts prompts at its own setting"));
}

#[test]
fn dialects_follow_the_model() {
    let of = |backend: &str, id: &str| {
        let text = format!(
            "version: 1\nbackends: [{{name: a, zone: private, {backend}, models: [{{id: {id}, price: {{input: 1, output: 1}}}}]}}]"
        );
        sound(&text).settings.candidates[0].dialects
    };
    use Dialect::{
        AnthropicCountTokens, AnthropicMessages, OpenAiChat, OpenAiCompletions, OpenAiEmbeddings,
        OpenAiResponses,
    };
    let cases: [(&str, &str, &[Dialect]); 8] = [
        (
            "provider: openai-compatible, base_url: https://h",
            "gpt-5-codex",
            &[OpenAiChat, OpenAiCompletions],
        ),
        ("provider: openai", "gpt-4o", &[OpenAiChat, OpenAiResponses]),
        ("provider: openai", "gpt-5-codex", &[OpenAiResponses]),
        ("provider: openai", "gpt-3.5-turbo-instruct", &[OpenAiCompletions]),
        ("provider: openai", "text-embedding-3-small", &[OpenAiEmbeddings]),
        ("provider: anthropic", "claude-haiku-4-5", &[AnthropicMessages, AnthropicCountTokens]),
        ("provider: ollama", "qwen3:8b", &[OpenAiChat, OpenAiCompletions]),
        ("provider: ollama, dialects: [messages, chat]", "x", &[OpenAiChat, AnthropicMessages]),
    ];
    for (backend, id, expected) in cases {
        assert_eq!(of(backend, id), expected, "{backend} {id}");
    }
}

#[test]
fn late_system_messages_go_where_the_operator_says() {
    use crate::translate::LateSystem;
    let file = |field: &str| {
        format!(
            "version: 1\nbackends:\n  - {{name: b, provider: vllm, zone: local, {field} models: [{{id: m, context: 1}}]}}\n"
        )
    };
    let cases = [
        ("", None),
        ("late_system: user,", Some(LateSystem::AsUser)),
        ("late_system: keep,", Some(LateSystem::InPlace)),
        ("late_system: start,", Some(LateSystem::Hoist)),
    ];
    for (field, expected) in cases {
        assert_eq!(sound(&file(field)).backends[0].late_system, expected, "{field}");
    }
    assert!(faults(&file("late_system: usr,")).contains("user"), "the words are suggested");
}
