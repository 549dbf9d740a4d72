//! What happens to the content of one request on its way, and of its answer: sensitive data is looked for, real
//! credentials are put in and kept from coming back.
//!
//! Not here: how any of it is done (`scrutiny`, `credentials`, `sigv4`, `reflect`). The order is fixed: what the caller wrote is
//! looked at before credentials are in it, and signed when they are.

use std::{collections::BTreeMap, time::SystemTime};

use bytes::Bytes;
use domain::{
    Label,
    limits::{EGRESS_REWRITTEN_BYTES_MAX, EGRESS_SIGNED_BYTES_MAX},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use policy::{Grant, Place};

use super::{
    credentials::{CredentialError, Edits, Rewriter, Scope},
    link::Link,
    reflect::{Guard, Needles, Opaque},
    refusal::Refusal,
    scrutiny::{Blocked, Scan},
    service::Snapshot,
    sigv4::{Plan, SignError, Unsigned},
    websocket::Frames,
};

/// What becomes of one request.
pub(super) struct Content {
    scope: Scope,
    scan: Option<Scan>,
    rewriter: Rewriter,
    plan: Option<Plan>,
    edits: Edits,
}

impl Content {
    /// What becomes of a request to `target` with these headers; `path` is its canonical path.
    ///
    /// # Errors
    /// When it holds what must not go there.
    pub(super) fn new(
        link: &Link,
        snapshot: &Snapshot,
        grant: &Grant<'_>,
        (path, target): (&str, &str),
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        let mut places: Vec<Place<'_>> = Vec::new();
        grant.each(|place| places.push(place));
        let scope = snapshot.credentials.scope(&link.to, path, &places);
        let edits = scope.rewrite_head(target, headers).map_err(|error| unfit(&error))?;
        let rewriter = scope.body(headers).map_err(|error| unfit(&error))?;
        let scan = Scan::new(&link.shared.detectors, grant.scrutiny(), headers);
        let scan = scan.map_err(|blocked| sensitive(&blocked))?;
        let plan = scope.signing().map(|signing| Plan::new(signing, target, headers));
        let plan = plan.transpose().map_err(|error| unsigned(&error))?;
        Ok(Self { scope, scan, rewriter, plan, edits })
    }

    /// The path and query that are sent, where they differ from those that were judged.
    pub(super) fn target(&self) -> Option<&str> {
        self.edits.target.as_deref()
    }

    /// All values of each header that changes; none where the header goes.
    pub(super) fn headers(&self) -> &[(HeaderName, Vec<HeaderValue>)] {
        &self.edits.headers
    }

    /// Whether the body goes on without its `content-encoding`.
    pub(super) fn decodes(&self) -> bool {
        self.scan.as_ref().is_some_and(Scan::decodes)
    }

    /// Whether the body may get longer or shorter.
    pub(super) fn may_change_length(&self) -> bool {
        self.rewriter.may_change_length() || self.scan.as_ref().is_some_and(Scan::may_change_length)
    }

    /// How many bytes of the body must be there before its head is sent, at most; `None` where none need to.
    pub(super) fn collects(&self, announced: Option<usize>) -> Option<usize> {
        if self.plan.as_ref().is_some_and(|plan| plan.hash().is_some()) {
            return Some(EGRESS_SIGNED_BYTES_MAX);
        }
        let short = announced.is_some_and(|length| length <= EGRESS_REWRITTEN_BYTES_MAX);
        (short && self.may_change_length()).then_some(EGRESS_REWRITTEN_BYTES_MAX)
    }

    /// What of the body may go on.
    ///
    /// # Errors
    /// When it holds what must not go there; the request must not be completed then.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        let piece = match &mut self.scan {
            Some(scan) => scan.push(piece).map_err(|blocked| sensitive(&blocked))?,
            None => piece,
        };
        self.rewriter.push(piece).map_err(|error| unfit(&error))
    }

    /// The rest, when the body has ended.
    ///
    /// # Errors
    /// As for [`Content::push`].
    pub(super) fn finish(&mut self) -> Result<Bytes, Refusal> {
        let rest = match &mut self.scan {
            Some(scan) => scan.finish().map_err(|blocked| sensitive(&blocked))?,
            None => Bytes::new(),
        };
        let rest = self.rewriter.push(rest).map_err(|error| unfit(&error))?;
        let last = self.rewriter.finish().map_err(|error| unfit(&error))?;
        if rest.is_empty() {
            return Ok(last);
        }
        Ok([rest, last].concat().into())
    }

    /// The headers that sign the request, where the policy asks for it. `body` is all of the body, where it was collected.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(super) fn sign(
        &self,
        request: &Unsigned<'_>,
        body: Option<&[u8]>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Refusal> {
        let Some(plan) = &self.plan else { return Ok(Vec::new()) };
        let mut hash = plan.hash();
        if let Some(hash) = &mut hash {
            hash.push(body.unwrap_or_default()).map_err(|error| unsigned(&error))?;
        }
        plan.sign(&self.scope, request, hash, SystemTime::now()).map_err(|error| unsigned(&error))
    }

    /// What the caller's messages go through, where the request opens a WebSocket.
    pub(super) fn messages(&self) -> Frames {
        Frames::of_caller(self.scope.clone())
    }

    /// What was seen in the body so far, for the record; `None` where there is nothing to say.
    pub(super) fn seen(&self) -> Option<Seen<'_>> {
        let scan = self.scan.as_ref()?;
        let seen = Seen { findings: scan.findings(), unread: scan.is_unread() };
        (seen.unread || !seen.findings.is_empty()).then_some(seen)
    }

    /// What to look for in the answer.
    pub(super) fn needles(&self) -> Option<Needles> {
        self.scope.needles().cloned()
    }
}

