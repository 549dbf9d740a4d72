//! Opening: for its owner alone, forward from older forms, and never into what a newer version wrote.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use gateway::{
    secrets::Keys,
    store::{Place, Store, StoreError},
};

use crate::{
    objects::{Thing, thing},
    place::{Home, on_both},
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_file_is_for_its_owner_alone() {
    let home = Home::in_file().await;
    home.store.create("default", "one", &thing("")).await.unwrap();
    let folder = home.file().parent().unwrap();
    assert_eq!(mode(folder), 0o700);
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    home.store.close().await;
    fs::set_permissions(home.file(), fs::Permissions::from_mode(0o644)).unwrap();
    home.again().await;
    assert_eq!(mode(home.file()), 0o600);
}

#[tokio::test]
async fn any_path_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["with space", "100%.db", "a?b#c.db", "ü.db", "%41"] {
        let place = Place::Sqlite(folder.path().join(name));
        let keys = Keys::random().unwrap();
        let store = Store::open(&place, keys).await.unwrap();
        store.create("default", "one", &thing(name)).await.unwrap();
        assert!(folder.path().join(name).metadata().unwrap().len() > 0, "{name}");
    }
}

#[tokio::test]
async fn the_schema_of_a_newer_version_is_refused_and_left_alone() {
    on_both(async |home| {
        home.store.create("default", "one", &thing("kept")).await.unwrap();
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'later', success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
        assert_eq!(home.run(newer).await, 1);
        let error = Store::open(&home.place, home.keys.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 9999, .. }), "{error:?}");
        assert!(error.to_string().contains("9999"), "{error}");
        home.run("DELETE FROM _sqlx_migrations WHERE version = 9999").await;
        // Nothing was changed, and nothing that it held keeps the next one out.
        let found = home.again().await.find::<Thing>("default", "one").await.unwrap().unwrap();
        assert_eq!(found.body, thing("kept"));
    })
    .await;
}

#[tokio::test]
async fn a_step_that_was_changed_later_is_noticed() {
    on_both(async |home| {
        home.run("UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 1) WHERE version = 2").await;
        let error = Store::open(&home.place, home.keys.clone()).await.unwrap_err();
        assert!(matches!(error, StoreError::Schema(_)), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn many_that_open_an_empty_place_at_once_all_succeed() {
    on_both(async |home| {
        let place = home.elsewhere();
        let open = || Store::open(&place, home.keys.clone());
        let (one, two, three, four) = tokio::join!(open(), open(), open(), open());
        for store in [one, two, three, four] {
            store.unwrap().ping().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diary.txt");
    let text = "Dear diary, today I wrote no database at all. ".repeat(50);
    fs::write(&path, &text).unwrap();
    let keys = Keys::random().unwrap();
    let error = Store::open(&Place::Sqlite(path.clone()), keys.clone()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let error = Store::open(&Place::Sqlite(folder.path().to_owned()), keys).await.unwrap_err();
    assert!(matches!(error, StoreError::File { .. } | StoreError::Database(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres:///d?host={}&user=u&password=hunter2", folder.path().display());
    let place: Place = url.parse().unwrap();
    let error = Store::open(&place, Keys::random().unwrap()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

#[tokio::test]
async fn what_the_store_does_can_be_done_on_any_thread() {
    fn goes_anywhere<T: Send>(_: &T) {}
    let home = Home::in_file().await;
    let (store, page) = (&home.store, gateway::store::Page::default());
    let (one, path) = (store.create("default", "one", &thing("")).await.unwrap(), home.file());
    let source = gateway::secrets::KeySource::File(path.to_owned());
    goes_anywhere(&source.load());
    goes_anywhere(&Store::open(&home.place, home.keys.clone()));
    goes_anywhere(&Store::restore(&home.place, home.keys.clone(), path));
    goes_anywhere(&store.backup(path));
    goes_anywhere(&store.create("default", "two", &one.body));
    goes_anywhere(&store.list::<Thing>(None, &page));
    goes_anywhere(&store.replace(&one, &one.body));
    goes_anywhere(&store.rotate(&source));
    goes_anywhere(&store.add_policy("s", "", None));
    goes_anywhere(&store.verify_audit());
    goes_anywhere(&store.record_audit("user", 0, "{}"));
    goes_anywhere(&store.settle("c", domain::Cost(1)));
    goes_anywhere(&store.expire_reservations(0));
    goes_anywhere(&store.forget_answers(0));
}
