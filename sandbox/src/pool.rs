//! Sandboxes that were prepared: their walls stand, nothing runs in them, and they wait to be taken.
//!
//! Each is a folder below `pool/` of the home with a supervisor of its own, which holds it; nobody else needs to live for it.
//! Who takes one moves the folder to its name, which only one can do, puts the record and the policy there, and asks the
//! supervisor to [`crate::control::Request::Adopt`] them. Everything that is built before a program starts must be what is
//! asked for: paths, Landlock, the user, limits. Environment, labels, network policy, providers and the router may be any.
//!
//! Not here: starting supervisors, which whoever has a program for it does. Invariant: a sandbox that does not fit is not used.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::PathBuf,
    time::Duration,
};

use policy::PolicyFile;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use crate::{
    control::Failed,
    policies::{Policies, parse},
    state::{Folder, Home, Phase, Record, State, Whole},
    supervisor::SOCKET,
};

/// The most that wait at once; each is a process with some megabytes.
pub const PREPARED_MAX: usize = 16;
/// The policy that one was built by.
const POLICY: &str = "prepared.yaml";
/// Who it was built by.
const ORIGIN: &str = "prepared.json";
/// What it calls itself inside, whatever it is called later.
const NAME: &str = "sandbox";
/// How long a supervisor may take from the folder that is made for it to the lock on it.
const BEGIN_MAX: Duration = Duration::from_mins(1);
/// How the name of a folder ends that is being removed.
const DEAD: &str = "dead";
/// What a supervisor reads of its environment once it serves: whom it trusts.
const ENVIRONMENT: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The pool of one home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool(PathBuf);

impl Pool {
    /// The pool of this home, which need not exist.
    pub fn of(home: &Home) -> Self {
        Self(home.pool())
    }

    /// Those that are there, whether they stand yet or not, and what is left of dead ones.
    ///
    /// # Errors
    /// When the folder is there and cannot be read.
    pub fn prepared(&self) -> io::Result<Vec<Folder>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|entry| Ok(Folder::at(entry?.path()))).collect()
    }

    /// The folder for one more, to be given to a supervisor of this program that prepares it. The id tells it from every other
    /// sandbox.
    ///
    /// # Errors
    /// When the policy is none, the pool is full, or the disk is.
    pub fn add(&self, id: &str, policy: &str) -> Result<Folder, Failed> {
        parse(policy)?;
        let unwritable = |error: io::Error| {
            let hint = "set OPENSHELL_HOME to a folder that you can write";
            Failed::new(format!("cannot prepare a sandbox: {error}"), hint)
        };
        if self.living().map_err(unwritable)?.len() >= PREPARED_MAX {
            let hint = "take one, or end them with `openshell sandbox pool 0`";
            return Err(Failed::new(
                format!("{PREPARED_MAX} sandboxes are prepared already"),
                hint,
            ));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(unwritable)?;
        let folder = Folder::at(self.0.join(id));
        let record = Record { id: id.to_owned(), name: NAME.to_owned(), ..Record::default() };
        folder.create(&record).map_err(unwritable)?;
        folder.put(POLICY, policy.as_bytes()).map_err(unwritable)?;
        Origin::own().and_then(|own| folder.write(ORIGIN, &own)).map_err(unwritable)?;
        Ok(folder)
    }

    /// Takes one for this record and puts it into `to`. What it was built by fits, as far as files tell; it is to be filled, and
    /// its supervisor is still to be asked. `None` when there is none; what is left of dead ones is removed on the way.
    ///
    /// # Errors
    /// `AlreadyExists` when there is something at `to`; else when the folder cannot be written.
    pub fn take(
        &self,
        record: &Record,
        policy: &str,
        to: &Folder,
    ) -> Result<Option<Taken>, TakeError> {
        let wanted = parse(policy)?;
        if record.limits != Whole::default() {
            return Ok(None);
        }
        let living = self.living()?;
        if living.is_empty() {
            return Ok(None);
        }
        let here = Origin::own()?;
        for folder in living {
            let Ok(own) = folder.record() else { continue };
            let Ok(text) = fs::read_to_string(folder.path().join(POLICY)) else { continue };
            let stands = folder.is_attended() && folder.path().join(SOCKET).exists();
            let is_ours = folder.read::<Origin>(ORIGIN).is_ok_and(|origin| origin == here);
            let fits = parse(&text).is_ok_and(|built| is_built_alike(&built, &wanted));
            if !stands || !is_ours || !fits {
                continue;
            }
            if let Some(parent) = to.path().parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            }
            match renameat_with(CWD, folder.path(), CWD, to.path(), RenameFlags::NOREPLACE) {
                // Somebody else was faster; or files here cannot be moved so that nothing is replaced.
                Err(Errno::NOENT | Errno::INVAL) => continue,
                other => other.map_err(io::Error::from)?,
            }
            return Ok(Some(Taken { folder: to.clone(), id: own.id, policy: text }));
        }
        Ok(None)
    }

    /// Those that stand or are being built. Removes what is left of others.
    fn living(&self) -> io::Result<Vec<Folder>> {
        let mut living = Vec::new();
        for folder in self.prepared()? {
            if is_dead(&folder) {
                // What cannot be removed now is tried again by whoever comes next. Who has the lock of one that was dead knows
                // that it still is: it gets one supervisor only.
                discard(&folder).ok();
            } else if !is_set_aside(&folder) {
                living.push(folder);
            }
        }
        Ok(living)
    }
}

