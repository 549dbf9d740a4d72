//! Calls as they are stored: one row each, by an identity that is booked once.

use domain::{Cost, limits::BOOKED_ACCOUNTS_MAX};
use sqlx::{Row as _, any::AnyRow};

use super::{
    super::{database::Change, error::StoreError, now_ms, objects::named},
    Account, Reserved,
    accounts::held,
};

/// Largest amount of one call, pico-dollars: a million dollars. Larger ones count as this.
const AMOUNT_MAX: u64 = 1_000_000_000_000_000_000;

/// A call as it is first stored.
pub(super) struct Call<'a> {
    pub(super) id: &'a str,
    pub(super) state: &'static str,
    pub(super) amount: i64,
    pub(super) spent: i64,
    pub(super) accounts: &'a str,
    pub(super) expires_ms: i64,
}

/// Stores a call; `false` when there is one of that identity.
pub(super) async fn insert(change: &mut Change, call: &Call<'_>) -> Result<bool, StoreError> {
    let insert = "INSERT INTO reservations (id, state, amount, spent, accounts, expires_ms, updated_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING";
    let insert =
        sqlx::query(insert).bind(call.id).bind(call.state).bind(call.amount).bind(call.spent);
    let insert = insert.bind(call.accounts).bind(call.expires_ms).bind(now_ms());
    Ok(insert.execute(&mut **change).await?.rows_affected() > 0)
}

/// What became of a call that was told before.
pub(super) async fn known(change: &mut Change, id: &str) -> Result<Reserved, StoreError> {
    let find = sqlx::query("SELECT state, accounts FROM reservations WHERE id = $1").bind(id);
    let row = find.fetch_one(&mut **change).await?;
    if row.try_get::<&str, _>(0)? != "held" {
        return Ok(Reserved::Closed);
    }
    let mut balances = Vec::new();
    for account in accounts_in(&row, 1)? {
        balances.push(held(&mut **change, &account).await?);
    }
    Ok(Reserved::Granted(balances))
}

/// The accounts of a call, sorted, as they are stored with it.
pub(super) fn written<'a>(
    id: &str,
    accounts: impl Iterator<Item = &'a Account>,
) -> Result<String, StoreError> {
    named(id)?;
    let mut sorted: Vec<&Account> = accounts.collect();
    sorted.sort();
    sorted.dedup();
    if sorted.is_empty() || sorted.len() > BOOKED_ACCOUNTS_MAX {
        return Err(StoreError::Invalid("a call is booked on 1 to 16 accounts"));
    }
    for account in &sorted {
        for part in [&account.scope, &account.owner, &account.period] {
            named(part)?;
        }
    }
    serde_json::to_string(&sorted).map_err(|error| StoreError::body("reservation", &error))
}

pub(super) fn accounts_in(row: &AnyRow, column: usize) -> Result<Vec<Account>, StoreError> {
    let accounts = serde_json::from_str(row.try_get(column)?);
    accounts.map_err(|error| StoreError::body("reservation", &error))
}

pub(super) fn bounded(amount: Cost) -> i64 {
    i64::try_from(amount.0.min(AMOUNT_MAX)).unwrap_or(i64::MAX)
}
