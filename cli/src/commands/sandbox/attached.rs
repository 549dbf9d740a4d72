//! The providers of a sandbox: its supervisor gets their records over its control line, and the sandbox gets placeholders.

use std::process::ExitCode;

use sandbox::{
    control::{Request, client::Supervisor},
    providers::{self, Provider},
    state::Folder,
};

use super::{block_on, find, heard, home};
use crate::{
    args::sandbox::{AttachArgs, AttachedCommand, AttachedListArgs},
    commands::provider,
    failure::Failure,
    output::{self, Format, columns},
};

/// Runs what was typed.
pub(super) fn run(command: AttachedCommand) -> Result<ExitCode, Failure> {
    match command {
        AttachedCommand::List(args) => list(&args)?,
        AttachedCommand::Attach(args) => attach(&args)?,
        AttachedCommand::Detach(args) => detach(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The providers of these names, which fit together.
pub(super) fn load(names: &[String]) -> Result<Vec<Provider>, Failure> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let all = names.iter().map(|name| provider::find(name)).collect::<Result<Vec<_>, _>>()?;
    providers::check(&all).map_err(|failed| Failure::new(failed.message).hint(failed.hint))?;
    Ok(all)
}

/// Gives providers to the supervisor of a sandbox.
pub(super) fn supply(name: &str, folder: &Folder, providers: Vec<Provider>) -> Result<(), Failure> {
    if providers.is_empty() {
        return Ok(());
    }
    set(name, folder, providers)
}

fn set(name: &str, folder: &Folder, providers: Vec<Provider>) -> Result<(), Failure> {
    let request = Request::SetProviders { providers };
    block_on(async { heard(name, Supervisor::of(folder).ask(&request).await) }).map(drop)
}

/// The sandboxes that a provider is attached to.
pub(crate) fn users(provider: &str) -> Result<Vec<String>, Failure> {
    let home = home()?;
    let mut names = home.names()?;
    // One whose record is gone or damaged uses nothing.
    names.retain(|name| {
        let record = home.sandbox(name).record();
        record.is_ok_and(|record| record.providers.iter().any(|one| one == provider))
    });
    Ok(names)
}

/// Gives a changed provider to the sandboxes that run with it; those that do.
pub(crate) fn renew(provider: &str) -> Result<Vec<String>, Failure> {
    let home = home()?;
    let mut renewed = Vec::new();
    for name in users(provider)? {
        let folder = home.sandbox(&name);
        if folder.is_attended() {
            set(&name, &folder, load(&folder.record()?.providers)?)?;
            renewed.push(name);
        }
    }
    Ok(renewed)
}

fn list(args: &AttachedListArgs) -> Result<(), Failure> {
    let (_, folder) = find(args.sandbox.name.as_deref())?;
    listed(args.output, &folder.record()?.providers)
}

/// Shows the providers of a sandbox.
pub(super) fn listed(format: Format, names: &[String]) -> Result<(), Failure> {
    output::emit(format, &names, |names| {
        if names.is_empty() {
            return "No providers attached.".to_owned();
        }
        let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
        columns(&["NAME"], &rows)
    })
}

/// A provider that is to be taken away is not there.
pub(super) fn not_attached(provider: &str, sandbox: &str) -> Failure {
    Failure::new(format!("provider '{provider}' is not attached to sandbox {sandbox}"))
        .hint(format!("`openshell sandbox provider list {sandbox}` shows those that are"))
}

fn attach(args: &AttachArgs) -> Result<(), Failure> {
    let (name, folder) = find(Some(&args.sandbox))?;
    let mut names = folder.record()?.providers;
    names.extend(args.providers.iter().cloned());
    change(&name, &folder, &names)?;
    for provider in &args.providers {
        output::line(&format!("✓ Attached provider {provider} to sandbox {name}"))?;
    }
    Ok(())
}

fn detach(args: &AttachArgs) -> Result<(), Failure> {
    let (name, folder) = find(Some(&args.sandbox))?;
    let mut names = folder.record()?.providers;
    if let Some(missing) = args.providers.iter().find(|one| !names.contains(one)) {
        return Err(not_attached(missing, &name));
    }
    names.retain(|one| !args.providers.contains(one));
    change(&name, &folder, &names)?;
    for provider in &args.providers {
        output::line(&format!("✓ Detached provider {provider} from sandbox {name}"))?;
    }
    Ok(())
}

fn change(name: &str, folder: &Folder, names: &[String]) -> Result<(), Failure> {
    let providers = load(names)?;
    let names = providers.iter().map(|provider| provider.name.clone()).collect();
    if folder.is_attended() {
        set(name, folder, providers)?;
    }
    Ok(folder.keep_providers(names)?)
}
