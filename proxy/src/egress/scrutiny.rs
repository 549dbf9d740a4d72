//! Looks for sensitive data in request bodies while they stream: `sensitivity: audit|redact|block` of an endpoint.
//!
//! The detectors, labels and rules are those of the router, with the terms of its file where there is one. What is found
//! is counted by label; a value that a rule allows is counted only. `redact` writes the kind of a value in its place
//! (`<EMAIL>`), for good: answers of other services are not restored. `block` refuses the request before the value leaves.
//! A compressed body is decoded, and under `redact` and `block` goes on without its encoding; under `audit` every body goes on
//! as it came and at once.
//!
//! Not here: heads, and what follows for the request (`inspect`). Invariant: what is found and what goes on does not depend
//! on how a body is cut, and a body of any length takes bounded memory.

mod window;

use std::{collections::BTreeMap, sync::Arc};

use backends::configuration::Configuration;
use bytes::Bytes;
use domain::Label;
use http::{HeaderMap, header};
use policy::model::Scrutiny;
use router::{
    classify::{Classifier, Finding, Term, TermError},
    rules::{Action, Rules},
};

use crate::decode::{Decoder, Encoding};
use window::{Marks, Window};

/// Most bytes that one chunk of a compressed body may be decoded to.
const PIECE_BYTES_MAX: usize = 4 << 20;

/// The detectors and what follows from what they find. Immutable; share it.
#[derive(Debug)]
pub struct Detectors {
    classifier: Classifier,
    rules: Rules,
}

impl Detectors {
    /// Detectors with these terms and rules.
    ///
    /// # Errors
    /// When a term cannot be used.
    pub fn new(terms: Vec<Term>, rules: Rules) -> Result<Self, TermError> {
        Ok(Self { classifier: Classifier::new(terms)?, rules })
    }

    /// Detectors as a router file sets them.
    ///
    /// # Errors
    /// When a term cannot be used.
    pub fn of(configuration: &Configuration) -> Result<Self, TermError> {
        let term = |(name, patterns): &(String, Vec<String>)| Term {
            name: name.clone(),
            patterns: patterns.clone(),
        };
        let terms = configuration.terms.iter().map(term).collect();
        Self::new(terms, configuration.settings.rules.clone())
    }
}

/// Why a request is refused. Names a label, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// Something that must not leave was found.
    #[error("the body holds {0}, which must not leave the sandbox")]
    Found(Label),
    /// The body is in an encoding that is not understood, or breaks off.
    #[error("the body is in an encoding that cannot be looked into")]
    Encoding,
}

impl Blocked {
    /// The word in answers and records; stable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Found(_) => "sensitive_content",
            Self::Encoding => "unreadable_content",
        }
    }

    /// What the caller, or whoever writes the policy, can do.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::Found(_) => {
                "leave the value out; or set `sensitivity: redact` on the endpoint, or allow the label in the router file"
            }
            Self::Encoding => "send the body without `content-encoding`, or with gzip, br or zstd",
        }
    }
}

/// What is done with findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Audit,
    Redact,
    Block,
}

/// Looks at one request body.
#[derive(Debug)]
pub struct Scan {
    judge: Judge,
    encoding: Encoding,
    /// `None` where nothing is decoded, or the encoding cannot be read.
    decoder: Option<Decoder>,
    window: Window,
    unread: bool,
    begun: bool,
}

