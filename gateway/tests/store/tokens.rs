//! Tokens: found by hash, valid for a time, revoked for good.

use gateway::store::{NewToken, Page, Store, StoreError};

use crate::place::on_both;

const MINUTE: i64 = 60_000;

fn new<'a>(hash: &'a [u8; 32], holder: &'a str, scopes: &'a [String]) -> NewToken<'a> {
    NewToken { hash, holder, label: "laptop", scopes, expires_ms: None }
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_and_nothing_else() {
    on_both(async |home| {
        let scopes = ["sandbox:read".to_owned(), "policy:write".to_owned()];
        let made = home.store.create_token(&new(&[7; 32], "ann", &scopes)).await.unwrap();
        assert_eq!(home.store.token(&[7; 32]).await.unwrap(), Some(made.clone()));
        assert_eq!(made.scopes, scopes);
        assert_eq!(home.store.token(&[8; 32]).await.unwrap(), None);
        let again = home.store.create_token(&new(&[7; 32], "bob", &[])).await;
        assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
        let nobody = home.store.create_token(&new(&[9; 32], "", &[])).await;
        assert!(matches!(nobody, Err(StoreError::Invalid(_))), "{nobody:?}");
    })
    .await;
}

#[tokio::test]
async fn tokens_end_by_time_and_by_revocation() {
    on_both(async |home| {
        let store = &home.store;
        let ends = NewToken { expires_ms: Some(1000), ..new(&[1; 32], "ann", &[]) };
        let made = store.create_token(&ends).await.unwrap();
        assert!(made.is_valid(999) && !made.is_valid(1000));
        let lasts = store.create_token(&new(&[2; 32], "ann", &[])).await.unwrap();
        let theirs = store.create_token(&new(&[3; 32], "bob", &[])).await.unwrap();
        assert!(lasts.is_valid(i64::MAX));
        assert_eq!(store.end_token(lasts.id, Some("bob"), 5).await.unwrap(), None);
        assert_eq!(store.end_token(lasts.id, Some("ann"), 5).await.unwrap(), Some([2; 32]));
        assert_eq!(store.end_token(lasts.id, None, 6).await.unwrap(), None);
        let found = store.token(&[2; 32]).await.unwrap().unwrap();
        assert!(found.revoked_ms == Some(5) && !found.is_valid(0));
        assert_eq!(store.revoke_tokens_of("ann", 7).await.unwrap(), [[1; 32]]);
        assert!(store.revoke_tokens_of("ann", 7).await.unwrap().is_empty());
        assert!(store.token(&[3; 32]).await.unwrap().unwrap().is_valid(8));
        assert_eq!(store.forget_void_tokens(6).await.unwrap(), 1);
        assert_eq!(store.forget_void_tokens(2000).await.unwrap(), 1);
        assert_eq!(store.tokens(None, &Page::default()).await.unwrap().items, [theirs]);
    })
    .await;
}

#[tokio::test]
async fn only_tokens_in_force_count_and_of_two_at_once_one_is_too_many() {
    on_both(async |home| {
        let (store, other) = (&home.store, home.again().await);
        let make = async |store: &Store, number: u8, expires_ms| {
            let hash = [number; 32];
            let token = NewToken { expires_ms, ..new(&hash, "ann", &[]) };
            store.create_token_within(&token, 3, 1000).await
        };
        make(store, 1, Some(1000)).await.unwrap(); // void from the start
        let revoked = make(store, 2, None).await.unwrap();
        store.end_token(revoked.id, None, 900).await.unwrap();
        store.create_token(&new(&[3; 32], "bob", &[])).await.unwrap();
        make(store, 4, Some(1001)).await.unwrap();
        make(store, 5, None).await.unwrap();
        for round in 0..10 {
            let (one, two) = (10 + 2 * round, 11 + 2 * round);
            let both = tokio::join!(make(store, one, None), make(&other, two, None));
            let (won, lost) = if both.0.is_ok() { both } else { (both.1, both.0) };
            assert!(matches!(lost, Err(StoreError::TooMany)), "{lost:?}");
            store.end_token(won.unwrap().id, None, 900).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_use_is_written_once_a_minute() {
    on_both(async |home| {
        let store = &home.store;
        store.create_token(&new(&[1; 32], "ann", &[])).await.unwrap();
        let token = async || store.token(&[1; 32]).await.unwrap().unwrap();
        let fresh = token().await;
        assert!(store.note_token_use(&fresh, 10 * MINUTE).await.unwrap());
        // Whoever read it before the write does not write again, nor does a clock that went back.
        assert!(!store.note_token_use(&fresh, 10 * MINUTE + 1).await.unwrap());
        assert!(!store.note_token_use(&fresh, 3 * MINUTE).await.unwrap());
        let used = token().await;
        assert_eq!(used.used_ms, Some(10 * MINUTE));
        assert!(!store.note_token_use(&used, 11 * MINUTE - 1).await.unwrap());
        assert!(store.note_token_use(&used, 11 * MINUTE).await.unwrap());
        assert_eq!(token().await.used_ms, Some(11 * MINUTE));
    })
    .await;
}

#[tokio::test]
async fn tokens_are_listed_in_the_order_they_were_made() {
    on_both(async |home| {
        for (number, holder) in (0..).zip(["ann", "bob", "ann", "ann"]) {
            home.store.create_token(&new(&[number; 32], holder, &[])).await.unwrap();
        }
        let list = async |holder| {
            let (mut ids, mut page) = (Vec::new(), Page { after: None, limit: 2 });
            loop {
                let listed = home.store.tokens(holder, &page).await.unwrap();
                ids.extend(listed.items.iter().map(|token| token.id));
                page.after = listed.next;
                if page.after.is_none() {
                    return ids;
                }
            }
        };
        let (all, anns) = (list(None).await, list(Some("ann")).await);
        assert_eq!((all.len(), anns.len()), (4, 3));
        assert!(all.is_sorted() && anns.is_sorted() && !anns.contains(&all[1]));
    })
    .await;
}
