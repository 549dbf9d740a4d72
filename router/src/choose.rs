//! Which candidates may answer, and in which order: first the ceiling filters, then cost chooses.
//!
//! Invariant: no attempt's zone is wider than the ceiling, whatever else is asked.

use domain::{Cost, Sensitivity, Tokens, Zone};

use crate::{
    candidate::{Candidate, Prices},
    decide::{Attempt, Counted, Dropped, Why},
    ledger::Allowance,
    wire::{Dialect, Needs},
};

/// Answer tokens that are expected where the caller set no smaller limit. The median answer of an agent's turn
/// is a few hundred tokens; all candidates are compared with the same number.
pub const OUTPUT_EXPECTED: u64 = 600;

/// What the caller asks for, after aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Anything of at least this quality.
    Quality(u8),
    /// Anything; better than this quality if some candidate allowed has it (an estimate of the router).
    Estimate(u8),
    /// This model, or `backend/model`; others only if it may not or cannot answer.
    Model(&'a str),
}

/// All that the choice depends on.
pub struct Ask<'a> {
    /// What is wanted.
    pub wanted: Wanted<'a>,
    /// The level of what the backend will see.
    pub level: Sensitivity,
    /// The widest zone that may see it.
    pub ceiling: Zone,
    /// The format of the request.
    pub dialect: Dialect,
    /// The request leans on state that a provider keeps, so it cannot be put in another dialect.
    pub native_only: bool,
    /// What the backend must be able to do.
    pub needs: Needs,
    /// Prompt tokens for a candidate.
    pub input: &'a dyn Fn(&Candidate) -> Counted,
    /// Prompt tokens that the candidate's prompt cache still holds.
    pub warm: &'a dyn Fn(&Candidate) -> Tokens,
    /// Longest answer that the caller wants.
    pub output_max: Option<Tokens>,
    /// Whether a candidate's circuit breaker is open.
    pub unhealthy: &'a dyn Fn(usize) -> bool,
    /// What may still be spent at a candidate's backend.
    pub budget: &'a dyn Fn(&Candidate) -> Allowance,
}

impl std::fmt::Debug for Ask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ask")
            .field("wanted", &self.wanted)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

/// The order of attempts, the cheapest first, and why the others are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// May be empty.
    pub attempts: Vec<Attempt>,
    /// One entry per candidate that is not an attempt.
    pub dropped: Vec<Dropped>,
}

/// Filters and ranks.
///
/// Order: what was asked for by name before the rest, then by expected cost, then narrower zone, then higher
/// quality, then the order of the file.
///
/// When the budget drops whoever has the quality asked for, a lower quality that it can pay for answers: that is
/// what `downgrade` means.
pub fn choose(candidates: &[Candidate], ask: &Ask<'_>) -> Choice {
    let floor = quality_floor(candidates, ask);
    let choice = rank(candidates, ask, floor);
    let poor = choice.dropped.iter().any(|dropped| dropped.why == Why::Budget);
    if !choice.attempts.is_empty() || !poor || floor == 0 {
        return choice;
    }
    let landing = rank(candidates, ask, 0);
    if landing.attempts.is_empty() { choice } else { landing }
}

