//! Backups: whole, of one moment, for either database, and without a secret in them.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use domain::Cost;
use gateway::{
    secrets::Keys,
    store::{
        Account, AuditEvent, AuditQuery, AuditStream, NewToken, Owner, Page, Place, PolicyAdded,
        Store, StoreError,
    },
};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{
    objects::{Thing, thing},
    place::{Home, on_both},
};

const SECRET: &str = "sk-very-secret-9c1d";
const OWNER: Owner<'_> = Owner { kind: "provider", id: "p1" };
const STREAM: AuditStream<'_> = AuditStream { sandbox: "s1", instance: "run-1" };

fn account() -> Account {
    Account { scope: "sandbox".into(), owner: "s1".into(), period: "2026-11-26".into() }
}

fn event(sequence: i64) -> AuditEvent {
    AuditEvent { sequence, kind: "http".into(), at_ms: sequence, line: "{\"ü\":1}".into() }
}

async fn fill(store: &Store) {
    for number in 0..120 {
        store
            .create("default", &format!("n{number:03}"), &thing(&number.to_string()))
            .await
            .unwrap();
    }
    store.put_secret(OWNER, "KEY", &SecretString::from(SECRET.to_owned())).await.unwrap();
    let token =
        NewToken { hash: &[1; 32], holder: "ann", label: "", scopes: &[], expires_ms: None };
    store.create_token(&token).await.unwrap();
    store.add_policy("s1", "version: 1\n", None).await.unwrap();
    store.policy_loaded("s1", 1).await.unwrap();
    store.append_audit(STREAM, &(1..=60).map(event).collect::<Vec<_>>()).await.unwrap();
    store.spend("c1", Cost(7), &[account()]).await.unwrap();
}

