//! The steps: what is done with the store, the driver and the supervisor. Each may be repeated.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

use drivers::{DriverError, Order};
use policy::PolicyFile;
use sandbox::{
    control::{Reply, Request},
    state::{Record, Whole},
};
use tokio::task::spawn_blocking;

use super::{
    Keeper,
    step::{Desired, Step, Wanted},
};
use crate::{
    policies, proposals, providers,
    records::SandboxRecord,
    settings,
    store::{PolicyRevision, Store, StoreError, Stored},
    time,
};

/// How long it may take to write down what a new sandbox is to be held to, in milliseconds.
const DRAFT_MS_MAX: i64 = 60_000;

/// What the store wants of a sandbox.
pub(super) async fn wanted(
    store: &Store,
    stored: &Stored<SandboxRecord>,
    began_ms: i64,
) -> Result<Wanted, StoreError> {
    let gone_ms = began_ms.max(time::now_ms() - DRAFT_MS_MAX);
    let desired = match stored.body.desired {
        // Whoever was writing it down is gone, with this gateway before it was started anew.
        Desired::Draft if stored.created_ms < gone_ms => Desired::Deleted,
        other => other,
    };
    let policy = match desired {
        Desired::Draft | Desired::Deleted => None,
        Desired::Running | Desired::Stopped => policies::in_force(store, stored.id).await?,
    };
    let mut hash = DefaultHasher::new();
    for name in &stored.body.spec.providers {
        // Whatever changes of a provider, its secrets too, changes its version.
        let found = providers::find(store, &stored.workspace, name).await?;
        (name, found.map(|one| (one.id, one.version))).hash(&mut hash);
    }
    Ok(Wanted {
        desired,
        policy: policies::mark(policy.as_ref()),
        providers: hash.finish(),
        has_command: !stored.body.spec.command.is_empty() && !stored.body.held,
    })
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was done.
    Yes,
    /// The sandbox cannot take what it was to be given; something else is wanted of it now.
    Refused,
}

/// Takes a step.
///
/// # Errors
/// Why it could not be done, for people.
pub(super) async fn act(
    keeper: &Keeper,
    step: Step,
    stored: &Stored<SandboxRecord>,
    wanted: &Wanted,
) -> Result<Done, String> {
    let name = stored.id.to_string();
    let driver = &keeper.driver;
    let done = match step {
        Step::SetPolicy => return set_policy(keeper, stored, wanted).await,
        Step::Create => create(keeper, stored).await,
        Step::Start => start(keeper, stored).await,
        Step::Supply => supply(keeper, stored).await,
        Step::Launch => {
            let request = Request::Launch { attach: false, once: true, terminal: None };
            ask(keeper, &name, &request).await.map(drop)
        }
        Step::Stop => {
            let grace = Duration::from_millis(stored.body.grace_ms);
            driver.stop(&name, grace).await.map_err(told)
        }
        Step::Delete => delete(keeper, stored).await,
        Step::Forget => forget(keeper, stored).await,
        Step::Rest => Ok(()),
    };
    done.map(|()| Done::Yes)
}