/// Removes a folder of the pool whose supervisor has ended. It is moved aside before, so that nobody takes it meanwhile; one that is
/// gone was taken.
///
/// # Errors
/// `WouldBlock` when a supervisor has it; else what cannot be removed.
pub fn discard(folder: &Folder) -> io::Result<()> {
    let discarded = folder.lock().and_then(|_lock| match set_aside(folder)? {
        Some(aside) => aside.remove(),
        None => Ok(()),
    });
    match discarded {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Moves a folder of the pool aside, so that nobody takes it any more, for whoever ends its supervisor and discards it. `None` when
/// somebody has taken or removed it.
///
/// # Errors
/// When it cannot be moved.
pub fn set_aside(folder: &Folder) -> io::Result<Option<Folder>> {
    let aside = Folder::at(folder.path().with_extension(DEAD));
    match fs::rename(folder.path(), aside.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(|()| Some(aside)),
    }
}

fn is_set_aside(folder: &Folder) -> bool {
    folder.path().extension().is_some_and(|extension| extension == DEAD)
}

/// Whether its supervisor was killed, has failed, or never began. One that has only just been started has no lock yet.
fn is_dead(folder: &Folder) -> bool {
    let is_old = |found: Metadata| {
        // A clock that was set back tells nothing.
        found.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > BEGIN_MAX))
    };
    !folder.is_attended()
        && (is_set_aside(folder)
            || folder.path().join(SOCKET).exists()
            || folder.state().is_ok_and(|state| state.phase == Phase::Error)
            || fs::metadata(folder.path()).is_ok_and(is_old))
}

/// One that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it is now.
    folder: Folder,
    id: String,
    /// The policy that it was built by, for whoever prepares another in its place.
    pub policy: String,
}

impl Taken {
    /// Gives it the record and the policy. When that fails, what is there is no sandbox and is to be ended and removed.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn fill(&self, record: &Record, policy: &str) -> Result<(), TakeError> {
        let record = Record { id: self.id.clone(), ..record.clone() };
        self.folder.keep_record(&record)?;
        self.folder.write("state.json", &State::default())?;
        for name in [POLICY, ORIGIN] {
            fs::remove_file(self.folder.path().join(name))?;
        }
        Policies::open(&self.folder)?.set(policy)?;
        Ok(())
    }
}

/// What a prepared sandbox has of whoever asked for it, whose program and environment its supervisor runs with.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    version: String,
    /// Where the program is stored and when it was written, which also tells two builds of one version apart.
    program: (u64, u64, i64, i64),
    environment: BTreeMap<String, PathBuf>,
}

impl Origin {
    fn own() -> io::Result<Self> {
        let program = fs::metadata("/proc/self/exe")?;
        let value = |name: &str| Some((name.to_owned(), env::var_os(name)?.into()));
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: (program.dev(), program.ino(), program.mtime(), program.mtime_nsec()),
            environment: ENVIRONMENT.into_iter().filter_map(value).collect(),
        })
    }
}

