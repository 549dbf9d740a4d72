use domain::Price;

use super::*;
use crate::candidate::{Abilities, Encoding};

fn candidate(backend: &str, zone: Zone, quality: u8, usd: f64) -> Candidate {
    let price = Price::from_usd_per_million(usd).unwrap();
    Candidate {
        backend: backend.parse().unwrap(),
        model: format!("{backend}-model").parse().unwrap(),
        zone,
        quality,
        context: Some(Tokens(8_000)),
        output_max: None,
        prices: Some(Prices {
            input: price,
            cached_input: Price(price.0 / 10),
            cache_write: price,
            output: price,
        }),
        encoding: Encoding::O200k,
        abilities: Abilities { tools: true, ..Abilities::default() },
        dialects: &[Dialect::OpenAiChat],
    }
}

fn market() -> Vec<Candidate> {
    vec![
        candidate("laptop", Zone::Local, 40, 0.0),
        candidate("tenant", Zone::Private, 60, 3.0),
        candidate("cloud", Zone::Public, 80, 1.0),
    ]
}

fn ask(wanted: Wanted<'_>, ceiling: Zone) -> Ask<'_> {
    Ask {
        wanted,
        level: Sensitivity::Public,
        ceiling,
        dialect: Dialect::OpenAiChat,
        native_only: false,
        needs: Needs::default(),
        input: &|_| Counted { tokens: Tokens(1_000), exact: true },
        warm: &|_| Tokens(0),
        output_max: None,
        unhealthy: &|_| false,
        budget: &|_| Allowance::Unlimited,
    }
}

fn order(candidates: &[Candidate], ask: &Ask<'_>) -> Vec<usize> {
    choose(candidates, ask).attempts.iter().map(|attempt| attempt.candidate).collect()
}

#[test]
fn the_cheapest_of_those_that_may_see_it_comes_first() {
    let market = market();
    assert_eq!(order(&market, &ask(Wanted::Quality(0), Zone::Public)), [0, 2, 1]);
    assert_eq!(order(&market, &ask(Wanted::Quality(50), Zone::Public)), [2, 1]);
    assert_eq!(order(&market, &ask(Wanted::Quality(50), Zone::Private)), [1]);
    assert_eq!(order(&market, &ask(Wanted::Quality(0), Zone::Local)), [0]);
    assert!(order(&market, &ask(Wanted::Quality(50), Zone::Local)).is_empty());
}

#[test]
fn a_named_model_comes_first_and_gives_way_to_the_ceiling() {
    let market = market();
    assert_eq!(order(&market, &ask(Wanted::Model("cloud-model"), Zone::Public)), [2, 0, 1]);
    assert_eq!(order(&market, &ask(Wanted::Model("cloud/cloud-model"), Zone::Public)), [2, 0, 1]);
    assert_eq!(order(&market, &ask(Wanted::Model("cloud-model"), Zone::Local)), [0]);
}

#[test]
fn an_estimated_difficulty_never_leaves_nobody() {
    let market = market();
    assert_eq!(order(&market, &ask(Wanted::Estimate(70), Zone::Public)), [2]);
    assert_eq!(order(&market, &ask(Wanted::Estimate(70), Zone::Local)), [0]);
}

#[test]
fn each_reason_to_drop_is_named() {
    let mut market = market();
    market[0].abilities.tools = false;
    market[1].context = Some(Tokens(1_100));
    market[2].prices = None;
    let mut ask = ask(Wanted::Quality(0), Zone::Public);
    ask.needs.tools = true;
    let dropped: Vec<Why> =
        choose(&market, &ask).dropped.into_iter().map(|drop| drop.why).collect();
    assert_eq!(
        dropped,
        [
            Why::Ability("tools"),
            Why::Context { needed: Tokens(1_600), available: Tokens(1_100) },
            Why::Price
        ]
    );
}

#[test]
fn a_warm_cache_can_outweigh_a_lower_price() {
    let market =
        vec![candidate("dear", Zone::Public, 50, 1.2), candidate("cheap", Zone::Public, 50, 1.0)];
    let mut ask = ask(Wanted::Quality(0), Zone::Public);
    assert_eq!(order(&market, &ask), [1, 0]);
    let warm =
        |candidate: &Candidate| Tokens(if candidate.backend.as_str() == "dear" { 900 } else { 0 });
    ask.warm = &warm;
    assert_eq!(order(&market, &ask), [0, 1]);
}

#[test]
fn what_the_budget_cannot_pay_is_dropped_and_the_free_one_stays() {
    let market = market();
    let mut ask = ask(Wanted::Quality(0), Zone::Public);
    ask.budget = &|_| Allowance::Left(Cost(0));
    assert_eq!(order(&market, &ask), [0]);
    ask.unhealthy = &|index| index == 0;
    assert!(order(&market, &ask).is_empty());
}

#[test]
fn a_spent_budget_lands_on_a_lower_quality_that_it_can_pay() {
    let market = market();
    let mut ask = ask(Wanted::Quality(50), Zone::Public);
    ask.budget = &|_| Allowance::Left(Cost(0));
    assert_eq!(order(&market, &ask), [0]);
    ask.ceiling = Zone::Local;
    ask.budget = &|_| Allowance::Unlimited;
    assert!(order(&market, &ask).is_empty(), "without a spent budget the quality holds");
}

#[test]
fn embeddings_go_to_embedding_models_only() {
    let mut market = market();
    market[2].abilities.embeddings = true;
    market[2].dialects = &[Dialect::OpenAiEmbeddings];
    let mut embed = ask(Wanted::Quality(0), Zone::Public);
    embed.dialect = Dialect::OpenAiEmbeddings;
    assert_eq!(order(&market, &embed), [2]);
    assert_eq!(order(&market, &ask(Wanted::Quality(0), Zone::Public)), [0, 1]);
}

#[test]
fn state_at_a_provider_cannot_be_translated() {
    let mut market = market();
    market[1].dialects = &[Dialect::OpenAiResponses];
    let mut ask = ask(Wanted::Quality(0), Zone::Public);
    ask.dialect = Dialect::OpenAiResponses;
    assert_eq!(order(&market, &ask), [0, 2, 1]);
    ask.native_only = true;
    assert_eq!(order(&market, &ask), [1]);
}
