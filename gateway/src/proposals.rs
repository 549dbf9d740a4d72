//! What sandboxes were refused, and what people decide about it.
//!
//! A supervisor gathers refusals and proposes what would open them; what was decided is kept here, and goes with its sandbox. Not
//! here: what a rule opens (`policy`). Invariant: nothing is approved but what was shown, because its name has a digest of that.

use api::proposal::{Denial as Shown, Proposal, ProposalStatus};
use drivers::DriverError;
use http::StatusCode;
use policy::PolicyFile;
use sandbox::{
    control::{Reply, Request},
    rules::{Decision, Denial},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    http::Refusal,
    lifecycle::Keeper,
    policies,
    store::{Listed, Object, Page, Store, StoreError, Stored},
    time,
};

/// Decisions of one sandbox that are kept; the oldest go first.
const DECIDED_MAX: usize = 500;
/// How often a change is made anew when somebody else was faster.
const TRIES_MAX: usize = 5;

/// A refusal that somebody has decided about. They lie in a workspace that is called like their sandbox, in their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionRecord {
    /// Its name without the digest.
    pub(crate) id: String,
    /// How.
    pub(crate) decision: Decision,
    /// Why, in words of whoever decided.
    pub(crate) reason: String,
    /// Who.
    pub(crate) by: String,
    /// The version of the policy that has the rule.
    pub(crate) version: Option<u64>,
    /// The refusal itself.
    pub(crate) denial: Value,
}

impl Object for DecisionRecord {
    const KIND: &'static str = "decision";
}

/// A refusal that nobody has decided about, and all that is known of it.
pub(crate) struct Pending {
    /// What is decided about.
    pub(crate) denial: Denial,
    /// As its supervisor told it.
    pub(crate) value: Value,
}

/// What nobody has decided about. What was rejected is not proposed again.
pub(crate) async fn pending(keeper: &Keeper, sandbox: Uuid) -> Result<Vec<Pending>, Refusal> {
    let Reply::Denials { denials } = ask(keeper, sandbox, &Request::Denials).await? else {
        let detail = "the supervisor answered something else";
        return Err(Refusal::new(StatusCode::BAD_GATEWAY, "supervisor_unavailable", detail));
    };
    let decided = all(&keeper.store, sandbox).await?;
    let rejected: Vec<&str> = decided
        .iter()
        .filter(|one| one.body.decision == Decision::Rejected)
        .map(|one| one.body.id.as_str())
        .collect();
    let read = |value: Value| {
        let denial = serde_json::from_value::<Denial>(value.clone()).ok()?;
        Some(Pending { denial, value })
    };
    let known = denials.into_iter().filter_map(read);
    Ok(known.filter(|one| !rejected.contains(&one.denial.id.as_str())).collect())
}

/// The one that is called so.
///
/// # Errors
/// 404 when there is none; 409 when more was refused since it was shown.
pub(crate) async fn one(keeper: &Keeper, sandbox: Uuid, id: &str) -> Result<Pending, Refusal> {
    let known = id.split_once('-').map_or(id, |(known, _)| known);
    let all = pending(keeper, sandbox).await?;
    let found = all.into_iter().find(|one| one.denial.id == known);
    let found = found.ok_or_else(|| Refusal::not_found("proposal", id))?;
    if found.denial.shown() != id {
        let detail = format!("proposal {known} is not the one that was shown");
        return Err(Refusal::new(StatusCode::CONFLICT, "proposal_changed", detail).next_step(
            "more was refused meanwhile, or its name was shortened; list the proposals again",
        ));
    }
    Ok(found)
}

