//! `openshell inference …`: where the model calls of this user's sandboxes go, and those of this user's programs outside.
//!
//! Through the gateway where one is asked (`remote`); else they are this user's own. The router files are `router.yaml` and, for the system route, `system.yaml` in the home; the routers that read them run in
//! the background (`service`). Invariants: no sandbox reaches the system route; a file that somebody wrote by hand is never overwritten, and one that does not work never replaces one that does.

mod backend;
mod discover;
pub(crate) mod door;
mod file;
mod remote;
pub(crate) mod service;
mod verify;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use ::gateway::inference::made::TIMEOUT_DEFAULT;
use anyhow::Context as _;
use sandbox::providers::Provider;
use serde::Serialize;

use self::{
    file::{Made, Wanted},
    remote::Remote,
    service::{Route, Service},
};
use crate::{
    args::provider::{
        InferenceApplyArgs, InferenceAt, InferenceCommand, InferenceGetArgs, InferenceRouteCommand,
        InferenceSetArgs, InferenceUpdateArgs,
    },
    commands::{
        gateway::{self, Chosen},
        provider,
        sandbox::home,
    },
    failure::Failure,
    output::{self, columns},
    settings,
};

/// What is set, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    configured: bool,
    route: &'static str,
    provider: Option<String>,
    model: Option<String>,
    version: Option<u64>,
    timeout_secs: Option<u64>,
    in_force: Option<u64>,
    status: Option<&'static str>,
    error: Option<String>,
    file: Option<String>,
    written_by_hand: bool,
    running: bool,
    notices: Vec<String>,
    #[serde(skip)]
    title: &'static str,
    #[serde(skip)]
    table: String,
}

/// Both routes: as data, that of sandboxes is the document, and the other one a part of it.
#[derive(Debug, Serialize)]
struct Both {
    #[serde(flatten)]
    sandboxes: Shown,
    system: Shown,
}