impl Scan {
    /// A scan of the body of a request with these headers; `None` where nobody wants to look.
    ///
    /// # Errors
    /// [`Blocked::Encoding`] for a content encoding that cannot be looked into, unless it is for the record only.
    pub fn new(
        detectors: &Arc<Detectors>,
        scrutiny: Scrutiny,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, Blocked> {
        let mode = match scrutiny {
            Scrutiny::Off => return Ok(None),
            Scrutiny::Audit => Mode::Audit,
            Scrutiny::Redact => Mode::Redact,
            Scrutiny::Block => Mode::Block,
        };
        let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
        let encoding = encodings.next().map_or(&b""[..], |value| value.as_bytes());
        let encoding = Encoding::of(encoding).ok().filter(|_| encodings.next().is_none());
        let unread = encoding.is_none();
        if unread && mode != Mode::Audit {
            return Err(Blocked::Encoding);
        }
        let encoding = encoding.unwrap_or(Encoding::Identity);
        let decoder = match encoding {
            Encoding::Identity => None,
            _ => Some(
                Decoder::in_pieces(encoding, usize::MAX, PIECE_BYTES_MAX)
                    .map_err(|_| Blocked::Encoding)?,
            ),
        };
        let window = Window::new(Marks::of(headers));
        let judge = Judge { detectors: Arc::clone(detectors), mode, counts: BTreeMap::new() };
        Ok(Some(Self { judge, encoding, decoder, window, unread, begun: false }))
    }

    /// Whether the body goes on without its `content-encoding`.
    pub fn decodes(&self) -> bool {
        self.judge.mode != Mode::Audit && self.encoding != Encoding::Identity
    }

    /// Whether the body may get longer or shorter: the sender drops `content-length` and sends chunks, or collects a short
    /// body and announces its new length.
    pub fn may_change_length(&self) -> bool {
        self.judge.mode == Mode::Redact || self.decodes()
    }

    /// What of the body may go on: under `audit` the chunk itself, else what was looked at.
    ///
    /// # Errors
    /// [`Blocked`]; nothing of the value went on, and the request must not be completed.
    pub fn push(&mut self, chunk: Bytes) -> Result<Bytes, Blocked> {
        self.begun |= !chunk.is_empty();
        if self.judge.mode == Mode::Audit {
            if !self.unread && self.look(chunk.clone()).is_err() {
                self.unread = true;
            }
            return Ok(chunk);
        }
        self.look(chunk)
    }

    /// The rest, when the body has ended.
    ///
    /// # Errors
    /// As for [`Scan::push`].
    pub fn finish(&mut self) -> Result<Bytes, Blocked> {
        let rest = self.end();
        if self.judge.mode == Mode::Audit {
            self.unread |= rest.is_err();
            return Ok(Bytes::new());
        }
        rest
    }

    /// How often each label was found so far.
    pub fn findings(&self) -> &BTreeMap<Label, u32> {
        &self.judge.counts
    }

    /// Whether the body could not be looked at, or not to its end; only under `audit`.
    pub fn is_unread(&self) -> bool {
        self.unread
    }

    fn look(&mut self, chunk: Bytes) -> Result<Bytes, Blocked> {
        let plain = match &mut self.decoder {
            Some(decoder) => decoder.push(chunk).map_err(|_| Blocked::Encoding)?,
            None => chunk,
        };
        self.window.push(&plain, &mut self.judge).map(Bytes::from)
    }

    fn end(&mut self) -> Result<Bytes, Blocked> {
        if self.unread {
            return Ok(Bytes::new());
        }
        let mut out = match &mut self.decoder {
            Some(decoder) if self.begun => {
                let rest = decoder.finish().map_err(|_| Blocked::Encoding)?;
                self.window.push(&rest, &mut self.judge)?
            }
            _ => Vec::new(),
        };
        out.extend(self.window.finish(&mut self.judge)?);
        Ok(out.into())
    }
}

/// What follows from a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Keep,
    Hide,
}

/// Finds, counts, and says what follows.
#[derive(Debug)]
struct Judge {
    detectors: Arc<Detectors>,
    mode: Mode,
    counts: BTreeMap<Label, u32>,
}

impl Judge {
    fn find(&self, text: &str) -> Vec<Finding> {
        // A placeholder of a credential is none, though it stands where one would.
        let mut found = self.detectors.classifier.scan(text, router::classify::Hint::Prose);
        found.retain(|one| !super::credentials::is_placeholder(text.as_bytes(), &one.span));
        found
    }

    fn judge(&mut self, finding: &Finding) -> Result<Outcome, Blocked> {
        let count = self.counts.entry(finding.label.clone()).or_default();
        *count = count.saturating_add(1);
        let action = self.detectors.rules.consequence(&finding.label).action;
        match (self.mode, action) {
            (Mode::Audit, _) | (_, Action::Allow) => Ok(Outcome::Keep),
            // An example is no secret; hiding it costs nothing.
            (Mode::Block, _) if finding.example => Ok(Outcome::Keep),
            (Mode::Redact, Action::Redact | Action::Route) => Ok(Outcome::Hide),
            (Mode::Redact, Action::Block) if finding.example => Ok(Outcome::Hide),
            (Mode::Block, _) | (Mode::Redact, Action::Block) => {
                Err(Blocked::Found(finding.label.clone()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
