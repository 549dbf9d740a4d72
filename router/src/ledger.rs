//! Budgets: money is reserved before a request is sent and settled afterwards, exactly once.
//!
//! Not here: where books are kept ([`Ledger::books`] gives them), and clocks; the day and month are computed from the
//! time given.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use domain::{BackendName, Cost, Tenant};
use parking_lot::Mutex;

/// Whose spending a budget adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One sandbox, or one caller outside any sandbox.
    Sandbox,
    /// One workspace; whoever says none is in `default`.
    Workspace,
    /// One backend.
    Backend,
    /// Everything that this router spends.
    Total,
}

/// How long a budget's period is; it begins at midnight UTC, or with the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// A calendar day in UTC.
    Day,
    /// A calendar month in UTC.
    Month,
}

/// What happens to a request that would exceed a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnExceed {
    /// Only candidates that what is left can pay may answer; free ones always can.
    Downgrade,
    /// Once it is used up, requests are refused.
    Block,
}

/// One line of `budgets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Whose spending is added up.
    pub scope: Scope,
    /// Only for the one of this name (a sandbox, workspace or backend); `None` for each of them on its own.
    pub name: Option<String>,
    /// Most that may be spent in a period.
    pub limit: Cost,
    /// How long a period is.
    pub period: Period,
    /// What happens then.
    pub on_exceed: OnExceed,
}

/// Who pays: the caller, at a backend.
#[derive(Clone, Copy, Debug)]
pub struct Payer<'a> {
    /// Who asks.
    pub tenant: &'a Tenant,
    /// Who answers.
    pub backend: &'a BackendName,
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
#[derive(Debug, Default)]
#[must_use = "a reservation that is not settled stays spent"]
pub struct Reservation {
    accounts: Vec<Account>,
    amount: Cost,
}

/// What money is booked on. It names what a budget is about, not its place in the file, so that a reload which moves
/// lines or changes limits forgets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Whose spending.
    pub scope: Scope,
    /// The sandbox, workspace or backend; `None` where there is only one.
    pub owner: Option<Box<str>>,
    /// The day since 1970, or minus the month since year 0.
    pub period: i64,
}

impl Reservation {
    /// What it is set aside on; nothing where no budget counts.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// How much is set aside on each.
    pub fn amount(&self) -> Cost {
        self.amount
    }
}

/// What has been spent and reserved, per budget, owner and period.
#[derive(Debug, Default)]
pub struct Ledger {
    spent: Mutex<HashMap<Account, Cost>>,
    changes: AtomicU64,
}

/// One line of the books: what has been spent on an account, with what is reserved at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booked {
    /// Whose spending.
    pub scope: Scope,
    /// The sandbox, workspace or backend; `None` where there is only one.
    pub owner: Option<Box<str>>,
    /// The day since 1970, or minus the month since year 0.
    pub period: i64,
    /// How much.
    pub spent: Cost,
}

/// Accounts of past periods are swept when there are more than this.
const ACCOUNTS_MAX: usize = 100_000;

/// The workspace of who says none.
const WORKSPACE: &str = "default";

impl Ledger {
    /// Everything that is booked for periods that have not passed, in no order. What is reserved counts as spent: after a
    /// crash nobody can say what of it was used.
    pub fn books(&self, now_ms: u64) -> Vec<Booked> {
        let current = [Period::Day, Period::Month].map(|period| number(period, now_ms));
        let spent = self.spent.lock();
        let current = spent.iter().filter(|(account, _)| current.contains(&account.period));
        let book = |(account, spent): (&Account, &Cost)| Booked {
            scope: account.scope,
            owner: account.owner.clone(),
            period: account.period,
            spent: *spent,
        };
        current.map(book).collect()
    }

    /// Books of an earlier life, added to what is booked already.
    pub fn restore(&self, books: impl IntoIterator<Item = Booked>) {
        let mut all = self.spent.lock();
        for Booked { scope, owner, period, spent } in books {
            add(&mut all, Account { scope, owner, period }, spent);
        }
    }

    /// A number that grows whenever the books change.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// What `payer` may still spend at `now_ms` (Unix time).
    pub fn allowance(&self, budgets: &[Budget], payer: Payer<'_>, now_ms: u64) -> Allowance {
        if budgets.is_empty() {
            return Allowance::Unlimited;
        }
        allowance(&self.spent.lock(), budgets, payer, now_ms)
    }

