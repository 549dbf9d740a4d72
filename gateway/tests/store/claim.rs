//! One gateway at a time, in either database.

use std::time::Duration;

use gateway::store::{PlaceClaim, StoreError};
use tokio::time::timeout;

use crate::place::{Home, on_both};

#[tokio::test]
async fn a_place_is_for_one_at_a_time_and_free_when_that_one_is_gone() {
    on_both(async |home| {
        let mut first = PlaceClaim::take(&home.place).await.unwrap();
        let second = PlaceClaim::take(&home.place).await;
        assert!(matches!(second, Err(StoreError::Claimed)), "{second:?}");
        let other = home.elsewhere();
        drop(PlaceClaim::take(&other).await.unwrap());
        assert!(timeout(Duration::from_millis(50), first.lost()).await.is_err());
        drop(first);
        drop(PlaceClaim::take(&home.place).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn who_loses_its_session_gets_the_place_again_unless_another_was_faster() {
    let Some(home) = Home::in_postgres().await else { return };
    let end_sessions = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'";
    let mut first = PlaceClaim::take(&home.place).await.unwrap();
    home.run(end_sessions).await;
    // It looks every five seconds, and has it again then.
    assert!(timeout(Duration::from_secs(7), first.lost()).await.is_err());
    let second = PlaceClaim::take(&home.place).await;
    assert!(matches!(second, Err(StoreError::Claimed)), "{second:?}");
    home.run(end_sessions).await;
    let _second = PlaceClaim::take(&home.place).await.unwrap();
    timeout(Duration::from_mins(1), first.lost()).await.expect("it is told");
}