async fn create(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<(), String> {
    let spec = &stored.body.spec;
    let policy = policies::in_force(&keeper.store, stored.id).await.map_err(written)?;
    let policy = text(policy.as_ref())?;
    let record = Record {
        id: stored.id.to_string(),
        name: stored.name.clone(),
        // As one of nobody's workspace, so that one that stands already may be taken for it.
        workspace: Some(&stored.workspace)
            .filter(|name| **name != "default")
            .cloned()
            .unwrap_or_default(),
        command: spec.command.clone(),
        terminal: spec.terminal,
        environment: spec.environment.clone(),
        labels: spec.labels.clone(),
        providers: spec.providers.clone(),
        strict_callers: strict_callers(keeper, stored).await?,
        limits: Whole {
            cpu_percent: spec.limits.cpu_percent,
            memory_bytes: spec.limits.memory_bytes,
            processes: spec.limits.processes,
        },
        created: u64::try_from(stored.created_ms / 1000).unwrap_or_default(),
        ..Record::default()
    };
    let order = Order { record, policy, token: None };
    keeper.driver.create(&stored.id.to_string(), order).await.map_err(told)
}

/// Starts it, held to what is set by now.
async fn start(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<(), String> {
    let name = stored.id.to_string();
    let strict_callers = strict_callers(keeper, stored).await?;
    let folder = keeper.driver.folder(&name);
    let kept = spawn_blocking(move || {
        let record = folder.record()?;
        if record.strict_callers == strict_callers || folder.is_attended() {
            return Ok(());
        }
        folder.keep_record(&Record { strict_callers, ..record })
    });
    let kept = kept.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    kept.map_err(written)?;
    keeper.driver.start(&name).await.map_err(told)
}

/// Whether its callers are held to the code that they run: what is set for all, else what was asked for.
async fn strict_callers(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<bool, String> {
    let settings = settings::current(&keeper.store).await.map_err(written)?;
    Ok(settings.strict_callers.unwrap_or(stored.body.spec.strict_callers))
}

/// Ends it, reads what it has on record, and removes everything of it.
async fn delete(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<(), String> {
    let name = stored.id.to_string();
    keeper.driver.end(&name).await.map_err(told)?;
    match keeper.broker.drain(stored.id).await {
        Ok(()) => {}
        Err(StoreError::Tampered) => {
            // Nothing is stored until somebody begins the chain anew; that sandboxes can be deleted does not wait for it.
            tracing::error!(
                sandbox = stored.name,
                "its last events go with it: the audit was changed by others"
            );
        }
        Err(error) => return Err(written(error)),
    }
    keeper.driver.delete(&name).await.map_err(told)
}

async fn supply(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<(), String> {
    let names = &stored.body.spec.providers;
    let providers = providers::open(&keeper.store, &stored.workspace, names).await?;
    ask(keeper, &stored.id.to_string(), &Request::SetProviders { providers }).await.map(drop)
}

/// Gives the supervisor the policy. One of its own that it refuses is noted, and the one before is wanted again; that it refuses
/// the gateway's is trouble, because what it is held to is not what everybody was told.
async fn set_policy(
    keeper: &Keeper,
    stored: &Stored<SandboxRecord>,
    wanted: &Wanted,
) -> Result<Done, String> {
    let policy = policies::in_force(&keeper.store, stored.id).await.map_err(written)?;
    if policies::mark(policy.as_ref()) != wanted.policy {
        return Err("another policy came meanwhile".to_owned());
    }
    let request = Request::SetPolicy { text: text(policy.as_ref())?, base: None };
    let supervisor = keeper.driver.supervisor(&stored.id.to_string());
    let refused = match supervisor.ask(&request).await.map_err(DriverError::from) {
        Ok(Reply::Policy { .. }) => None,
        Ok(other) => return Err(format!("the supervisor answered {other:?}")),
        Err(DriverError::Refused(failed)) => Some(failed),
        Err(error) => return Err(told(error)),
    };
    match (policy, refused) {
        (Some(policy), None) => {
            let loaded = keeper.store.policy_loaded(&policy.scope, policy.version).await;
            loaded.map(|_| Done::Yes).map_err(written)
        }
        (None, None) => Ok(Done::Yes),
        (Some(policy), Some(failed)) if policy.scope == stored.id.to_string() => {
            policies::refused(&keeper.store, &policy, &failed.message).await.map_err(written)?;
            keeper.touch(&stored.workspace, &stored.name);
            Ok(Done::Refused)
        }
        (_, Some(failed)) => Err(format!("the gateway's policy cannot be in force here: {failed}")),
    }
}

/// The file of a policy; without one, the policy that lets nothing through.
fn text(policy: Option<&PolicyRevision>) -> Result<String, String> {
    match policy {
        Some(policy) => Ok(policy.text.clone()),
        None => PolicyFile::restrictive().to_yaml().map_err(written),
    }
}

/// Removes it from the store: what was decided about meanwhile stays.
async fn forget(keeper: &Keeper, stored: &Stored<SandboxRecord>) -> Result<(), String> {
    let version = Some(stored.version);
    let removed = keeper.store.remove::<SandboxRecord>(&stored.workspace, &stored.name, version);
    removed.await.map_err(written)?;
    proposals::forget(&keeper.store, stored.id).await.map_err(written)?;
    keeper.broker.forget(stored.id).await.map_err(written)?;
    keeper.store.forget_policies(&stored.id.to_string()).await.map(drop).map_err(written)
}

async fn ask(keeper: &Keeper, name: &str, request: &Request) -> Result<Reply, String> {
    let supervisor = keeper.driver.supervisor(name);
    supervisor.ask(request).await.map_err(|error| told(error.into()))
}

/// What a driver said, with what would help.
fn told(error: DriverError) -> String {
    match error {
        DriverError::Refused(failed) if !failed.hint.is_empty() => {
            format!("{failed}; {}", failed.hint)
        }
        other => written(other),
    }
}

/// An error with its causes.
pub fn written(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
