//! Disks that are full or read-only, and a Postgres that goes away: a clear word, and nothing that was answered is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use gateway::{
    secrets::Keys,
    store::{AuditEvent, AuditStream, Page, Place, Store, StoreError},
};
use tempfile::TempDir;

use crate::{
    objects::{Thing, thing},
    place::Home,
};

const STREAM: AuditStream<'_> = AuditStream { sandbox: "s1", instance: "run-1" };

/// A disk of a few megabytes, gone when dropped. `None` for who may not mount one, which is said.
struct Disk(TempDir);

impl Disk {
    fn small() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        #[expect(clippy::print_stderr, reason = "what was not checked is said")]
        {
            eprintln!("skipped: a small disk can be mounted by root alone");
        }
        None
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("openshell.db")
    }

    fn set(&self, mode: &str) {
        let option = format!("remount,{mode},size=3m");
        let status = Command::new("mount").args(["-o", &option]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

async fn names(store: &Store) -> Vec<String> {
    let (mut names, mut page) = (Vec::new(), Page { after: None, limit: 1000 });
    loop {
        let listed = store.list::<Thing>(None, &page).await.unwrap();
        names.extend(listed.items.into_iter().map(|one| one.name));
        page.after = listed.next;
        if page.after.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let Some(disk) = Disk::small() else { return };
    let keys = Keys::random().unwrap();
    let store = Store::open(&Place::Sqlite(disk.path()), keys.clone()).await.unwrap();
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![0; 1 << 20]).unwrap();
    let (mut kept, mut sequence) = (Vec::new(), 0);
    let full = loop {
        let name = format!("n{:04}", kept.len());
        match store.create("default", &name, &thing(&"x".repeat(5000))).await {
            Ok(_) => kept.push(name),
            Err(error) => break error,
        }
        let event =
            AuditEvent { sequence: sequence + 1, kind: "http".into(), at_ms: 0, line: "{}".into() };
        match store.append_audit(STREAM, &[event]).await {
            Ok(appended) => sequence = appended.next_sequence - 1,
            Err(error) => break error,
        }
        assert!(kept.len() < 2000, "a disk of 3 MB is never full");
    };
    assert!(matches!(full, StoreError::Full), "{full:?}");
    assert!(kept.len() > 20, "{}", kept.len());
    // Everything that was answered is there, and can still be read.
    assert_eq!(names(&store).await, kept);
    let refused = store.backup(&disk.0.path().join("backup.db")).await;
    assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
    assert!(!disk.0.path().join("backup.db").exists());
    // With room again it goes on, without a restart and after one.
    fs::remove_file(&filler).unwrap();
    store.create("default", "z-after", &thing("")).await.unwrap();
    kept.push("z-after".to_owned());
    store.close().await;
    let again = Store::open(&Place::Sqlite(disk.path()), keys).await.unwrap();
    assert_eq!(names(&again).await, kept);
    let report = again.verify_audit().await.unwrap();
    assert_eq!((report.last_position, report.fault), (sequence, None));
    again.close().await;
}

#[tokio::test]
async fn a_disk_that_is_full_from_the_start_is_told() {
    let Some(disk) = Disk::small() else { return };
    fs::write(disk.0.path().join("filler"), vec![0; (3 << 20) - (8 << 10)]).unwrap();
    let opened = Store::open(&Place::Sqlite(disk.path()), Keys::random().unwrap()).await;
    assert!(matches!(opened, Err(StoreError::Full)), "{opened:?}");
}

#[tokio::test]
async fn a_read_only_disk_is_told_and_loses_nothing() {
    let Some(disk) = Disk::small() else { return };
    let (place, keys) = (Place::Sqlite(disk.path()), Keys::random().unwrap());
    let store = Store::open(&place, keys.clone()).await.unwrap();
    store.create("default", "one", &thing("")).await.unwrap();
    store.close().await;
    disk.set("ro");
    let refused = Store::open(&place, keys.clone()).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    let elsewhere = Place::Sqlite(disk.0.path().join("new/openshell.db"));
    let refused = Store::open(&elsewhere, keys.clone()).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly)), "{refused:?}");
    disk.set("rw");
    let again = Store::open(&place, keys).await.unwrap();
    assert_eq!(names(&again).await, ["one"]);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_goes_away_and_comes_back_is_survived() {
    let Some(mut home) = Home::in_postgres().await else { return };
    let store = home.store.clone();
    store.create("default", "n0000", &thing("")).await.unwrap();
    // It goes away in the middle of many writes.
    let (mut kept, mut goes) = (vec!["n0000".to_owned()], None);
    let unavailable = loop {
        let name = format!("n{:04}", kept.len());
        match store.create("default", &name, &thing("")).await {
            Ok(_) => kept.push(name),
            Err(error) => break error,
        }
        if kept.len() == 20 {
            let mut postgres = home.postgres.take().unwrap();
            goes = Some(std::thread::spawn(move || {
                postgres.stop();
                postgres
            }));
        }
        assert!(kept.len() < 100_000, "it never went away");
    };
    assert!(matches!(unavailable, StoreError::Unavailable(_)), "{unavailable:?}");
    let mut postgres = goes.unwrap().join().unwrap();
    let away = store.ping().await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    postgres.start_again();
    store.ping().await.unwrap();
    let found = names(&store).await;
    // What was answered is there; of the last one nobody knows.
    assert_eq!(found[..kept.len()], kept);
    assert!(found.len() <= kept.len() + 1, "{found:?}");
    store.create("default", "z-after", &thing("")).await.unwrap();
}

