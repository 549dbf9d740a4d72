//! Waiting with a limit that costs nothing where nothing is waited for.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::time::{Instant, timeout_at};

/// What `work` gives; `None` when it is not done by `deadline`.
///
/// Most bodies are there with their heads and most writes end at once: then the clock is not asked and no timer made.
pub(crate) async fn until<T>(
    deadline: impl FnOnce() -> Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let first = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
    match first {
        Poll::Ready(done) => Some(done),
        Poll::Pending => timeout_at(deadline(), work).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use super::*;

    #[tokio::test]
    async fn what_is_done_at_once_asks_for_no_time() {
        let never = || panic!("the clock was asked");
        assert_eq!(until(never, async { 7 }).await, Some(7));
    }

    #[tokio::test]
    async fn what_is_not_done_by_the_deadline_gives_nothing() {
        let soon = || Instant::now() + Duration::from_millis(5);
        assert_eq!(until(soon, pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn what_is_done_before_the_deadline_gives_its_output() {
        let later = || Instant::now() + Duration::from_mins(10);
        let work = async {
            tokio::task::yield_now().await;
            7
        };
        assert_eq!(until(later, work).await, Some(7));
    }
}
