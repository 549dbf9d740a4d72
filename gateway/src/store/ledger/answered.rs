//! Model calls that have ended: what each was, what it cost, and what was set aside for it, in one step.

use domain::Cost;
use sqlx::Row as _;

use super::{
    super::{Store, database::Change, error::StoreError, now_ms},
    Account, Balance,
    accounts::{add_settled, balance, move_settled},
    calls::{accounts_in, bounded},
};

/// The most accounts that a router takes over.
const ACCOUNTS_MAX: i64 = 100_000;
/// The largest count of one call that is kept.
const TOKENS_MAX: u64 = 1 << 40;

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCall {
    /// Its own identity, under which something may be set aside for it.
    pub id: String,
    /// When it began, milliseconds since 1970.
    pub time_ms: i64,
    /// The workspace that it was made in.
    pub workspace: String,
    /// Who made it.
    pub caller: String,
    /// Who answered it; `None` when nobody did, and it costs nothing.
    pub answered: Option<AnsweredCall>,
    /// What its cost is booked on.
    pub accounts: Vec<Account>,
}

/// Who answered a call, and what that cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredCall {
    /// The backend.
    pub backend: String,
    /// The model.
    pub model: String,
    /// Who could see it.
    pub zone: String,
    /// Prompt tokens, those of them from a cache, answer tokens.
    pub tokens: [u64; 3],
    /// The cost.
    pub cost: Cost,
    /// How much more the dearest that was allowed would have cost.
    pub saved: Cost,
}

/// What one caller spent on one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spending {
    /// Who made the calls.
    pub caller: String,
    /// The backend.
    pub backend: String,
    /// The model.
    pub model: String,
    /// Who could see it.
    pub zone: String,
    /// How many calls.
    pub calls: u64,
    /// Prompt tokens, those of them from a cache, answer tokens.
    pub tokens: [u64; 3],
    /// The cost.
    pub cost: Cost,
    /// How much more the dearest that was allowed would have cost.
    pub saved: Cost,
}

impl Store {
    /// Books calls that have ended, all of them or none: each once, however often it is told. What was set aside for one is
    /// given back and its cost booked where it belongs; one whose time was over before is booked in full already.
    ///
    /// # Errors
    /// When the database fails: then tell all of them again.
    pub async fn book_calls(&self, calls: &[EndedCall]) -> Result<(), StoreError> {
        let mut change = self.database().begin().await?;
        for call in calls {
            book(&mut change, call).await?;
        }
        change.commit().await?;
        Ok(())
    }

    /// Books in full what is set aside for calls whose identities begin so, because nobody is left who could settle them; how
    /// many.
    ///
    /// # Errors
    /// When the database fails; [`StoreError::Invalid`] for what could begin any identity.
    pub async fn expire_reservations_of(&self, beginning: &str) -> Result<u64, StoreError> {
        if beginning.is_empty() || beginning.contains(['%', '_', '\\']) {
            return Err(StoreError::Invalid("the beginning of an identity has no wildcards"));
        }
        let mut change = self.database().begin().await?;
        let over = "UPDATE reservations SET state = 'expired', spent = amount, updated_ms = $1 \
             WHERE state = 'held' AND id LIKE $2 RETURNING amount, accounts";
        let over = sqlx::query(over).bind(now_ms()).bind(format!("{beginning}%"));
        let rows = over.fetch_all(&mut *change).await?;
        for row in &rows {
            let amount: i64 = row.try_get(0)?;
            for account in accounts_in(row, 1)? {
                move_settled(&mut change, &account, amount, amount).await?;
            }
        }
        change.commit().await?;
        Ok(rows.len() as u64)
    }

