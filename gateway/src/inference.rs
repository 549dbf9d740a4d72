//! Where model calls go: revisions of the router file, each tried before it is in force, and the routers that work by them.
//!
//! | module | what it does |
//! |---|---|
//! | [`made`] | files for one provider and one model |
//! | [`books`] | what calls cost, written down |
//! | `change` | what a file changes, and for which sandboxes |
//! | `follow` | routers work by what is set, whoever set it |
//! | `show` | how it stands |
//! | `door` | how the process of the gateway runs routers |
//!
//! Not here: what a router does with a file (`proxy`), who may change one (`http`). Invariants: a file that cannot be read is never
//! kept, and one that the router cannot work by leaves the one before; credentials are opened for the router alone, and for
//! as long as it takes to tell it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use api::{
    inference::{InferenceSet, Route},
    problem::Fault,
};
use backends::{
    configuration::{Configuration, CredentialSource},
    file,
};
use http::StatusCode;
use parking_lot::Mutex;

use crate::{
    http::Refusal,
    lifecycle::written,
    providers,
    store::{PolicyAdded, PolicyRevision, PolicyStatus, Store, StoreError},
};

pub mod books;
mod change;
mod door;
mod follow;
pub mod made;
mod show;

use self::books::Books;
pub use self::door::{Applied, Door, Keys, NotApplied, Order, Trial, Trying};
pub(crate) use self::show::revision_shown;

/// The workspace whose providers a router file of the gateway names.
pub(crate) const WORKSPACE: &str = "default";

/// Where model calls of this gateway go.
pub(crate) struct Inference {
    store: Store,
    door: Option<Door>,
    books: Books,
    folder: PathBuf,
    /// One change at a time.
    turn: tokio::sync::Mutex<()>,
    in_force: Mutex<BTreeMap<Route, Force>>,
}

/// What a router works by.
#[derive(Clone, Debug)]
struct Force {
    version: i64,
    hash: String,
    configuration: Arc<Configuration>,
    /// Which credentials it was given: the versions of the providers.
    keys: Vec<(String, i64)>,
    notices: Vec<String>,
    missing: Vec<(String, String)>,
}

/// A file to be put in force, and how.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Whose calls.
    pub(crate) route: Route,
    /// The file.
    pub(crate) text: String,
    /// The version that it replaces; any if not given.
    pub(crate) base: Option<u64>,
    /// Whether only to tell what would change.
    pub(crate) dry_run: bool,
    /// What has to answer first.
    pub(crate) verify: Verify,
}

/// The call that a file has to answer before it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verify {
    /// None.
    Not,
    /// One to whichever model it has.
    AnyModel,
    /// One to this model.
    Model(String),
}

impl std::fmt::Debug for Inference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inference").finish_non_exhaustive()
    }
}

impl Inference {
    /// That of the gateway with this folder. Without a door it keeps what is set, and nobody works by it.
    pub(crate) fn new(store: Store, door: Option<Door>, books: Books, folder: &Path) -> Self {
        Self {
            store,
            door,
            books,
            folder: folder.to_owned(),
            turn: tokio::sync::Mutex::default(),
            in_force: Mutex::default(),
        }
    }

    /// Starts the routers that are configured, by the newest revision that works.
    ///
    /// # Errors
    /// When the store does not work, or the router file in the folder, which is taken over once, is none.
    pub(crate) async fn start(&self) -> Result<(), StartError> {
        let _turn = self.turn.lock().await;
        self.take_over_file().await?;
        if self.door.is_none() {
            return Ok(());
        }
        for route in Route::ALL {
            let Some(newest) = self.newest_wanted(route).await? else { continue };
            if let Err(why) = self.apply(route, &newest).await {
                tracing::error!(
                    route = route.word(),
                    version = newest.version,
                    why,
                    "the router file cannot be in force"
                );
                self.store.policy_failed(&newest.scope, newest.version, &why).await?;
                let good = self.store.newest_good_policy(&newest.scope).await?;
                if let Some(good) = good.filter(|good| good.version != newest.version)
                    && let Err(why) = self.apply(route, &good).await
                {
                    tracing::error!(
                        route = route.word(),
                        version = good.version,
                        why,
                        "the router file before cannot be in force either"
                    );
                }
            }
        }
        Ok(())
    }

    /// Ends the router of a route.
    async fn end(&self, route: Route) {
        if let Some(door) = &self.door {
            let clear = Arc::clone(&door.clear);
            if let Err(error) = tokio::task::spawn_blocking(move || clear(route)).await {
                tracing::error!(%error, "a router could not be ended");
            }
        }
        self.in_force.lock().remove(&route);
    }

