//! The door: every request is judged here, before anything of its body is read.
//!
//! In this order: is there such a route, does a page of others ask, who asks, may they. What passes carries an
//! [`access::Permit`] in its extensions, and no `Authorization` any more. What is brought is judged: a token that is not good
//! is refused also where a certificate alone would have passed.

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use api::user::Role;
use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, Version, header, request::Parts};
use uuid::Uuid;

use crate::auth::{
    access::{self, Access, Body, Permit, Table},
    failures::{Failures, Source},
    oidc::{Issuer, OidcError, Verified},
    origin::{self, Origins},
    peer::{Identity, Peer, Via},
    principal::{Grants, How, Principal, Sandbox, User, UserName, Workspace},
    refused::Refused,
    revoked::Revocations,
    sandbox::{self, Claims, Keyring, Keys, SandboxTokenError},
    scope::Scopes,
    token::{self, StoredToken, TokenHash},
};

mod body;

/// Largest body of a route that takes small ones, bytes. The largest is a policy or a router file, below 1 MiB.
pub const BODY_BYTES_MAX: u64 = 4 << 20;
/// How long such a body may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_mins(1);

/// Something that is looked up for every request that needs it.
pub type Look<K, V> =
    Box<dyn Fn(K) -> Pin<Box<dyn Future<Output = Result<V, Unavailable>> + Send>> + Send + Sync>;

/// The state of the gateway cannot be read now; who is asking stays unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of the gateway cannot be read")]
pub struct Unavailable;

/// Where users, tokens and sandboxes are known.
pub struct Lookups {
    /// The roles of a user; `None` for one that there is not.
    pub user: Look<UserName, Option<Grants>>,
    /// What is known of a token.
    pub token: Look<TokenHash, Option<StoredToken>>,
    /// The name of a sandbox; `None` for one that there is not, or that is being deleted.
    pub sandbox: Look<Uuid, Option<Arc<str>>>,
    /// The user of somebody who logged in at the issuer, with its roles; or why it is none.
    pub outsider: Look<Verified, Result<(UserName, Grants), Refused>>,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").finish_non_exhaustive()
    }
}

/// All that the door knows.
pub struct Gate {
    /// What every route needs.
    pub table: Table,
    /// The origins of our own pages.
    pub origins: Origins,
    /// The name of the user who runs the gateway, and who is its first administrator.
    pub local: UserName,
    /// The keys of sandbox tokens.
    pub keyring: Arc<Keyring>,
    /// Whose tokens are believed too.
    pub oidc: Option<Arc<Issuer>>,
    /// Certificates that are good no more.
    pub revoked: Arc<Revocations>,
    /// Who was wrong lately.
    pub failures: Failures,
    /// Users, tokens and sandboxes.
    pub lookups: Lookups,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("local", &self.local).finish_non_exhaustive()
    }
}

/// The routes behind the door. Each needs a row in the table of `gate`, or it is not served.
pub fn guarded(routes: Router, gate: Arc<Gate>) -> Router {
    // A layer of a router runs after routing, so that the row can be found, and before any extractor. Lengths are limited by
    // the row, also for handlers that read a body by themselves.
    routes.layer(from_fn_with_state(gate, pass)).layer(DefaultBodyLimit::disable())
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut parts, content) = request.into_parts();
    match gate.admit(&mut parts, now).await {
        Ok((permit, takes)) => {
            parts.extensions.insert(permit);
            let content = match takes {
                Body::Small => body::bounded(content, BODY_BYTES_MAX, BODY_TIME_MAX),
                Body::Stream => content,
            };
            next.run(Request::from_parts(parts, content)).await
        }
        Err(refused) => {
            log(&refused, parts.extensions.get().map(|peer: &Peer| peer.via));
            // Who asks first whether to send is told no.
            if parts.version == Version::HTTP_2 && !parts.headers.contains_key(header::EXPECT) {
                body::forget(content).await;
            }
            refused.into_response()
        }
    }
}

