//! After the answer: what it cost, what routing saved, and what is remembered for the next turn.

use domain::{Cost, Tenant, Tokens};

use crate::{
    answer::Usage,
    candidate::Prices,
    decide::{Engine, Memory, Plan, engine::id},
    ledger::{Account, Allowance, Payer, distinct},
};

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Spent<'a> {
    /// The candidate that answered; `None` if nobody did.
    pub candidate: Option<usize>,
    /// What the backend reported.
    pub usage: Option<&'a Usage>,
    /// Bytes of answer text, for an estimate where nothing was reported.
    pub output_bytes: u64,
    /// Unix time in milliseconds.
    pub now_ms: u64,
}

/// What one exchange cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The cost.
    pub cost: Cost,
    /// How much more the dearest candidate that was allowed would have cost for the same tokens.
    pub saved: Cost,
    /// The cost rests on our own count because the backend reported none.
    pub estimated: bool,
    /// Prompt tokens read from no cache.
    pub input: Tokens,
    /// Prompt tokens read from the provider's cache.
    pub cached: Tokens,
    /// Prompt tokens written to it.
    pub cache_write: Tokens,
    /// Answer tokens.
    pub output: Tokens,
}

/// Bytes of text per token where nothing better is known; English prose has about 4.4, code about 3.3.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

impl Engine {
    /// What a call of this tenant that this candidate answers is booked on, and the least that its budgets leave; nothing where
    /// no budget counts for it.
    pub fn booked(
        &self,
        memory: &Memory,
        tenant: &Tenant,
        candidate: usize,
        now_ms: u64,
    ) -> (Vec<Account>, Option<Cost>) {
        let Some(candidate) = self.settings().candidates.get(candidate) else {
            return (Vec::new(), None);
        };
        let (budgets, payer) =
            (&self.settings().budgets, Payer { tenant, backend: &candidate.backend });
        let left = match memory.ledger.allowance(budgets, payer, now_ms) {
            Allowance::Unlimited => None,
            Allowance::Left(left) => Some(left),
            Allowance::Exhausted => Some(Cost(0)),
        };
        (distinct(budgets, payer, now_ms), left)
    }

    /// Gives the reservation back, and notes who answered and what its cache now holds.
    pub fn settle(&self, memory: &Memory, plan: Plan, spent: &Spent<'_>) -> Settled {
        let candidates = &self.settings().candidates;
        let answered = spent.candidate.and_then(|index| Some((index, candidates.get(index)?)));
        let Some((index, candidate)) = answered else {
            let budgets = &self.settings().budgets;
            memory.ledger.settle(plan.reservation, budgets, None, spent.now_ms);
            return Settled::default();
        };
        let mut settled = tokens(&plan, spent);
        let prices = candidate.prices.unwrap_or_default();
        settled.cost = cost(&prices, &settled);
        let allowed =
            plan.attempts.iter().filter_map(|attempt| candidates.get(attempt.candidate)?.prices);
        let dearest = allowed.map(|prices| cost(&prices, &settled)).max().unwrap_or_default();
        settled.saved = dearest.less(settled.cost);
        let name = id(memory, candidate);
        let prompt = settled.input + settled.cached + settled.cache_write;
        // Where tokens cost nothing, cached ones cost no less.
        if !candidate.is_free() {
            memory.warm_with(name, plan.conversation, prompt, spent.now_ms);
        }
        memory.home_with(plan.conversation, name, index);
        let payer = Payer { tenant: &plan.tenant, backend: &candidate.backend };
        let budgets = &self.settings().budgets;
        let actual = Some((payer, settled.cost));
        memory.ledger.settle(plan.reservation, budgets, actual, spent.now_ms);
        settled
    }
}

fn tokens(plan: &Plan, spent: &Spent<'_>) -> Settled {
    match spent.usage {
        Some(usage) => Settled {
            input: usage.input_uncached,
            cached: usage.cache_read,
            cache_write: usage.cache_write,
            output: usage.output,
            ..Settled::default()
        },
        None => Settled {
            input: plan.input.tokens,
            output: Tokens(spent.output_bytes.div_ceil(BYTES_PER_TOKEN)),
            estimated: true,
            ..Settled::default()
        },
    }
}

fn cost(prices: &Prices, tokens: &Settled) -> Cost {
    prices.input.of(tokens.input)
        + prices.cached_input.of(tokens.cached)
        + prices.cache_write.of(tokens.cache_write)
        + prices.output.of(tokens.output)
}
