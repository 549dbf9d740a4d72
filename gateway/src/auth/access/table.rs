//! The table: one row for each route of the API.
//!
//! Who may look may not see what runs inside: files and terminals of a sandbox are for operators.

use api::user::Role;
use http::Method;

use crate::auth::{
    access::{Access, At, Body, Row},
    scope::Scope,
};

/// What somebody needs for a route about things of a workspace, or of the gateway.
const fn user(role: Role, scope: Scope, at: At) -> Access {
    Access::User { role: Some(role), scope: Some(scope), at }
}

/// What everybody who is known may do, for themselves.
const fn known(scope: Option<Scope>) -> Access {
    Access::User { role: None, scope, at: At::Gateway }
}

const ADMIN: Access = user(Role::Admin, Scope::Admin, At::Gateway);
const SEE_SANDBOXES: Access = user(Role::Viewer, Scope::SandboxRead, At::Workspace);
const RUN_SANDBOXES: Access = user(Role::Operator, Scope::SandboxWrite, At::Workspace);
const SEE_PROVIDERS: Access = user(Role::Viewer, Scope::ProviderRead, At::Workspace);
const SET_PROVIDERS: Access = user(Role::Operator, Scope::ProviderWrite, At::Workspace);
const SEE_POLICY: Access = user(Role::Viewer, Scope::PolicyRead, At::Workspace);
/// Who makes a sandbox says what it may do; the gateway's own policy is the wall that only an administrator moves.
const SET_POLICY: Access = user(Role::Operator, Scope::PolicyWrite, At::Workspace);
const SEE_GLOBAL: Access = user(Role::Viewer, Scope::PolicyRead, At::Gateway);
const SET_GLOBAL: Access = user(Role::Admin, Scope::PolicyWrite, At::Gateway);
/// Where the calls of every sandbox go is one decision for the whole gateway; so is who may try a backend.
const SEE_INFERENCE: Access = user(Role::Viewer, Scope::InferenceRead, At::Gateway);
const SET_INFERENCE: Access = user(Role::Admin, Scope::InferenceWrite, At::Gateway);
const SEE_AUDIT: Access = user(Role::Viewer, Scope::AuditRead, At::Workspace);
const SEE_ALL_AUDIT: Access = user(Role::Viewer, Scope::AuditRead, At::Gateway);
const SEE_METRICS: Access = user(Role::Viewer, Scope::MetricsRead, At::Gateway);

/// Every route.
pub fn rows() -> Vec<Row> {
    let small = ROWS.iter().map(|row| (row, Body::Small));
    let stream = STREAMS.iter().map(|row| (row, Body::Stream));
    let rows = small.chain(stream);
    rows.map(|((method, path, access), body)| Row {
        method: method.clone(),
        path,
        access: *access,
        body,
    })
    .collect()
}

