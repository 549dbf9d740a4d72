//! The four steps that change or read an account, each one statement that no other writer can come between.
//!
//! Sums stop at four million dollars, so that what is set aside, what is spent and one call together always fit.

use domain::Cost;
use sqlx::{Any, Executor, Row as _, any::AnyRow};

use super::{
    super::{database::Change, error::StoreError, now_ms},
    Account, Balance,
};

/// Sets an amount aside, unless that is above the limit: then `None`.
pub(super) async fn reserve_on(
    change: &mut Change,
    account: &Account,
    amount: i64,
    limit: Option<Cost>,
) -> Result<Option<Balance>, StoreError> {
    let open = "INSERT INTO accounts (scope, owner, period, reserved, settled, updated_ms) \
         VALUES ($1, $2, $3, 0, 0, $4) ON CONFLICT (scope, owner, period) DO NOTHING";
    let open = sqlx::query(open).bind(&account.scope).bind(&account.owner).bind(&account.period);
    open.bind(now_ms()).execute(&mut **change).await?;
    let limit = limit.map_or(i64::MAX, |limit| i64::try_from(limit.0).unwrap_or(i64::MAX));
    let reserve = "UPDATE accounts SET updated_ms = $5, reserved = \
         CASE WHEN reserved > 4000000000000000000 - $4 THEN 4000000000000000000 ELSE reserved + $4 END \
         WHERE scope = $1 AND owner = $2 AND period = $3 AND reserved + settled + $4 <= $6 \
         RETURNING scope, owner, period, reserved, settled";
    let reserve =
        sqlx::query(reserve).bind(&account.scope).bind(&account.owner).bind(&account.period);
    let row = reserve.bind(amount).bind(now_ms()).bind(limit).fetch_optional(&mut **change).await?;
    row.as_ref().map(balance).transpose()
}

/// Books what was spent in place of what was set aside.
pub(super) async fn move_settled(
    change: &mut Change,
    account: &Account,
    reserved: i64,
    spent: i64,
) -> Result<(), StoreError> {
    let update = "UPDATE accounts SET updated_ms = $6, \
         reserved = CASE WHEN reserved < $4 THEN 0 ELSE reserved - $4 END, \
         settled = CASE WHEN settled > 4000000000000000000 - $5 THEN 4000000000000000000 ELSE settled + $5 END \
         WHERE scope = $1 AND owner = $2 AND period = $3";
    let update =
        sqlx::query(update).bind(&account.scope).bind(&account.owner).bind(&account.period);
    let spent = spent.min(4_000_000_000_000_000_000);
    update.bind(reserved).bind(spent).bind(now_ms()).execute(&mut **change).await?;
    Ok(())
}

/// Books what was spent without having been set aside.
pub(super) async fn add_settled(
    change: &mut Change,
    account: &Account,
    spent: i64,
) -> Result<(), StoreError> {
    let add = "INSERT INTO accounts (scope, owner, period, reserved, settled, updated_ms) \
         VALUES ($1, $2, $3, 0, $4, $5) ON CONFLICT (scope, owner, period) DO UPDATE SET updated_ms = excluded.updated_ms, \
         settled = CASE WHEN accounts.settled > 4000000000000000000 - excluded.settled THEN 4000000000000000000 \
         ELSE accounts.settled + excluded.settled END";
    let add = sqlx::query(add).bind(&account.scope).bind(&account.owner).bind(&account.period);
    add.bind(spent).bind(now_ms()).execute(&mut **change).await?;
    Ok(())
}

/// How an account stands.
pub(super) async fn held(
    at: impl Executor<'_, Database = Any>,
    account: &Account,
) -> Result<Balance, StoreError> {
    let find = "SELECT scope, owner, period, reserved, settled FROM accounts \
         WHERE scope = $1 AND owner = $2 AND period = $3";
    let find = sqlx::query(find).bind(&account.scope).bind(&account.owner).bind(&account.period);
    let row = find.fetch_optional(at).await?;
    let nothing = || Balance { account: account.clone(), reserved: Cost(0), settled: Cost(0) };
    Ok(row.as_ref().map(balance).transpose()?.unwrap_or_else(nothing))
}

/// The columns that every query of accounts gives.
pub(super) fn balance(row: &AnyRow) -> Result<Balance, StoreError> {
    let amount = |column: usize| row.try_get(column).map(|amount: i64| Cost(amount.unsigned_abs()));
    Ok(Balance {
        account: Account {
            scope: row.try_get(0)?,
            owner: row.try_get(1)?,
            period: row.try_get(2)?,
        },
        reserved: amount(3)?,
        settled: amount(4)?,
    })
}