/// How a token of a sandbox is judged.
type VerifySandbox = fn(&Keys, &str, u64) -> Result<Claims, SandboxTokenError>;

/// Codes of refusals that cost a stranger nothing.
const CHEAP: [&str; 3] = ["unauthenticated", origin::FOREIGN, "oidc_issuer_unavailable"];

/// Tells operators of what somebody tried. What costs a stranger nothing fills no log; guesses soon become 429, and proofs
/// that were good once have an owner.
fn log(refused: &Refused, via: Option<Via>) {
    let (code, status) = (refused.code, refused.status.as_u16());
    match refused.status {
        _ if CHEAP.contains(&code) => tracing::debug!(code, status, ?via, "request refused"),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::SERVICE_UNAVAILABLE => {
            tracing::info!(code, status, ?via, "request refused");
        }
        _ => tracing::debug!(code, status, ?via, "request refused"),
    }
}

impl Gate {
    /// Judges a request at `now`, seconds since 1970.
    async fn admit(&self, parts: &mut Parts, now: u64) -> Result<(Permit, Body), Refused> {
        let path = parts.extensions.get::<MatchedPath>().cloned();
        let path = path.as_ref().map(MatchedPath::as_str);
        let row = path.ok_or_else(access::unknown).and_then(|path| {
            // A WebSocket over HTTP/2 is a CONNECT for the path of its GET (RFC 8441 §4).
            let is_websocket = parts.extensions.get::<hyper::ext::Protocol>().is_some();
            self.table.find(if is_websocket { &Method::GET } else { &parts.method }, path)
        });
        self.origins.check(&parts.method, &parts.headers)?;
        if let Ok(row) = &row
            && row.access == Access::Open
        {
            let anonymous = Arc::new(Principal::Anonymous);
            let permit = access::permit(&anonymous, &row.access, Workspace::default())?;
            parts.headers.remove(header::AUTHORIZATION);
            return Ok((permit, row.body));
        }
        let refreshes = row.as_ref().is_ok_and(|row| row.access == Access::SandboxRefresh);
        let verify = if refreshes { Keys::verify_for_refresh } else { Keys::verify };
        let principal = self.authenticate(parts, now, verify).await?;
        // What there is and what not is nothing for strangers.
        if principal == Principal::Anonymous {
            return Err(access::Denied::Anonymous.into());
        }
        let row = row?;
        let workspace = workspace(parts.uri.query().unwrap_or_default())?;
        let permit = access::permit(&Arc::new(principal), &row.access, workspace)?;
        if row.body == Body::Small && announced(&parts.headers) > BODY_BYTES_MAX {
            let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
            return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        parts.headers.remove(header::AUTHORIZATION);
        Ok((permit, row.body))
    }

    async fn authenticate(
        &self,
        parts: &Parts,
        now: u64,
        verify: VerifySandbox,
    ) -> Result<Principal, Refused> {
        // Without facts of its connection a request is nobody's.
        let Some(peer) = parts.extensions.get::<Peer>() else { return Ok(Principal::Anonymous) };
        match bearer(&parts.headers) {
            Ok(Some(text)) if text.starts_with(sandbox::PREFIX) => {
                self.sandbox(peer, verify(&self.keyring.keys(), text, now)).await
            }
            Ok(Some(text)) => match &self.oidc {
                Some(issuer) if !text.starts_with(token::PREFIX) => {
                    self.outsider(peer, issuer, text).await
                }
                _ => self.token(peer, text, now).await,
            },
            Ok(None) => self.connection(peer, now).await,
            Err(Malformed) => {
                let detail = "write one `Authorization: Bearer TOKEN`";
                Err(self.guessed(peer, "authorization_malformed", detail))
            }
        }
    }

    /// Who is calling by the connection alone.
    async fn connection(&self, peer: &Peer, now: u64) -> Result<Principal, Refused> {
        if peer.via == Via::OwnUser {
            let (name, grants) = (self.local.clone(), Grants::everywhere(Role::Admin));
            let user = User { name, grants, how: How::Local, scopes: Scopes::ALL, expires: None };
            return Ok(Principal::User(user));
        }
        let certificate = match &peer.certificate {
            None => return Ok(Principal::Anonymous),
            Some(Ok(certificate)) => certificate,
            Some(Err(error)) => {
                return Err(Refused::unauthenticated("certificate_unusable", error.to_string()));
            }
        };
        let ends = u64::try_from(certificate.not_after).unwrap_or(0);
        note(peer, Identity::Certificate(certificate.serial), Some(ends))?;
        if self.revoked.has(certificate.serial) {
            let detail = "the certificate has been revoked; ask an administrator for another";
            return Err(self.wrong(&certificate.user, "certificate_revoked", detail));
        }
        if !certificate.is_timely(now) {
            let detail =
                "the certificate has expired or is not valid yet; run `openshell gateway login`";
            return Err(Refused::unauthenticated("certificate_expired", detail));
        }
        let how = How::Certificate(certificate.serial);
        self.user(peer, certificate.user.clone(), how, (Scopes::ALL, None)).await
    }

    async fn token(&self, peer: &Peer, text: &str, now: u64) -> Result<Principal, Refused> {
        let hash = token::read(text)
            .map_err(|error| self.guessed(peer, "token_malformed", error.to_string()))?;
        self.may_try(peer, hash)?;
        note(peer, Identity::Token(hash), None)?;
        let Some(found) = (self.lookups.token)(hash).await.map_err(unavailable)? else {
            self.failures.was_bad(hash);
            let detail = "the token is not known here; make another with `openshell token create`";
            return Err(self.guessed(peer, "token_unknown", detail));
        };
        if let Err(error) = found.check(now) {
            self.failures.was_bad(hash);
            let code = match error {
                token::TokenError::Malformed => "token_malformed",
                token::TokenError::Revoked => "token_revoked",
                token::TokenError::Expired => "token_expired",
            };
            return Err(self.wrong(&found.user, code, error.to_string()));
        }
        note(peer, Identity::Token(hash), Some(found.expires))?;
        let limits = (found.scopes, Some(found.expires));
        let user = self.user(peer, found.user, How::Token(found.id), limits).await?;
        self.failures.was_good(hash);
        Ok(user)
    }

    /// Who is calling by a token of the issuer.
    async fn outsider(
        &self,
        peer: &Peer,
        issuer: &Issuer,
        text: &str,
    ) -> Result<Principal, Refused> {
        let hash = TokenHash::of(text.as_bytes());
        self.may_try(peer, hash)?;
        let who = issuer.judge(text).await.map_err(|error| match error {
            OidcError::Unavailable => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                Refused::new(status, error.code(), error.to_string()).after(Duration::from_secs(5))
            }
            // Its signature was good: nobody guessed.
            OidcError::Expired | OidcError::Untimely => {
                Refused::unauthenticated(error.code(), error.to_string())
            }
            _ => self.guessed(peer, error.code(), error.to_string()),
        })?;
        let expires = Some(who.expires);
        note(peer, Identity::Token(hash), expires)?;
        let (name, grants) = (self.lookups.outsider)(who).await.map_err(unavailable)??;
        note(peer, Identity::User(name.clone()), None)?;
        self.failures.was_good(hash);
        let scopes = Scopes::ALL;
        Ok(Principal::User(User { name, grants, how: How::Oidc, scopes, expires }))
    }

