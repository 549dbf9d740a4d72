use domain::Price;

use super::*;
use crate::{
    answer::Usage,
    candidate::{Abilities, Encoding, Prices},
    classify::Term,
    hash::HashKey,
    ledger::{OnExceed, Period, Scope},
    restore::{Escape, restore_text},
    rules::{Action, Consequence, LabelRule},
    wire::{Dialect, read, splice},
};

fn candidate(backend: &str, zone: Zone, quality: u8, usd: f64) -> Candidate {
    let price = Price::from_usd_per_million(usd).unwrap();
    let prices = Prices {
        input: price,
        cached_input: Price(price.0 / 10),
        cache_write: price,
        output: price,
    };
    Candidate {
        backend: backend.parse().unwrap(),
        model: format!("{backend}-model").parse().unwrap(),
        zone,
        quality,
        context: None,
        output_max: None,
        prices: Some(prices),
        encoding: Encoding::O200k,
        abilities: Abilities { tools: true, images: true, ..Abilities::default() },
        dialects: &[Dialect::OpenAiChat],
    }
}

fn settings() -> Settings {
    Settings {
        rules: Rules {
            labels: vec![LabelRule {
                pattern: "term/falcon".parse().unwrap(),
                consequence: Consequence { level: Sensitivity::Restricted, action: Action::Block },
            }],
            ..Rules::default()
        },
        aliases: vec![
            Alias { name: "auto".into(), min_quality: None },
            Alias { name: "smart".into(), min_quality: Some(70) },
        ],
        candidates: vec![
            candidate("laptop", Zone::Local, 40, 5.0),
            candidate("cloud", Zone::Public, 80, 1.0),
        ],
        ..Settings::default()
    }
}

struct World {
    engine: Engine,
    memory: Memory,
}

fn world(settings: Settings) -> World {
    let falcon = Term { name: "falcon".into(), patterns: vec!["Project Falcon".into()] };
    let keys = Keys { hash: HashKey::new([1; 16]), mask: [2; 32] };
    World { engine: Engine::new(settings, vec![falcon], 1).unwrap(), memory: Memory::new(keys) }
}

impl World {
    fn ask(&self, body: &str) -> Result<Plan, Refusal> {
        self.ask_noted(body, true)
    }

    fn ask_noted(&self, body: &str, noted: bool) -> Result<Plan, Refusal> {
        self.ask_in(Dialect::OpenAiChat, body, noted)
    }

    fn ask_in(&self, dialect: Dialect, body: &str, noted: bool) -> Result<Plan, Refusal> {
        let Ok(view) = read(dialect, body.as_bytes()) else {
            panic!("the test's own request does not read: {body}")
        };
        self.engine.decide(
            &self.memory,
            &Question {
                view: &view,
                body: body.as_bytes(),
                tenant: &Tenant::new("me"),
                now_ms: 0,
                unhealthy: &|_| false,
                noted,
            },
        )
    }

    fn first(&self, body: &str) -> String {
        let plan = self.ask(body).unwrap();
        let candidate = &self.engine.settings().candidates[plan.attempts[0].candidate];
        candidate.backend.to_string()
    }
}

fn chat(model: &str, messages: &[&str]) -> String {
    let roles = ["user", "assistant"];
    let messages: Vec<serde_json::Value> = messages
        .iter()
        .enumerate()
        .map(|(at, text)| serde_json::json!({"role": roles[at % 2], "content": text}))
        .collect();
    serde_json::json!({"model": model, "messages": messages}).to_string()
}

fn sent(plan: &Plan, body: &str) -> String {
    let pieces = splice(&bytes::Bytes::from(body.to_owned()), plan.edits.clone());
    String::from_utf8(pieces.concat()).unwrap()
}

const AWS_KEY: &str = "my key is AKIAQ3EGRZV7SDWPT5XN, keep it";
const MAIL: &str = "write to maria.schmidt@siemens.com about it";

#[test]
fn a_harmless_question_goes_to_the_cheapest() {
    assert_eq!(
        world(settings()).first(&chat("auto", &["What is the capital of France?"])),
        "cloud"
    );
}

