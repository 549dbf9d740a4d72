//! `openshell gateway …` and `openshell status`: gateways of this user, and those that run elsewhere.
//!
//! Here: which command, and the commands about what is known of gateways. Below: a gateway in the foreground (`serve`), in the
//! background (`service`), what is kept of gateways (`registry`), and which of them a command asks (`asked`), also for what comes later (`followed`). Not here: the gateway itself (`gateway`).

mod chosen;
mod followed;
mod oidc;
mod registry;
mod serve;
mod service;
mod upkeep;

use std::process::ExitCode;

use api::{
    client::{Client, ClientError},
    gateway::Info,
    user::{IssuedCertificate, Me},
};
use reqwest::Method;
use serde::Serialize;

pub(crate) use self::{
    chosen::{Chosen, Whose, chosen, escaped},
    followed::follow,
    registry::Registry,
};
use self::{
    oidc::Way,
    registry::{Auth, Known},
};
use crate::{
    args::gateway::{
        GatewayAddArgs, GatewayChoice, GatewayCommand, GatewayInfoArgs, GatewayListArgs,
        GatewayLoginArgs,
    },
    commands::sandbox::block_on,
    failure::Failure,
    output::{self, columns},
};

/// Runs what was typed.
pub(crate) fn run(command: GatewayCommand) -> Result<ExitCode, Failure> {
    match command {
        GatewayCommand::Run(args) => serve::run(*args)?,
        GatewayCommand::Start(args) => service::start(&args)?,
        GatewayCommand::Stop(args) => service::stop(&args.name)?,
        GatewayCommand::Destroy(args) => service::destroy(&args)?,
        GatewayCommand::Add(args) => add(*args)?,
        GatewayCommand::Login(args) => login(&args)?,
        GatewayCommand::Select(args) => select(args)?,
        GatewayCommand::Info(args) => info(&args)?,
        GatewayCommand::List(args) => list(&args)?,
        GatewayCommand::RotateKey(args) => upkeep::rotate_key(&args)?,
        GatewayCommand::Backup(args) => upkeep::backup(&args)?,
        GatewayCommand::Restore(args) => upkeep::restore(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a gateway did not do what was asked, with what would help.
pub(crate) fn refused(error: ClientError) -> Failure {
    let (hint, faults) = match &error {
        ClientError::Refused(problem) => {
            let faults: Vec<String> = problem
                .errors
                .iter()
                .map(|fault| format!("{} {}", fault.pointer, fault.detail))
                .collect();
            (problem.next_steps.join("; "), faults)
        }
        ClientError::Unreachable { .. } | ClientError::Silent { .. } => {
            let hint = "`openshell gateway start` starts one here, `openshell gateway select` takes another one";
            (hint.to_owned(), Vec::new())
        }
        ClientError::Kept(_) => ("look at the disk".to_owned(), Vec::new()),
        ClientError::Place(_) | ClientError::Malformed(_) => {
            ("`openshell gateway info` shows where it is looked for".to_owned(), Vec::new())
        }
    };
    let failure = match faults.len() {
        0 | 1 => Failure::from(error),
        _ => Failure::new(faults.join("\n")),
    };
    if hint.is_empty() { failure } else { failure.hint(hint) }
}

/// How the active gateway is doing, as it is shown.
#[derive(Debug, Default, Serialize)]
struct Health {
    gateway: Option<String>,
    server: Option<String>,
    status: Option<&'static str>,
    version: Option<String>,
    error: Option<String>,
}

impl Health {
    fn text(&self) -> String {
        let Some(gateway) = &self.gateway else {
            return "Gateway Status\n\n  Status: No gateway configured.\n\n  Start one with: openshell gateway start"
                .to_owned();
        };
        let lines = [
            ("Gateway", Some(gateway.as_str())),
            ("Server", self.server.as_deref()),
            ("Status", self.status),
            ("Version", self.version.as_deref()),
            ("Error", self.error.as_deref()),
        ];
        let lines = lines.iter().filter_map(|(key, value)| value.map(|value| (key, value)));
        lines.fold("Server Status\n".to_owned(), |all, (key, value)| {
            let key = format!("{key}:");
            all + &format!("\n  {key:<9}{value}")
        })
    }
}

/// `openshell status`
pub(crate) fn status(args: &GatewayListArgs) -> Result<ExitCode, Failure> {
    let registry = Registry::open()?;
    let Some(known) = registry.active()? else {
        output::emit(args.output, &Health::default(), Health::text)?;
        return Ok(ExitCode::SUCCESS);
    };
    let asked = registry.client(&known).and_then(|client| ask_info(&client));
    let (word, version, error) = match &asked {
        Ok(info) => ("Connected", Some(info.version.clone()), None),
        Err(failure) => ("Disconnected", None, Some(failure.message())),
    };
    let status = Health {
        gateway: Some(known.name.clone()),
        server: Some(known.metadata.gateway_endpoint),
        status: Some(word),
        version,
        error,
    };
    output::emit(args.output, &status, Health::text)?;
    if let Some(hint) = asked.as_ref().err().and_then(Failure::next_step) {
        output::complain(&format!("hint: {hint}"));
    }
    Ok(if asked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ask_info(client: &Client) -> Result<Info, Failure> {
    block_on(async { client.get::<Info>("/v1/info").await.map_err(refused) })
}

fn add(args: GatewayAddArgs) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let known = registry.add(args)?;
    if known.metadata.auth_mode == Auth::Oidc {
        registry.select(&known.name)?;
        output::line(&format!("✓ Gateway '{}' added and set as active", known.name))?;
        output::line(&format!("  Endpoint: {}", known.metadata.gateway_endpoint))?;
        return output::line("  Auth: oidc; `openshell gateway login` logs in");
    }
    // What cannot be reached now may be reached later; what is wrong with it is told all the same.
    match registry.client(&known).and_then(|client| ask_info(&client)) {
        Ok(info) => {
            output::complain(&format!("• {} answers, version {}", info.name, info.version));
        }
        Err(failure) => output::complain(&format!("! It does not answer: {failure}")),
    }
    registry.select(&known.name)?;
    output::line(&format!("✓ Gateway '{}' added and set as active", known.name))?;
    output::line(&format!("  Endpoint: {}", known.metadata.gateway_endpoint))?;
    output::line(&format!("  Auth: {}", known.metadata.auth_mode.word()))
}

/// Logs in at the issuer, or asks for the next certificate with the one that is there, or as the local user.
fn login(args: &GatewayLoginArgs) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let known = registry.chosen(args.gateway.name.as_deref())?;
    if known.metadata.auth_mode == Auth::Oidc {
        return log_in(&registry, &known, args);
    }
    if args.device || args.no_browser {
        return Err(Failure::usage(format!("gateway {} is used without an issuer", known.name)));
    }
    if known.metadata.auth_mode == Auth::Token {
        return Err(Failure::new(format!("gateway {} is used with a token", known.name)).hint(
            "ask an administrator for another one, and add the gateway again with --token-file",
        ));
    }
    let client = registry.client(&known)?;
    let issued: IssuedCertificate = block_on(async {
        client.send(Method::POST, "/v1/me/certificate", &()).await.map_err(refused)
    })?;
    let expires = issued.expires.strftime("%Y-%m-%d").to_string();
    registry.keep_certificate(&known.name, issued)?;
    output::line(&format!("✓ New certificate for gateway '{}', good until {expires}", known.name))
}

fn log_in(registry: &Registry, known: &Known, args: &GatewayLoginArgs) -> Result<(), Failure> {
    let way = if args.device { Way::Device } else { Way::Browser { open: !args.no_browser } };
    let renewable = registry.log_in(known, way)?;
    let client = registry.client(known)?;
    let me: Me = block_on(async { client.get("/v1/me").await.map_err(refused) })?;
    output::line(&format!("✓ Logged in at gateway '{}' as {}", known.name, me.name))?;
    if !renewable {
        output::complain("! The issuer gave nothing to renew this with; log in again when it ends");
    }
    Ok(())
}

fn select(args: GatewayChoice) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let Some(name) = args.name else {
        return list(&GatewayListArgs { output: output::Format::Table });
    };
    let known = registry.known(&name)?;
    registry.select(&known.name)?;
    output::line(&format!("✓ Active gateway set to '{}'", known.name))
}

/// A gateway as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    endpoint: String,
    #[serde(rename = "type")]
    kind: &'static str,
    auth: &'static str,
    active: bool,
}

impl Shown {
    fn new(known: &Known, active: Option<&str>) -> Self {
        Self {
            name: known.name.clone(),
            endpoint: known.metadata.gateway_endpoint.clone(),
            kind: if known.metadata.is_remote { "remote" } else { "local" },
            auth: known.metadata.auth_mode.word(),
            active: active == Some(known.name.as_str()),
        }
    }
}

fn info(args: &GatewayInfoArgs) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let known = registry.chosen(args.name.as_deref())?;
    let active = registry.active_name()?;
    let shown = Shown::new(&known, active.as_deref());
    output::emit(args.output, &shown, |shown| {
        format!(
            "Gateway Info\n\n  Gateway: {}\n  Endpoint: {}\n  Type: {}\n  Auth: {}",
            shown.name, shown.endpoint, shown.kind, shown.auth
        )
    })
}

fn list(args: &GatewayListArgs) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let active = registry.active_name()?;
    let all: Vec<Shown> =
        registry.all()?.iter().map(|known| Shown::new(known, active.as_deref())).collect();
    output::emit(args.output, &all, |all| {
        if all.is_empty() {
            return "No gateways found. Start one with: openshell gateway start".to_owned();
        }
        let rows: Vec<Vec<String>> = all
            .iter()
            .map(|one| {
                let mark = if one.active { "*" } else { "" };
                vec![
                    mark.to_owned(),
                    one.name.clone(),
                    one.endpoint.clone(),
                    one.kind.to_owned(),
                    one.auth.to_owned(),
                ]
            })
            .collect();
        columns(&["", "NAME", "ENDPOINT", "TYPE", "AUTH"], &rows)
    })
}
