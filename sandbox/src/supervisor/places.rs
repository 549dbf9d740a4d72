//! How many conversations there may be: those that stay, and those that are soon over.
//!
//! Whoever asks takes a place among those that ask; what opens streams takes one among those that stay, and gives the other
//! back. Invariant: however many stay, there is room for a word to a program, a question, and the end.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::control::{Failed, Request};

/// The most that stay: programs, archives and connections that somebody listens to.
const STAYING_MAX: usize = 224;
/// The most that ask at once. The others wait until one of them has its answer.
const ASKING_MAX: usize = 32;

/// The places of one supervisor.
#[derive(Debug)]
pub(super) struct Places {
    asking: Arc<Semaphore>,
    staying: Arc<Semaphore>,
}

/// Where one conversation is.
#[derive(Debug)]
pub(super) struct Place {
    _held: Option<OwnedSemaphorePermit>,
    staying: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { asking: places(ASKING_MAX), staying: places(STAYING_MAX) }
    }
}

impl Places {
    /// A place among those that ask, once there is one.
    pub(super) async fn ask(&self) -> Place {
        // It is never closed.
        let held = Arc::clone(&self.asking).acquire_owned().await.ok();
        Place { _held: held, staying: Arc::clone(&self.staying) }
    }
}

impl Place {
    /// Moves to those that stay if the request opens streams.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub(super) fn of(self, request: &Request) -> Result<Self, Failed> {
        if !stays(request) {
            return Ok(self);
        }
        let held = Arc::clone(&self.staying).try_acquire_owned().map_err(|_| {
            let hint = "end some of the programs, transfers and forwarded connections that somebody listens to";
            Failed::new(format!("{STAYING_MAX} conversations with it are open already"), hint)
        })?;
        Ok(Self { _held: Some(held), ..self })
    }
}

fn stays(request: &Request) -> bool {
    match request {
        Request::Exec { .. }
        | Request::Launch { attach: true, .. }
        | Request::Attach { .. }
        | Request::Upload { .. }
        | Request::Download { .. }
        | Request::Forward { .. } => true,
        Request::Status
        | Request::Launch { attach: false, .. }
        | Request::Tell { .. }
        | Request::SetPolicy { .. }
        | Request::SetProviders { .. }
        | Request::Denials
        | Request::ForgetDenials { .. }
        | Request::Adopt { .. }
        | Request::Stop { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;
    use crate::control::Word;

    #[tokio::test]
    async fn those_that_stay_leave_room_for_words_and_the_end() {
        let places = Places::default();
        let attach = Request::Attach { terminal: None };
        let mut staying = Vec::new();
        for _ in 0..STAYING_MAX {
            staying.push(places.ask().await.of(&attach).unwrap());
        }
        let refused = places.ask().await.of(&attach).unwrap_err();
        assert!(refused.message.contains("224 conversations"), "{refused}");
        let word = Word::Signal { number: 2 };
        let asks = [Request::Tell { program: 1, word }, Request::Stop { grace_ms: 0 }];
        let mut asking = Vec::new();
        for request in asks.iter().cycle().take(ASKING_MAX) {
            asking.push(places.ask().await.of(request).unwrap());
        }
        let mut next = pin!(places.ask());
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending(), "as many as may be");
        asking.pop();
        next.await.of(&Request::Status).unwrap();
        staying.pop();
        places.ask().await.of(&attach).unwrap();
    }
}