/// Why none could be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The folders cannot be read or written; `AlreadyExists`: the name is taken.
    #[error("cannot take a prepared sandbox")]
    Disk(#[from] io::Error),
    /// The policy cannot be kept.
    #[error(transparent)]
    Policy(#[from] Failed),
}

/// Whether both ask for the same walls.
fn is_built_alike(one: &PolicyFile, other: &PolicyFile) -> bool {
    one.filesystem == other.filesystem
        && one.landlock == other.landlock
        && one.process == other.process
}

/// The policy that the prepared sandbox of this folder is built by.
pub(crate) fn policy_of(folder: &Folder) -> Result<PolicyFile, Failed> {
    let text = fs::read_to_string(folder.path().join(POLICY));
    let text = text.map_err(|error| Failed::new(format!("cannot read {POLICY}: {error}"), ""))?;
    parse(&text)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const POLICY_TEXT: &str = "version: 1\n";

    struct Prepared {
        home: tempfile::TempDir,
        pool: Pool,
        folder: Folder,
        /// Held as its supervisor would.
        lock: File,
    }

    fn pool() -> (tempfile::TempDir, Pool) {
        let home = tempfile::tempdir().unwrap();
        let pool = Pool::of(&Home::new(home.path()));
        (home, pool)
    }

    /// One that stands, as far as files tell.
    fn prepared() -> Prepared {
        let (home, pool) = pool();
        let folder = pool.add("1", POLICY_TEXT).unwrap();
        fs::write(folder.path().join(SOCKET), "").unwrap();
        let lock = folder.lock().unwrap();
        Prepared { home, pool, folder, lock }
    }

    impl Prepared {
        fn take(&self) -> Option<Taken> {
            let to = Home::new(self.home.path()).sandbox("otter");
            self.pool.take(&Record::default(), POLICY_TEXT, &to).unwrap()
        }
    }

    fn make_old(folder: &Folder) {
        let at = std::time::SystemTime::now() - 2 * BEGIN_MAX;
        File::open(folder.path()).unwrap().set_modified(at).unwrap();
    }

    #[test]
    fn one_that_stands_is_taken_and_filled() {
        let one = prepared();
        let taken = one.take().unwrap();
        let record =
            Record { id: "other".to_owned(), name: "otter".to_owned(), ..Record::default() };
        taken.fill(&record, POLICY_TEXT).unwrap();
        let folder = Home::new(one.home.path()).sandbox("otter");
        assert_eq!(folder.record().unwrap(), Record { id: "1".to_owned(), ..record });
        assert!(!folder.path().join(ORIGIN).exists());
        assert_eq!(one.take(), None);
    }

    #[test]
    fn one_of_another_program_or_another_trust_is_not_taken() {
        let changes: [fn(&mut Origin); 3] = [
            |origin| origin.version.push('x'),
            |origin| origin.program.2 += 1,
            |origin| {
                let none = origin.environment.remove("SSL_CERT_FILE").is_none();
                origin.environment.extend(none.then(|| ("SSL_CERT_FILE".into(), "/x".into())));
            },
        ];
        for change in changes {
            let one = prepared();
            let mut origin = one.folder.read::<Origin>(ORIGIN).unwrap();
            change(&mut origin);
            one.folder.write(ORIGIN, &origin).unwrap();
            assert_eq!(one.take(), None, "{origin:?}");
            assert!(one.folder.path().exists(), "it waits on for whoever it fits");
        }
    }

    #[test]
    fn what_is_left_of_dead_ones_makes_room_and_what_begins_is_left_alone() {
        let (_home, pool) = pool();
        let folders: Vec<_> =
            (0..PREPARED_MAX).map(|n| pool.add(&n.to_string(), POLICY_TEXT).unwrap()).collect();
        pool.add("more", POLICY_TEXT).unwrap_err();
        let [begins, held, killed, never, failed, aside, ..] = &folders[..] else { panic!() };
        let _lock = held.lock().unwrap();
        for folder in [held, killed] {
            fs::write(folder.path().join(SOCKET), "").unwrap();
        }
        failed.write("state.json", &State { phase: Phase::Error, ..State::default() }).unwrap();
        fs::rename(aside.path(), aside.path().with_extension(DEAD)).unwrap();
        make_old(held);
        make_old(never);
        pool.add("more", POLICY_TEXT).unwrap();
        for (folder, is_there) in
            [(begins, true), (held, true), (killed, false), (never, false), (failed, false)]
        {
            assert_eq!(folder.path().exists(), is_there, "{folder:?}");
        }
        assert_eq!(pool.prepared().unwrap().len(), PREPARED_MAX - 4 + 1);
    }

    #[test]
    fn one_that_is_set_aside_is_taken_by_nobody_and_discarded_later() {
        let one = prepared();
        let aside = set_aside(&one.folder).unwrap().unwrap();
        assert_eq!(one.take(), None);
        assert_eq!(set_aside(&one.folder).unwrap(), None, "somebody was faster");
        assert_eq!(set_aside(&aside).unwrap(), Some(aside.clone()), "once more changes nothing");
        drop(one.lock);
        discard(&aside).unwrap();
        assert!(one.pool.prepared().unwrap().is_empty());
    }

    #[test]
    fn only_what_nobody_holds_is_discarded() {
        let one = prepared();
        assert_eq!(discard(&one.folder).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(one.folder.record().is_ok());
        drop(one.lock);
        discard(&one.folder).unwrap();
        discard(&one.folder).unwrap();
        assert!(one.pool.prepared().unwrap().is_empty());
    }
}
