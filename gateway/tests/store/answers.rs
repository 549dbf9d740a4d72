//! Requests that come twice are done once.

use gateway::store::{Claim, Claimed, Request, Store, StoreError};

use crate::place::on_both;

const NOW: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn request(key: &str) -> Request<'_> {
    Request { principal: "ann", route: "POST /v1/sandboxes", key, fingerprint: &[1; 32] }
}

async fn claim(store: &Store, request: &Request<'_>, now: i64) -> Claim {
    match store.claim_request(request, now).await.unwrap() {
        Claimed::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_first_answer_is_given_again() {
    on_both(async |home| {
        let store = &home.store;
        let first = claim(store, &request("k"), NOW).await;
        assert!(matches!(store.claim_request(&request("k"), NOW).await, Ok(Claimed::Running)));
        assert!(store.answer_request(&first, 201, b"{\"token\":\"hunter2\"}\xff").await.unwrap());
        assert!(!store.answer_request(&first, 500, b"again").await.unwrap());
        let again = home.again().await.claim_request(&request("k"), NOW + DAY - 1).await.unwrap();
        let Claimed::Answered(answer) = &again else { panic!("{again:?}") };
        assert_eq!((answer.status, &**answer.body), (201, &b"{\"token\":\"hunter2\"}\xff"[..]));
        assert!(!format!("{again:?}").contains("hunter2"));
        assert!(memchr::memmem::find(&home.bytes(), b"hunter2").is_none());
        // After a day it is a new request.
        drop(claim(store, &request("k"), NOW + DAY).await);
    })
    .await;
}

#[tokio::test]
async fn a_key_belongs_to_one_principal_route_and_body() {
    on_both(async |home| {
        let store = &home.store;
        let first = claim(store, &request("k"), NOW).await;
        store.answer_request(&first, 200, b"").await.unwrap();
        let other = Request { fingerprint: &[2; 32], ..request("k") };
        assert!(matches!(store.claim_request(&other, NOW).await, Ok(Claimed::Conflict)));
        drop(claim(store, &Request { principal: "bob", ..request("k") }, NOW).await);
        drop(claim(store, &Request { route: "POST /v1/providers", ..request("k") }, NOW).await);
        let long = store.claim_request(&request(&"k".repeat(254)), NOW).await;
        assert!(matches!(long, Err(StoreError::Invalid(_))), "{long:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_not_done_may_be_done_again() {
    on_both(async |home| {
        let store = &home.store;
        let first = claim(store, &request("k"), NOW).await;
        store.abandon_request(first).await.unwrap();
        // Whoever claims it and crashes blocks it for ten minutes, and is too late after that.
        let crashed = claim(store, &request("k"), NOW).await;
        let later = NOW + 10 * MINUTE;
        assert!(matches!(
            store.claim_request(&request("k"), later - 1).await,
            Ok(Claimed::Running)
        ));
        let second = claim(store, &request("k"), later).await;
        assert!(!store.answer_request(&crashed, 200, b"late").await.unwrap());
        store.abandon_request(crashed).await.unwrap();
        assert!(store.answer_request(&second, 200, b"second").await.unwrap());
        let large = claim(store, &request("large"), NOW).await;
        let refused = store.answer_request(&large, 200, &vec![0; (1 << 20) + 1]).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn of_two_requests_at_one_moment_one_is_done() {
    on_both(async |home| {
        let other = home.again().await;
        for round in 0..10 {
            let key = format!("k{round}");
            let one = request(&key);
            let (left, right) =
                tokio::join!(home.store.claim_request(&one, NOW), other.claim_request(&one, NOW));
            let both = [left.unwrap(), right.unwrap()];
            let new = both.iter().filter(|claimed| matches!(claimed, Claimed::New(_))).count();
            assert_eq!(new, 1, "{both:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn answers_are_bounded_by_age_and_number() {
    on_both(async |home| {
        let store = &home.store;
        for key in ["first", "second"] {
            let one = claim(store, &request(key), NOW).await;
            store.answer_request(&one, 200, b"x").await.unwrap();
        }
        let others = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
             INSERT INTO answers (principal, route, request_key, fingerprint, begun_ms, attempt, status) \
             SELECT principal, route, CAST(i AS TEXT), fingerprint, begun_ms + i, CAST(i AS TEXT), status \
             FROM answers CROSS JOIN n WHERE request_key = 'second'";
        assert_eq!(home.run(others).await, 999);
        let full = NOW + 5000;
        drop(claim(store, &request("one more"), full).await);
        let kept = async |key| {
            let claimed = store.claim_request(&request(key), full).await;
            matches!(claimed, Ok(Claimed::Answered(_) | Claimed::Running))
        };
        assert!(kept("one more").await && !(kept("first").await && kept("second").await));
        let forgotten = store.forget_answers(NOW + DAY + 100).await.unwrap();
        assert!((98..=100).contains(&forgotten), "{forgotten}");
        assert!(store.forget_answers(NOW + 2 * DAY).await.unwrap() >= 899);
        // Their bodies went with them.
        assert_eq!(home.run("DELETE FROM secrets").await, 0);
    })
    .await;
}
