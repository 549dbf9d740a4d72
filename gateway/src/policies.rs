//! Policies: the revisions of each sandbox, and those of the gateway, which are stronger.
//!
//! Not here: what a policy allows (`policy`), putting one in force (`lifecycle`). Invariant: a policy that cannot be read is
//! never kept, and one that could not be put in force leaves the one before.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use api::{
    policy::{PolicyRevision as Shown, PolicySet, RevisionStatus},
    problem::Fault,
};
use http::StatusCode;
use policy::PolicyFile;
use uuid::Uuid;

use crate::{
    http::Refusal,
    lifecycle::PolicyMark,
    store::{GLOBAL_SCOPE, PolicyAdded, PolicyRevision, PolicyStatus, Store, StoreError},
    time,
};

/// The policy that a sandbox is to be held to: the gateway's, else its own newest one that was not refused.
pub(crate) async fn in_force(
    store: &Store,
    sandbox: Uuid,
) -> Result<Option<PolicyRevision>, StoreError> {
    for scope in [GLOBAL_SCOPE, &sandbox.to_string()] {
        let newest = store.newest_policy(scope).await?;
        let found = match newest {
            Some(newest) if newest.status == PolicyStatus::Failed => {
                store.newest_good_policy(scope).await?
            }
            other => other,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// What a policy is to a sandbox.
pub(crate) fn mark(policy: Option<&PolicyRevision>) -> PolicyMark {
    let Some(policy) = policy else { return PolicyMark::default() };
    let mut hash = DefaultHasher::new();
    // Its number alone would not do: those of the gateway's policy begin anew when it was deleted.
    (&policy.scope, policy.version, policy.created_ms, &policy.hash).hash(&mut hash);
    PolicyMark {
        version: u64::try_from(policy.version).unwrap_or_default(),
        identity: hash.finish(),
    }
}

/// Notes that a policy was refused by the sandbox that it was for. The one before stays.
pub(crate) async fn refused(
    store: &Store,
    policy: &PolicyRevision,
    error: &str,
) -> Result<(), StoreError> {
    store.policy_failed(&policy.scope, policy.version, error).await.map(drop)
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
    if store.newest_policy(GLOBAL_SCOPE).await?.is_some() {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "managed_globally",
            "the policy of the gateway is in force in every sandbox",
        )
        .next_step("delete the gateway's policy first"));
    }
    let old = in_force(store, sandbox).await?;
    let old = match old.map(|old| parse(&old.text)) {
        Some(Ok(old)) => old,
        // What was kept can be read; where it cannot, nothing is known of what the sandbox is built of.
        Some(Err(_)) => policy.clone(),
        None => PolicyFile::restrictive(),
    };
    let rejections = old.rejections(&policy);
    if !rejections.is_empty() {
        let faults = rejections.iter().map(|why| Fault::new("/policy", why.clone()));
        return Err(Refusal::faults(faults.collect()).next_step(
            "what a sandbox is built of stays as long as it lives; create another one with this policy",
        ));
    }
    let postponed = old.postponed(&policy);
    let set = keep(store, &sandbox.to_string(), text, base).await?;
    Ok(PolicySet { postponed, ..set })
}

/// Keeps the policy that a new sandbox is made with.
pub(crate) async fn first(store: &Store, sandbox: Uuid, text: &str) -> Result<(), Refusal> {
    keep(store, &sandbox.to_string(), text, None).await.map(drop)
}

/// Keeps a policy as the newest revision of the gateway.
pub(crate) async fn add_global(
    store: &Store,
    text: &str,
    base: Option<u64>,
) -> Result<PolicySet, Refusal> {
    parse(text).map_err(Refusal::faults)?;
    keep(store, GLOBAL_SCOPE, text, base).await
}

async fn keep(
    store: &Store,
    scope: &str,
    text: &str,
    base: Option<u64>,
) -> Result<PolicySet, Refusal> {
    // A version that no revision can have is none that is there.
    let base = base.map(|base| i64::try_from(base).unwrap_or(i64::MAX));
    let (revision, changed) = match store.add_policy(scope, text, base).await? {
        PolicyAdded::New(revision) => (revision, true),
        PolicyAdded::Unchanged(revision) => (revision, false),
    };
    Ok(PolicySet { revision: shown(&revision, None), changed, postponed: Vec::new() })
}

/// A revision as it is shown, with the file where it was asked for.
pub(crate) fn shown(revision: &PolicyRevision, text: Option<String>) -> Shown {
    let decided = revision.decided_ms.map(time::point);
    let loaded = revision.error.is_none().then_some(decided).flatten();
    Shown {
        version: u64::try_from(revision.version).unwrap_or_default(),
        hash: revision.hash.clone(),
        status: match revision.status {
            PolicyStatus::Pending => RevisionStatus::Pending,
            PolicyStatus::Loaded => RevisionStatus::Loaded,
            PolicyStatus::Failed => RevisionStatus::Failed,
            PolicyStatus::Superseded => RevisionStatus::Superseded,
        },
        created: time::point(revision.created_ms),
        loaded,
        error: revision.error.clone(),
        policy: text,
    }
}