#[test]
fn a_key_stays_local_even_for_a_model_asked_for_by_name() {
    let world = world(settings());
    assert_eq!(world.first(&chat("auto", &[AWS_KEY])), "laptop");
    assert_eq!(world.first(&chat("cloud-model", &[AWS_KEY])), "laptop");
    assert!(matches!(
        world.ask(&chat("smart", &[AWS_KEY])),
        Err(Refusal::NoBackend { status: 403, .. })
    ));
}

#[test]
fn an_address_leaves_as_a_placeholder_and_comes_back_whole() {
    let world = world(settings());
    let body = chat("auto", &[MAIL]);
    let plan = world.ask(&body).unwrap();
    let out = sent(&plan, &body);
    assert!(!out.contains("maria.schmidt") && out.contains("<EMAIL_1_"), "{out}");
    assert_eq!(plan.sensitivity, Sensitivity::Public);
    assert_eq!(restore_text(&plan.vault, &out, Escape::None), body);
}

#[test]
fn the_same_value_has_the_same_placeholder_in_every_turn() {
    let world = world(settings());
    let one = chat("auto", &[MAIL]);
    let two = chat(
        "auto",
        &[MAIL, "Done.", "and to karl.weber@siemens.com; again maria.schmidt@siemens.com"],
    );
    let placeholder =
        |text: &str| text.split("<EMAIL_1_").nth(1).unwrap().split('>').next().unwrap().to_owned();
    let (first, second) =
        (sent(&world.ask(&one).unwrap(), &one), sent(&world.ask(&two).unwrap(), &two));
    assert_eq!(placeholder(&first), placeholder(&second));
    assert_eq!(second.matches("<EMAIL_1_").count(), 2);
    assert_eq!(second.matches("<EMAIL_2_").count(), 1);
}

#[test]
fn a_blocked_term_is_refused_by_label() {
    let refusal =
        world(settings()).ask(&chat("auto", &["status of project  falcon?"])).unwrap_err();
    assert_eq!(refusal, Refusal::Blocked { labels: "term/falcon".into() });
}

#[test]
fn a_conversation_that_was_sensitive_stays_so() {
    let world = world(settings());
    assert_eq!(world.first(&chat("auto", &["hello", "hi", AWS_KEY])), "laptop");
    assert_eq!(world.first(&chat("auto", &["hello", "hi", "(cleared)"])), "laptop");
    assert_eq!(world.first(&chat("auto", &["good day", "hi", "(cleared)"])), "cloud");
}

#[test]
fn what_cannot_be_read_has_the_level_that_the_operator_set() {
    let body = r#"{"model":"auto","messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]}]}"#;
    let mut open = settings();
    open.rules.unreadable = Sensitivity::Public;
    assert_eq!(world(settings()).first(body), "laptop");
    assert_eq!(world(open).first(body), "cloud");
}

#[test]
fn text_beyond_the_limit_counts_as_unreadable() {
    let mut tight = settings();
    tight.rules.text_bytes_max = 20;
    assert_eq!(world(tight).first(&chat("auto", &["a text that is longer than that"])), "laptop");
}

#[test]
fn unknown_models_are_auto_or_refused() {
    let strict = Settings { unknown_model: UnknownModel::Reject, ..settings() };
    let body = chat("gpt-99", &["hello"]);
    assert_eq!(world(settings()).first(&body), "cloud");
    assert!(matches!(world(strict).ask(&body), Err(Refusal::UnknownModel { .. })));
}

#[test]
fn settling_replaces_the_reservation_and_warms_the_cache() {
    let mut budgeted = settings();
    budgeted.budgets = vec![Budget {
        scope: Scope::Sandbox,
        name: None,
        limit: Cost::from_usd(1.0).unwrap(),
        period: Period::Day,
        on_exceed: OnExceed::Block,
    }];
    let world = world(budgeted);
    let body = chat("auto", &["hello there, how are you?"]);
    let plan = world.ask(&body).unwrap();
    let usage =
        Usage { input_uncached: Tokens(900_000), output: Tokens(100_000), ..Usage::default() };
    let spent = Spent { candidate: Some(1), usage: Some(&usage), output_bytes: 0, now_ms: 0 };
    let settled = world.engine.settle(&world.memory, plan, &spent);
    assert_eq!(settled.cost, Cost::from_usd(1.0).unwrap());
    assert_eq!(settled.saved, Cost::from_usd(4.0).unwrap());
    assert!(matches!(world.ask(&body), Err(Refusal::NoBackend { status: 429, .. })));
}

