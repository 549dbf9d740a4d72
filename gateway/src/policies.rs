//! Policies: the revisions of each sandbox, and those of the gateway, which are stronger.
//!
//! Not here: what a policy allows (`policy`), putting one in force (`lifecycle`). Invariant: a policy that cannot be read is
//! never kept, and one that could not be put in force leaves the one before.

use api::{
    policy::{PolicyRevision, PolicySet, RevisionStatus},
    problem::Fault,
};
use http::StatusCode;
use policy::PolicyFile;
use uuid::Uuid;

use crate::{
    http::Refusal,
    store::{Store, StoreError}, stub::{PolicyRow, PolicyStatus, Scope},
    time,
};

/// Marks a policy of the gateway among those of sandboxes.
const GLOBAL_MARK: u64 = 1 << 63;

/// The policy that a sandbox is held to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InForce {
    /// Whose it is.
    pub(crate) scope: Scope,
    /// Its version there.
    pub(crate) version: u64,
    /// The file.
    pub(crate) text: String,
}

impl InForce {
    /// What tells it from every other policy that this sandbox can be held to.
    pub(crate) fn mark(&self) -> u64 {
        match self.scope {
            Scope::Gateway => self.version | GLOBAL_MARK,
            Scope::Sandbox(_) => self.version,
        }
    }
}

/// The policy that a sandbox is to be held to: the gateway's, else its own newest one that did not fail.
pub(crate) async fn in_force(
    store: &Store,
    sandbox: Uuid,
) -> Result<Option<InForce>, StoreError> {
    for scope in [Scope::Gateway, Scope::Sandbox(sandbox)] {
        if let Some(row) = store.newest_policy(&scope).await? {
            return Ok(Some(InForce { scope, version: row.version, text: row.text }));
        }
    }
    Ok(None)
}

/// Notes what became of a policy when a sandbox was given it.
pub(crate) async fn settled(
    store: &Store,
    sandbox: Uuid,
    policy: &InForce,
    error: Option<String>,
) -> Result<(), StoreError> {
    // What one sandbox makes of the gateway's policy says nothing of the others.
    if policy.scope != Scope::Sandbox(sandbox) {
        return Ok(());
    }
    match error {
        None => store.policy_loaded(&policy.scope, policy.version).await,
        Some(error) => store.policy_failed(&policy.scope, policy.version, &error).await,
    }
}

/// Forgets the policies of a sandbox that is gone.
pub(crate) async fn forget(store: &Store, sandbox: Uuid) -> Result<(), StoreError> {
    store.forget_policies(&Scope::Sandbox(sandbox)).await
}

/// The policy in a file.
///
/// # Errors
/// Everything that is wrong with it, each fault with its line and column.
pub(crate) fn parse(text: &str) -> Result<PolicyFile, Vec<Fault>> {
    let parsed = PolicyFile::parse(text).map(|(policy, _)| policy);
    parsed.map_err(|faults| {
        faults.iter().map(|fault| Fault::new("/policy", fault.to_string())).collect()
    })
}

/// Keeps a policy as the newest revision of a sandbox. A policy that a live sandbox cannot take is refused.
pub(crate) async fn add(
    store: &Store,
    sandbox: Uuid,
    text: &str,
    base: Option<u64>,
) -> Result<PolicySet, Refusal> {
    let policy = parse(text).map_err(Refusal::faults)?;
    if store.newest_policy(&Scope::Gateway).await?.is_some() {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "managed_globally",
            "the policy of the gateway is in force in every sandbox",
        )
        .next_step("delete the gateway's policy first"));
    }
    let scope = Scope::Sandbox(sandbox);
    let newest = store.newest_policy(&scope).await?;
    let postponed = match newest.as_ref().and_then(|newest| parse(&newest.text).ok()) {
        Some(old) => {
            let rejections = old.rejections(&policy);
            if !rejections.is_empty() {
                let faults = rejections.iter().map(|why| Fault::new("/policy", why.to_string()));
                return Err(Refusal::faults(faults.collect())
                    .next_step("what a sandbox is built of stays as long as it lives; create another one with this policy"));
            }
            old.postponed(&policy)
        }
        None => Vec::new(),
    };
    keep(store, &scope, (text, &policy.hash()), base).await.map(|mut set| {
        set.postponed = postponed;
        set
    })
}

/// Keeps a policy as the newest revision of the gateway.
pub(crate) async fn add_global(
    store: &Store,
    text: &str,
    base: Option<u64>,
) -> Result<PolicySet, Refusal> {
    let policy = parse(text).map_err(Refusal::faults)?;
    keep(store, &Scope::Gateway, (text, &policy.hash()), base).await
}

async fn keep(
    store: &Store,
    scope: &Scope,
    (text, hash): (&str, &str),
    base: Option<u64>,
) -> Result<PolicySet, Refusal> {
    let added = store.add_policy(scope, text, hash, base).await?;
    let (row, changed) = (added.row, added.changed);
    Ok(PolicySet { revision: shown(&row, None), changed, postponed: Vec::new() })
}

/// A revision as it is shown, with the file where it was asked for.
pub(crate) fn shown(row: &PolicyRow, text: Option<String>) -> PolicyRevision {
    PolicyRevision {
        version: row.version,
        hash: row.hash.clone(),
        status: match row.status {
            PolicyStatus::Pending => RevisionStatus::Pending,
            PolicyStatus::Loaded => RevisionStatus::Loaded,
            PolicyStatus::Failed => RevisionStatus::Failed,
            PolicyStatus::Superseded => RevisionStatus::Superseded,
        },
        created: time::point(row.created_ms),
        loaded: row.loaded_ms.map(time::point),
        error: row.error.clone(),
        policy: text,
    }
}