/// What a process of its own is told to write to; see the next test.
const WRITE_TO: &str = "OPENSHELL_STORE_WRITES_TO";

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_that_was_answered() {
    if let Some(path) = std::env::var_os(WRITE_TO) {
        return write_until_killed(Path::new(&path)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    let mut most = 0;
    for _ in 0..5 {
        let mut writer = Command::new(&me);
        writer.args(["--exact", "faults::a_writer_that_is_killed_loses_nothing_that_was_answered"]);
        let writer = writer.env(WRITE_TO, folder.path()).stdout(Stdio::null());
        let mut writer = writer.spawn().unwrap();
        let answered = || {
            let text = fs::read_to_string(folder.path().join("answered")).unwrap_or_default();
            text.parse::<i64>().unwrap_or(0)
        };
        let (begun, before) = (Instant::now(), most);
        while answered() < before + 10 {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not write");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        most = answered();
        let key = fs::read_to_string(folder.path().join("key")).unwrap();
        let place = Place::Sqlite(folder.path().join("openshell.db"));
        let store = Store::open(&place, Keys::parse(&key).unwrap()).await.unwrap();
        let report = store.verify_audit().await.unwrap();
        assert_eq!(report.fault, None);
        assert!(
            report.last_position == most || report.last_position == most + 1,
            "{report:?} {most}"
        );
        store.close().await;
    }
}

/// Writes event after event, and the number of each that was answered to a file beside.
async fn write_until_killed(folder: &Path) {
    let key = folder.join("key");
    if !key.exists() {
        fs::write(&key, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")
            .unwrap();
    }
    let keys = Keys::parse(&fs::read_to_string(key).unwrap()).unwrap();
    let store = Store::open(&Place::Sqlite(folder.join("openshell.db")), keys).await.unwrap();
    loop {
        let next = store.append_audit(STREAM, &[]).await.unwrap().next_sequence;
        let event = AuditEvent { sequence: next, kind: "http".into(), at_ms: 0, line: "{}".into() };
        store.append_audit(STREAM, &[event]).await.unwrap();
        fs::write(folder.join("answered.new"), next.to_string()).unwrap();
        fs::rename(folder.join("answered.new"), folder.join("answered")).unwrap();
    }
}
