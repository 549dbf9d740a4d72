//! `openshell gateway run`: a gateway in the foreground, with the routers of its sandboxes in the same process.

use std::{io::Write as _, path::PathBuf};

use gateway::{
    auth::principal::UserName,
    broker::Kept,
    run::{Options, Ready},
    store::Place,
};
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
    /// Its number.
    pub(super) process: u32,
    /// Its port.
    pub(super) port: u16,
    /// The socket of the local user.
    pub(super) socket: PathBuf,
    /// Whether what it keeps is in a database elsewhere.
    pub(super) database: bool,
}

/// Where it is said too, in the folder of its state: for whoever did not start it.
pub(super) const SERVING: &str = "serving.json";

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
        oidc: args.oidc.config()?,
        router,
        audit: Kept { days: args.audit_days, bytes: args.audit_bytes },
    };
    let (announce, state) = (args.announce, options.state.clone());
    let database = matches!(options.store, Some(Place::Postgres(_)));
    sandbox::block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let ready = |ready: &Ready| {
            let port = ready.addresses.first().map_or(0, std::net::SocketAddr::port);
            let (process, socket) = (std::process::id(), ready.socket.clone());
            let said = Announced { process, port, socket, database };
            // Whoever cannot read it starts anew.
            let text = serde_json::to_vec(&said).unwrap_or_default();
            super::registry::write(&state.join(SERVING), &text).ok();
            tell(ready, announce.then_some(&said));
        };
        let served = gateway::run::run(options, ready, stop).await;
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

/// Who runs the gateway, by the name that this system has for them; `$USER` is what anybody says.
fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    // People of a directory in the network are not in that file.
    let asked = || {
        let said = std::process::Command::new("id").arg("-un").output().ok()?;
        said.status.success().then(|| String::from_utf8(said.stdout).ok())?
    };
    let name = name_of(id, &accounts).map(str::to_owned).or_else(asked);
    let name = name.map(|name| name.trim().to_owned());
    // Some have names that no user of a gateway may have.
    name.filter(|name| name.parse::<UserName>().is_ok()).unwrap_or_else(|| format!("uid-{id}"))
}

/// The name of that number in the accounts of a system (passwd(5)).
fn name_of(id: u32, accounts: &str) -> Option<&str> {
    let id = id.to_string();
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _) = (fields.next()?, fields.next()?);
        (fields.next()? == id && !name.is_empty()).then_some(name)
    })
}

fn tell(ready: &Ready, announced: Option<&Announced>) {
    for address in &ready.addresses {
        output::complain(&format!("listening on https://{address}"));
    }
    output::complain(&format!("listening on {} for this user", ready.socket.display()));
    output::complain(&format!("its certificates are vouched for by {}", ready.ca.display()));
    if let Some(said) = announced {
        let mut out = std::io::stdout().lock();
        // Whoever started it may be gone.
        serde_json::to_writer(&mut out, said).ok();
        out.write_all(b"\n").ok();
        out.flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn a_user_is_called_what_the_system_calls_its_number() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\n\n# x\n:x:7::\nada:x:1000:1000::/home/ada:\nten:x:100:1000::\n";
        assert_eq!(name_of(0, accounts), Some("root"));
        assert_eq!(name_of(1000, accounts), Some("ada"));
        assert_eq!(name_of(7, accounts), None);
        assert_eq!(name_of(1, accounts), None);
    }
}