    /// Whether a token is looked at: not after too many that were wrong from there, unless it was good a moment ago.
    fn may_try(&self, peer: &Peer, hash: TokenHash) -> Result<(), Refused> {
        let wait = source(peer).and_then(|source| self.failures.wait(source, Instant::now()));
        match wait.filter(|_| !self.failures.is_known(hash)) {
            Some(wait) => Err(too_many(wait)),
            None => Ok(()),
        }
    }

    async fn user(
        &self,
        peer: &Peer,
        name: UserName,
        how: How,
        (scopes, expires): (Scopes, Option<u64>),
    ) -> Result<Principal, Refused> {
        note(peer, Identity::User(name.clone()), None)?;
        match (self.lookups.user)(name.clone()).await.map_err(unavailable)? {
            Some(grants) => Ok(Principal::User(User { name, grants, how, scopes, expires })),
            None => Err(self.wrong(&name, "user_unknown", "there is no such user any more")),
        }
    }

    async fn sandbox(
        &self,
        peer: &Peer,
        verdict: Result<Claims, SandboxTokenError>,
    ) -> Result<Principal, Refused> {
        let id = match verdict {
            Ok(claims) => claims.sandbox,
            Err(error) => {
                let (detail, refuse) = (error.to_string(), Refused::unauthenticated);
                return Err(match error {
                    SandboxTokenError::Expired => refuse("sandbox_token_expired", detail),
                    SandboxTokenError::Untimely => refuse("sandbox_token_untimely", detail),
                    SandboxTokenError::Malformed | SandboxTokenError::Forged => {
                        self.guessed(peer, "sandbox_token_unknown", detail)
                    }
                });
            }
        };
        note(peer, Identity::Sandbox(id), None)?;
        let name = (self.lookups.sandbox)(id).await.map_err(unavailable)?.ok_or_else(|| {
            let detail = "the sandbox of this token has been deleted";
            Refused::unauthenticated("sandbox_deleted", detail)
        })?;
        Ok(Principal::Sandbox(Sandbox { id, name }))
    }