    /// Sets `amount` aside in every budget that counts for `payer`; `None` when that is no longer left, because others
    /// have been faster since it was asked for.
    pub fn reserve(
        &self,
        budgets: &[Budget],
        payer: Payer<'_>,
        amount: Cost,
        now_ms: u64,
    ) -> Option<Reservation> {
        if budgets.is_empty() {
            return Some(Reservation::default());
        }
        let mut spent = self.spent.lock();
        match allowance(&spent, budgets, payer, now_ms) {
            Allowance::Exhausted => return None,
            Allowance::Left(left) if amount > left => return None,
            Allowance::Left(_) | Allowance::Unlimited => {}
        }
        if spent.len() > ACCOUNTS_MAX {
            let current = [Period::Day, Period::Month].map(|period| number(period, now_ms));
            spent.retain(|account, _| current.contains(&account.period));
        }
        let accounts = distinct(budgets, payer, now_ms);
        for account in &accounts {
            add(&mut spent, account.clone(), amount);
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
        Some(Reservation { accounts, amount })
    }

    /// Replaces a reservation by what the request really cost, booked on who really answered.
    pub fn settle(
        &self,
        reservation: Reservation,
        budgets: &[Budget],
        actual: Option<(Payer<'_>, Cost)>,
        now_ms: u64,
    ) {
        let Reservation { accounts: reserved, amount } = reservation;
        self.changes.fetch_add(1, Ordering::Relaxed);
        let mut spent = self.spent.lock();
        for account in reserved {
            let used = spent.entry(account).or_default();
            *used = used.less(amount);
        }
        if let Some((payer, cost)) = actual {
            for account in distinct(budgets, payer, now_ms) {
                add(&mut spent, account, cost);
            }
        }
    }
}

fn add(spent: &mut HashMap<Account, Cost>, account: Account, amount: Cost) {
    let used = spent.entry(account).or_default();
    *used = *used + amount;
}

/// The least of what the budgets that count for `payer` leave.
fn allowance(
    spent: &HashMap<Account, Cost>,
    budgets: &[Budget],
    payer: Payer<'_>,
    now_ms: u64,
) -> Allowance {
    let mut left: Option<Cost> = None;
    for (budget, account) in accounts(budgets, payer, now_ms) {
        let used = spent.get(&account).copied().unwrap_or_default();
        let remains = budget.limit.less(used);
        if remains == Cost(0) && budget.on_exceed == OnExceed::Block {
            return Allowance::Exhausted;
        }
        left = Some(left.map_or(remains, |least| least.min(remains)));
    }
    left.map_or(Allowance::Unlimited, Allowance::Left)
}

/// The accounts of `payer`, each once: two budgets over the same spending share theirs.
pub(crate) fn distinct(budgets: &[Budget], payer: Payer<'_>, now_ms: u64) -> Vec<Account> {
    let mut distinct: Vec<Account> = Vec::new();
    for (_, account) in accounts(budgets, payer, now_ms) {
        if !distinct.contains(&account) {
            distinct.push(account);
        }
    }
    distinct
}

/// The budgets that count for `payer`, each with its account in this period.
fn accounts<'b>(
    budgets: &'b [Budget],
    payer: Payer<'b>,
    now_ms: u64,
) -> impl Iterator<Item = (&'b Budget, Account)> {
    budgets.iter().filter_map(move |budget| {
        let owner = match budget.scope {
            Scope::Sandbox => Some(payer.tenant.as_str()),
            Scope::Workspace => Some(payer.tenant.workspace().unwrap_or(WORKSPACE)),
            Scope::Backend => Some(payer.backend.as_str()),
            Scope::Total => None,
        };
        let named = |name: &str| match budget.scope {
            Scope::Sandbox => payer.tenant.sandbox() == Some(name) || owner == Some(name),
            Scope::Workspace | Scope::Backend | Scope::Total => owner == Some(name),
        };
        if !budget.name.as_deref().is_none_or(named) {
            return None;
        }
        let owner = owner.map(Box::from);
        let period = number(budget.period, now_ms);
        Some((budget, Account { scope: budget.scope, owner, period }))
    })
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
        [Budget { scope, name: None, limit: Cost(100), period: Period::Day, on_exceed }]
    }

    struct Names(Tenant, BackendName);