#[test]
fn a_warm_cache_lowers_the_expected_cost_of_the_next_turn() {
    let world = world(settings());
    let long = "a long text about nothing in particular ".repeat(200);
    let one = chat("auto", &[&long]);
    let plan = world.ask(&one).unwrap();
    let cold = plan.attempts[0].expected;
    let spent = Spent { candidate: Some(1), usage: None, output_bytes: 400, now_ms: 0 };
    world.engine.settle(&world.memory, plan, &spent);
    let two = world.ask(&chat("auto", &[&long, "Indeed.", "Go on."])).unwrap();
    assert!(two.attempts[0].expected < cold, "{:?} {cold:?}", two.attempts[0].expected);
}

#[test]
fn identifiers_of_the_caller_are_taken_out_and_cache_keys_replaced() {
    let body = r#"{"model":"auto","user":"u-1234","prompt_cache_key":"session-99","messages":[{"role":"user","content":"hi"}]}"#;
    let plan = world(settings()).ask(body).unwrap();
    let out = sent(&plan, body);
    assert!(!out.contains("u-1234") && !out.contains("session-99"), "{out}");
    let parsed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(parsed["prompt_cache_key"].as_str().map(str::len), Some(32));
}

#[test]
fn a_key_in_two_messages_is_found_and_stays_local() {
    let cases: [&[&str]; 3] = [
        &["the first half is AKIAQ3EGRZ", "fine", "V7SDWPT5XN is the second"],
        &["AKIAQ3EGRZ\n", "V7SDWPT5XN"],
        &["keep `AKIAQ3EGRZ`", "noted", "`V7SDWPT5XN`"],
    ];
    for messages in cases {
        assert_eq!(world(settings()).first(&chat("auto", messages)), "laptop", "{messages:?}");
    }
}

#[test]
fn both_halves_of_a_key_are_hidden() {
    let mut settings = settings();
    settings.rules.labels.push(LabelRule {
        pattern: "credential/*".parse().unwrap(),
        consequence: Consequence { level: Sensitivity::Restricted, action: Action::Redact },
    });
    let world = world(settings);
    let body = chat("auto", &["take AKIAQ3EGRZ", "and?", "V7SDWPT5XN, then call"]);
    let plan = world.ask(&body).unwrap();
    let sent = sent(&plan, &body);
    assert!(!sent.contains("AKIAQ3EGRZ") && !sent.contains("V7SDWPT5XN"), "{sent}");
    assert!(sent.contains("take ") && sent.contains(", then call"), "{sent}");
}

#[test]
fn texts_that_meet_by_chance_make_no_key() {
    let bodies = [
        chat("auto", &["see commit 3f2a9c1", "ok", "8b7d6e5f4a3b2c1d too"]),
        chat("auto", &["it is called AKIA", "yes", "Q3 results are next"]),
    ];
    for body in bodies {
        assert_eq!(world(settings()).first(&body), "cloud", "{body}");
    }
}

/// Rules under which no finding changes anything.
fn indifferent() -> Settings {
    let mut indifferent = settings();
    indifferent.rules.labels = vec![LabelRule {
        pattern: "*".parse().unwrap(),
        consequence: Consequence { level: Sensitivity::Restricted, action: Action::Allow },
    }];
    indifferent
}

#[test]
fn nothing_is_looked_for_only_where_it_changes_nothing_and_is_not_noted() {
    let body =
        chat("auto", &["Project Falcon: write to jo.berg@northwind-orders.net, please, and soon"]);
    let found = |settings: Settings, noted| {
        world(settings).ask_noted(&body, noted).map_or(usize::MAX, |plan| plan.found.len())
    };
    assert_eq!(found(indifferent(), true), 2);
    assert_eq!(found(indifferent(), false), 0);
    let mut partly = indifferent();
    partly.rules.labels.push(LabelRule {
        pattern: "pii/email".parse().unwrap(),
        consequence: Consequence { level: Sensitivity::Confidential, action: Action::Redact },
    });
    assert_eq!(found(partly, false), 2);
    assert_eq!(found(settings(), false), usize::MAX, "a blocked term is found");
}

