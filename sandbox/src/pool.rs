//! Sandboxes that were prepared: their walls stand, nothing runs in them, and they wait to be taken.
//!
//! Each is a folder below `pool/` of the home with a supervisor of its own, which holds it; nobody else needs to live for it.
//! Who takes one moves the folder to its name, which only one can do, puts the record and the policy there, and asks the
//! supervisor to [`crate::control::Request::Adopt`] them. Everything that is built before a program starts must be what is
//! asked for: paths, Landlock, the user, limits. Environment, labels, network policy, providers and the router may be any.
//!
//! Not here: starting supervisors, which whoever has a program for it does. Invariant: a sandbox that does not fit is not used.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::PathBuf,
};

use policy::PolicyFile;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

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
/// What it calls itself inside, whatever it is called later.
const NAME: &str = "sandbox";

/// The pool of one home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool(PathBuf);

impl Pool {
    /// The pool of this home, which need not exist.
    pub fn of(home: &Home) -> Self {
        Self(home.pool())
    }

    /// Those that are there, whether they stand yet or not.
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

    /// The folder for one more, to be given to a supervisor that prepares it. The id tells it from every other sandbox.
    ///
    /// # Errors
    /// When the policy is none, the pool is full, or the disk is.
    pub fn add(&self, id: &str, policy: &str) -> Result<Folder, Failed> {
        parse(policy)?;
        let unwritable = |error: io::Error| {
            let hint = "set OPENSHELL_HOME to a folder that you can write";
            Failed::new(format!("cannot prepare a sandbox: {error}"), hint)
        };
        if self.prepared().map_err(unwritable)?.len() >= PREPARED_MAX {
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
        Ok(folder)
    }

    /// Takes one for this record and puts it into `to`, with its policy. What it was built by fits, as far as files tell; its
    /// supervisor is still to be asked. `None` when there is none; what is left of dead ones is removed on the way.
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
        for folder in self.prepared()? {
            if !folder.is_attended() {
                // Its supervisor was killed or has failed; or it has only just been started and has no lock yet.
                let has_failed = folder.state().is_ok_and(|state| state.phase == Phase::Error);
                if has_failed || folder.path().join(SOCKET).exists() {
                    folder.remove()?;
                }
                continue;
            }
            let Ok(own) = folder.record() else { continue };
            let Ok(text) = fs::read_to_string(folder.path().join(POLICY)) else { continue };
            let stands = folder.path().join(SOCKET).exists();
            if !stands || !parse(&text).is_ok_and(|built| is_built_alike(&built, &wanted)) {
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
            to.write("sandbox.json", &Record { id: own.id, ..record.clone() })?;
            to.write("state.json", &State::default())?;
            fs::remove_file(to.path().join(POLICY))?;
            Policies::open(to)?.set(policy)?;
            return Ok(Some(Taken { policy: text }));
        }
        Ok(None)
    }
}

/// One that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The policy that it was built by, for whoever prepares another in its place.
    pub policy: String,
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
