//! `openshell inference …`: where the model calls of this user's sandboxes go.
//!
//! The router file is `router.yaml` in the home; the router that reads it runs in the background (`service`). Invariants: a
//! file that somebody wrote by hand is never overwritten, and one that does not work never replaces one that does.

mod file;
pub(crate) mod service;
mod verify;

use std::{path::Path, process::ExitCode, time::Duration};

use anyhow::Context as _;
use sandbox::{providers::Provider, state::Home};
use serde::Serialize;

use self::{
    file::{Made, Wanted},
    service::Service,
};
use crate::{
    args::provider::{InferenceCommand, InferenceSetArgs, InferenceUpdateArgs, OutputArg},
    commands::{provider, sandbox::home},
    failure::Failure,
    output, settings,
};

/// The name that always means the router, inside.
const ROUTE: &str = "inference.local";
/// What a request may take when nothing else is asked for, in seconds.
const TIMEOUT_DEFAULT: u64 = 60;

/// What is set, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    configured: bool,
    route: &'static str,
    provider: Option<String>,
    model: Option<String>,
    version: Option<u64>,
    timeout_secs: Option<u64>,
    file: String,
    written_by_hand: bool,
    running: bool,
}

/// Runs what was typed.
pub(crate) fn run(command: InferenceCommand) -> Result<ExitCode, Failure> {
    match command {
        InferenceCommand::Set(args) => set(args)?,
        InferenceCommand::Update(args) => update(args)?,
        InferenceCommand::Get(args) => get(args)?,
        InferenceCommand::Stop => stop()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn set(args: InferenceSetArgs) -> Result<(), Failure> {
    let home = home()?;
    if let Some(path) = &args.config {
        return take(&home, path);
    }
    let (Some(provider), Some(model)) = (args.provider, args.model) else {
        return Err(Failure::usage("a provider and a model are needed"));
    };
    let version = file::made(&home)?.map_or(1, |made| made.wanted.version.saturating_add(1));
    let wanted = Wanted { provider, model, timeout_secs: args.timeout, version };
    put(&home, &wanted, args.no_verify)
}

fn update(args: InferenceUpdateArgs) -> Result<(), Failure> {
    let home = home()?;
    let made = file::made(&home)?.ok_or_else(|| {
        Failure::new("inference is not configured")
            .hint("set it with `openshell inference set --provider NAME --model MODEL`")
    })?;
    let wanted = Wanted {
        provider: args.provider.unwrap_or(made.wanted.provider),
        model: args.model.unwrap_or(made.wanted.model),
        timeout_secs: args.timeout.unwrap_or(made.wanted.timeout_secs),
        version: made.wanted.version.saturating_add(1),
    };
    put(&home, &wanted, args.no_verify)
}

/// Puts a router file in force that somebody wrote.
fn take(home: &Home, path: &Path) -> Result<(), Failure> {
    settings::load(path)?;
    let text = settings::text(path)?;
    if let Some(kept) = file::set_aside(home)? {
        output::complain(&format!("• The router file before is kept as {}", kept.display()));
    }
    file::write(home, &text)?;
    Service::of(home).ensure()?;
    output::line(&format!(
        "Gateway inference configured:\n\n  Route: {ROUTE}\n  File: {}",
        file::path(home).display()
    ))
}

/// Removes the key of a provider that the router was given once.
pub(crate) fn forget_key(provider: &str) -> Result<(), Failure> {
    match std::fs::remove_file(service::folder(&home()?)?.join("credentials").join(provider)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Puts a file in force that is made for one provider and one model.
fn put(home: &Home, wanted: &Wanted, no_verify: bool) -> Result<(), Failure> {
    file::refuse_by_hand(home)?;
    let provider = provider::find(&wanted.provider)?;
    let key = service::folder(home)?.join("credentials");
    std::fs::create_dir_all(&key)?;
    let key = key.join(&provider.name);
    let has_key = provider.write_key(&key).context("cannot write the key for the router")?;
    let text = file::text(wanted, &provider, has_key.then_some(key.as_path()), home)?;
    let validated = if no_verify { None } else { Some(verify::call(home, &text, wanted)?) };
    file::write(home, &text)?;
    Service::of(home).ensure()?;
    let mut told = format!("Gateway inference configured:\n\n{}", table(wanted));
    if let Some(endpoint) = validated {
        told.push_str("\n  Validated Endpoints:\n    - ");
        told.push_str(&endpoint);
    }
    output::line(&told)
}

fn table(wanted: &Wanted) -> String {
    format!(
        "  Route: {ROUTE}\n  Provider: {}\n  Model: {}\n  Version: {}\n  Timeout: {}s",
        wanted.provider,
        wanted.model,
        wanted.version,
        wanted.timeout().as_secs()
    )
}

impl Wanted {
    fn timeout(&self) -> Duration {
        let seconds = if self.timeout_secs == 0 { TIMEOUT_DEFAULT } else { self.timeout_secs };
        Duration::from_secs(seconds)
    }
}

fn get(args: OutputArg) -> Result<(), Failure> {
    let home = home()?;
    let path = file::path(&home);
    let made = file::made(&home)?;
    let wanted = made.as_ref().map(|made| &made.wanted);
    let shown = Shown {
        configured: path.exists(),
        route: ROUTE,
        provider: wanted.map(|wanted| wanted.provider.clone()),
        model: wanted.map(|wanted| wanted.model.clone()),
        version: wanted.map(|wanted| wanted.version),
        timeout_secs: wanted.map(|wanted| wanted.timeout().as_secs()),
        file: path.display().to_string(),
        written_by_hand: path.exists() && made.as_ref().is_none_or(|made| made.edited),
        running: Service::of(&home).is_running(),
    };
    output::emit(args.output, &shown, |shown| {
        let mut text = "Gateway inference:\n\n".to_owned();
        match (wanted, shown.configured) {
            (_, false) => return text + "  Not configured",
            (Some(wanted), true) if !shown.written_by_hand => text.push_str(&table(wanted)),
            (_, true) => text.extend(["  Route: ", ROUTE, "\n  File: ", &shown.file]),
        }
        text.push_str(if shown.running {
            "\n  Router: running"
        } else {
            "\n  Router: not running"
        });
        text
    })
}

fn stop() -> Result<(), Failure> {
    let stopped = Service::of(&home()?).stop()?;
    output::line(if stopped { "✓ Router stopped" } else { "· Router is not running" })
}

/// Whether model calls go to this provider.
pub(crate) fn uses(name: &str) -> Result<bool, Failure> {
    Ok(file::made(&home()?)?.is_some_and(|made| made.wanted.provider == name))
}

/// Gives a changed provider to the router.
pub(crate) fn provider_changed(changed: &Provider) -> Result<(), Failure> {
    let home = home()?;
    let Some(Made { wanted, edited: false }) = file::made(&home)? else { return Ok(()) };
    if wanted.provider != changed.name {
        return Ok(());
    }
    let wanted = Wanted { version: wanted.version.saturating_add(1), ..wanted };
    let key = service::folder(&home)?.join("credentials").join(&changed.name);
    let has_key = changed.write_key(&key).context("cannot write the key for the router")?;
    // The router reads the key again because the file has another version.
    let text = file::text(&wanted, changed, has_key.then_some(key.as_path()), &home)?;
    file::write(&home, &text)
}
