//! How many calls are under way, and how a stop reaches them.
//!
//! Stopping has two steps: at first nothing new is accepted while calls end in their own time, then what is left is
//! cut. Invariant: whoever holds a [`Flight`] is waited for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{Notify, watch};

/// Counts calls and tells them to stop.
#[derive(Debug, Clone)]
pub(crate) struct Flights {
    count: Arc<Count>,
    cut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Count {
    calls: AtomicUsize,
    none: Notify,
}

/// One call under way; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Flight(Arc<Count>);

impl Default for Flights {
    fn default() -> Self {
        Self { count: Arc::default(), cut: watch::Sender::new(false) }
    }
}

impl Flights {
    /// Counts a call until the result is dropped.
    pub(crate) fn start(&self) -> Flight {
        self.count.calls.fetch_add(1, Ordering::AcqRel);
        Flight(Arc::clone(&self.count))
    }

    /// Calls under way.
    pub(crate) fn count(&self) -> usize {
        self.count.calls.load(Ordering::Acquire)
    }

    /// Returns when no call is under way. Cancel-safe.
    pub(crate) async fn none(&self) {
        loop {
            let mut none = std::pin::pin!(self.count.none.notified());
            // Registered before the count is read: an end in between is not missed.
            none.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }

    /// Tells every call to end now.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Gives a future that ends when calls must end.
    pub(crate) fn until_cut(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut cut = self.cut.subscribe();
        async move {
            if cut.wait_for(|cut| *cut).await.is_err() {
                // The sender lives as long as the server; without it there is nothing to wait for.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_ends_with_the_last_call() {
        let flights = Flights::default();
        flights.none().await;
        let (first, second) = (flights.start(), flights.start());
        assert_eq!(flights.count(), 2);
        drop(first);
        let mut none = Box::pin(flights.none());
        assert!(futures_now(none.as_mut()).is_none());
        drop(second);
        none.await;
    }

    #[tokio::test]
    async fn a_cut_reaches_calls_that_wait_and_calls_that_come_later() {
        let flights = Flights::default();
        let early = flights.until_cut();
        flights.cut();
        early.await;
        flights.until_cut().await;
    }

    fn futures_now<F: Future>(work: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match work.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
