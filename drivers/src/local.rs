//! This machine: a supervisor is a process of this user, and a sandbox is a folder in its home.
//!
//! Supervisors outlive whoever started them, so what runs is known from the folders alone.

use std::{io, time::Duration};

use sandbox::{
    control::client::Supervisor,
    policies::Policies,
    state::{Folder, Home, Phase, Record},
};
use tokio::task::spawn_blocking;

use crate::{
    DriverError,
    supervisor::{self, Role},
};

/// Sandboxes of this user in one home.
#[derive(Clone, Debug)]
pub struct Local {
    home: Home,
}

/// What a new sandbox begins with.
#[derive(Clone, Debug)]
pub struct Order {
    /// What was asked for.
    pub record: Record,
    /// Its policy, YAML.
    pub policy: String,
    /// What proves to the router which sandbox it is.
    pub token: Option<Vec<u8>>,
}

/// A sandbox as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The name of its folder.
    pub folder: String,
    /// What was asked for when it was made.
    pub record: Record,
    /// How it is doing.
    pub state: sandbox::state::State,
    /// Whether a supervisor holds it.
    pub attended: bool,
}

impl Local {
    /// The driver of this home.
    pub fn new(home: Home) -> Self {
        Self { home }
    }

    /// The folder of a sandbox.
    pub fn folder(&self, name: &str) -> Folder {
        self.home.sandbox(name)
    }

    /// The supervisor of a sandbox, to be asked.
    pub fn supervisor(&self, name: &str) -> Supervisor {
        Supervisor::of(&self.folder(name))
    }

    /// Every sandbox that is there.
    ///
    /// # Errors
    /// When the home is there and cannot be read.
    pub async fn list(&self) -> Result<Vec<Observed>, DriverError> {
        let home = self.home.clone();
        let looked = spawn_blocking(move || {
            let names = home.names()?;
            // One that is deleted in this moment is none.
            Ok(names.iter().filter_map(|name| look(name, &home.sandbox(name)).ok()).collect())
        });
        finished(looked.await, "list sandboxes")
    }

    /// One sandbox; `None` when there is none of that name.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub async fn inspect(&self, name: &str) -> Result<Option<Observed>, DriverError> {
        let (name, folder) = (name.to_owned(), self.folder(name));
        let looked = spawn_blocking(move || match look(&name, &folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        });
        finished(looked.await, "look at a sandbox")
    }

    /// Makes the folder of a sandbox. One of that name with the same id is left as it is.
    ///
    /// # Errors
    /// A policy that cannot be used; a folder that cannot be made, or belongs to another sandbox.
    pub async fn create(&self, name: &str, order: Order) -> Result<(), DriverError> {
        let folder = self.folder(name);
        let made = spawn_blocking(move || {
            match folder.create(&order.record) {
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && folder.record().is_ok_and(|known| known.id == order.record.id) =>
                {
                    return Ok(());
                }
                other => other.map_err(DriverError::system("make the folder of the sandbox"))?,
            }
            let filled = fill(&folder, &order);
            if filled.is_err() {
                // It never stood, so there is nothing to keep.
                folder.remove().ok();
            }
            filled
        });
        made.await.map_err(|error| panicked(error, "make a sandbox"))?
    }

    /// Starts the supervisor of a sandbox, and waits until the sandbox stands. One that runs is left as it is.
    ///
    /// # Errors
    /// Why the sandbox does not stand.
    pub async fn start(&self, name: &str) -> Result<(), DriverError> {
        let folder = self.folder(name);
        if folder.is_attended() {
            return Ok(());
        }
        supervisor::start(&folder, Role::Sandbox).await
    }

    /// Ends the main command of a sandbox, everything else in it, and its supervisor. One that does not run is left as it is.
    ///
    /// # Errors
    /// When it does not end within `grace` and a few seconds.
    pub async fn stop(&self, name: &str, grace: Duration) -> Result<(), DriverError> {
        supervisor::stop(&self.folder(name), grace).await
    }

    /// Ends a sandbox, by force where it must be, and removes everything of it.
    ///
    /// # Errors
    /// What cannot be removed.
    pub async fn delete(&self, name: &str) -> Result<(), DriverError> {
        let folder = self.folder(name);
        supervisor::end(&folder).await?;
        let removed = spawn_blocking(move || folder.remove());
        finished(removed.await, "remove the folder of the sandbox")
    }
}

fn look(name: &str, folder: &Folder) -> io::Result<Observed> {
    let record = folder.record()?;
    // Who holds it is asked first: one that begins meanwhile has written its state before.
    let attended = folder.is_attended();
    let mut state = folder.state()?;
    if !attended && state.phase == Phase::Ready {
        state.phase = Phase::Error;
        state.running = false;
    }
    Ok(Observed { folder: name.to_owned(), record, state, attended })
}

fn fill(folder: &Folder, order: &Order) -> Result<(), DriverError> {
    Policies::open(folder)
        .map_err(DriverError::system("read the policies of the sandbox"))?
        .set(&order.policy)?;
    match &order.token {
        Some(token) => {
            folder.keep_token(token).map_err(DriverError::system("keep the token of the sandbox"))
        }
        None => Ok(()),
    }
}

fn finished<T>(
    done: Result<io::Result<T>, tokio::task::JoinError>,
    what: &'static str,
) -> Result<T, DriverError> {
    done.map_err(|error| panicked(error, what))?.map_err(DriverError::system(what))
}

fn panicked(error: tokio::task::JoinError, what: &'static str) -> DriverError {
    DriverError::System { what, source: io::Error::other(error) }
}