/// What was seen in a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'c> {
    /// How often each label of sensitive data was found.
    pub(super) findings: &'c BTreeMap<Label, u32>,
    /// Whether a part of it could not be looked at.
    pub(super) unread: bool,
}

/// Keeps credentials out of one answer.
pub(super) struct Kept {
    guard: Guard,
    needles: Needles,
}

impl Kept {
    /// Hides credentials in the head of an answer; what follows must go through [`Kept::push`].
    ///
    /// # Errors
    /// When the answer cannot be looked into.
    pub(super) fn new(needles: Needles, headers: &mut HeaderMap) -> Result<Self, Opaque> {
        let guard = Guard::new(&needles, headers)?;
        needles.headers(headers);
        headers.remove(header::CONTENT_LENGTH);
        if guard.decodes() {
            headers.remove(header::CONTENT_ENCODING);
        }
        Ok(Self { guard, needles })
    }

    /// What of the answer may go on.
    ///
    /// # Errors
    /// When it cannot be looked into; it must not be completed then.
    pub(super) fn push(&mut self, piece: Bytes) -> Result<Bytes, Opaque> {
        self.guard.push(piece)
    }

    /// The rest, when the answer has ended.
    ///
    /// # Errors
    /// As for [`Kept::push`].
    pub(super) fn finish(&mut self) -> Result<Bytes, Opaque> {
        self.guard.finish()
    }

    /// Hides credentials in trailers.
    pub(super) fn trailers(&self, trailers: &mut HeaderMap) {
        self.needles.headers(trailers);
    }
}

/// How a placeholder is refused that does not become a value.
pub(super) fn unfit(error: &CredentialError) -> Refusal {
    let mut refusal = Refusal::new(error.status(), error.code(), error.code(), error.to_string());
    refusal.next_steps = vec![error.next_step().to_owned()];
    refusal
}

fn unsigned(error: &SignError) -> Refusal {
    let mut refusal = Refusal::new(error.status(), error.code(), error.code(), error.to_string());
    refusal.next_steps = vec![error.next_step().to_owned()];
    refusal
}

fn sensitive(blocked: &Blocked) -> Refusal {
    let mut refusal = Refusal::new(403, "policy_denied", blocked.code(), blocked.to_string());
    refusal.next_steps = vec![blocked.next_step().to_owned()];
    refusal
}