#[expect(clippy::disallowed_methods, reason = "what came back is compared")]
async fn assert_filled(store: &Store) {
    let page = Page { after: None, limit: 1000 };
    assert_eq!(store.list::<Thing>(None, &page).await.unwrap().items.len(), 120);
    let found = store.find::<Thing>("default", "n077").await.unwrap().unwrap();
    assert_eq!((found.body.text.as_str(), found.version), ("77", 1));
    assert_eq!(store.secret(OWNER, "KEY").await.unwrap().unwrap().expose_secret(), SECRET);
    let token = store.token(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((token.holder.as_str(), token.expires_ms), ("ann", None));
    assert_eq!(store.newest_good_policy("s1").await.unwrap().unwrap().version, 1);
    let report = store.verify_audit().await.unwrap();
    assert_eq!((report.lines, report.fault), (60, None));
    assert_eq!(store.balance(&account()).await.unwrap().settled, Cost(7));
    // And it goes on from there.
    let appended = store.append_audit(STREAM, &[event(60), event(61)]).await.unwrap();
    assert_eq!((appended.repeated, appended.stored), (1, 1));
    assert!(matches!(
        store.add_policy("s1", "version: 1\n", None).await.unwrap(),
        PolicyAdded::Unchanged(_)
    ));
    assert!(!store.spend("c1", Cost(7), &[account()]).await.unwrap());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_backup_of_either_fills_either() {
    on_both(async |home| {
        fill(&home.store).await;
        let backup = home.folder.path().join("backup.db");
        home.store.backup(&backup).await.unwrap();
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
        let bytes = fs::read(&backup).unwrap();
        assert!(memchr::memmem::find(&bytes, b"n077").is_some());
        assert!(memchr::memmem::find(&bytes, SECRET.as_bytes()).is_none());
        let again = home.store.backup(&backup).await;
        assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
        let of_same_kind = home.elsewhere();
        let in_file = Place::Sqlite(home.folder.path().join("restored.db"));
        let other = Home::in_postgres().await;
        for place in [of_same_kind, in_file].iter().chain(other.iter().map(|other| &other.place)) {
            let restored = Store::restore(place, home.keys.clone(), &backup).await.unwrap();
            assert_filled(&restored).await;
            restored.close().await;
        }
        assert_eq!(fs::read(&backup).unwrap(), bytes);
        let names: Vec<_> = entries(home.folder.path());
        assert!(!names.iter().any(|name| name.to_string_lossy().contains("part")), "{names:?}");
    })
    .await;
}

#[tokio::test]
async fn a_backup_is_of_one_moment_while_others_write() {
    on_both(async |home| {
        let store = &home.store;
        store.append_audit(STREAM, &[event(1)]).await.unwrap();
        let writing = async {
            for number in 2..60 {
                store.append_audit(STREAM, &[event(number)]).await.unwrap();
                store.create("default", &format!("{number}"), &thing("")).await.unwrap();
            }
        };
        let backups = async {
            for number in 0..3 {
                store.backup(&home.folder.path().join(format!("{number}.db"))).await.unwrap();
            }
        };
        tokio::join!(writing, backups);
        for number in 0..3 {
            let place = Place::Sqlite(home.folder.path().join(format!("restored-{number}.db")));
            let from = home.folder.path().join(format!("{number}.db"));
            let restored = Store::restore(&place, home.keys.clone(), &from).await.unwrap();
            let report = restored.verify_audit().await.unwrap();
            assert_eq!(report.fault, None);
            let page = Page { after: None, limit: 1000 };
            let things = restored.list::<Thing>(None, &page).await.unwrap().items.len();
            let events = usize::try_from(report.lines).unwrap();
            assert!(things + 1 == events || things + 2 == events, "{things} {events}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_and_touches_nothing() {
    on_both(async |home| {
        fill(&home.store).await;
        let folder = home.folder.path();
        let backup = folder.join("backup.db");
        home.store.backup(&backup).await.unwrap();
        let bytes = fs::read(&backup).unwrap();
        let keys = || home.keys.clone();
        let into_full = Store::restore(&home.place, keys(), &backup).await;
        assert!(matches!(into_full, Err(StoreError::NotEmpty)), "{into_full:?}");
        assert_filled(&home.store).await;
        let target = home.elsewhere();
        let wrong_key = Store::restore(&target, Keys::random().unwrap(), &backup).await;
        assert!(matches!(wrong_key, Err(StoreError::Key(_))), "{wrong_key:?}");
        let missing = Store::restore(&target, keys(), &folder.join("none.db")).await;
        assert!(matches!(missing, Err(StoreError::File { .. })), "{missing:?}");
        let half = bytes[..bytes.len() / 2].to_vec();
        for broken in [Vec::new(), b"no database at all, just words\n".repeat(200), half] {
            let path = folder.join("broken.db");
            fs::write(&path, &broken).unwrap();
            let refused = Store::restore(&target, keys(), &path).await;
            assert!(matches!(refused, Err(StoreError::Damaged)), "{refused:?}");
            assert_eq!(fs::read(&path).unwrap(), broken);
        }
        // After all that the place is still empty.
        assert_filled(&Store::restore(&target, keys(), &backup).await.unwrap()).await;
    })
    .await;
}

#[tokio::test]
async fn a_backup_of_a_newer_version_is_refused_and_of_an_older_one_brought_forward() {
    let home = Home::in_file().await;
    let backup = home.folder.path().join("backup.db");
    home.store.create("default", "one", &thing("kept")).await.unwrap();
    // As the version before the ledger left it.
    home.run(
        "DROP TABLE calls; DROP TABLE accounts; DROP TABLE reservations; DELETE FROM _sqlx_migrations WHERE version >= 7",
    )
    .await;
    home.store.backup(&backup).await.unwrap();
    let target = home.elsewhere();
    let restored = Store::restore(&target, home.keys.clone(), &backup).await.unwrap();
    assert_eq!(
        restored.find::<Thing>("default", "one").await.unwrap().unwrap().body,
        thing("kept")
    );
    restored.spend("c1", Cost(1), &[account()]).await.unwrap();
    assert!(
        restored.audit(&AuditQuery::default(), &Page::default()).await.unwrap().items.is_empty()
    );

    home.run(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         SELECT 9999, 'later', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1",
    )
    .await;
    let newer = home.folder.path().join("newer.db");
    home.store.backup(&newer).await.unwrap();
    let place = Place::Sqlite(home.folder.path().join("third.db"));
    let refused = Store::restore(&place, home.keys.clone(), &newer).await;
    assert!(matches!(refused, Err(StoreError::Newer { found: 9999, .. })), "{refused:?}");
    assert!(!home.folder.path().join("third.db").exists());
}
