//! The ledger: what was spent on each account, and what is set aside for calls under way.
//!
//! A call is booked by an identity of its own: first set aside, then settled or released, each exactly once however often
//! it is told and whoever crashes. What nobody settles in time counts as spent in full.

use std::collections::BTreeMap;

use domain::Cost;
use serde::{Deserialize, Serialize};
use sqlx::{Row as _, any::AnyRow};

use super::{
    Store,
    error::StoreError,
    now_ms,
    page::{Listed, Page},
};

mod accounts;
mod answered;
mod calls;

pub use answered::{AnsweredCall, EndedCall, Spending};

use accounts::{add_settled, held, move_settled, reserve_on};
use calls::{Call, accounts_in, bounded, insert, known, written};

/// How many calls one transaction settles because their time is over.
const EXPIRED_ROWS: i64 = 100;

/// What is counted together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// What kind of thing spends, such as `sandbox`, `workspace` or `backend`.
    pub scope: String,
    /// Which one.
    pub owner: String,
    /// In which time, such as `2026-11-26` or `2026-11`.
    pub period: String,
}

/// An account with the most that may be spent on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Which one.
    pub account: Account,
    /// Everything together, what is set aside too; `None` for no limit.
    pub limit: Option<Cost>,
}

/// How an account stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Which one.
    pub account: Account,
    /// Set aside for calls under way.
    pub reserved: Cost,
    /// Spent.
    pub settled: Cost,
}

/// What setting aside came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// It is set aside on every account; how they stand now. The same again when it was so before.
    Granted(Vec<Balance>),
    /// This account has too little left; nothing is set aside on any.
    Refused(Balance),
    /// The call was settled or released before.
    Closed,
}

/// What settling or releasing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is booked now.
    Now,
    /// It was booked before; nothing changed.
    Before,
    /// No call of that identity was set aside.
    Unknown,
}

impl Balance {
    /// What is left below a limit.
    pub fn remaining(&self, limit: Cost) -> Cost {
        limit.less(self.reserved + self.settled)
    }
}

impl Store {
    /// Sets an amount aside on every account of a call, or on none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an identity or account that is no name, and for no account or more than 16.
    pub async fn reserve(
        &self,
        id: &str,
        amount: Cost,
        bookings: &[Booking],
        expires_ms: i64,
    ) -> Result<Reserved, StoreError> {
        let limits: BTreeMap<&Account, Option<Cost>> =
            bookings.iter().map(|booking| (&booking.account, booking.limit)).collect();
        let text = written(id, limits.keys().copied())?;
        let amount = bounded(amount);
        let mut change = self.database().begin().await?;
        if !insert(
            &mut change,
            &Call { id, state: "held", amount, spent: 0, accounts: &text, expires_ms },
        )
        .await?
        {
            return known(&mut change, id).await;
        }
        let mut balances = Vec::with_capacity(limits.len());
        // In the order of the accounts, as everyone does it: so no two wait for each other.
        for (account, limit) in limits {
            match reserve_on(&mut change, account, amount, limit).await? {
                Some(balance) => balances.push(balance),
                None => return Ok(Reserved::Refused(held(&mut *change, account).await?)),
            }
        }
        change.commit().await?;
        Ok(Reserved::Granted(balances))
    }

    /// Books what a call has cost in place of what was set aside for it.
    ///
    /// # Errors
    /// When the database fails: then tell it again.
    pub async fn settle(&self, id: &str, spent: Cost) -> Result<Settled, StoreError> {
        self.close_reservation(id, "settled", bounded(spent)).await
    }

    /// Gives back what was set aside for a call that cost nothing.
    ///
    /// # Errors
    /// When the database fails: then tell it again.
    pub async fn release(&self, id: &str) -> Result<Settled, StoreError> {
        self.close_reservation(id, "released", 0).await
    }

    /// Books a call that was not set aside, such as one that a router made while nobody answered it; whether it is booked
    /// now and was not before.
    ///
    /// # Errors
    /// As [`Store::reserve`].
    pub async fn spend(
        &self,
        id: &str,
        spent: Cost,
        accounts: &[Account],
    ) -> Result<bool, StoreError> {
        let text = written(id, accounts.iter())?;
        let spent = bounded(spent);
        let mut change = self.database().begin().await?;
        let call = Call { id, state: "settled", amount: 0, spent, accounts: &text, expires_ms: 0 };
        if !insert(&mut change, &call).await? {
            return Ok(false);
        }
        let mut sorted: Vec<&Account> = accounts.iter().collect();
        sorted.sort();
        sorted.dedup();
        for account in sorted {
            add_settled(&mut change, account, spent).await?;
        }
        change.commit().await?;
        Ok(true)
    }

