//! Proposals: what sandboxes were refused, approved into their policy or rejected.

use std::sync::Arc;

use api::{
    page::{Page as Shown, PageQuery, WorkspaceQuery},
    problem::Fault,
    proposal::{Approval, Approved, Cleared, Proposal, ProposalQuery, ProposalStatus, Rejection},
};
use axum::{
    Json as Body,
    extract::{Path, State},
};
use http::StatusCode;
use sandbox::rules::Decision;

use super::{
    App, Refusal,
    read::{JsonOrNone, Query, caller, page},
    sandboxes,
};
use crate::{
    auth::access::Permit,
    lifecycle::Desired,
    proposals::{self, DecisionRecord, Pending},
    records::SandboxRecord,
    store::Stored,
};

/// The longest reason, bytes.
const REASON_BYTES_MAX: usize = 1000;

/// What a sandbox was refused, or what was decided about it.
#[utoipa::path(
    get, path = "/v1/sandboxes/{sandbox}/proposals", tag = "proposals", params(ProposalQuery),
    responses((status = 200, body = Shown<Proposal>), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn list(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
    Query(query): Query<ProposalQuery>,
) -> Result<Body<Shown<Proposal>>, Refusal> {
    let ProposalQuery { status, limit, after, workspace } = query;
    let page = page(&PageQuery { limit, after, workspace })?;
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    let wanted = status.unwrap_or(ProposalStatus::Pending);
    if wanted == ProposalStatus::Pending {
        let pending = proposals::pending(&app.keeper, stored.id).await?;
        let items = pending.iter().filter_map(proposals::undecided).collect();
        return Ok(Body(Shown { items, next: None }));
    }
    let listed = proposals::decided(&app.store, stored.id, &page).await?;
    let items = listed.items.iter().filter_map(proposals::settled);
    let items = items.filter(|one| one.status == wanted).collect();
    Ok(Body(Shown { items, next: listed.next }))
}

/// Forgets every refusal that nobody has decided about.
#[utoipa::path(
    delete, path = "/v1/sandboxes/{sandbox}/proposals", tag = "proposals", params(WorkspaceQuery),
    responses((status = 200, body = Cleared), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn clear(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path(sandbox): Path<String>,
) -> Result<Body<Cleared>, Refusal> {
    let stored = sandboxes::find(&app, &permit, &sandbox).await?;
    let pending = proposals::pending(&app.keeper, stored.id).await?;
    let ids: Vec<String> = pending.into_iter().map(|one| one.denial.id).collect();
    let count = ids.len() as u64;
    proposals::forget_denials(&app.keeper, stored.id, ids).await?;
    Ok(Body(Cleared { count }))
}

/// Puts what would open it into the sandbox's policy, as a new revision.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/proposals/{proposal}/approve", tag = "proposals", params(WorkspaceQuery),
    request_body = Option<Approval>,
    responses(
        (status = 202, body = Approved), (status = 409, body = api::problem::Problem),
        (status = 412, body = api::problem::Problem),
    ),
)]
pub(super) async fn approve(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path((sandbox, proposal)): Path<(String, String)>,
    JsonOrNone(approval): JsonOrNone<Approval>,
) -> Result<(StatusCode, Body<Approved>), Refusal> {
    let stored = decidable(&app, &permit, &sandbox).await?;
    let found = proposals::one(&app.keeper, stored.id, &proposal).await?;
    let policy = proposals::open(&app.store, stored.id, &found.denial, approval.base).await?;
    app.keeper.touch(&stored.workspace, &stored.name);
    let version = Some(policy.revision.version);
    let record = decision(&permit, found, Decision::Approved);
    let record = DecisionRecord { version, ..record };
    let proposal = settle(&app, &stored, &record).await?;
    Ok((StatusCode::ACCEPTED, Body(Approved { proposal, policy })))
}

/// Leaves it refused; it is not proposed again.
#[utoipa::path(
    post, path = "/v1/sandboxes/{sandbox}/proposals/{proposal}/reject", tag = "proposals", params(WorkspaceQuery),
    request_body = Option<Rejection>,
    responses((status = 200, body = Proposal), (status = 409, body = api::problem::Problem)),
)]
pub(super) async fn reject(
    permit: Permit,
    State(app): State<Arc<App>>,
    Path((sandbox, proposal)): Path<(String, String)>,
    JsonOrNone(rejection): JsonOrNone<Rejection>,
) -> Result<Body<Proposal>, Refusal> {
    if rejection.reason.len() > REASON_BYTES_MAX {
        let detail = format!("has to be at most {REASON_BYTES_MAX} bytes");
        return Err(Refusal::faults(vec![Fault::new("/reason", detail)]));
    }
    let stored = decidable(&app, &permit, &sandbox).await?;
    let found = proposals::one(&app.keeper, stored.id, &proposal).await?;
    let record = decision(&permit, found, Decision::Rejected);
    let record = DecisionRecord { reason: rejection.reason, ..record };
    settle(&app, &stored, &record).await.map(Body)
}

async fn decidable(
    app: &App,
    permit: &Permit,
    sandbox: &str,
) -> Result<Stored<SandboxRecord>, Refusal> {
    let stored = sandboxes::find(app, permit, sandbox).await?;
    if stored.body.desired == Desired::Deleted {
        return Err(sandboxes::being_deleted(sandbox));
    }
    Ok(stored)
}

fn decision(permit: &Permit, pending: Pending, decision: Decision) -> DecisionRecord {
    DecisionRecord {
        id: pending.denial.id,
        decision,
        reason: String::new(),
        by: caller(permit).to_owned(),
        version: None,
        denial: pending.value,
    }
}

async fn settle(
    app: &App,
    stored: &Stored<SandboxRecord>,
    record: &DecisionRecord,
) -> Result<Proposal, Refusal> {
    let decided = proposals::decide(&app.keeper, stored.id, record).await?;
    proposals::settled(&decided).ok_or_else(|| Refusal::not_found("proposal", &record.id))
}