    /// 401 for a proof that is nobody's, or 429 after too many from there.
    fn guessed(
        &self,
        peer: &Peer,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Refused {
        let now = Instant::now();
        let wait = source(peer).and_then(|source| self.failures.failed(source, now));
        wait.map_or_else(|| Refused::unauthenticated(code, detail), too_many)
    }

    /// 401 for a proof of that user that is not good, or 429 after too many.
    fn wrong(
        &self,
        user: &UserName,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Refused {
        let wait = self.failures.failed_as(user, Instant::now());
        wait.map_or_else(|| Refused::unauthenticated(code, detail), too_many)
    }
}

fn source(peer: &Peer) -> Option<Source> {
    match peer.via {
        Via::Tls(address) => Some(Source::of(address.ip())),
        Via::OwnUser => None,
    }
}

fn note(peer: &Peer, identity: Identity, expires: Option<u64>) -> Result<(), Refused> {
    if peer.connection.note(identity, expires) {
        return Ok(());
    }
    let detail = "too many callers on one connection; open another";
    Err(Refused::forbidden("too_many_callers", detail))
}

fn too_many(wait: Duration) -> Refused {
    let detail = "too many failed authentications; try again later";
    Refused::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail).after(wait)
}

fn unavailable(error: Unavailable) -> Refused {
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string())
        .after(Duration::from_secs(1))
}

/// An `Authorization` that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// The text of `Authorization: Bearer TEXT`, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Malformed> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = all.next() else { return Ok(None) };
    let parts = first.to_str().ok().and_then(|text| text.split_once(' '));
    match parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
        Some((_, text)) if all.next().is_none() => Ok(Some(text)),
        _ => Err(Malformed),
    }
}

/// The workspace that a request is about: its parameter `workspace`, or the default one. Handlers take it from the permit.
fn workspace(query: &str) -> Result<Workspace, Refused> {
    let wrong = |detail| Refused::new(StatusCode::BAD_REQUEST, "workspace_malformed", detail);
    let mut given = query.split('&').filter_map(|pair| pair.strip_prefix("workspace="));
    match (given.next(), given.next()) {
        (None, _) => Ok(Workspace::default()),
        (Some(name), None) => {
            name.parse().map_err(|_| wrong("a workspace has a name of `a-z`, `0-9` and `-`"))
        }
        (Some(_), Some(_)) => Err(wrong("a request is about one workspace")),
    }
}

/// The length that a request says its body has; 0 when it says none.
fn announced(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
