//! `openshell sandbox pool`: sandboxes that stand before anybody asks for one.
//!
//! Each has a supervisor of its own, so nobody else needs to live for the pool. Who takes one leaves another in its place.

use std::{
    process::{ExitCode, Stdio},
    thread::JoinHandle,
};

use anyhow::Context as _;
use drivers::supervisor::{self, Role};
use sandbox::{
    control::{Request, client::Supervisor},
    pool::{PREPARED_MAX, Pool, TakeError},
    state::{Folder, Record},
};

use super::{block_on, create, home, life};
use crate::{args::sandbox::PoolArgs, failure::Failure, output};

/// What a prepared sandbox is called where people read of it.
const NAME: &str = "that is prepared";

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
            folder.remove().ok();
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

fn end(folder: &Folder) -> Result<(), Failure> {
    if folder.is_attended() {
        life::end(NAME, folder, 0)?;
    }
    Ok(folder.remove().context("cannot remove a prepared sandbox")?)
}

/// What came of asking for a prepared sandbox.
pub(super) enum Taken {
    /// It stands under its name. Another one is being prepared, which is to be waited for at the very end.
    Stands(JoinHandle<()>),
    /// The folder is there, and has to be started like any other.
    Folder,
    /// There is none.
    Nothing,
}

/// Takes a prepared sandbox for this record.
pub(super) fn take(record: &Record, policy: &str, to: &Folder) -> Result<Taken, TakeError> {
    let Ok(home) = home() else { return Ok(Taken::Nothing) };
    let pool = Pool::of(&home);
    let Some(taken) = pool.take(record, policy, to)? else { return Ok(Taken::Nothing) };
    let adopt = Request::Adopt { folder: to.path().to_owned() };
    let adopted = block_on(async { Ok(Supervisor::of(to).ask(&adopt).await.is_ok()) });
    if !adopted.unwrap_or_default() {
        // What would be built by now is something else.
        life::end(&record.name, to, 0).ok();
        return Ok(Taken::Folder);
    }
    // Beside what the new sandbox begins with; nobody waits for it to stand.
    let next = std::thread::spawn(move || {
        if let Ok(folder) = add(&pool, &taken.policy) {
            let mut command = supervisor::command(&folder, Role::Prepared);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            if command.spawn().is_err() {
                folder.remove().ok();
            }
        }
    });
    Ok(Taken::Stands(next))
}