    /// Ends the routers; what is set stays. Calls under way may end.
    pub(crate) async fn stop(&self) {
        let _turn = self.turn.lock().await;
        for route in Route::ALL {
            self.end(route).await;
        }
    }

    /// Keeps the router file that lies in the folder of a gateway which has no revisions of it yet.
    async fn take_over_file(&self) -> Result<(), StartError> {
        let scope = scope(Route::Sandboxes);
        if self.store.newest_policy(scope).await?.is_some() {
            return Ok(());
        }
        let path = self.copy();
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|source| StartError::File { path: path.clone(), source })?,
        };
        file::parse(&text).map_err(|faults| {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            StartError::Faults { path, faults: told.join("\n") }
        })?;
        self.store.add_policy(scope, &text, None).await?;
        Ok(())
    }

    /// The revision that a router should work by: the newest, or the newest that worked where that did not.
    async fn newest_wanted(&self, route: Route) -> Result<Option<PolicyRevision>, StoreError> {
        match self.store.newest_policy(scope(route)).await? {
            Some(newest) if newest.status == PolicyStatus::Failed => {
                self.store.newest_good_policy(scope(route)).await
            }
            other => Ok(other),
        }
    }

    /// Puts a file in force, or tells what that would do.
    ///
    /// # Errors
    /// Everything that is wrong with it; then what was in force still is.
    pub(crate) async fn put(&self, wish: Wish) -> Result<InferenceSet, Refusal> {
        let _turn = self.turn.lock().await;
        self.put_in_turn(wish).await
    }

    /// Makes a file of the one that is there and puts it in force; nobody else changes it meanwhile.
    ///
    /// # Errors
    /// As [`Inference::put`], and what `edit` refuses.
    pub(crate) async fn edit(
        &self,
        mut wish: Wish,
        edit: impl FnOnce(Option<&PolicyRevision>) -> Result<String, Refusal>,
    ) -> Result<InferenceSet, Refusal> {
        let _turn = self.turn.lock().await;
        let newest = self.newest_wanted(wish.route).await?;
        wish.text = edit(newest.as_ref())?;
        self.put_in_turn(wish).await
    }

    async fn put_in_turn(&self, wish: Wish) -> Result<InferenceSet, Refusal> {
        let Wish { route, text, base, dry_run, verify } = wish;
        let scope = scope(route);
        let (configuration, notices) = parse(&text).map_err(Refusal::faults)?;
        let faults = self.missing_providers(&configuration).await?;
        if !faults.is_empty() {
            return Err(Refusal::faults(faults));
        }
        let newest = self.store.newest_policy(scope).await?;
        let there = newest.as_ref().map_or(0, |newest| newest.version.unsigned_abs());
        if base.is_some_and(|base| base != there) {
            return Err(StoreError::Stale.into());
        }
        let before = self.force(route).map(|force| force.configuration);
        let changes = change::changes(before.as_deref(), Some(&configuration));
        let sandboxes = match route {
            Route::Sandboxes if !changes.is_empty() => change::sandboxes(&self.store).await?,
            Route::Sandboxes | Route::System => Vec::new(),
        };
        let mut set = InferenceSet {
            revision: None,
            changed: newest.as_ref().is_none_or(|newest| newest.text != text),
            changes,
            sandboxes,
            notices,
            validated: None,
        };
        if dry_run {
            return Ok(set);
        }
        let model = match verify {
            Verify::Not => None,
            Verify::AnyModel => Some(None),
            Verify::Model(model) => Some(Some(model)),
        };
        if let Some(model) = model {
            let tried = self.attempt(text.clone(), model, configuration.timeouts.answer).await?;
            set.validated = Some(tried.map_err(|why| not_verified(&why))?);
        }
        let base = base.map(|base| i64::try_from(base).unwrap_or(i64::MAX));
        let mut revision = match self.store.add_policy(scope, &text, base).await? {
            PolicyAdded::New(revision) | PolicyAdded::Unchanged(revision) => revision,
        };
        let is_in_force = self.force(route).is_some_and(|force| force.version == revision.version);
        if self.door.is_some() && !is_in_force {
            match self.apply(route, &revision).await {
                Ok(applied) => set.notices.extend(applied),
                Err(why) => {
                    self.store.policy_failed(scope, revision.version, &why).await?;
                    let detail = format!("the router cannot work by it: {why}");
                    return Err(Refusal::new(
                        StatusCode::UNPROCESSABLE_ENTITY,
                        "not_in_force",
                        detail,
                    )
                    .next_step("what was in force before still is"));
                }
            }
        }
        if let Some(known) = self.store.policy(scope, revision.version).await? {
            revision = known;
        }
        set.revision = Some(revision_shown(&revision, false));
        Ok(set)
    }

    /// Has the router work by a revision, and notes that it does; what should be known of it.
    async fn apply(&self, route: Route, revision: &PolicyRevision) -> Result<Vec<String>, String> {
        let Some(door) = &self.door else { return Ok(Vec::new()) };
        let (configuration, _) = parse(&revision.text).map_err(|faults| {
            let told: Vec<String> = faults.into_iter().map(|fault| fault.detail).collect();
            told.join("; ")
        })?;
        let (keys, versions, mut notices) =
            self.open_keys(&configuration).await.map_err(written)?;
        let books = self.books.clone();
        let order = Order { route, text: revision.text.clone(), keys, books };
        let apply = Arc::clone(&door.apply);
        let applied = tokio::task::spawn_blocking(move || apply(order)).await;
        let applied = applied.map_err(written)?.map_err(|error| error.0)?;
        notices.extend(
            applied
                .missing
                .iter()
                .map(|(backend, why)| format!("backend {backend} is not used: {why}")),
        );
        notices.dedup();
        let force = Force {
            version: revision.version,
            hash: revision.hash.clone(),
            configuration: Arc::new(configuration),
            keys: versions,
            notices: notices.clone(),
            missing: applied.missing,
        };
        self.in_force.lock().insert(route, force);
        tracing::info!(route = route.word(), version = revision.version, "router file in force");
        self.store.policy_loaded(&revision.scope, revision.version).await.map_err(written)?;
        if route == Route::Sandboxes {
            self.keep_copy(revision);
        }
        Ok(notices)
    }

    /// Supervisors see by this file that model calls are answered; people read what is in force there. Nobody works by it.
    fn keep_copy(&self, revision: &PolicyRevision) {
        let beside = self.copy().with_extension("yaml.new");
        let kept = std::fs::write(&beside, &revision.text)
            .and_then(|()| std::fs::rename(&beside, self.copy()));
        if let Err(error) = kept {
            tracing::warn!(%error, "the copy of the router file cannot be written");
        }
    }

    fn copy(&self) -> PathBuf {
        self.folder.join("router.yaml")
    }

    /// Ends a route: nobody answers its calls any more.
    ///
    /// # Errors
    /// When the store does not work.
    pub(crate) async fn clear(&self, route: Route, dry_run: bool) -> Result<InferenceSet, Refusal> {
        let _turn = self.turn.lock().await;
        let newest = self.store.newest_policy(scope(route)).await?;
        let before = self.force(route).map(|force| force.configuration);
        let changes = change::changes(before.as_deref(), None);
        let sandboxes = match route {
            Route::Sandboxes if !changes.is_empty() => change::sandboxes(&self.store).await?,
            Route::Sandboxes | Route::System => Vec::new(),
        };
        let changed = newest.is_some();
        if changed && !dry_run {
            // First nobody is to start it again.
            match std::fs::remove_file(self.copy()) {
                Err(error)
                    if error.kind() != std::io::ErrorKind::NotFound
                        && route == Route::Sandboxes =>
                {
                    tracing::warn!(%error, "the copy of the router file cannot be removed");
                }
                _ => {}
            }
            self.store.forget_policies(scope(route)).await?;
            self.end(route).await;
        }
        let (notices, validated) = (Vec::new(), None);
        Ok(InferenceSet { revision: None, changed, changes, sandboxes, notices, validated })
    }

    /// Makes one real call with a file, by a router of its own; who answered, or why nobody did.
    ///
    /// # Errors
    /// When the gateway runs no routers, or the store does not work.
    pub(crate) async fn attempt(
        &self,
        text: String,
        model: Option<String>,
        limit: Duration,
    ) -> Result<Result<String, String>, Refusal> {
        let door = self.door.as_ref().ok_or_else(|| {
            let detail = "this gateway runs without a router, so nothing can be tried";
            Refusal::new(StatusCode::CONFLICT, "no_router", detail)
                .next_step("set it without the call that verifies it")
        })?;
        let (configuration, _) = parse(&text).map_err(Refusal::faults)?;
        let (keys, _, _) = self.open_keys(&configuration).await?;
        Ok((door.attempt)(Trial { text, keys, model, limit }).await)
    }

    /// The file that there is, for others to look at: the newest that should be in force.
    ///
    /// # Errors
    /// When the store does not work.
    pub(crate) async fn wanted(&self, route: Route) -> Result<Option<PolicyRevision>, StoreError> {
        self.newest_wanted(route).await
    }

    /// What counts now; `None` where nobody works by anything.
    pub(crate) fn configuration(&self, route: Route) -> Option<Arc<Configuration>> {
        self.force(route).map(|force| force.configuration)
    }

    fn force(&self, route: Route) -> Option<Force> {
        self.in_force.lock().get(&route).cloned()
    }

    /// The providers of a file that are not there or have no credential.
    async fn missing_providers(
        &self,
        configuration: &Configuration,
    ) -> Result<Vec<Fault>, StoreError> {
        let mut faults = Vec::new();
        for name in records(configuration) {
            let found = providers::find(&self.store, WORKSPACE, name).await?;
            let wrong = match found {
                None => format!("there is no provider {name}"),
                Some(found) if found.body.keys.is_empty() => {
                    format!("provider {name} has no credential")
                }
                Some(_) => continue,
            };
            faults.push(Fault::new("/config", wrong));
        }
        faults.dedup();
        Ok(faults)
    }

    /// The credentials that a file names, with the versions of their providers, and what should be known of them.
    async fn open_keys(
        &self,
        configuration: &Configuration,
    ) -> Result<(Keys, Vec<(String, i64)>, Vec<String>), StoreError> {
        let (mut keys, mut versions, mut notices) = (Keys::new(), Vec::new(), Vec::new());
        for name in records(configuration) {
            let Some(found) = providers::find(&self.store, WORKSPACE, name).await? else {
                notices.push(format!("there is no provider {name}"));
                continue;
            };
            versions.push((name.to_owned(), found.version));
            match providers::open(&self.store, WORKSPACE, &[name.to_owned()]).await {
                Ok(opened) => keys.extend(
                    opened.iter().filter_map(|one| Some((one.name.clone(), one.model_key()?))),
                ),
                Err(why) => notices.push(why),
            }
        }
        Ok((keys, versions, notices))
    }
}

