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

    /// The names of all sandboxes that have a folder. Blocks.
    ///
    /// # Errors
    /// When the home is there and cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        self.home.names()
    }

    /// Every folder of a sandbox that is there, by its name, and what can be seen of it: `NotFound` for one that is being made or
    /// was never made to the end; anything else when it cannot be read.
    ///
    /// # Errors
    /// When the home is there and cannot be read.
    pub async fn list(&self) -> Result<Vec<(String, io::Result<Observed>)>, DriverError> {
        let home = self.home.clone();
        let looked = spawn_blocking(move || {
            let look = |name: String| {
                let seen = look(&home.sandbox(&name));
                (name, seen)
            };
            Ok(home.names()?.into_iter().map(look).collect())
        });
        finished(looked.await, "list sandboxes")
    }

    /// One sandbox; `None` when there is none of that name.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub async fn inspect(&self, name: &str) -> Result<Option<Observed>, DriverError> {
        let folder = self.folder(name);
        let looked = spawn_blocking(move || match look(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        });
        finished(looked.await, "look at a sandbox")
    }

    /// Makes the folder of a sandbox. What is missing of one with the same id is made; what is there is left as it is.
    ///
    /// # Errors
    /// A policy that cannot be used; a folder that cannot be made, or belongs to another sandbox.
    pub async fn create(&self, name: &str, order: Order) -> Result<(), DriverError> {
        let folder = self.folder(name);
        let made = spawn_blocking(move || {
            let is_known = match folder.record() {
                Ok(known) if known.id == order.record.id => true,
                Ok(_) => return Err(unmade(io::ErrorKind::AlreadyExists.into())),
                // Whoever began it was killed before it was one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(unmade(error)),
            };
            let filled = fill(&folder, &order, is_known);
            if filled.is_err() && !is_known {
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

    /// Ends a sandbox, by force where it must be. Its folder stays.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn end(&self, name: &str) -> Result<(), DriverError> {
        supervisor::end(&self.folder(name)).await
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

fn look(folder: &Folder) -> io::Result<Observed> {
    let record = folder.record()?;
    // Who holds it is asked first: one that begins meanwhile has written its state before.
    let attended = folder.is_attended();
    let mut state = folder.state()?;
    if !attended && state.phase == Phase::Ready {
        state.phase = Phase::Error;
        state.running = false;
    }
    Ok(Observed { record, state, attended })
}

/// Makes what is missing. The record comes last: a folder without one is none of a sandbox, and is made again.
fn fill(folder: &Folder, order: &Order, is_known: bool) -> Result<(), DriverError> {
    folder.lay_out().map_err(unmade)?;
    let policies = Policies::open(folder);
    let mut policies = policies.map_err(DriverError::system("read the policies of the sandbox"))?;
    // A supervisor that has some may be about to add to them.
    if policies.revisions().is_empty() {
        policies.set(&order.policy)?;
    }
    if let Some(token) = &order.token {
        folder.keep_token(token).map_err(DriverError::system("keep the token of the sandbox"))?;
    }
    if is_known {
        return Ok(());
    }
    folder.keep_record(&order.record).map_err(unmade)
}

fn unmade(error: io::Error) -> DriverError {
    DriverError::system("make the folder of the sandbox")(error)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn order(id: &str) -> Order {
        let record = Record { id: id.to_owned(), name: "otter".to_owned(), ..Record::default() };
        let policy = "version: 1\n".to_owned();
        Order { record, policy, token: Some(b"token".to_vec()) }
    }

    #[tokio::test]
    async fn what_a_killed_gateway_has_left_half_made_is_made_to_the_end() {
        for left in ["", "sandbox.json", "state.json", "files", "policies", "router.token"] {
            let home = tempfile::tempdir().unwrap();
            let driver = Local::new(Home::new(home.path()));
            let folder = driver.folder("one");
            driver.create("one", order("1")).await.unwrap();
            match left {
                "files" | "policies" => fs::remove_dir_all(folder.path().join(left)).unwrap(),
                "" => {
                    fs::remove_dir_all(folder.path()).unwrap();
                    fs::create_dir(folder.path()).unwrap();
                }
                file => fs::remove_file(folder.path().join(file)).unwrap(),
            }
            driver.create("one", order("1")).await.unwrap();
            let seen = driver.inspect("one").await.unwrap().unwrap();
            assert_eq!((seen.record.id.as_str(), seen.attended), ("1", false), "{left}");
            assert_eq!(Policies::open(&folder).unwrap().revisions().len(), 1, "{left}");
            for name in ["state.json", "files", "router.token"] {
                assert!(folder.path().join(name).exists(), "{name} after {left}");
            }
            driver.create("one", order("2")).await.unwrap_err();
            assert_eq!(driver.inspect("one").await.unwrap().unwrap(), seen, "{left}");
            driver.delete("one").await.unwrap();
            driver.delete("one").await.unwrap();
            assert!(!folder.path().exists(), "{left}");
        }
    }

    #[tokio::test]
    async fn a_policy_that_was_set_since_is_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let driver = Local::new(Home::new(home.path()));
        driver.create("one", order("1")).await.unwrap();
        let policy = "version: 1\nfilesystem_policy: {read_only: [/usr]}\n";
        let mut policies = Policies::open(&driver.folder("one")).unwrap();
        policies.set(policy).unwrap();
        driver.create("one", order("1")).await.unwrap();
        let policies = Policies::open(&driver.folder("one")).unwrap();
        assert_eq!(policies.text(policies.revision(0).unwrap().version).unwrap(), policy);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told_apart_from_what_is_not_there() {
        let home = tempfile::tempdir().unwrap();
        let driver = Local::new(Home::new(home.path()));
        for name in ["begun", "damaged", "whole"] {
            driver.create(name, order(name)).await.unwrap();
        }
        fs::remove_file(driver.folder("begun").path().join("sandbox.json")).unwrap();
        fs::write(driver.folder("damaged").path().join("sandbox.json"), "{").unwrap();
        let seen = driver.list().await.unwrap();
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(name, seen)| (name, seen.map(|one| one.record.id).map_err(|e| e.kind())))
            .collect();
        let expected = [
            ("begun", Err(io::ErrorKind::NotFound)),
            ("damaged", Err(io::ErrorKind::InvalidData)),
            ("whole", Ok("whole".to_owned())),
        ];
        assert_eq!(seen, expected.map(|(name, seen)| (name.to_owned(), seen)));
        assert!(driver.inspect("nobody").await.unwrap().is_none());
        assert!(driver.inspect("begun").await.unwrap().is_none());
        driver.inspect("damaged").await.unwrap_err();
        driver.create("damaged", order("damaged")).await.unwrap_err();
    }
}
