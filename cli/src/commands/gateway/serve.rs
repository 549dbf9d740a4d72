//! `openshell gateway run`: a gateway in the foreground, with the routers of its sandboxes in the same process.

use std::{io::Write as _, path::PathBuf};

use gateway::run::{Options, Ready};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::gateway::GatewayRunArgs,
    commands::{
        inference,
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
    let router = (!args.no_router).then(|| inference::door::door(&state));
    let options = Options {
        name: args.name,
        state,
        store: args.db,
        listen: args.listen,
        names: args.host,
        key: args.key,
        certificates_only: args.certificates_only,
        user: user(),
        router,
    };
    let announce = args.announce;
    sandbox::block_on(async {
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
    })
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
