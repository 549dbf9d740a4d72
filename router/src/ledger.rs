//! Budgets: money is reserved before a request is sent and settled afterwards, exactly once.
//!
//! Not here: persistence, and clocks; the day and month are computed from the time given.

use std::collections::HashMap;

use domain::{Cost, Tenant};
use parking_lot::Mutex;

/// Whom a budget counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Each sandbox (or caller) for itself.
    Sandbox,
    /// Everyone together.
    Total,
}

/// When a budget starts anew (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// At midnight.
    Day,
    /// On the first of a month.
    Month,
}

/// What happens when it is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnExceed {
    /// Only candidates that what is left can pay remain; free ones always can.
    Downgrade,
    /// Requests are refused.
    Block,
}

/// One line of `budgets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Whom it counts for.
    pub scope: Scope,
    /// How much may be spent.
    pub limit: Cost,
    /// Per what.
    pub period: Period,
    /// What happens then.
    pub on_exceed: OnExceed,
}

/// What may be spent on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// There is no budget.
    Unlimited,
    /// This much is left.
    Left(Cost),
    /// A budget that blocks is used up.
    Exhausted,
}

/// Money set aside for one request. Must be given back to [`Ledger::settle`]; it cannot be copied.
#[derive(Debug)]
#[must_use = "a reservation that is not settled stays spent"]
pub struct Reservation {
    accounts: Vec<Account>,
    amount: Cost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Account {
    budget: usize,
    tenant: Option<Tenant>,
    period: i64,
}

/// What has been spent and reserved, per budget, tenant and period.
#[derive(Debug, Default)]
pub struct Ledger {
    spent: Mutex<HashMap<Account, Cost>>,
}

/// Accounts of past periods are swept when there are more than this.
const ACCOUNTS_MAX: usize = 100_000;

impl Ledger {
    /// What `tenant` may still spend at `now_ms` (Unix time).
    pub fn allowance(&self, budgets: &[Budget], tenant: &Tenant, now_ms: u64) -> Allowance {
        let spent = self.spent.lock();
        let mut left: Option<Cost> = None;
        for (index, budget) in budgets.iter().enumerate() {
            let account = account(index, budget, tenant, now_ms);
            let used = spent.get(&account).copied().unwrap_or_default();
            let remains = budget.limit.less(used);
            if remains == Cost(0) && budget.on_exceed == OnExceed::Block {
                return Allowance::Exhausted;
            }
            left = Some(left.map_or(remains, |least| least.min(remains)));
        }
        left.map_or(Allowance::Unlimited, Allowance::Left)
    }

    /// Sets `amount` aside in every budget that counts for `tenant`.
    pub fn reserve(
        &self,
        budgets: &[Budget],
        tenant: &Tenant,
        amount: Cost,
        now_ms: u64,
    ) -> Reservation {
        let accounts: Vec<Account> = budgets
            .iter()
            .enumerate()
            .map(|(index, budget)| account(index, budget, tenant, now_ms))
            .collect();
        let mut spent = self.spent.lock();
        if spent.len() > ACCOUNTS_MAX {
            let current: Vec<i64> =
                [Period::Day, Period::Month].iter().map(|period| number(*period, now_ms)).collect();
            spent.retain(|account, _| current.contains(&account.period));
        }
        for account in &accounts {
            let used = spent.entry(account.clone()).or_default();
            *used = *used + amount;
        }
        Reservation { accounts, amount }
    }

    /// Replaces a reservation by what the request really cost.
    pub fn settle(&self, reservation: Reservation, actual: Cost) {
        let Reservation { accounts, amount } = reservation;
        let mut spent = self.spent.lock();
        for account in accounts {
            let used = spent.entry(account).or_default();
            *used = used.less(amount) + actual;
        }
    }
}

fn account(index: usize, budget: &Budget, tenant: &Tenant, now_ms: u64) -> Account {
    Account {
        budget: index,
        tenant: (budget.scope == Scope::Sandbox).then(|| tenant.clone()),
        period: number(budget.period, now_ms),
    }
}

/// The number of the period: days since 1970, or minus the months since year 0, so that the two never meet.
fn number(period: Period, now_ms: u64) -> i64 {
    let days = i64::try_from(now_ms / 86_400_000).unwrap_or(i64::MAX / 2);
    match period {
        Period::Day => days,
        Period::Month => -months(days),
    }
}

/// Months since year 0 of a day since 1970-01-01 (civil-from-days of Howard Hinnant's date algorithms).
fn months(days: i64) -> i64 {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    // Years start in March here; January and February belong to the next one.
    (era * 400 + year_of_era) * 12 + month_from_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn budget(scope: Scope, on_exceed: OnExceed) -> [Budget; 1] {
        [Budget { scope, limit: Cost(100), period: Period::Day, on_exceed }]
    }

    #[test]
    fn a_reservation_counts_until_it_is_settled_with_the_real_cost() {
        let (ledger, me) = (Ledger::default(), Tenant::new("me"));
        let budgets = budget(Scope::Sandbox, OnExceed::Downgrade);
        let reservation = ledger.reserve(&budgets, &me, Cost(60), 0);
        assert_eq!(ledger.allowance(&budgets, &me, 0), Allowance::Left(Cost(40)));
        ledger.settle(reservation, Cost(10));
        assert_eq!(ledger.allowance(&budgets, &me, 0), Allowance::Left(Cost(90)));
        assert_eq!(ledger.allowance(&budgets, &me, DAY_MS), Allowance::Left(Cost(100)));
    }

    #[test]
    fn a_used_up_budget_blocks_or_leaves_nothing_to_pay_with() {
        let (ledger, me, other) = (Ledger::default(), Tenant::new("me"), Tenant::new("other"));
        for (on_exceed, expected) in [
            (OnExceed::Block, Allowance::Exhausted),
            (OnExceed::Downgrade, Allowance::Left(Cost(0))),
        ] {
            let budgets = budget(Scope::Sandbox, on_exceed);
            let reservation = ledger.reserve(&budgets, &me, Cost(100), 0);
            assert_eq!(ledger.allowance(&budgets, &me, 0), expected);
            assert_eq!(ledger.allowance(&budgets, &other, 0), Allowance::Left(Cost(100)));
            ledger.settle(reservation, Cost(0));
        }
        assert_eq!(ledger.allowance(&[], &me, 0), Allowance::Unlimited);
    }

    #[test]
    fn months_turn_on_the_first() {
        let day = |year_2026_day: i64| 20_454 + year_2026_day; // 2026-01-01 is day 20,454
        assert_eq!(months(day(0)), 2026 * 12);
        assert_eq!(months(day(30)), 2026 * 12);
        assert_eq!(months(day(31)), 2026 * 12 + 1);
        assert_eq!(months(day(-1)), 2025 * 12 + 11);
        assert_eq!(months(day(59)), 2026 * 12 + 2);
    }
}