    /// Books in full what was set aside for calls that nobody settled until now; how many.
    ///
    /// # Errors
    /// When the database fails; those before are booked.
    pub async fn expire_reservations(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let mut change = self.database().begin().await?;
            let over = "UPDATE reservations SET state = 'expired', spent = amount, updated_ms = $1 WHERE id IN \
                 (SELECT id FROM reservations WHERE state = 'held' AND expires_ms <= $1 ORDER BY id LIMIT $2) \
                 AND state = 'held' RETURNING amount, accounts";
            let over = sqlx::query(over).bind(now_ms).bind(EXPIRED_ROWS);
            let rows = over.fetch_all(&mut *change).await?;
            if rows.is_empty() {
                return Ok(expired);
            }
            let mut amounts: BTreeMap<Account, i64> = BTreeMap::new();
            for row in &rows {
                let amount: i64 = row.try_get(0)?;
                for account in accounts_in(row, 1)? {
                    let sum = amounts.entry(account).or_default();
                    *sum = sum.saturating_add(amount);
                }
            }
            for (account, amount) in &amounts {
                move_settled(&mut change, account, *amount, *amount).await?;
            }
            change.commit().await?;
            expired += rows.len() as u64;
        }
    }

    /// How an account stands; nothing spent where nothing was ever booked.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balance(&self, account: &Account) -> Result<Balance, StoreError> {
        held(self.database().reader(), account).await
    }

    /// Every account of a scope in a period, sorted by owner.
    ///
    /// # Errors
    /// When the database fails; [`StoreError::Invalid`] for a page that did not come from here.
    pub async fn balances(
        &self,
        scope: &str,
        period: &str,
        page: &Page,
    ) -> Result<Listed<Balance>, StoreError> {
        let after = page.position::<String>()?.unwrap_or_default();
        let list = "SELECT scope, owner, period, reserved, settled FROM accounts \
             WHERE scope = $1 AND period = $2 AND owner > $3 ORDER BY owner LIMIT $4";
        let list = sqlx::query(list).bind(scope).bind(period).bind(after).bind(page.rows());
        let read = |row: &AnyRow| Ok((accounts::balance(row)?, 0));
        page.fetch(list, self.database().reader(), read, |one| one.account.owner.clone()).await
    }

    /// Forgets calls that were booked, and accounts that nothing was booked on, since that time; how many calls. A call
    /// that is told again after that is unknown.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_ledger(
        &self,
        calls_before_ms: i64,
        accounts_before_ms: i64,
    ) -> Result<u64, StoreError> {
        let mut change = self.database().begin().await?;
        let calls = "DELETE FROM reservations WHERE state IN ('settled', 'released', 'expired') AND updated_ms < $1";
        let removed = sqlx::query(calls).bind(calls_before_ms).execute(&mut *change).await?;
        let accounts = "DELETE FROM accounts WHERE updated_ms < $1 AND reserved = 0";
        sqlx::query(accounts).bind(accounts_before_ms).execute(&mut *change).await?;
        change.commit().await?;
        Ok(removed.rows_affected())
    }

    async fn close_reservation(
        &self,
        id: &str,
        state: &'static str,
        spent: i64,
    ) -> Result<Settled, StoreError> {
        let mut change = self.database().begin().await?;
        let close = "UPDATE reservations SET state = $1, spent = $2, updated_ms = $3 \
             WHERE id = $4 AND state = 'held' RETURNING amount, accounts";
        let close = sqlx::query(close).bind(state).bind(spent).bind(now_ms()).bind(id);
        let Some(row) = close.fetch_optional(&mut *change).await? else {
            let find = sqlx::query("SELECT state FROM reservations WHERE id = $1").bind(id);
            let found = find.fetch_optional(&mut *change).await?;
            return Ok(if found.is_some() { Settled::Before } else { Settled::Unknown });
        };
        let amount: i64 = row.try_get(0)?;
        for account in accounts_in(&row, 1)? {
            move_settled(&mut change, &account, amount, spent).await?;
        }
        change.commit().await?;
        Ok(Settled::Now)
    }
}
