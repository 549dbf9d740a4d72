//! The plan for one request: what it holds, what is hidden, and who may answer it, in which order.

use std::sync::Arc;

use domain::{Cost, Label, Sensitivity, Tenant, Tokens, Zone};

use crate::{
    candidate::Candidate,
    ledger::{Budget, Reservation},
    rules::Rules,
    wire::Edit,
};

mod engine;
mod examine;
mod explain;
mod join;
mod mask;
mod memory;
mod settle;

pub use engine::{Engine, EngineError, Question};
pub use examine::{Located, Place};
pub use explain::why_nobody;
pub use memory::{Keys, Memory};
pub use settle::{Settled, Spent};

/// Everything of the router file that deciding needs. Immutable; a reload makes a new one.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Ceilings, labels, unreadable parts.
    pub rules: Rules,
    /// What callers may ask for besides the models themselves.
    pub aliases: Vec<Alias>,
    /// What happens to a name that is neither an alias nor a model here.
    pub unknown_model: UnknownModel,
    /// All models of all backends, in the order of the file.
    pub candidates: Vec<Candidate>,
    /// What may be spent.
    pub budgets: Vec<Budget>,
}

/// A name that callers may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The name.
    pub name: String,
    /// The least quality that answers for it, 0 to 100. `None` lets the router estimate it (`auto: {}`).
    pub min_quality: Option<u8>,
}

/// What happens to a model name that nobody here serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownModel {
    /// It is treated like `auto`.
    #[default]
    Auto,
    /// It is refused with 404.
    Reject,
}

/// The decision for one request. Holds no content of it but the edits and the vault.
#[derive(Debug)]
pub struct Plan {
    /// The level of what remains visible after redaction, taint included.
    pub sensitivity: Sensitivity,
    /// What was found, per label.
    pub found: Vec<Found>,
    /// Replacements in the original body: placeholders and removed identifiers. The model's name is not among them.
    pub edits: Vec<Edit>,
    /// The hidden values, for the way back.
    pub vault: Arc<crate::redact::Vault>,
    /// Who may answer, the cheapest first; never empty. Indexes into [`Settings::candidates`].
    pub attempts: Vec<Attempt>,
    /// Prompt tokens, counted with the first candidate's encoding; estimated where nothing depends on them.
    pub input: Counted,
    /// One line for `x-openshell-reason`, without content.
    pub reason: String,
    /// Why each other candidate was dropped.
    pub dropped: Vec<Dropped>,
    /// Identity of the conversation, for warm caches and taint.
    pub conversation: Conversation,
    /// What is applied instead of `edits` by an attempt that is [`foreign`](Attempt::foreign): opaque reasoning,
    /// which only the backend that made it can read, is taken out as well.
    pub foreign_edits: Option<Vec<Edit>>,
    /// The candidate that answered the last turn of this conversation, where something in the request is bound to it.
    pub home: Option<usize>,
    /// Who asks.
    pub tenant: Tenant,
    /// The expected cost of the first attempt, set aside in the budgets; given back by [`Engine::settle`].
    pub reservation: Reservation,
}

/// How often a label was found, and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The label.
    pub label: Label,
    /// Distinct places.
    pub count: u32,
    /// What was done with it.
    pub action: crate::rules::Action,
    /// How many of them are documented example values, which are only noted.
    pub examples: u32,
}

/// One candidate that may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Index into [`Settings::candidates`].
    pub candidate: usize,
    /// What it will cost, caches taken into account.
    pub expected: Cost,
    /// Another backend answered the last turn of this conversation.
    pub foreign: bool,
}

/// A number of tokens and whether it is exact for the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The number.
    pub tokens: Tokens,
    /// False for an estimate.
    pub exact: bool,
}

/// Why a candidate does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Index into [`Settings::candidates`].
    pub candidate: usize,
    /// The reason.
    pub why: Why,
}

/// Reasons to drop a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its zone is wider than the ceiling.
    Ceiling {
        /// The level of the request.
        level: Sensitivity,
        /// The widest zone that may see it.
        ceiling: Zone,
    },
    /// Prompt and answer do not fit.
    Context {
        /// What is needed.
        needed: Tokens,
        /// What it has.
        available: Tokens,
    },
    /// It cannot do what the request needs.
    Ability(&'static str),
    /// Below the quality that was asked for.
    Quality {
        /// What was asked for.
        needed: u8,
    },
    /// The backend takes no dialect that the request can be translated to.
    Dialect,
    /// Not what the caller asked for.
    NotAsked,
    /// Its circuit breaker is open.
    Unhealthy,
    /// Nothing is left of the budget.
    Budget,
    /// Nobody knows what it costs.
    Price,
}

/// Identity of a conversation: the same in every turn, not chosen by a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conversation {
    /// Keyed hash of the tenant and the first message of the user.
    pub root: u128,
    /// Keyed hash of the whole prompt so far.
    pub head: u128,
    /// Messages so far.
    pub turns: u32,
}

/// Why a request is not answered by any backend. The texts name labels and numbers, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A label whose action is `block` was found.
    #[error(
        "the request holds {labels}, which this router blocks; remove it and send the request again"
    )]
    Blocked {
        /// The labels, joined by commas.
        labels: String,
    },
    /// No candidate is left.
    #[error("{message}")]
    NoBackend {
        /// HTTP status: 403 when policy forbids, 400 when the prompt is too long, 503 when backends are down, 429 when over budget.
        status: u16,
        /// Machine-readable code.
        code: &'static str,
        /// What happened and what would help.
        message: String,
    },
    /// Nobody serves this model and unknown ones are refused.
    #[error("the model is not served here; ask for one of: {offered}")]
    UnknownModel {
        /// Names that are served.
        offered: String,
    },
}

#[cfg(test)]
mod tests;
