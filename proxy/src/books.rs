//! Where calls are booked outside of this process, so that what was set aside and spent survives it.
//!
//! A call that a budget counts for is set aside there before anything is sent, and closed once when it ends. Not here: what a
//! budget is and what it leaves ([`router::ledger`]). Invariants: a call that cannot be set aside is not sent; one whose end
//! nobody heard of stays set aside.

use std::{fmt, pin::Pin, sync::Arc};

use domain::{Cost, Zone};
use router::ledger::{Account, Booked};

/// What is set aside for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The identity of the call, as in its record.
    pub id: String,
    /// How much.
    pub amount: Cost,
    /// On which accounts; at least one.
    pub accounts: Vec<Account>,
    /// When it has ended for certain, in milliseconds since 1970.
    pub expires_ms: u64,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The identity of the call.
    pub id: String,
    /// When it began, in milliseconds since 1970.
    pub time_ms: u64,
    /// Who asked.
    pub tenant: String,
    /// Who answered; `None` when nobody did, and it costs nothing.
    pub answered: Option<Answered>,
    /// What the cost is booked on.
    pub accounts: Vec<Account>,
}

/// Who answered a call, and what that cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The backend.
    pub backend: String,
    /// The model.
    pub model: String,
    /// Who could see it.
    pub zone: Option<Zone>,
    /// Prompt tokens, those of them that came from a cache, answer tokens.
    pub tokens: [u64; 3],
    /// The cost.
    pub cost: Cost,
    /// How much more the dearest backend that was allowed would have cost.
    pub saved: Cost,
}

/// What was set aside is safe, or why not.
pub type Reserving = Pin<Box<dyn Future<Output = Result<(), NotBooked>> + Send>>;

/// The call cannot be booked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the call cannot be booked")]
pub struct NotBooked;

/// Where calls are booked. Cheap to clone.
#[derive(Clone)]
pub struct Books {
    /// What is booked for the periods that have not passed.
    pub(crate) spent: Vec<Booked>,
    reserve: Arc<dyn Fn(Held) -> Reserving + Send + Sync>,
    close: Arc<dyn Fn(Closed) + Send + Sync>,
}

impl Books {
    /// Books that hold `spent` already. `reserve` sets aside, and is done when that is safe; `close` hears of each end once and
    /// must not block.
    pub fn new(
        spent: Vec<Booked>,
        reserve: impl Fn(Held) -> Reserving + Send + Sync + 'static,
        close: impl Fn(Closed) + Send + Sync + 'static,
    ) -> Self {
        Self { spent, reserve: Arc::new(reserve), close: Arc::new(close) }
    }

    /// Sets aside.
    pub(crate) fn reserve(&self, held: Held) -> Reserving {
        (self.reserve)(held)
    }

    /// Tells how a call ended.
    pub(crate) fn close(&self, closed: Closed) {
        (self.close)(closed);
    }
}

impl fmt::Debug for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Books(…)")
    }
}
