//! Objects with their secrets: no moment, and no failure, shows one without the other.

use gateway::store::{Owner, SecretChanges, StoreError, Stored};
use secrecy::SecretString;

use crate::{
    objects::{Thing, thing},
    place::{Home, on_both},
    secrets::value,
};

const KIND: &str = "thing";

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

async fn names(home: &Home, of: &Stored<Thing>) -> Vec<String> {
    let owner = Owner { kind: KIND, id: &of.id.to_string() };
    home.store.secret_names(owner).await.unwrap()
}

/// An object `one` with the secrets `a` and `b`.
async fn made(home: &Home) -> Stored<Thing> {
    let (a, b) = (secret("first a"), secret("first b"));
    let put = [("a", &a), ("b", &b)];
    let secrets = SecretChanges { owner_kind: KIND, put: &put, remove: &[] };
    home.store.create_with_secrets("default", "one", &thing("first"), &secrets).await.unwrap()
}

#[tokio::test]
async fn an_object_changes_with_its_secrets() {
    on_both(async |home| {
        let first = made(&home).await;
        assert_eq!(names(&home, &first).await, ["a", "b"]);
        let (a, c) = (secret("second a"), secret("c"));
        let secrets = SecretChanges {
            owner_kind: KIND,
            put: &[("a", &a), ("c", &c)],
            remove: &["b", "never there"],
        };
        let second =
            home.store.replace_with_secrets(&first, &thing("second"), &secrets).await.unwrap();
        assert_eq!((second.id, second.version), (first.id, 2));
        assert_eq!(names(&home, &first).await, ["a", "c"]);
        let owner = Owner { kind: KIND, id: &first.id.to_string() };
        assert_eq!(value(&home.store, owner, "a").await.as_deref(), Some("second a"));
        assert!(
            home.store.remove_with_secrets::<Thing>("default", "one", None, KIND).await.unwrap()
        );
        assert!(names(&home, &first).await.is_empty());
        assert!(
            !home.store.remove_with_secrets::<Thing>("default", "one", None, KIND).await.unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn what_fails_changes_neither_the_object_nor_its_secrets() {
    on_both(async |home| {
        let (store, first) = (&home.store, made(&home).await);
        let (new, large) = (secret("new"), secret(&"x".repeat((64 << 10) + 1)));
        let put = [("a", &new), ("z", &large)];
        let secrets = SecretChanges { owner_kind: KIND, put: &put, remove: &["b"] };
        let refused = store.replace_with_secrets(&first, &thing("second"), &secrets).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        let refused = store.create_with_secrets("default", "two", &thing(""), &secrets).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        assert!(store.find::<Thing>("default", "two").await.unwrap().is_none());
        // Of that name, and of an older version.
        let small = SecretChanges { put: &[("a", &new)], ..secrets };
        let refused = store.create_with_secrets("default", "one", &thing(""), &small).await;
        assert!(matches!(refused, Err(StoreError::Exists)), "{refused:?}");
        let stale = Stored { version: 7, ..first.clone() };
        let refused = store.replace_with_secrets(&stale, &thing("second"), &small).await;
        assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
        let refused = store.remove_with_secrets::<Thing>("default", "one", Some(7), KIND).await;
        assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
        assert_eq!(store.find("default", "one").await.unwrap().as_ref(), Some(&first));
        assert_eq!(names(&home, &first).await, ["a", "b"]);
        let owner = Owner { kind: KIND, id: &first.id.to_string() };
        assert_eq!(value(store, owner, "a").await.as_deref(), Some("first a"));
    })
    .await;
}

#[tokio::test]
async fn of_two_that_change_both_at_once_the_late_one_changes_no_secret() {
    on_both(async |home| {
        let (other, mut current) = (home.again().await, made(&home).await);
        for _ in 0..10 {
            let (left, right) = (secret("left"), secret("right"));
            let secrets = |value| SecretChanges { owner_kind: KIND, put: value, remove: &[] };
            let (put_left, put_right) = ([("a", &left)], [("a", &right)]);
            let (body_left, body_right) = (thing("left"), thing("right"));
            let (from_left, from_right) = (secrets(&put_left), secrets(&put_right));
            let (first, second) = tokio::join!(
                home.store.replace_with_secrets(&current, &body_left, &from_left),
                other.replace_with_secrets(&current, &body_right, &from_right),
            );
            let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
            assert!(matches!(lost, Err(StoreError::Stale)), "{lost:?}");
            current = won.unwrap();
            let owner = Owner { kind: KIND, id: &current.id.to_string() };
            assert_eq!(value(&other, owner, "a").await.as_ref(), Some(&current.body.text));
        }
    })
    .await;
}
