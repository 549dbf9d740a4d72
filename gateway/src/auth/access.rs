//! What every route needs, and the proof that a caller has it.
//!
//! [`table`] holds one row for each route. [`permit`] compares a row with a caller; nothing else makes a [`Permit`], and
//! handlers, and what they call, take one: forgetting the check does not compile, and a route without a row is not served.

use std::{collections::HashMap, fmt, sync::Arc};

use api::user::Role;
use axum::extract::FromRequestParts;
use http::{Method, StatusCode, request::Parts};

use crate::auth::{
    principal::{How, Principal, Sandbox, User, Workspace},
    refused::Refused,
    scope::Scope,
};

pub mod table;

/// Where a role must have been given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// For the whole gateway.
    Gateway,
    /// In the workspace of the request, or for the whole gateway.
    Workspace,
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: whoever reaches the port may ask.
    Open,
    /// A token of a sandbox. No user may.
    Sandbox,
    /// The same, and it may be over since [`REFRESH_S`](crate::auth::sandbox::REFRESH_S): it is exchanged for the next.
    SandboxRefresh,
    /// A user. No sandbox may.
    User {
        /// The least role; any user that is known when `None`.
        role: Option<Role>,
        /// What a token must be for; any when `None`.
        scope: Option<Scope>,
        /// Where the role must have been given.
        at: At,
    },
}

/// What bodies a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Small ones, read as a whole: see [`layer::BODY_BYTES_MAX`](crate::auth::layer::BODY_BYTES_MAX).
    Small,
    /// Of any length: the handler reads them piece by piece and sets the limits. Files and websockets.
    Stream,
}

/// One route and what it needs.
#[derive(Clone, Debug)]
pub struct Row {
    /// The method. GET includes HEAD, and CONNECT of a WebSocket over HTTP/2.
    pub method: Method,
    /// The path, as axum writes it.
    pub path: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What they may send.
    pub body: Body,
}

/// The rows by their path.
#[derive(Debug)]
pub struct Table(HashMap<&'static str, Vec<Row>>);

impl Table {
    /// A table of these rows; of two for one method and path the first counts.
    pub fn new(rows: impl IntoIterator<Item = Row>) -> Self {
        let mut table: HashMap<_, Vec<Row>> = HashMap::new();
        for row in rows {
            table.entry(row.path).or_default().push(row);
        }
        Self(table)
    }

    /// The row for a method and a path as axum writes it.
    ///
    /// # Errors
    /// 404 for a path without rows; 405 for a method without one, with those that there are.
    pub fn find(&self, method: &Method, path: &str) -> Result<&Row, Refused> {
        let rows = self.0.get(path).ok_or_else(unknown)?;
        let method = if method == Method::HEAD { &Method::GET } else { method };
        rows.iter().find(|row| row.method == *method).ok_or_else(|| {
            let detail = "this route does not have that method";
            let refused =
                Refused::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
            let mut methods: Vec<_> = rows.iter().map(|row| row.method.as_str()).collect();
            if methods.contains(&"GET") {
                methods.push("HEAD");
            }
            Refused { allow: Some(methods.join(", ")), ..refused }
        })
    }
}

/// 404 for a path that there is not.
pub(crate) fn unknown() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "route_not_found", "there is nothing under this path")
}

/// Proof that the caller may do what its route does. Only [`permit`] makes one.
#[derive(Clone, Debug)]
pub struct Permit {
    principal: Arc<Principal>,
    workspace: Option<Workspace>,
    role: Option<Role>,
}

impl Permit {
    /// Who is calling.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The user who is calling; `None` on routes that are open or for sandboxes.
    pub fn user(&self) -> Option<&User> {
        match self.principal() {
            Principal::User(user) => Some(user),
            Principal::Sandbox(_) | Principal::Anonymous => None,
        }
    }

    /// The sandbox that is calling; `None` on routes that are open or for users.
    pub fn sandbox(&self) -> Option<&Sandbox> {
        match self.principal() {
            Principal::Sandbox(sandbox) => Some(sandbox),
            Principal::User(_) | Principal::Anonymous => None,
        }
    }

    /// The workspace that the permit is for; nothing outside of it may be touched.
    ///
    /// # Errors
    /// 500 on routes that are not about things of one workspace: nothing was checked for any.
    pub fn workspace(&self) -> Result<&Workspace, Refused> {
        self.workspace.as_ref().ok_or_else(undecided)
    }