    /// How every account of these two periods stands, those last booked on first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn balances_in(&self, [one, other]: [&str; 2]) -> Result<Vec<Balance>, StoreError> {
        let list = "SELECT scope, owner, period, reserved, settled FROM accounts \
             WHERE period IN ($1, $2) ORDER BY updated_ms DESC LIMIT $3";
        let list = sqlx::query(list).bind(one).bind(other).bind(ACCOUNTS_MAX);
        let rows = list.fetch_all(self.database().reader()).await?;
        rows.iter().map(balance).collect()
    }

    /// What was spent in a workspace since a time, for each caller, backend, model and zone; of one caller where it is named.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn spending(
        &self,
        workspace: &str,
        caller: Option<&str>,
        since_ms: i64,
        limit: u32,
    ) -> Result<Vec<Spending>, StoreError> {
        let sums = "SELECT caller, backend, model, zone, COUNT(*), CAST(SUM(input) AS BIGINT), \
             CAST(SUM(cached) AS BIGINT), CAST(SUM(output) AS BIGINT), CAST(SUM(cost) AS BIGINT), CAST(SUM(saved) AS BIGINT) \
             FROM calls WHERE workspace = $1 AND time_ms >= $2 AND caller = COALESCE($3, caller) \
             GROUP BY caller, backend, model, zone ORDER BY caller, backend, model, zone LIMIT $4";
        let sums = sqlx::query(sums).bind(workspace).bind(since_ms).bind(caller);
        let rows = sums.bind(i64::from(limit)).fetch_all(self.database().reader()).await?;
        rows.iter()
            .map(|row| {
                let number = |column: usize| row.try_get(column).map(i64::unsigned_abs);
                Ok(Spending {
                    caller: row.try_get(0)?,
                    backend: row.try_get(1)?,
                    model: row.try_get(2)?,
                    zone: row.try_get(3)?,
                    calls: number(4)?,
                    tokens: [number(5)?, number(6)?, number(7)?],
                    cost: Cost(number(8)?),
                    saved: Cost(number(9)?),
                })
            })
            .collect()
    }

    /// Forgets calls that began before a time; how many. One that is told again after that is booked again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_calls(&self, before_ms: i64) -> Result<u64, StoreError> {
        let delete = sqlx::query("DELETE FROM calls WHERE time_ms < $1").bind(before_ms);
        self.database().execute(delete).await
    }
}

async fn book(change: &mut Change, call: &EndedCall) -> Result<(), StoreError> {
    let cost = call.answered.as_ref().map_or(0, |answered| bounded(answered.cost));
    if let Some(answered) = &call.answered
        && !insert(change, call, answered).await?
    {
        return Ok(());
    }
    let state = if call.answered.is_some() { "settled" } else { "released" };
    let close = "UPDATE reservations SET state = $1, spent = $2, updated_ms = $3 \
         WHERE id = $4 AND state = 'held' RETURNING amount, accounts";
    let close = sqlx::query(close).bind(state).bind(cost).bind(now_ms()).bind(&call.id);
    let row = close.fetch_optional(&mut **change).await?;
    let mut held = Vec::new();
    if let Some(row) = &row {
        held = accounts_in(row, 1)?;
    } else {
        // Booked in full when its time was over.
        let find = sqlx::query("SELECT state FROM reservations WHERE id = $1").bind(&call.id);
        if find.fetch_optional(&mut **change).await?.is_some() {
            return Ok(());
        }
    }
    let amount: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
    for account in &held {
        let spent = if call.accounts.contains(account) { cost } else { 0 };
        move_settled(change, account, amount, spent).await?;
    }
    if call.answered.is_none() {
        return Ok(());
    }
    // Who really answered may be another than who was asked first.
    let mut others: Vec<&Account> =
        call.accounts.iter().filter(|account| !held.contains(account)).collect();
    others.sort();
    others.dedup();
    for account in others {
        add_settled(change, account, cost).await?;
    }
    Ok(())
}

/// Keeps a call; `false` when it is kept already.
async fn insert(
    change: &mut Change,
    call: &EndedCall,
    answered: &AnsweredCall,
) -> Result<bool, StoreError> {
    let insert = "INSERT INTO calls (id, time_ms, workspace, caller, backend, model, zone, input, cached, output, cost, saved) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (id) DO NOTHING";
    let insert = sqlx::query(insert).bind(&call.id).bind(call.time_ms).bind(&call.workspace);
    let insert = insert.bind(&call.caller).bind(&answered.backend).bind(&answered.model);
    let [input, cached, output] =
        answered.tokens.map(|count| i64::try_from(count.min(TOKENS_MAX)).unwrap_or_default());
    let insert = insert.bind(&answered.zone).bind(input).bind(cached).bind(output);
    let insert = insert.bind(bounded(answered.cost)).bind(bounded(answered.saved));
    Ok(insert.execute(&mut **change).await?.rows_affected() > 0)
}