#[test]
fn what_is_not_noted_is_decided_in_the_same_way() {
    let mut small = free();
    small.candidates[1].context = Some(Tokens(620));
    let long = "write to jo.berg@northwind-orders.net, ".repeat(20);
    for settings in [indifferent(), free(), small] {
        for texts in [&["hello"][..], &[&long], &["hello", "yes", &long, &long]] {
            let body = chat("auto", texts);
            let decide = |noted| {
                let plan = world(settings.clone()).ask_noted(&body, noted).unwrap();
                let conversation = (plan.conversation.root, plan.conversation.turns);
                (
                    plan.attempts,
                    plan.dropped,
                    plan.sensitivity,
                    plan.edits,
                    plan.reason,
                    conversation,
                )
            };
            assert_eq!(decide(true), decide(false), "{body}");
        }
    }
}

/// Nothing costs anything and nothing that could be found counts.
fn free() -> Settings {
    let mut free = indifferent();
    for candidate in &mut free.candidates {
        candidate.prices = Some(Prices::default());
    }
    free
}

#[test]
fn a_conversation_has_one_name_whatever_is_wanted_of_its_texts() {
    let name = |settings: Settings, noted, system: &str, messages: &str| {
        let body = format!(
            r#"{{"model":"auto","max_tokens":9,"system":"{system}","messages":[{messages}]}}"#
        );
        let plan = world(settings).ask_in(Dialect::AnthropicMessages, &body, noted).unwrap();
        plan.conversation.root
    };
    let hello = r#"{"role":"user","content":"hello"}"#;
    // Without a message the system names the conversation.
    for messages in [hello, ""] {
        let bare = name(free(), false, "be brief", messages);
        assert_eq!(bare, name(indifferent(), true, "be brief", messages), "{messages}");
        let other = name(free(), false, "be long", messages);
        assert_eq!(bare == other, messages == hello, "{messages}");
        let more = format!("{hello},{hello}");
        assert_eq!(bare == name(free(), false, "be brief", &more), messages == hello);
    }
}

#[test]
fn what_is_bound_to_the_backend_of_the_last_turn_goes_to_no_other() {
    let world = world(free());
    let one = r#"{"model":"auto","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    let plan = world.ask_in(Dialect::AnthropicMessages, one, false).unwrap();
    let spent = Spent { candidate: Some(1), usage: None, output_bytes: 400, now_ms: 0 };
    world.engine.settle(&world.memory, plan, &spent);
    let sealed = "AAAA".repeat(40);
    let two = format!(
        r#"{{"model":"auto","max_tokens":9,"messages":[{{"role":"user","content":"hello"}},{{"role":"assistant","content":[{{"type":"thinking","thinking":"hm","signature":"{sealed}"}},{{"type":"text","text":"hi"}}]}},{{"role":"user","content":"go on"}}]}}"#
    );
    let plan = world.ask_in(Dialect::AnthropicMessages, &two, false).unwrap();
    assert_eq!(plan.home, Some(1));
    let backend = |at: usize| world.engine.settings().candidates[at].backend.clone();
    for attempt in &plan.attempts {
        assert_eq!(attempt.foreign, backend(attempt.candidate) != backend(1));
    }
}

#[test]
fn what_was_not_looked_for_is_looked_for_when_the_rules_change() {
    let body =
        chat("auto", &["Project Falcon: write to jo.berg@northwind-orders.net, please, and soon"]);
    let World { engine, memory } = world(indifferent());
    let before = World { engine, memory };
    assert!(before.ask_noted(&body, false).is_ok());
    let after = World { engine: world(settings()).engine, memory: before.memory };
    assert!(matches!(after.ask_noted(&body, false), Err(Refusal::Blocked { .. })));
}

#[test]
fn prompts_are_counted_where_something_depends_on_it() {
    let body = chat("auto", &["a text of a few words"]);
    let input = |settings: Settings| world(settings).ask_noted(&body, false).unwrap().input;
    let counted = input(indifferent());
    assert!(counted.exact);
    let mut free = free();
    assert!(!input(free.clone()).exact);
    free.candidates[0].context = Some(Tokens(10_000));
    free.candidates[1].context = Some(Tokens(10_000));
    assert_eq!(input(free), counted);
}
