//! `openshell gateway run`: a gateway in the foreground, with the router of its sandboxes beside it.

use std::{io::Write as _, path::PathBuf};

use ::sandbox::state::Home;
use gateway::{
    broker::Kept,
    run::{Options, Ready},
};
use proxy::server::{ListenAddr, Options as RouterOptions, Running};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::gateway::GatewayRunArgs,
    commands::{
        run::{LogForm, log},
        sandbox,
    },
    failure::Failure,
    output,
};

/// What a gateway says when it serves, as a line of JSON, to whoever started it.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(super) struct Announced {
    /// Its port.
    pub(super) port: u16,
    /// The socket of the local user.
    pub(super) socket: PathBuf,
}

/// Serves until told to stop.
pub(super) fn run(args: GatewayRunArgs) -> Result<(), Failure> {
    log(if args.log_json { LogForm::Json } else { LogForm::People });
    let state = match args.state {
        Some(state) => std::path::absolute(state)?,
        None => folder(&args.name)?,
    };
    let router = if args.no_router { None } else { router(&Home::new(&state))? };
    let options = Options {
        name: args.name,
        state,
        store: args.db,
        listen: args.listen,
        names: args.host,
        key: args.key,
        certificates_only: args.certificates_only,
        user: user(),
        router: router.is_some(),
        audit: Kept { days: args.audit_days, bytes: args.audit_bytes },
    };
    let announce = args.announce;
    let ended = sandbox::block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let served = gateway::run::run(options, |ready| tell(ready, announce), stop).await;
        served.map_err(|error| {
            Failure::from(error).hint("`openshell gateway run --help` shows what can be chosen")
        })
    });
    if let Some(router) = router {
        router.stop();
    }
    ended
}

/// The folder of a gateway of this user.
pub(super) fn folder(name: &str) -> Result<PathBuf, Failure> {
    if !super::registry::is_name(name) {
        return Err(Failure::usage(format!("a gateway cannot be called {name:?}"))
            .hint("letters, digits, -, _ and ., at most 63"));
    }
    Ok(sandbox::home()?.path().join("gateways").join(name))
}

/// Who runs the gateway, by the name that this system has for them.
fn user() -> String {
    let named = std::env::var_os("USER").and_then(|name| name.into_string().ok());
    let named = named.filter(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("uid-{}", rustix::process::geteuid().as_raw()))
}

/// The router of the sandboxes of this home, where somebody has said where model calls go.
fn router(home: &Home) -> Result<Option<Running>, Failure> {
    let config = home.path().join("router.yaml");
    if !config.exists() {
        return Ok(None);
    }
    let folder = home.path().join("router");
    std::fs::create_dir_all(&folder)?;
    let mut options = RouterOptions::new(config, ListenAddr::Unix(folder.join("router.sock")));
    options.sandbox_key = Some(folder.join("key"));
    options.state = Some(folder.join("state"));
    let running = Running::start(&options).map_err(|error| {
        Failure::from(error).hint(
            "`openshell router check` says what is wrong with a router file; --no-router leaves it out",
        )
    })?;
    Ok(Some(running))
}

fn tell(ready: &Ready, announce: bool) {
    for address in &ready.addresses {
        output::complain(&format!("listening on https://{address}"));
    }
    output::complain(&format!("listening on {} for this user", ready.socket.display()));
    output::complain(&format!("its certificates are vouched for by {}", ready.ca.display()));
    let port = ready.addresses.first().map(std::net::SocketAddr::port);
    if let Some(port) = port.filter(|_| announce) {
        let said = Announced { port, socket: ready.socket.clone() };
        let mut out = std::io::stdout().lock();
        // Whoever started it may be gone.
        serde_json::to_writer(&mut out, &said).ok();
        out.write_all(b"\n").ok();
        out.flush().ok();
    }
}
