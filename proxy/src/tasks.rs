//! The only place that starts tasks: each has a name, an owner and an end.
//!
//! Invariant: when the owner is dropped or [`Tasks::finish`] returns, none of its tasks runs any more.

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// The background tasks of one server.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: Mutex<JoinSet<()>>,
}

impl Tasks {
    /// Starts `work` on the current runtime; it is aborted when the owner ends.
    pub(crate) fn spawn(
        &self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut running = self.running.lock();
        // Finished tasks are collected here, so that a long life does not fill the set.
        while running.try_join_next().is_some() {}
        running.spawn(async move {
            work.await;
            tracing::debug!(task = name, "task ended");
        });
    }

    /// Aborts every task and waits until each has ended.
    pub(crate) async fn finish(&self) {
        let mut running = std::mem::take(&mut *self.running.lock());
        running.shutdown().await;
    }
}