/// Routes that read a small body, or none.
const ROWS: &[(Method, &str, Access)] = &[
    (Method::GET, "/healthz", Access::Open),
    (Method::GET, "/readyz", Access::Open),
    (Method::GET, "/openapi.json", Access::Open),
    (Method::GET, "/v1/login", Access::Open),
    (Method::GET, "/metrics", SEE_METRICS),
    // The gateway, and oneself
    (Method::GET, "/v1/info", known(None)),
    (Method::GET, "/v1/me", known(None)),
    (Method::POST, "/v1/me/certificate", known(Some(Scope::AccountWrite))),
    (Method::GET, "/v1/me/tokens", known(None)),
    (Method::POST, "/v1/me/tokens", known(Some(Scope::AccountWrite))),
    (Method::DELETE, "/v1/me/tokens/{token}", known(Some(Scope::AccountWrite))),
    (Method::POST, "/v1/key/rotate", ADMIN),
    (Method::GET, "/v1/backup", ADMIN),
    // Users and workspaces
    (Method::GET, "/v1/users", ADMIN),
    (Method::POST, "/v1/users", ADMIN),
    (Method::GET, "/v1/users/{user}", ADMIN),
    (Method::PATCH, "/v1/users/{user}", ADMIN),
    (Method::DELETE, "/v1/users/{user}", ADMIN),
    (Method::GET, "/v1/users/{user}/certificates", ADMIN),
    (Method::POST, "/v1/users/{user}/certificates", ADMIN),
    (Method::DELETE, "/v1/users/{user}/certificates/{serial}", ADMIN),
    (Method::GET, "/v1/users/{user}/tokens", ADMIN),
    (Method::POST, "/v1/users/{user}/tokens", ADMIN),
    (Method::DELETE, "/v1/users/{user}/tokens/{token}", ADMIN),
    (Method::GET, "/v1/workspaces", known(None)),
    (Method::POST, "/v1/workspaces", ADMIN),
    (Method::DELETE, "/v1/workspaces/{workspace}", ADMIN),
    // Sandboxes
    (Method::GET, "/v1/sandboxes", SEE_SANDBOXES),
    (Method::POST, "/v1/sandboxes", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}", SEE_SANDBOXES),
    (Method::DELETE, "/v1/sandboxes/{sandbox}", RUN_SANDBOXES),
    (Method::POST, "/v1/sandboxes/{sandbox}/start", RUN_SANDBOXES),
    (Method::POST, "/v1/sandboxes/{sandbox}/launch", RUN_SANDBOXES),
    (Method::POST, "/v1/sandboxes/{sandbox}/stop", RUN_SANDBOXES),
    (Method::POST, "/v1/sandboxes/{sandbox}/providers/attach", RUN_SANDBOXES),
    (Method::POST, "/v1/sandboxes/{sandbox}/providers/detach", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}/logs", SEE_SANDBOXES),
    (Method::GET, "/v1/watch", SEE_SANDBOXES),
    // Policies, settings, proposals
    (Method::GET, "/v1/sandboxes/{sandbox}/policy", SEE_POLICY),
    (Method::PUT, "/v1/sandboxes/{sandbox}/policy", SET_POLICY),
    (Method::GET, "/v1/sandboxes/{sandbox}/policy/revisions", SEE_POLICY),
    (Method::GET, "/v1/sandboxes/{sandbox}/policy/revisions/{revision}", SEE_POLICY),
    (Method::GET, "/v1/sandboxes/{sandbox}/settings", SEE_POLICY),
    (Method::PATCH, "/v1/sandboxes/{sandbox}/settings", SET_POLICY),
    (Method::GET, "/v1/sandboxes/{sandbox}/proposals", SEE_POLICY),
    (Method::DELETE, "/v1/sandboxes/{sandbox}/proposals", SET_POLICY),
    (Method::POST, "/v1/sandboxes/{sandbox}/proposals/{proposal}/approve", SET_POLICY),
    (Method::POST, "/v1/sandboxes/{sandbox}/proposals/{proposal}/reject", SET_POLICY),
    (Method::GET, "/v1/policy", SEE_GLOBAL),
    (Method::PUT, "/v1/policy", SET_GLOBAL),
    (Method::DELETE, "/v1/policy", SET_GLOBAL),
    (Method::GET, "/v1/policy/revisions", SEE_GLOBAL),
    (Method::GET, "/v1/settings", SEE_GLOBAL),
    (Method::PATCH, "/v1/settings", SET_GLOBAL),
    // Providers and inference
    (Method::GET, "/v1/providers", SEE_PROVIDERS),
    (Method::POST, "/v1/providers", SET_PROVIDERS),
    (Method::GET, "/v1/providers/{provider}", SEE_PROVIDERS),
    (Method::PATCH, "/v1/providers/{provider}", SET_PROVIDERS),
    (Method::DELETE, "/v1/providers/{provider}", SET_PROVIDERS),
    (Method::GET, "/v1/inference", SEE_INFERENCE),
    (Method::PUT, "/v1/inference", SET_INFERENCE),
    (Method::DELETE, "/v1/inference", SET_INFERENCE),
    (Method::GET, "/v1/inference/revisions", SEE_INFERENCE),
    (Method::GET, "/v1/inference/revisions/{revision}", SEE_INFERENCE),
    (Method::PUT, "/v1/inference/route", SET_INFERENCE),
    (Method::GET, "/v1/inference/backends", SEE_INFERENCE),
    (Method::POST, "/v1/inference/backends", SET_INFERENCE),
    (Method::DELETE, "/v1/inference/backends/{backend}", SET_INFERENCE),
    (Method::POST, "/v1/inference/backends/{backend}/test", SET_INFERENCE),
    // What happened, and what it cost
    (Method::GET, "/v1/audit", SEE_AUDIT),
    (Method::GET, "/v1/audit/verify", SEE_ALL_AUDIT),
    (Method::POST, "/v1/audit/restart", ADMIN),
    (Method::GET, "/v1/cost", SEE_AUDIT),
];

/// Routes whose bodies, or websockets, the handler takes piece by piece.
const STREAMS: &[(Method, &str, Access)] = &[
    (Method::GET, "/v1/sandboxes/{sandbox}/exec", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}/attach", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}/upload", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}/download", RUN_SANDBOXES),
    (Method::GET, "/v1/sandboxes/{sandbox}/forward", RUN_SANDBOXES),
];