fn rank(candidates: &[Candidate], ask: &Ask<'_>, floor: u8) -> Choice {
    let mut choice = Choice::default();
    let mut ranked: Vec<(Rank, Attempt)> = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match admit(candidate, ask, floor).and_then(|expected| {
            if (ask.unhealthy)(index) { Err(Why::Unhealthy) } else { Ok(expected) }
        }) {
            Ok(expected) => ranked.push((
                Rank {
                    unasked: !asked_by_name(candidate, ask.wanted),
                    expected,
                    zone: candidate.zone,
                    lower_quality: u8::MAX - candidate.quality,
                    index,
                },
                Attempt { candidate: index, expected, foreign: false },
            )),
            Err(why) => choice.dropped.push(Dropped { candidate: index, why }),
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    choice.attempts = ranked.into_iter().map(|(_, attempt)| attempt).collect();
    choice
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    unasked: bool,
    expected: Cost,
    zone: Zone,
    lower_quality: u8,
    index: usize,
}

fn asked_by_name(candidate: &Candidate, wanted: Wanted<'_>) -> bool {
    match wanted {
        Wanted::Quality(_) | Wanted::Estimate(_) => true,
        Wanted::Model(name) => names(candidate, name),
    }
}

/// Whether `name` means this candidate: its model, or `backend/model`.
pub fn names(candidate: &Candidate, name: &str) -> bool {
    candidate.model.as_str() == name
        || name
            .strip_prefix(candidate.backend.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|model| model == candidate.model.as_str())
}

/// An estimated difficulty asks for no more than the best candidate that may answer at all has.
fn quality_floor(candidates: &[Candidate], ask: &Ask<'_>) -> u8 {
    match ask.wanted {
        Wanted::Quality(floor) => floor,
        Wanted::Model(_) => 0,
        Wanted::Estimate(floor) => {
            let best = candidates
                .iter()
                .enumerate()
                .filter(|(index, candidate)| {
                    admit(candidate, ask, 0).is_ok() && !(ask.unhealthy)(*index)
                })
                .map(|(_, candidate)| candidate.quality)
                .max();
            floor.min(best.unwrap_or(0))
        }
    }
}

/// The expected cost of a candidate that may and can answer. The ceiling is asked first.
fn admit(candidate: &Candidate, ask: &Ask<'_>, floor: u8) -> Result<Cost, Why> {
    if candidate.zone > ask.ceiling {
        return Err(Why::Ceiling { level: ask.level, ceiling: ask.ceiling });
    }
    if !speaks(candidate, ask) {
        return Err(Why::Dialect);
    }
    able(candidate, ask)?;
    if candidate.quality < floor {
        return Err(Why::Quality { needed: floor });
    }
    let expected = if depends_on_length(candidate) {
        let input = (ask.input)(candidate).tokens;
        fits(candidate, ask, input)?;
        let prices = candidate.prices.ok_or(Why::Price)?;
        expected_cost(&prices, input, (ask.warm)(candidate), output_expected(candidate, ask))
    } else {
        Cost::default()
    };
    match (ask.budget)(candidate) {
        Allowance::Exhausted => Err(Why::Budget),
        Allowance::Left(left) if expected > left => Err(Why::Budget),
        Allowance::Left(_) | Allowance::Unlimited => Ok(expected),
    }
}

/// Whether it matters to the choice of this candidate how long the prompt is: its context has a limit, or tokens cost.
pub fn depends_on_length(candidate: &Candidate) -> bool {
    candidate.context.is_some() || !candidate.is_free()
}

/// Whether the request can be put to the backend: in its own dialect, or translated between the three that
/// hold a conversation.
fn speaks(candidate: &Candidate, ask: &Ask<'_>) -> bool {
    candidate.dialects.contains(&ask.dialect)
        || (!ask.native_only
            && translatable(ask.dialect)
            && candidate.dialects.iter().any(|own| translatable(*own)))
}

fn translatable(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenAiChat | Dialect::OpenAiResponses | Dialect::AnthropicMessages => true,
        // Counting is answered here when the backend cannot.
        Dialect::AnthropicCountTokens => true,
        Dialect::OpenAiCompletions | Dialect::OpenAiEmbeddings => false,
    }
}

fn able(candidate: &Candidate, ask: &Ask<'_>) -> Result<(), Why> {
    let (needs, can) = (&ask.needs, &candidate.abilities);
    let wants_embeddings = ask.dialect == Dialect::OpenAiEmbeddings;
    if wants_embeddings != can.embeddings {
        return Err(Why::Ability("embeddings"));
    }
    let wants = [
        (needs.tools, can.tools, "tools"),
        (needs.images, can.images, "images"),
        (needs.files, can.files, "files"),
        (needs.audio, can.audio, "audio"),
        (needs.json_schema, can.json_schema, "json_schema"),
        // Reasoning is a wish: a model without it answers all the same, as providers themselves do.
    ];
    match wants.iter().find(|(needed, able, _)| *needed && !*able) {
        Some((_, _, what)) => Err(Why::Ability(what)),
        None => Ok(()),
    }
}

fn output_expected(candidate: &Candidate, ask: &Ask<'_>) -> Tokens {
    if candidate.abilities.embeddings {
        return Tokens(0);
    }
    let wanted = ask.output_max.map_or(OUTPUT_EXPECTED, |most| most.0.min(OUTPUT_EXPECTED));
    Tokens(candidate.output_max.map_or(wanted, |most| most.0.min(wanted)))
}

fn fits(candidate: &Candidate, ask: &Ask<'_>, input: Tokens) -> Result<(), Why> {
    let needed = input + output_expected(candidate, ask);
    match candidate.context {
        Some(available) if needed > available => Err(Why::Context { needed, available }),
        _ => Ok(()),
    }
}

/// What one turn costs: warm prompt tokens at the cached price, the others at the input price, the expected answer
/// at the output price.
pub fn expected_cost(prices: &Prices, input: Tokens, warm: Tokens, output: Tokens) -> Cost {
    let warm = warm.min(input);
    prices.cached_input.of(warm) + prices.input.of(input.less(warm)) + prices.output.of(output)
}

#[cfg(test)]
mod tests;