    /// The user who is calling, when it may have a certificate made for itself: it has one by now, or is the local user. A
    /// token makes none, because a certificate would outlive it.
    ///
    /// # Errors
    /// 403 for everybody else.
    pub fn may_have_certificate(&self) -> Result<&User, Refused> {
        let proved = |user: &&User| matches!(user.how, How::Local | How::Certificate(_));
        self.user().filter(proved).ok_or_else(|| {
            let detail =
                "a certificate is given to who has one; ask an administrator for the first";
            Refused::forbidden("certificate_needed", detail)
        })
    }

    /// The role that the caller has there.
    pub fn role(&self) -> Option<Role> {
        self.role
    }
}

/// Why a caller gets no permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It brought no proof of who it is.
    #[error("say who you are: with a client certificate or `Authorization: Bearer TOKEN`")]
    Anonymous,
    /// The route is for sandboxes.
    #[error("only the supervisor of a sandbox may do this")]
    ForSandboxes,
    /// The route is for users.
    #[error("a sandbox may not do this")]
    ForUsers,
    /// The user has no such role there.
    #[error("this needs the role {} {}", word(*.needed), place(*.at))]
    Role {
        /// The least one that would do.
        needed: Role,
        /// Where.
        at: At,
    },
    /// The token is not for this.
    #[error("this needs a token with the scope {needed}")]
    Scope {
        /// The one that would do.
        needed: Scope,
    },
}

/// The word for a role.
pub(crate) fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn place(at: At) -> &'static str {
    match at {
        At::Gateway => "for the whole gateway",
        At::Workspace => "in this workspace",
    }
}

impl Denied {
    /// What tells it from others.
    pub fn code(self) -> &'static str {
        match self {
            Self::Anonymous => "unauthenticated",
            Self::ForSandboxes => "for_sandboxes_only",
            Self::ForUsers => "not_for_sandboxes",
            Self::Role { .. } => "role_missing",
            Self::Scope { .. } => "scope_missing",
        }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::Anonymous => StatusCode::UNAUTHORIZED,
            Denied::ForSandboxes
            | Denied::ForUsers
            | Denied::Role { .. }
            | Denied::Scope { .. } => StatusCode::FORBIDDEN,
        };
        Self::new(status, denied.code(), denied.to_string())
    }
}

/// Whether this caller may do what a route with that need does, in that workspace.
///
/// # Errors
/// What it lacks.
pub fn permit(
    principal: &Arc<Principal>,
    access: &Access,
    workspace: Workspace,
) -> Result<Permit, Denied> {
    let (role, is_here) = match (access, principal.as_ref()) {
        (Access::Open, _) => (None, false),
        (Access::Sandbox | Access::SandboxRefresh | Access::User { .. }, Principal::Anonymous) => {
            return Err(Denied::Anonymous);
        }
        (Access::Sandbox | Access::SandboxRefresh, Principal::Sandbox(_)) => (None, false),
        (Access::Sandbox | Access::SandboxRefresh, Principal::User(_)) => {
            return Err(Denied::ForSandboxes);
        }
        (Access::User { .. }, Principal::Sandbox(_)) => return Err(Denied::ForUsers),
        (Access::User { role, scope, at }, Principal::User(user)) => {
            let has = match at {
                At::Gateway => user.grants.everywhere,
                At::Workspace => user.grants.role_in(&workspace),
            };
            // `None` is less than every role.
            if let Some(needed) = *role
                && has < Some(needed)
            {
                return Err(Denied::Role { needed, at: *at });
            }
            if let Some(needed) = *scope
                && !user.scopes.has(needed)
            {
                return Err(Denied::Scope { needed });
            }
            (has, *at == At::Workspace)
        }
    };
    let workspace = is_here.then_some(workspace);
    Ok(Permit { principal: Arc::clone(principal), workspace, role })
}

impl<S: Sync> FromRequestParts<S> for Permit {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        // It is missing only where a router was built without the layer; then nothing was checked.
        parts.extensions.get().cloned().ok_or_else(undecided)
    }
}

fn undecided() -> Refused {
    let detail = "nothing decided whether this may be done";
    Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "undecided", detail)
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

#[cfg(test)]
mod tests;
