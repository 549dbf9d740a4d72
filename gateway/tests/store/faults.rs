//! Disks that are full or read-only, and a Postgres that goes away: a clear word, and nothing that was answered is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use domain::Cost;
use gateway::{
    secrets::{KeySource, Keys},
    store::{
        Account, AuditEvent, AuditStream, Booking, Owner, Page, Place, Reserved, Store, StoreError,
    },
};
use secrecy::SecretString;
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
        let name = format!("n{:06}", kept.len());
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
        let name = format!("n{:06}", kept.len());
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

/// What a process of its own is told to write to; see the next tests.
const WRITE_TO: &str = "OPENSHELL_STORE_WRITES_TO";

/// Runs the test of that name in a process of its own, until it has noted ten more steps; then kills it. Gives how many steps
/// it has noted in all.
fn killed_after_ten_more(test: &str, folder: &Path, before: i64) -> i64 {
    let mut writer = Command::new(std::env::current_exe().unwrap());
    let writer = writer.args(["--exact", test]).env(WRITE_TO, folder).stdout(Stdio::null());
    let writer = Writer(writer.spawn().unwrap());
    let begun = Instant::now();
    while noted(folder) < before + 10 {
        assert!(begun.elapsed() < Duration::from_mins(1), "it does not write");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    drop(writer);
    noted(folder)
}

/// A process that writes until it is killed, which it is also where a test fails.
struct Writer(Child);

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn noted(folder: &Path) -> i64 {
    let text = fs::read_to_string(folder.join("noted")).unwrap_or_default();
    text.parse().unwrap_or(0)
}

fn note(folder: &Path, step: i64) {
    fs::write(folder.join("noted.new"), step.to_string()).unwrap();
    fs::rename(folder.join("noted.new"), folder.join("noted")).unwrap();
}

async fn opened(folder: &Path) -> (Store, KeySource) {
    let source = KeySource::File(folder.join("master.key"));
    let place = Place::Sqlite(folder.join("openshell.db"));
    (Store::open(&place, source.load().await.unwrap()).await.unwrap(), source)
}

fn account() -> Account {
    Account { scope: "sandbox".into(), owner: "a".into(), period: "2026-11-26".into() }
}

#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_and_books_nothing_twice() {
    if let Some(folder) = std::env::var_os(WRITE_TO) {
        return write_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut most, mut expired) = (0, 0);
    for _ in 0..5 {
        let test = "faults::a_writer_that_is_killed_loses_nothing_and_books_nothing_twice";
        most = killed_after_ten_more(test, folder.path(), most);
        let (store, _) = opened(folder.path()).await;
        let report = store.verify_audit().await.unwrap();
        assert_eq!(report.fault, None);
        assert!((most..=most + 1).contains(&report.last_position), "{report:?} {most}");
        let balance = store.balance(&account()).await.unwrap();
        // A call that an earlier life had set aside and never settled was spent with all 5 of it, instead of 1.
        let (settled, most) = (balance.settled.0, most.unsigned_abs() + 4 * expired);
        assert!((most..=most + 1).contains(&settled), "{balance:?} {most}");
        // What was set aside for a call that was never settled, and nothing else.
        let now = store.expire_reservations(i64::MAX).await.unwrap();
        assert_eq!(now, balance.reserved.0 / 5);
        expired += now;
        store.close().await;
    }
}

/// Writes an event and books a call, again and again, and notes each step that was answered.
async fn write_until_killed(folder: &Path) {
    let (store, _) = opened(folder).await;
    loop {
        let step = store.append_audit(STREAM, &[]).await.unwrap().next_sequence;
        let bookings = [Booking { account: account(), limit: None }];
        let id = format!("call-{step}");
        let reserved = store.reserve(&id, Cost(5), &bookings, i64::MAX).await.unwrap();
        if matches!(reserved, Reserved::Granted(_)) {
            store.settle(&id, Cost(1)).await.unwrap();
        }
        let event = AuditEvent { sequence: step, kind: "http".into(), at_ms: 0, line: "{}".into() };
        store.append_audit(STREAM, &[event]).await.unwrap();
        note(folder, step);
    }
}

#[tokio::test]
async fn a_rotation_that_is_killed_loses_no_secret() {
    const OWNER: Owner<'_> = Owner { kind: "provider", id: "one" };
    if let Some(folder) = std::env::var_os(WRITE_TO) {
        let folder = Path::new(&folder);
        let (store, source) = opened(folder).await;
        for step in noted(folder) + 1.. {
            store.rotate(&source).await.unwrap();
            note(folder, step);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = opened(folder.path()).await;
    for number in 0..150 {
        let secret = SecretString::from(number.to_string());
        store.put_secret(OWNER, &format!("n{number:03}"), &secret).await.unwrap();
    }
    store.close().await;
    let mut rotations = 0;
    for _ in 0..4 {
        let test = "faults::a_rotation_that_is_killed_loses_no_secret";
        rotations = killed_after_ten_more(test, folder.path(), rotations);
        let (store, source) = opened(folder.path()).await;
        assert_eq!(store.secrets(OWNER).await.unwrap().len(), 150);
        // What was left half done is ended by the next one.
        store.rotate(&source).await.unwrap();
        assert_eq!(source.load().await.unwrap().ids().count(), 1);
        assert_eq!(store.secrets(OWNER).await.unwrap().len(), 150);
        store.close().await;
    }
}