/// Puts what would open it into the policy; the revision that has it.
pub(crate) async fn open(
    store: &Store,
    sandbox: Uuid,
    denial: &Denial,
    base: Option<u64>,
) -> Result<api::policy::PolicySet, Refusal> {
    let unopened =
        |why: String| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "cannot_be_opened", why);
    let changes = denial.changes().map_err(|error| unopened(error.to_string()))?;
    let changes = changes.ok_or_else(|| {
        unopened(format!("no rule would allow it; the reason is {}", denial.reason))
    })?;
    let scope = sandbox.to_string();
    let mut tried = 0;
    loop {
        let newest = store.newest_policy(&scope).await?.map_or(0, |newest| newest.version);
        let newest = u64::try_from(newest).unwrap_or_default();
        if base.is_some_and(|base| base != newest) {
            return Err(StoreError::Stale.into());
        }
        let policy = match policies::in_force(store, sandbox).await? {
            Some(policy) => policies::parse(&policy.text).map_err(Refusal::faults)?,
            None => PolicyFile::restrictive(),
        };
        let (merged, _) = policy.merged(&changes).map_err(|error| unopened(error.to_string()))?;
        let text = merged.to_yaml().map_err(|error| unopened(error.to_string()))?;
        tried += 1;
        match policies::add(store, sandbox, &text, Some(newest)).await {
            Err(refusal) if refusal.is_stale() && base.is_none() && tried < TRIES_MAX => {}
            other => return other,
        }
    }
}

/// Keeps a decision, and lets the supervisor forget what it was about.
pub(crate) async fn decide(
    keeper: &Keeper,
    sandbox: Uuid,
    record: &DecisionRecord,
) -> Result<Stored<DecisionRecord>, Refusal> {
    let workspace = sandbox.to_string();
    let name = Uuid::now_v7().to_string();
    let stored = keeper.store.create(&workspace, &name, record).await?;
    let all = all(&keeper.store, sandbox).await?;
    let surplus = all.len().saturating_sub(DECIDED_MAX);
    for old in all.iter().take(surplus) {
        keeper.store.remove::<DecisionRecord>(&workspace, &old.name, None).await?;
    }
    forget_denials(keeper, sandbox, vec![record.id.clone()]).await?;
    Ok(stored)
}

/// Lets the supervisor forget refusals.
pub(crate) async fn forget_denials(
    keeper: &Keeper,
    sandbox: Uuid,
    ids: Vec<String>,
) -> Result<(), Refusal> {
    ask(keeper, sandbox, &Request::ForgetDenials { ids }).await.map(drop)
}

/// Decisions, a page at a time, the oldest first.
pub(crate) async fn decided(
    store: &Store,
    sandbox: Uuid,
    page: &Page,
) -> Result<Listed<Stored<DecisionRecord>>, StoreError> {
    store.list(Some(&sandbox.to_string()), page).await
}

/// Forgets what was decided for a sandbox that is gone.
pub(crate) async fn forget(store: &Store, sandbox: Uuid) -> Result<(), StoreError> {
    for one in all(store, sandbox).await? {
        store.remove::<DecisionRecord>(&one.workspace, &one.name, None).await?;
    }
    Ok(())
}

async fn all(store: &Store, sandbox: Uuid) -> Result<Vec<Stored<DecisionRecord>>, StoreError> {
    let (mut all, mut page) = (Vec::new(), Page { after: None, limit: 1000 });
    loop {
        let listed = decided(store, sandbox, &page).await?;
        all.extend(listed.items);
        match listed.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn ask(keeper: &Keeper, sandbox: Uuid, request: &Request) -> Result<Reply, Refusal> {
    let supervisor = keeper.driver.supervisor(&sandbox.to_string());
    supervisor.ask(request).await.map_err(|error| DriverError::from(error).into())
}

/// A refusal that nobody has decided about, as it is shown; none when it cannot be read.
pub(crate) fn undecided(pending: &Pending) -> Option<Proposal> {
    Some(Proposal {
        id: pending.denial.shown(),
        status: ProposalStatus::Pending,
        denial: serde_json::from_value::<Shown>(pending.value.clone()).ok()?,
        decided: None,
        decided_by: None,
        reason: String::new(),
        policy_version: None,
    })
}

/// A decision as it is shown; none when it cannot be read.
pub(crate) fn settled(stored: &Stored<DecisionRecord>) -> Option<Proposal> {
    let record = &stored.body;
    Some(Proposal {
        id: record.id.clone(),
        status: match record.decision {
            Decision::Approved => ProposalStatus::Approved,
            Decision::Rejected => ProposalStatus::Rejected,
        },
        denial: serde_json::from_value::<Shown>(record.denial.clone()).ok()?,
        decided: Some(time::point(stored.created_ms)),
        decided_by: Some(record.by.clone()),
        reason: record.reason.clone(),
        policy_version: record.version,
    })
}
