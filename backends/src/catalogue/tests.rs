use super::*;

fn usd(provider: Provider, model: &str) -> Option<[f64; 4]> {
    let prices = facts(provider, model)?.prices?;
    Some(
        [prices.input, prices.cached_input, prices.cache_write, prices.output]
            .map(Price::usd_per_million),
    )
}

#[test]
fn every_line_is_found_by_its_name_and_the_table_is_sorted() {
    let keys: Vec<&str> = MODELS
        .lines()
        .filter(|l| !l.starts_with('#'))
        .filter_map(|l| l.split('\t').next())
        .collect();
    assert!(keys.len() > 500);
    assert!(keys.is_sorted());
    for key in keys {
        assert!(row(key).is_some(), "{key}");
    }
}

#[test]
fn prices_are_those_of_the_provider_that_is_asked() {
    let cases = [
        (Provider::OpenAi, "gpt-5-mini", Some([0.25, 0.025, 0.25, 2.0])),
        (Provider::OpenAi, "gpt-4o", Some([2.5, 1.25, 2.5, 10.0])),
        (Provider::Anthropic, "claude-sonnet-4-5", Some([3.0, 0.3, 3.75, 15.0])),
        (Provider::Anthropic, "claude-sonnet-4-5-20991231", Some([3.0, 0.3, 3.75, 15.0])),
        (Provider::OpenAi, "gpt-5-mini-2099-12-31", Some([0.25, 0.025, 0.25, 2.0])),
        (Provider::AzureOpenAi, "gpt-5", Some([1.25, 0.125, 1.25, 10.0])),
        (Provider::OpenAiCompatible, "gpt-5", None),
        (Provider::Ollama, "qwen3:8b", None),
        (Provider::Nvidia, "nvidia/nemotron-3-nano-30b-a3b", None),
        (Provider::OpenAi, "nothing-like-it", None),
    ];
    for (provider, model, expected) in cases {
        assert_eq!(usd(provider, model), expected, "{provider:?} {model}");
    }
}

#[test]
fn only_whole_names_are_listed() {
    for (model, listed) in [
        ("gpt-5-mini", true),
        ("claude-sonnet-4-5-20250929", true),
        ("gpt-5-mini tell nobody", false),
        ("gpt-5-tell-nobody", false),
        ("", false),
    ] {
        assert_eq!(is_listed(model), listed, "{model}");
    }
}

#[test]
fn what_is_unknown_is_unknown_and_never_free() {
    assert_eq!(facts(Provider::OpenAi, "nothing-like-it"), None);
    assert_eq!(facts(Provider::OpenAi, ""), None);
    for line in MODELS.lines().filter(|line| !line.starts_with('#')) {
        let facts = read(line).unwrap();
        let free = facts.prices.is_some_and(|prices| prices.input == Price(0));
        assert!(!free || line.split('\t').next().unwrap().ends_with(":free"), "{line}");
    }
}

#[test]
fn windows_kinds_and_encodings_are_known() {
    let of = |provider, model| facts(provider, model).unwrap();
    let gpt = of(Provider::OpenAi, "gpt-5");
    assert_eq!((gpt.context, gpt.output_max), (Some(Tokens(400_000)), Some(Tokens(128_000))));
    assert_eq!((gpt.kind, gpt.encoding), (Kind::Chat, Encoding::O200k));
    assert_eq!(of(Provider::OpenAi, "gpt-5-codex").kind, Kind::Responses);
    assert_eq!(of(Provider::OpenAi, "gpt-3.5-turbo").encoding, Encoding::Cl100k);
    let embedding = of(Provider::OpenAi, "text-embedding-3-small");
    assert_eq!((embedding.kind, embedding.encoding), (Kind::Embedding, Encoding::Cl100k));
    assert!(embedding.abilities.embeddings);
    let claude = of(Provider::Anthropic, "claude-haiku-4-5");
    assert_eq!(claude.context, Some(Tokens(200_000)));
    assert!(claude.abilities.tools && claude.abilities.images && claude.abilities.reasoning);
    let local = of(Provider::Ollama, "qwen3:8b");
    assert_eq!((local.context, local.quality), (Some(Tokens(40_960)), Some(44)));
    assert!(of(Provider::Vllm, "gpt-oss-20b").abilities.tools);
}

#[test]
fn a_date_at_the_end_of_a_name_is_dropped() {
    let cases = [
        ("gpt-5-2025-08-07", Some("gpt-5")),
        ("claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5")),
        ("claude-sonnet-4-5@20250929", Some("claude-sonnet-4-5")),
        ("claude-3-5-haiku-latest", Some("claude-3-5-haiku")),
        ("gpt-4o", None),
        ("gpt-4-0613", None),
        ("20250929", None),
        ("", None),
    ];
    for (name, expected) in cases {
        assert_eq!(dateless(name), expected, "{name}");
    }
}