/// Runs what was typed.
pub(crate) fn run(command: InferenceCommand) -> Result<ExitCode, Failure> {
    match command {
        InferenceCommand::Set(args) => set(args)?,
        InferenceCommand::Update(args) => update(args)?,
        InferenceCommand::Get(args) => get(&args)?,
        InferenceCommand::Apply(args) => apply(&args)?,
        InferenceCommand::Route(command) => return run_route(command),
        InferenceCommand::Backend(command) => return backend::run(command),
        InferenceCommand::Discover(args) => return discover::run(&args),
        InferenceCommand::Stop => stop()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn route(system: bool) -> Route {
    if system { Route::System } else { Route::Sandboxes }
}

/// The gateway that a command is for; none when it is for this user's own routes.
fn asked_at(at: &InferenceAt) -> Result<Option<Arc<Chosen>>, Failure> {
    gateway::chosen(&at.gateway)
}

/// The router file by which a gateway answers the calls of its sandboxes.
pub(crate) fn config_of(asked: &Chosen) -> Result<Option<String>, Failure> {
    Remote::on(asked, api::inference::Route::Sandboxes).config()
}

fn apply(args: &InferenceApplyArgs) -> Result<(), Failure> {
    if let Some(asked) = asked_at(&args.at)? {
        let text = settings::text(&args.file)?;
        return Remote::new(&asked, &args.at).apply(&text, !args.no_verify, args.yes);
    }
    let home = home()?;
    take(Service::on(&home, route(args.at.system)), &args.file, args.no_verify)
}

fn run_route(command: InferenceRouteCommand) -> Result<ExitCode, Failure> {
    match command {
        InferenceRouteCommand::Add(args) => set(args)?,
        InferenceRouteCommand::List(args) => {
            let routes = match gateway::chosen(&args.gateway)? {
                Some(asked) => api::inference::Route::ALL
                    .map(|route| Remote::on(&asked, route).shown())
                    .into_iter()
                    .collect::<Result<Vec<_>, _>>()?,
                None => Service::all(&home()?).map(show).into_iter().collect::<Result<_, _>>()?,
            };
            output::emit(args.output.output, &routes, |routes| listed(routes))?;
        }
        InferenceRouteCommand::Remove(args) => {
            let removed = match asked_at(&args.at)? {
                Some(asked) => Remote::new(&asked, &args.at).remove(args.yes)?,
                None => remove(args.at.system)?,
            };
            let told = if removed { "✓ Route removed" } else { "· Nothing was configured" };
            output::line(told)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends a route of this user; a file that somebody wrote is set aside.
fn remove(system: bool) -> Result<bool, Failure> {
    let home = home()?;
    let service = Service::on(&home, route(system));
    let file = service.file();
    if !file.exists() {
        return Ok(false);
    }
    if let Some(kept) = file::set_aside(&file)? {
        output::complain(&format!("• The router file is kept as {}", kept.display()));
    }
    std::fs::remove_file(file)?;
    service.stop()?;
    Ok(true)
}

/// Routes, a line each.
fn listed(routes: &[Shown]) -> String {
    let cell = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let row = |one: &Shown| {
        vec![
            one.route.to_owned(),
            cell(one.provider.as_deref()),
            cell(one.model.as_deref()),
            cell(one.version.map(|version| version.to_string()).as_deref()),
            match (one.configured, one.running) {
                (false, _) => "not configured".to_owned(),
                (true, true) => "running".to_owned(),
                (true, false) => "not running".to_owned(),
            },
        ]
    };
    let rows: Vec<Vec<String>> = routes.iter().map(row).collect();
    columns(&["ROUTE", "PROVIDER", "MODEL", "VERSION", "ROUTER"], &rows)
}

fn set(args: InferenceSetArgs) -> Result<(), Failure> {
    if let Some(asked) = asked_at(&args.at)? {
        let remote = Remote::new(&asked, &args.at);
        return match &args.config {
            Some(path) => remote.apply(&settings::text(path)?, !args.no_verify, args.yes),
            None => remote.set(args),
        };
    }
    let home = home()?;
    let service = Service::on(&home, route(args.at.system));
    if let Some(path) = &args.config {
        return take(service, path, args.no_verify);
    }
    let (Some(provider), Some(model)) = (args.provider, args.model) else {
        return Err(Failure::usage("a provider and a model are needed"));
    };
    let made = file::made(&service.file())?;
    let version = made.map_or(1, |made| made.wanted.version.saturating_add(1));
    let wanted = Wanted { provider, model, timeout_secs: args.timeout, version };
    put(service, &wanted, args.no_verify)
}

fn update(args: InferenceUpdateArgs) -> Result<(), Failure> {
    if let Some(asked) = asked_at(&args.at)? {
        return Remote::new(&asked, &args.at).update(args);
    }
    let home = home()?;
    let service = Service::on(&home, route(args.at.system));
    let made = file::made(&service.file())?.ok_or_else(|| {
        Failure::new(format!("{} is not configured", service.route().title().to_lowercase()))
            .hint("set it with `openshell inference set --provider NAME --model MODEL`")
    })?;
    let wanted = Wanted {
        provider: args.provider.unwrap_or(made.wanted.provider),
        model: args.model.unwrap_or(made.wanted.model),
        timeout_secs: args.timeout.unwrap_or(made.wanted.timeout_secs),
        version: made.wanted.version.saturating_add(1),
    };
    put(service, &wanted, args.no_verify)
}

/// Puts a router file in force that somebody wrote.
fn take(service: Service<'_>, path: &Path, no_verify: bool) -> Result<(), Failure> {
    settings::load(path)?;
    let text = settings::text(path)?;
    let limit = Duration::from_secs(TIMEOUT_DEFAULT);
    let validated = if no_verify { None } else { Some(verify::call(service, &text, None, limit)?) };
    let file = service.file();
    let kept = file::set_aside(&file)?;
    let replaced = file::replace(&file, &text, || service.ensure());
    match (replaced, &kept) {
        (Err(failure), _) => {
            // It is in its place again.
            kept.map(std::fs::remove_file).transpose()?;
            return Err(failure);
        }
        (Ok(()), Some(kept)) => {
            output::complain(&format!("• The router file before is kept as {}", kept.display()));
        }
        (Ok(()), None) => {}
    }
    let name = service.route().name();
    let told = format!("  Route: {name}\n  File: {}", file.display());
    tell(service, &told, validated)
}

/// Says what is in force now, and who answered the call that verified it.
fn tell(service: Service<'_>, what: &str, validated: Option<String>) -> Result<(), Failure> {
    let mut told = format!("{} configured:\n\n{what}", service.route().title());
    if service.route() == Route::System {
        let socket = service.at("router.sock").display().to_string();
        told.extend(["\n  Socket: ", &socket]);
    }
    if let Some(endpoint) = validated {
        told.push_str("\n  Validated Endpoints:\n    - ");
        told.push_str(&endpoint);
    }
    output::line(&told)
}

/// Removes the key of a provider that the routers were given once.
pub(crate) fn forget_key(provider: &str) -> Result<(), Failure> {
    for service in Service::all(&home()?) {
        match std::fs::remove_file(service.at("credentials").join(provider)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// The router file for a provider, whose key is put where that router reads it.
fn made(service: Service<'_>, wanted: &Wanted, provider: &Provider) -> Result<String, Failure> {
    let key = service.folder()?.join("credentials");
    std::fs::create_dir_all(&key)?;
    let key = key.join(&provider.name);
    let has_key = provider.write_key(&key).context("cannot write the key for the router")?;
    let audit = service.at("audit.jsonl");
    file::text(wanted, provider, has_key.then_some(key.as_path()), &audit)
}

/// Puts a file in force that is made for one provider and one model.
fn put(service: Service<'_>, wanted: &Wanted, no_verify: bool) -> Result<(), Failure> {
    let file = service.file();
    file::refuse_by_hand(&file)?;
    let text = made(service, wanted, &provider::find(&wanted.provider)?)?;
    let model = Some(&*wanted.model);
    let validated =
        if no_verify { None } else { Some(verify::call(service, &text, model, wanted.timeout())?) };
    file::replace(&file, &text, || service.ensure())?;
    tell(service, &table(service.route(), wanted), validated)
}

fn table(route: Route, wanted: &Wanted) -> String {
    format!(
        "  Route: {}\n  Provider: {}\n  Model: {}\n  Version: {}\n  Timeout: {}s",
        route.name(),
        wanted.provider,
        wanted.model,
        wanted.version,
        wanted.timeout().as_secs()
    )
}

fn get(args: &InferenceGetArgs) -> Result<(), Failure> {
    let home = home()?;
    let asked = gateway::chosen(&args.gateway)?;
    let shown = |route: Route| match &asked {
        Some(asked) => Remote::on(asked, route.into()).shown(),
        None => show(Service::on(&home, route)),
    };
    if args.system {
        return output::emit(args.output, &shown(Route::System)?, Shown::block);
    }
    let [sandboxes, system] = [Route::Sandboxes, Route::System].map(shown);
    let both = Both { sandboxes: sandboxes?, system: system? };
    let table = |both: &Both| format!("{}\n\n{}", both.sandboxes.block(), both.system.block());
    output::emit(args.output, &both, table)
}

fn show(service: Service<'_>) -> Result<Shown, Failure> {
    let file = service.file();
    let made = file::made(&file)?;
    let wanted = made.as_ref().map(|made| &made.wanted);
    let is_configured = service.is_configured();
    let written_by_hand = is_configured && made.as_ref().is_none_or(|made| made.edited);
    let name = service.route().name();
    let by_hand = || format!("  Route: {name}\n  File: {}", file.display());
    Ok(Shown {
        configured: is_configured,
        route: name,
        provider: wanted.map(|wanted| wanted.provider.clone()),
        model: wanted.map(|wanted| wanted.model.clone()),
        version: wanted.map(|wanted| wanted.version),
        timeout_secs: wanted.map(|wanted| wanted.timeout().as_secs()),
        in_force: None,
        status: None,
        error: None,
        file: Some(file.display().to_string()),
        written_by_hand,
        running: service.is_running(),
        notices: Vec::new(),
        title: service.route().title(),
        table: match wanted {
            Some(wanted) if !written_by_hand => table(service.route(), wanted),
            _ => by_hand(),
        },
    })
}

impl Shown {
    /// It for people.
    fn block(&self) -> String {
        let Self { title, table, .. } = self;
        if !self.configured {
            return format!("{title}:\n\n  Not configured");
        }
        let running = if self.running { "running" } else { "not running" };
        format!("{title}:\n\n{table}\n  Router: {running}")
    }
}

fn stop() -> Result<(), Failure> {
    let mut stopped = false;
    for service in Service::all(&home()?) {
        stopped |= service.stop()?;
    }
    output::line(if stopped { "✓ Router stopped" } else { "· Router is not running" })
}

/// Whether model calls go to this provider.
pub(crate) fn uses(name: &str) -> Result<bool, Failure> {
    for service in Service::all(&home()?) {
        if file::made(&service.file())?.is_some_and(|made| made.wanted.provider == name) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives a changed provider to the routers.
pub(crate) fn provider_changed(changed: &Provider) -> Result<(), Failure> {
    for service in Service::all(&home()?) {
        let Some(Made { wanted, edited: false }) = file::made(&service.file())? else { continue };
        if wanted.provider != changed.name {
            continue;
        }
        // The router reads the key again because the file has another version.
        let wanted = Wanted { version: wanted.version.saturating_add(1), ..wanted };
        file::write(&service.file(), &made(service, &wanted, changed)?)?;
    }
    Ok(())
}
