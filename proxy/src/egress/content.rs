//! What happens to the content of one request and its answer: sensitive data is looked for, credentials are put in, the
//! request is signed, secrets that come back are hidden.
//!
//! Not here: how each of these is done (`scrutiny`, `credentials`, `sigv4`, `reflect`), and how bytes travel (`forward`).
//! Invariant: data is looked for before credentials are put in, and what is signed is what is sent.

use std::{sync::Arc, time::SystemTime};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use pingora::http::{RequestHeader, ResponseHeader};
use policy::model::Scrutiny;

use super::{
    credentials::{BODY_BYTES_MAX, CredentialError, Rewriter, Scope},
    link::{About, Link},
    reflect::{ACCEPT_ENCODING, Guard, Needles, Opaque},
    refusal::Refusal,
    scrutiny::{Blocked, Detectors, Scan},
    sigv4::{self, BodyHash, Plan, SignError, Unsigned},
};
use crate::audit::{Engine, Outcome};

/// What was decided about the content of a request.
pub(super) struct Terms {
    /// Its path, as it was judged.
    pub(super) path: String,
    /// Which credentials belong to it.
    pub(super) scope: Scope,
    /// Whether sensitive data is looked for, and what follows.
    pub(super) scrutiny: Scrutiny,
    /// The body, where it was read for the decision.
    pub(super) body: Option<Bytes>,
}

/// Works on the content of one exchange.
pub(super) struct Content {
    path: String,
    needles: Option<Needles>,
    scope: Scope,
    scan: Option<Scan>,
    rewriter: Option<Rewriter>,
    plan: Option<Plan>,
    /// The whole body, as it is sent.
    whole: Option<Bytes>,
}

impl Content {
    /// Makes of `head` what is sent, but for a signature. `detectors` are there where something is looked for.
    ///
    /// # Errors
    /// When the request must not be sent.
    pub(super) fn new(
        terms: &Terms,
        detectors: Option<&Arc<Detectors>>,
        head: &mut RequestHeader,
    ) -> Result<Self, Refusal> {
        let scan = match (terms.scrutiny, detectors) {
            (Scrutiny::Off, _) => Ok(None),
            (scrutiny, Some(detectors)) => Scan::new(detectors, scrutiny, &head.headers),
            (_, None) => Err(Blocked::Encoding),
        };
        let scan = scan.map_err(|blocked| refused(&blocked))?;
        if scan.as_ref().is_some_and(Scan::decodes) {
            head.remove_header(&header::CONTENT_ENCODING);
        }
        let scope = terms.scope.clone();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let plan = scope.signing().map(|signing| Plan::new(signing, &target, &head.headers));
        let plan = plan.transpose().map_err(unsigned)?;
        let rewriter = scope.body(&head.headers).map_err(unfilled)?;
        let edits = scope.rewrite_head(&target, &head.headers).map_err(unfilled)?;
        for (name, values) in &edits.headers {
            head.remove_header(name);
            for value in values {
                head.append_header(name.clone(), value.clone()).map_err(|_| broken())?;
            }
        }
        if let Some(target) = &edits.target {
            head.set_raw_path(target.as_bytes()).map_err(|_| broken())?;
        }
        let needles = scope.needles().cloned();
        if needles.is_some() {
            head.insert_header(header::ACCEPT_ENCODING, ACCEPT_ENCODING).map_err(|_| broken())?;
        }
        let (path, rewriter) = (terms.path.clone(), Some(rewriter));
        Ok(Self { path, needles, scope, scan, rewriter, plan, whole: None })
    }

    /// Most bytes of the body that are collected before anything is sent, so that their length or hash is known; `None`
    /// where the body streams.
    pub(super) fn collects(&self, headers: &HeaderMap) -> Option<usize> {
        if self.plan.as_ref().is_some_and(|plan| plan.hash().is_some()) {
            return Some(sigv4::BODY_BYTES_MAX);
        }
        let length = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse::<usize>().ok()?;
        (self.may_change_length() && length <= BODY_BYTES_MAX).then_some(BODY_BYTES_MAX)
    }

    /// Makes the head of a body that streams.
    ///
    /// # Errors
    /// When the head cannot be signed.
    pub(super) fn stream(&self, head: &mut RequestHeader) -> Result<(), Refusal> {
        if self.may_change_length() && head.remove_header(&header::CONTENT_LENGTH).is_some() {
            head.insert_header(header::TRANSFER_ENCODING, "chunked").map_err(|_| broken())?;
        }
        self.sign(head, None)
    }

    /// Works on the whole body and makes its head.
    ///
    /// # Errors
    /// When the request must not be sent.
    pub(super) fn collected(
        &mut self,
        body: Bytes,
        head: &mut RequestHeader,
    ) -> Result<(), Refusal> {
        let mut out = BytesMut::from(self.push(body)?);
        out.extend_from_slice(&self.finish()?);
        let framed = head.headers.contains_key(header::CONTENT_LENGTH)
            || head.headers.contains_key(header::TRANSFER_ENCODING);
        if framed || !out.is_empty() {
            head.remove_header(&header::TRANSFER_ENCODING);
            head.insert_header(header::CONTENT_LENGTH, out.len()).map_err(|_| broken())?;
        }
        // It was asked for and given already.
        head.remove_header(&header::EXPECT);
        let hash = self.plan.as_ref().and_then(Plan::hash);
        let hash = hash.map(|mut hash| hash.push(&out).map(|()| hash)).transpose();
        self.sign(head, hash.map_err(unsigned)?)?;
        self.whole = Some(out.freeze());
        Ok(())
    }

