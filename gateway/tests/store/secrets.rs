//! Secrets: sealed to their place, rotated while running, and nowhere in the bytes.

use gateway::{
    secrets::{KeySource, Keys, KeysError},
    store::{Owner, RotateError, Store, StoreError},
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::place::{Home, on_both};

const ONE: Owner<'_> = Owner { kind: "provider", id: "one" };
const TWO: Owner<'_> = Owner { kind: "provider", id: "two" };

async fn put(store: &Store, owner: Owner<'_>, name: &str, value: &str) {
    store.put_secret(owner, name, &SecretString::from(value.to_owned())).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what came back is compared")]
pub(crate) async fn value(store: &Store, owner: Owner<'_>, name: &str) -> Option<String> {
    let secret = store.secret(owner, name).await.unwrap();
    secret.map(|secret| secret.expose_secret().to_owned())
}

#[tokio::test]
async fn values_are_kept_by_owner_and_name() {
    on_both(async |home| {
        let store = &home.store;
        put(store, ONE, "b", "first").await;
        put(store, ONE, "a", "").await;
        put(store, TWO, "b", "theirs, ü").await;
        put(store, ONE, "b", "second").await;
        assert_eq!(store.secret_names(ONE).await.unwrap(), ["a", "b"]);
        assert_eq!(value(store, ONE, "b").await.as_deref(), Some("second"));
        assert_eq!(value(&home.again().await, ONE, "a").await.as_deref(), Some(""));
        assert_eq!(value(store, ONE, "c").await, None);
        let all = store.secrets(ONE).await.unwrap();
        assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(!format!("{all:?}").contains("second"));
        assert!(store.remove_secret(ONE, "a").await.unwrap());
        assert!(!store.remove_secret(ONE, "a").await.unwrap());
        assert_eq!(store.remove_secrets(ONE).await.unwrap(), 1);
        assert!(store.secret_names(ONE).await.unwrap().is_empty());
        assert_eq!(value(store, TWO, "b").await.as_deref(), Some("theirs, ü"));
    })
    .await;
}

#[tokio::test]
async fn several_values_come_together_or_not_at_all() {
    on_both(async |home| {
        let secret = SecretString::from("x".to_owned());
        let large = SecretString::from("x".repeat((64 << 10) + 1));
        let put = home.store.put_secrets(ONE, &[("a", &secret), ("b", &large)]).await;
        assert!(matches!(put, Err(StoreError::Invalid(_))), "{put:?}");
        assert!(home.store.secret_names(ONE).await.unwrap().is_empty());
        home.store.put_secrets(ONE, &[("a", &secret), ("b", &secret)]).await.unwrap();
        assert_eq!(home.store.secret_names(ONE).await.unwrap(), ["a", "b"]);
    })
    .await;
}

#[tokio::test]
async fn a_row_that_was_moved_or_changed_does_not_open() {
    on_both(async |home| {
        let store = &home.store;
        put(store, ONE, "a", "mine").await;
        put(store, ONE, "b", "mine too").await;
        for change in [
            "UPDATE secrets SET name = 'c' WHERE name = 'a'",
            "UPDATE secrets SET name = 'a', owner_id = 'two' WHERE name = 'c'",
            "UPDATE secrets SET owner_id = 'one', sealed = (SELECT sealed FROM secrets WHERE name = 'b') WHERE name = 'a'",
        ] {
            assert_eq!(home.run(change).await, 1);
        }
        assert!(matches!(store.secret(ONE, "a").await, Err(StoreError::Seal(_))));
        assert!(matches!(store.secrets(ONE).await, Err(StoreError::Seal(_))));
        assert_eq!(value(store, ONE, "b").await.as_deref(), Some("mine too"));
        home.run("UPDATE secrets SET owner_id = 'two' WHERE name = 'b'").await;
        assert!(matches!(store.secret(TWO, "b").await, Err(StoreError::Seal(_))));
    })
    .await;
}

#[tokio::test]
async fn no_secret_is_in_the_bytes_of_the_database() {
    on_both(async |home| {
        let secret = "sk-very-secret-5f3a9c";
        put(&home.store, ONE, "OPENAI_API_KEY", secret).await;
        put(&home.store, ONE, "OPENAI_API_KEY", &format!("{secret}-second")).await;
        let contains =
            |bytes: &[u8], word: &str| memchr::memmem::find(bytes, word.as_bytes()).is_some();
        let bytes = home.bytes();
        assert!(contains(&bytes, "OPENAI_API_KEY"), "this looks at the wrong bytes");
        assert!(!contains(&bytes, secret));
        home.store.close().await;
        assert!(!contains(&home.bytes(), secret));
    })
    .await;
}

#[tokio::test]
async fn the_master_key_is_replaced_while_running() {
    on_both(async |home| {
        let source = KeySource::File(home.folder.path().join("master.key"));
        let old = source.load().await.unwrap();
        home.store.adopt(old.clone()).await.unwrap_err(); // another key than the one that it began with
        let mut home = home;
        home.store = opened(&home, &old).await;
        let store = &home.store;
        for number in 0..250 {
            put(store, ONE, &format!("n{number:03}"), &number.to_string()).await;
        }
        let writing = async {
            for number in 0..20 {
                put(store, TWO, &format!("n{number:03}"), &number.to_string()).await;
            }
        };
        let (resealed, ()) = tokio::join!(store.rotate(&source), writing);
        assert!(resealed.unwrap() >= 250);
        let new = source.load().await.unwrap();
        assert_eq!(new.ids().count(), 1);
        assert_ne!(new.current(), old.current());
        put(store, ONE, "after", "x").await;
        assert_eq!(store.rotate(&source).await.unwrap(), 271);
        let new = source.load().await.unwrap();
        let again = Store::open(&home.place, new).await.unwrap();
        for number in [0, 99, 100, 249] {
            let found = value(&again, ONE, &format!("n{number:03}")).await;
            assert_eq!(found, Some(number.to_string()));
        }
        assert_eq!(again.secrets(TWO).await.unwrap().len(), 20);
        assert_eq!(again.reseal().await.unwrap(), 0);
    })
    .await;
}

/// An empty store of the same kind under other keys.
async fn opened(home: &Home, keys: &Keys) -> Store {
    home.run("DELETE FROM keyring").await;
    Store::open(&home.place, keys.clone()).await.unwrap()
}

#[tokio::test]
async fn a_process_with_old_keys_seals_nothing_under_them() {
    on_both(async |home| {
        let behind = home.again().await;
        put(&behind, ONE, "a", "x").await;
        let new = Keys::random().unwrap();
        assert!(matches!(home.store.adopt(new.clone()).await, Err(StoreError::Key(_))));
        put(&behind, ONE, "b", "x").await; // a refused change changes nothing
        let text = home.folder.path().join("k");
        let source = KeySource::File(text);
        source.load().await.unwrap();
        let refused = home.store.rotate(&source).await;
        assert!(matches!(refused, Err(RotateError::Store(StoreError::Key(_)))), "{refused:?}");
        assert_eq!(source.load().await.unwrap().ids().count(), 1);
        assert_eq!(value(&behind, ONE, "a").await.as_deref(), Some("x"));
    })
    .await;
}

#[tokio::test]
async fn of_two_rotations_at_once_one_waits_its_turn() {
    on_both(async |home| {
        let source = KeySource::File(home.folder.path().join("master.key"));
        let store = opened(&home, &source.load().await.unwrap()).await;
        let other = Store::open(&home.place, source.load().await.unwrap()).await.unwrap();
        for number in 0..150 {
            put(&store, ONE, &format!("n{number:03}"), "x").await;
        }
        let (first, second) = tokio::join!(store.rotate(&source), other.rotate(&source));
        let rotating = RotateError::Source(KeysError::Rotating).to_string();
        for result in [&first, &second] {
            assert!(result.as_ref().map_or_else(|error| error.to_string() == rotating, |_| true));
        }
        assert!(first.is_ok() || second.is_ok());
        let again = Store::open(&home.place, source.load().await.unwrap()).await.unwrap();
        assert_eq!(again.secrets(ONE).await.unwrap().len(), 150);
        again.rotate(&source).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_process_that_missed_a_rotation_is_told_and_goes_on_with_the_new_key() {
    on_both(async |home| {
        let source = KeySource::File(home.folder.path().join("master.key"));
        let old = source.load().await.unwrap();
        let store = opened(&home, &old).await;
        put(&store, ONE, "a", "x").await;
        let behind = Store::open(&home.place, old).await.unwrap();
        store.rotate(&source).await.unwrap();
        let secret = SecretString::from("y".to_owned());
        let refused = behind.put_secret(ONE, "a", &secret).await;
        assert!(matches!(refused, Err(StoreError::Key(_))), "{refused:?}");
        assert!(matches!(behind.secret(ONE, "a").await, Err(StoreError::Key(_))));
        behind.adopt(source.load().await.unwrap()).await.unwrap();
        assert_eq!(value(&behind, ONE, "a").await.as_deref(), Some("x"));
        put(&behind, ONE, "a", "y").await;
        assert_eq!(value(&store, ONE, "a").await.as_deref(), Some("y"));
    })
    .await;
}

#[tokio::test]
async fn a_value_that_does_not_open_is_named_and_no_keys_pile_up() {
    on_both(async |home| {
        let source = KeySource::File(home.folder.path().join("master.key"));
        let old = source.load().await.unwrap();
        let store = opened(&home, &old).await;
        put(&store, ONE, "good", "x").await;
        put(&store, TWO, "bad", "x").await;
        home.run("UPDATE secrets SET owner_id = 'three' WHERE owner_id = 'two'").await;
        let mut fronts = Vec::new();
        for _ in 0..3 {
            let refused = store.rotate(&source).await.unwrap_err();
            let RotateError::Store(error) = &refused else { panic!("{refused:?}") };
            assert!(error.to_string().contains("bad of provider three"), "{error}");
            let keys = source.load().await.unwrap();
            assert_eq!(keys.ids().nth(1), Some(old.current()));
            assert_eq!(keys.ids().count(), 2);
            fronts.push(keys.current().clone());
        }
        assert!(fronts.iter().all(|front| *front == fronts[0]));
        home.run("DELETE FROM secrets WHERE owner_id = 'three'").await;
        store.rotate(&source).await.unwrap();
        let keys = source.load().await.unwrap();
        assert_eq!(keys.ids().collect::<Vec<_>>(), [&fronts[0]]);
        assert_eq!(value(&store, ONE, "good").await.as_deref(), Some("x"));
    })
    .await;
}

#[tokio::test]
async fn no_key_goes_while_another_process_has_put_it_in_force_again() {
    on_both(async |home| {
        let source = KeySource::File(home.folder.path().join("master.key"));
        let old = source.load().await.unwrap();
        let store = opened(&home, &old).await;
        put(&store, ONE, "a", "x").await;
        // It does so in the middle of the rotation.
        let (make, remove) = if home.postgres.is_some() {
            (
                "CREATE FUNCTION back() RETURNS trigger LANGUAGE plpgsql AS $$ \
                 BEGIN UPDATE keyring SET key_id = OLD.key_id; RETURN NEW; END $$; \
                 CREATE TRIGGER back AFTER UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION back()",
                "DROP TRIGGER back ON secrets",
            )
        } else {
            (
                "CREATE TRIGGER back AFTER UPDATE ON secrets \
                 BEGIN UPDATE keyring SET key_id = OLD.key_id; END",
                "DROP TRIGGER back",
            )
        };
        home.run(make).await;
        let refused = store.rotate(&source).await;
        assert!(matches!(refused, Err(RotateError::Meanwhile)), "{refused:?}");
        let both = source.load().await.unwrap();
        assert_eq!(both.ids().nth(1), Some(old.current()));
        home.run(remove).await;
        store.rotate(&source).await.unwrap();
        let new = source.load().await.unwrap();
        assert_eq!(new.ids().collect::<Vec<_>>(), [both.current()]);
        let again = Store::open(&home.place, new).await.unwrap();
        assert_eq!(value(&again, ONE, "a").await.as_deref(), Some("x"));
    })
    .await;
}

#[tokio::test]
async fn a_process_that_comes_with_old_keys_during_a_rotation_does_not_put_them_in_force() {
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
    let Some(home) = Home::in_postgres().await else { return };
    let behind = home.again().await;
    // A process that seals, and then puts another key in force.
    let mut rotation = home.connect().await;
    let mut change = rotation.begin().await.unwrap();
    change.execute("SELECT key_id FROM keyring FOR SHARE").await.unwrap();
    let mut watch = home.connect().await;
    let commit = async {
        let waits = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted";
        while sqlx::query_scalar::<_, i64>(AssertSqlSafe(waits))
            .fetch_one(&mut watch)
            .await
            .unwrap()
            == 0
        {
            tokio::task::yield_now().await;
        }
        change.execute("UPDATE keyring SET key_id = 'new'").await.unwrap();
        change.commit().await.unwrap();
    };
    let (adopted, ()) = tokio::join!(behind.adopt(home.keys.clone()), commit);
    assert!(matches!(&adopted, Err(StoreError::Key(id)) if id == "new"), "{adopted:?}");
}

#[tokio::test]
async fn the_wrong_master_key_is_named_at_once() {
    on_both(async |home| {
        let error = Store::open(&home.place, Keys::random().unwrap()).await.unwrap_err();
        let named = home.keys.current().to_string();
        assert!(matches!(&error, StoreError::Key(id) if *id == named), "{error:?}");
        assert!(error.to_string().contains(&named));
        put(&home.again().await, ONE, "a", "the right key still works").await;
    })
    .await;
}