    impl Names {
        fn new(tenant: &str, backend: &str) -> Self {
            Self(Tenant::new(tenant), backend.parse().unwrap())
        }
        fn payer(&self) -> Payer<'_> {
            Payer { tenant: &self.0, backend: &self.1 }
        }
    }

    #[test]
    fn a_reservation_counts_until_it_is_settled_with_the_real_cost() {
        let (ledger, me) = (Ledger::default(), Names::new("me", "cloud"));
        let budgets = budget(Scope::Sandbox, OnExceed::Downgrade);
        let left = |now_ms| ledger.allowance(&budgets, me.payer(), now_ms);
        let reservation = ledger.reserve(&budgets, me.payer(), Cost(60), 0).unwrap();
        assert_eq!(left(0), Allowance::Left(Cost(40)));
        ledger.settle(reservation, &budgets, Some((me.payer(), Cost(10))), 0);
        assert_eq!(left(0), Allowance::Left(Cost(90)));
        assert_eq!(left(DAY_MS), Allowance::Left(Cost(100)));
    }

    #[test]
    fn a_used_up_budget_blocks_or_leaves_nothing_to_pay_with() {
        let (ledger, me) = (Ledger::default(), Names::new("me", "cloud"));
        let other = Names::new("other", "cloud");
        for (on_exceed, expected) in [
            (OnExceed::Block, Allowance::Exhausted),
            (OnExceed::Downgrade, Allowance::Left(Cost(0))),
        ] {
            let budgets = budget(Scope::Sandbox, on_exceed);
            let reservation = ledger.reserve(&budgets, me.payer(), Cost(100), 0).unwrap();
            assert_eq!(ledger.allowance(&budgets, me.payer(), 0), expected);
            assert_eq!(ledger.allowance(&budgets, other.payer(), 0), Allowance::Left(Cost(100)));
            ledger.settle(reservation, &budgets, None, 0);
        }
        assert_eq!(ledger.allowance(&[], me.payer(), 0), Allowance::Unlimited);
    }

    #[test]
    fn a_backend_pays_for_what_it_answered_not_for_what_it_was_asked_first() {
        let (ledger, first) = (Ledger::default(), Names::new("me", "first"));
        let second = Names::new("me", "second");
        let budgets = budget(Scope::Backend, OnExceed::Block);
        let reservation = ledger.reserve(&budgets, first.payer(), Cost(70), 0).unwrap();
        ledger.settle(reservation, &budgets, Some((second.payer(), Cost(30))), 0);
        assert_eq!(ledger.allowance(&budgets, first.payer(), 0), Allowance::Left(Cost(100)));
        assert_eq!(ledger.allowance(&budgets, second.payer(), 0), Allowance::Left(Cost(70)));
    }

    #[test]
    fn what_is_no_longer_left_cannot_be_reserved() {
        let (ledger, me) = (Ledger::default(), Names::new("me", "cloud"));
        let budgets = budget(Scope::Sandbox, OnExceed::Downgrade);
        let held = ledger.reserve(&budgets, me.payer(), Cost(60), 0).unwrap();
        assert!(ledger.reserve(&budgets, me.payer(), Cost(60), 0).is_none());
        ledger.settle(held, &budgets, None, 0);
        assert!(ledger.reserve(&budgets, me.payer(), Cost(60), 0).is_some());
    }

    #[test]
    fn a_reload_that_moves_or_repeats_lines_forgets_and_doubles_nothing() {
        let (ledger, me) = (Ledger::default(), Names::new("me", "cloud"));
        let [day] = budget(Scope::Sandbox, OnExceed::Block);
        let total = Budget { scope: Scope::Total, limit: Cost(1_000), ..day.clone() };
        let before = [day.clone(), total.clone()];
        let held = ledger.reserve(&before, me.payer(), Cost(30), 0).unwrap();
        let after = [total, Budget { limit: Cost(50), ..day.clone() }, day];
        assert_eq!(ledger.allowance(&after, me.payer(), 0), Allowance::Left(Cost(20)));
        ledger.settle(held, &after, Some((me.payer(), Cost(10))), 0);
        assert_eq!(ledger.allowance(&after, me.payer(), 0), Allowance::Left(Cost(40)));
    }

    #[test]
    fn a_named_budget_counts_for_its_owner_only() {
        let mut budgets = budget(Scope::Backend, OnExceed::Block);
        budgets[0].name = Some("cloud".into());
        let ledger = Ledger::default();
        let allowance =
            |backend: &str| ledger.allowance(&budgets, Names::new("me", backend).payer(), 0);
        assert_eq!(allowance("laptop"), Allowance::Unlimited);
        assert_eq!(allowance("cloud"), Allowance::Left(Cost(100)));
    }

    #[test]
    fn books_are_taken_up_again_where_they_were_left() {
        let (before, me) = (Ledger::default(), Names::new("me", "cloud"));
        let budgets = budget(Scope::Sandbox, OnExceed::Downgrade);
        let held = before.reserve(&budgets, me.payer(), Cost(60), 0).unwrap();
        before.settle(held, &budgets, Some((me.payer(), Cost(10))), 0);
        let changes = before.changes();
        let _held = before.reserve(&budgets, me.payer(), Cost(30), 0).unwrap();
        assert!(before.changes() > changes);

        let after = Ledger::default();
        after.restore(before.books(0));
        assert_eq!(after.allowance(&budgets, me.payer(), 0), Allowance::Left(Cost(60)));
        assert_eq!(before.books(DAY_MS), []);
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
