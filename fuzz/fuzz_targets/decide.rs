#![no_main]
//! A router file and a request: whatever both say, nobody above the ceiling is asked, and what leaves is JSON.
//!
//! The input is one byte for the dialect, a router file, a zero byte and a body; an empty file stands for the built-in one.

use std::sync::LazyLock;

use backends::{configuration::Configuration, file, spoken, translate};
use bytes::Bytes;
use domain::Tenant;
use libfuzzer_sys::fuzz_target;
use router::{
    classify::Term,
    decide::{Engine, Keys, Memory, Question},
    hash::HashKey,
    wire::{self, Dialect},
};
use serde::de::IgnoredAny;

const DIALECTS: [Dialect; 4] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::AnthropicCountTokens,
];

const FILE: &str = "version: 1
backends:
  - {name: here, provider: llamacpp, zone: local, models: [{id: a, context: 4096}]}
  - {name: team, provider: anthropic, base_url: 'https://team.example', zone: private, models: [{id: claude-haiku-4-5, price: {input: 1, output: 2}}]}
  - {name: cloud, provider: openai, zone: public, models: [{id: gpt-5-mini, price: {input: 0.1, output: 0.2}}]}
sensitivity:
  labels: {'pii/*': {level: confidential, action: redact}, 'credential/*': {level: restricted, action: route}}
  terms: {falcon: {any: ['Project Falcon']}}
";

static DEFAULT: LazyLock<(Configuration, Engine)> =
    LazyLock::new(|| engine(FILE).expect("the built-in file is sound"));

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (file, body) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let dialect = DIALECTS[usize::from(*choice) % DIALECTS.len()];
    if file.is_empty() {
        return decide(&DEFAULT, dialect, body);
    }
    if let Ok(file) = std::str::from_utf8(file)
        && let Some(engine) = engine(file)
    {
        decide(&engine, dialect, body);
    }
});

/// What a router file becomes, if it is sound.
fn engine(text: &str) -> Option<(Configuration, Engine)> {
    let (configuration, _) = file::parse(text).ok()?;
    let term = |(name, patterns): &(String, Vec<String>)| Term { name: name.clone(), patterns: patterns.clone() };
    let terms = configuration.terms.iter().map(term).collect();
    let engine = Engine::new(configuration.settings.clone(), terms, 1).expect("a sound file makes an engine");
    Some((configuration, engine))
}

fn decide((configuration, engine): &(Configuration, Engine), dialect: Dialect, body: &[u8]) {
    let Ok(view) = wire::read(dialect, body) else { return };
    let memory = Memory::new(Keys { hash: HashKey::new([1; 16]), mask: [2; 32] });
    let tenant = Tenant::new("fuzz");
    let question = Question { view: &view, body, tenant: &tenant, now_ms: 1, unhealthy: &|_| false, noted: true };
    let Ok(plan) = engine.decide(&memory, &question) else { return };
    assert!(!plan.attempts.is_empty());
    let settings = engine.settings();
    let ceiling = settings.rules.ceilings.of(plan.sensitivity);
    let masked = wire::splice(&Bytes::copy_from_slice(body), plan.edits.clone()).concat();
    serde_json::from_slice::<IgnoredAny>(&masked).expect("a masked body is JSON");
    for attempt in &plan.attempts {
        let candidate = &settings.candidates[attempt.candidate];
        assert!(candidate.zone <= ceiling, "nobody above the ceiling is asked");
        let Some(to) = spoken::dialect(candidate, dialect) else { continue };
        let options = spoken::options(configuration, attempt.candidate).expect("a candidate has a backend");
        if let Ok(translated) = translate::request_with_names(dialect, to, &masked, &options) {
            serde_json::from_slice::<IgnoredAny>(&translated.body).expect("a translated body is JSON");
        }
    }
}