    fn sign(&self, head: &mut RequestHeader, hash: Option<BodyHash>) -> Result<(), Refusal> {
        let Some(plan) = &self.plan else { return Ok(()) };
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let authority = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let request = Unsigned {
            method: head.method.as_str(),
            target,
            authority: authority.unwrap_or_default(),
            headers: &head.headers,
        };
        let signed = plan.sign(&self.scope, &request, hash, SystemTime::now()).map_err(unsigned)?;
        for (name, value) in signed {
            head.insert_header(name, value).map_err(|_| broken())?;
        }
        Ok(())
    }

    /// The path of the request, as it was judged.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    fn may_change_length(&self) -> bool {
        self.scan.as_ref().is_some_and(Scan::may_change_length)
            || self.rewriter.as_ref().is_some_and(Rewriter::may_change_length)
    }

    /// The whole body, where it was collected.
    pub(super) fn whole(&self) -> Option<&Bytes> {
        self.whole.as_ref()
    }

    /// What of a piece of the body is sent.
    ///
    /// # Errors
    /// When the request must not be completed.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        let piece = match &mut self.scan {
            Some(scan) => scan.push(piece).map_err(|blocked| refused(&blocked))?,
            None => piece,
        };
        match &mut self.rewriter {
            Some(rewriter) => rewriter.push(piece).map_err(unfilled),
            None => Ok(piece),
        }
    }

    /// The rest of the body.
    ///
    /// # Errors
    /// When the request must not be completed.
    pub(super) fn finish(&mut self) -> Result<Bytes, Refusal> {
        let rest = match &mut self.scan {
            Some(scan) => scan.finish().map_err(|blocked| refused(&blocked))?,
            None => Bytes::new(),
        };
        let Some(mut rewriter) = self.rewriter.take() else { return Ok(rest) };
        let mut out = BytesMut::from(rewriter.push(rest).map_err(unfilled)?);
        out.extend_from_slice(&rewriter.finish().map_err(unfilled)?);
        Ok(out.freeze())
    }

    /// Hides secrets in the head of an answer, and gives what hides them in its body.
    ///
    /// # Errors
    /// When the answer cannot be looked into.
    pub(super) fn guard(&self, head: &mut ResponseHeader) -> Result<Option<Guard>, Refusal> {
        let Some(needles) = &self.needles else { return Ok(None) };
        let guard = Guard::new(needles, &head.headers).map_err(|opaque| unread(&opaque))?;
        hide(needles, head)?;
        if guard.decodes() {
            head.remove_header(&header::CONTENT_ENCODING);
        }
        Ok(Some(guard))
    }

    /// Hides secrets in a head that no body follows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn hide(&self, head: &mut ResponseHeader) -> Result<(), Refusal> {
        self.needles.as_ref().map_or(Ok(()), |needles| hide(needles, head))
    }

    /// Hides secrets in what follows a body.
    pub(super) fn hide_trailers(&self, headers: &mut HeaderMap) {
        if let Some(needles) = &self.needles {
            needles.headers(headers);
        }
    }

    /// Puts on record what was found in the body.
    pub(super) fn report(&self, link: &Link, about: About<'_>, outcome: Outcome) {
        let Some(scan) = self.scan.as_ref().filter(|scan| scan.found() || scan.is_unread()) else {
            return;
        };
        let mut event = link.event(link.shared.snapshot.load().revision, about);
        event.engine = Engine::Content;
        event.outcome = outcome;
        let unread = scan.is_unread();
        event.reason = Some(if unread { "unreadable_content" } else { "sensitive_content" });
        event.findings.clone_from(scan.findings());
        link.shared.record.record(event);
    }
}

/// Hides secrets in a head, whose names keep their case.
fn hide(needles: &Needles, head: &mut ResponseHeader) -> Result<(), Refusal> {
    let mut headers = head.headers.clone();
    if needles.headers(&mut headers) == 0 {
        return Ok(());
    }
    for name in headers.keys() {
        head.remove_header(name);
    }
    for (name, value) in &headers {
        head.append_header(name.clone(), value.clone()).map_err(|_| broken())?;
    }
    Ok(())
}

fn refused(blocked: &Blocked) -> Refusal {
    let next_steps = vec![blocked.next_step().to_owned()];
    Refusal {
        next_steps,
        ..Refusal::new(403, "policy_denied", blocked.code(), blocked.to_string())
    }
}

fn unfilled(error: CredentialError) -> Refusal {
    let next_steps = vec![error.next_step().to_owned()];
    Refusal {
        next_steps,
        ..Refusal::new(error.status(), error.code(), error.code(), error.to_string())
    }
}

fn unsigned(error: SignError) -> Refusal {
    let next_steps = vec![error.next_step().to_owned()];
    let refusal = Refusal::new(error.status(), error.code(), "not_signed", error.to_string());
    Refusal { next_steps, ..refusal }
}

fn unread(opaque: &Opaque) -> Refusal {
    Refusal::new(502, "upstream_unreadable", "answer_encoding", opaque.to_string())
}

/// A body that would have to be collected, and is too large for that.
pub(super) fn too_large(limit: usize) -> Refusal {
    if limit == sigv4::BODY_BYTES_MAX {
        return unsigned(SignError::Large);
    }
    Refusal::new(
        413,
        "invalid_request",
        "body_too_large",
        format!("the body has more than {limit} bytes"),
    )
}

fn broken() -> Refusal {
    let detail = "the request cannot be written with its credentials";
    Refusal::new(500, "credential_injection_failed", "head_unwritable", detail)
}
