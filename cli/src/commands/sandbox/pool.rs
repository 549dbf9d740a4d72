//! `openshell sandbox pool`: sandboxes that stand before anybody asks for one.
//!
//! Each has a supervisor of its own, so nobody else needs to live for the pool. Who takes one leaves another in its place.

use std::{
    io,
    process::{ExitCode, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use drivers::supervisor::{self, Role};
use sandbox::{
    control::{Request, client::Supervisor},
    pool::{PREPARED_MAX, Pool, TakeError, discard, set_aside},
    state::{Folder, Record},
};
use tokio::time::timeout;

use super::{block_on, create, home, life, started};
use crate::{args::sandbox::PoolArgs, failure::Failure, output};

/// What a prepared sandbox is called where people read of it.
const NAME: &str = "that is prepared";
/// How long a prepared sandbox may take to become somebody's, which takes it milliseconds. Building one anew takes less.
const ADOPT_MAX: Duration = Duration::from_secs(10);

/// Makes or ends as many as it takes.
pub(super) fn run(args: &PoolArgs) -> Result<ExitCode, Failure> {
    let pool = Pool::of(&home()?);
    let there = pool.prepared().context("cannot read the pool")?;
    let Some(size) = args.size else {
        let standing = there.iter().filter(|folder| folder.is_attended()).count();
        output::line(&format!("{standing} sandboxes are prepared"))?;
        return Ok(ExitCode::SUCCESS);
    };
    if size > PREPARED_MAX {
        return Err(Failure::usage(format!("{size} sandboxes are too many to be kept prepared"))
            .hint(format!("{PREPARED_MAX} is the limit")));
    }
    let policy = create::policy_text(args.policy.as_deref())?;
    // Those that are there may have been built by another policy, or long ago.
    for folder in &there {
        end(folder)?;
    }
    for _ in 0..size {
        let folder = add(&pool, &policy)?;
        let stands = super::spawn(NAME, &folder, Role::Prepared);
        if let Err(failure) = stands {
            end(&folder).ok();
            return Err(failure);
        }
    }
    output::line(&format!("✓ {size} sandboxes are prepared"))?;
    Ok(ExitCode::SUCCESS)
}

fn add(pool: &Pool, policy: &str) -> Result<Folder, Failure> {
    let id = uuid::Uuid::new_v4().to_string();
    pool.add(&id, policy).map_err(|failed| Failure::new(failed.message).hint(failed.hint))
}

/// Ends one by force: nobody's program runs in it, and one that is still being built would hear nothing.
fn end(folder: &Folder) -> Result<(), Failure> {
    let unremoved = "cannot remove a prepared sandbox";
    let Some(aside) = set_aside(folder).context(unremoved)? else { return Ok(()) };
    let kill = || block_on(async { started(NAME, &aside, supervisor::kill(&aside).await) });
    kill()?;
    let ended = match discard(&aside) {
        // Its supervisor has only just begun.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            kill()?;
            discard(&aside)
        }
        other => other,
    };
    Ok(ended.context(unremoved)?)
}

/// A prepared sandbox that is somebody's now.
pub(super) struct Taken {
    /// Whether it stands. Else only its folder is there, and has to be started like any other.
    pub(super) stands: bool,
    /// Another one in its place.
    pub(super) _next: Next,
}

/// Prepares another one beside what the new sandbox begins with; nobody waits for it to stand. Who drops it waits until it is on
/// its way.
pub(super) struct Next(Option<JoinHandle<()>>);

impl Next {
    fn begin(pool: Pool, policy: String) -> Self {
        Self(Some(thread::spawn(move || {
            let Ok(folder) = add(&pool, &policy) else { return };
            let mut command = supervisor::command(&folder, Role::Prepared);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if command.spawn().is_err() {
                discard(&folder).ok();
            }
        })))
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // It only starts a process, and has nothing to say.
            thread.join().ok();
        }
    }
}

/// Takes a prepared sandbox for this record. `None` when there is none that fits.
pub(super) fn take(record: &Record, policy: &str, to: &Folder) -> Result<Option<Taken>, TakeError> {
    let Ok(home) = home() else { return Ok(None) };
    let pool = Pool::of(&home);
    let Some(taken) = pool.take(record, policy, to)? else { return Ok(None) };
    let filled = taken.fill(record, policy);
    let next = Next::begin(pool, taken.policy);
    if let Err(error) = filled {
        life::end_by_force(&record.name, to).ok();
        to.remove().ok();
        return Err(error);
    }
    let stands = adopt(to);
    if !stands {
        // What would be built by now is something else, or it does not answer.
        life::end_by_force(&record.name, to).ok();
    }
    Ok(Some(Taken { stands, _next: next }))
}

/// Whether its supervisor takes over what is in the folder now.
fn adopt(to: &Folder) -> bool {
    let request = Request::Adopt { folder: to.path().to_owned() };
    let adopted = block_on(async {
        let answer = timeout(ADOPT_MAX, Supervisor::of(to).ask(&request)).await;
        if answer.is_err() {
            supervisor::kill(to).await?;
        }
        Ok(answer.is_ok_and(|answer| answer.is_ok()))
    });
    adopted.unwrap_or_default()
}