/// The socket of a router in the folder of its gateway.
pub fn socket(folder: &Path, route: Route) -> PathBuf {
    folder.join(self::folder(route)).join("router.sock")
}

/// The folder of a router in the folder of its gateway.
pub fn folder(route: Route) -> &'static str {
    match route {
        Route::Sandboxes => "router",
        Route::System => "system",
    }
}

/// The file with that backend alone, where it can be written so; others may answer in its place where not.
pub fn alone(text: &str, configuration: &Configuration, backend: &str) -> String {
    let names = configuration.backends.iter().map(|one| one.name.as_str());
    let mut others = names.filter(|name| *name != backend);
    let alone = others.try_fold(text.to_owned(), |text, other| file::remove_backend(&text, other));
    let alone = alone.ok().filter(|alone| file::parse(alone).is_ok());
    alone.unwrap_or_else(|| text.to_owned())
}

/// Why routers are not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store does not work.
    #[error("cannot read where model calls go")]
    Store(#[from] StoreError),
    /// The file in the folder cannot be read.
    #[error("cannot read {}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file in the folder is none.
    #[error("{} cannot be used:\n{faults}", .path.display())]
    Faults {
        /// Which.
        path: PathBuf,
        /// All that is wrong with it.
        faults: String,
    },
}

/// What the revisions of a route are kept under, beside those of policies.
pub(crate) fn scope(route: Route) -> &'static str {
    match route {
        Route::Sandboxes => "router",
        Route::System => "router/system",
    }
}

/// The configuration in a file, with what should be known of it.
fn parse(text: &str) -> Result<(Configuration, Vec<String>), Vec<Fault>> {
    match file::parse(text) {
        Ok((configuration, notices)) => {
            let told = notices.iter().map(|notice| {
                format!("{}:{}: {}: {}", notice.line, notice.column, notice.path, notice.message)
            });
            Ok((configuration, told.collect()))
        }
        Err(faults) => {
            Err(faults.iter().map(|fault| Fault::new("/config", fault.to_string())).collect())
        }
    }
}

/// The provider records that a file names, each once.
fn records(configuration: &Configuration) -> impl Iterator<Item = &str> {
    let mut names: Vec<&str> = configuration
        .backends
        .iter()
        .filter_map(|backend| match &backend.credential {
            Some(CredentialSource::Record(name)) => Some(name.as_str()),
            Some(CredentialSource::Env(_) | CredentialSource::File(_)) | None => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

fn not_verified(why: &str) -> Refusal {
    let detail = format!("failed to verify inference endpoint: {why}");
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, "not_verified", detail)
        .next_step("correct the provider, the model or the file, or skip this with --no-verify")
}
