//! `openshell router run`: the router service in the foreground.

use std::{io::IsTerminal as _, process::ExitCode};

use proxy::{
    audit::AuditOptions,
    server::{self, Addresses, Environment, Options, SpanOptions, TlsFiles},
};
use sandbox::LogLines;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{args::RunArgs, failure::Failure, output, settings};

/// Serves until told to stop.
pub(crate) fn run(args: RunArgs) -> Result<ExitCode, Failure> {
    log(match (args.log_lines, args.log_json) {
        (true, _) => LogForm::Lines,
        (false, true) => LogForm::Json,
        (false, false) => LogForm::People,
    });
    // Faults are told in full before anything starts; the service reads the file again by itself.
    let (_, notices) = settings::load(&args.config.config)?;
    for notice in &notices {
        output::complain(&format!("warning: {}:{notice}", args.config.config.display()));
    }
    let options = Options {
        config: args.config.config,
        listen: args.listen,
        tls: args
            .tls_cert
            .zip(args.tls_key)
            .map(|(certificate, key)| TlsFiles { certificate, key }),
        admin: args.admin,
        h2c: args.h2c,
        threads: args.threads.unwrap_or(0),
        grace: None,
        audit: args.trial.then(AuditOptions::default),
        spans: (args.otel || args.otel_endpoint.is_some())
            .then_some(SpanOptions { endpoint: args.otel_endpoint }),
        environment: Environment::process(),
        sandbox_key: args.sandbox_key,
        state: args.state,
        text: None,
        books: None,
    };
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    server::run(&options, |addresses| announce(addresses, scheme)).map_err(|error| {
        Failure::from(error)
            .hint("`openshell router check FILE` says what is wrong with a router file")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Says where agents can point their base URL.
fn announce(addresses: &Addresses, scheme: &str) {
    for address in &addresses.listen {
        let url = match address {
            server::ListenAddr::Tcp(address) => format!("{scheme}://{address}"),
            server::ListenAddr::Unix(_) => address.to_string(),
        };
        output::complain(&format!("listening on {url} (OpenAI: {url}/v1, Anthropic: {url})"));
    }
    if let Some(admin) = addresses.admin {
        output::complain(&format!("metrics and health on http://{admin}"));
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogForm {
    /// For people, in colour on a terminal.
    People,
    /// As lines of JSON.
    Json,
    /// As `openshell logs` reads them.
    Lines,
}

/// Structured logs on standard error; `RUST_LOG` chooses what is logged.
pub(crate) fn log(form: LogForm) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let writer = std::io::stderr;
    let result = match form {
        LogForm::Lines => {
            let lines = tracing_subscriber::fmt::layer().event_format(LogLines("gateway"));
            registry.with(lines.with_writer(writer)).try_init()
        }
        LogForm::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(writer)).try_init()
        }
        LogForm::People => {
            let colour = std::io::stderr().is_terminal();
            let layer = tracing_subscriber::fmt::layer().with_ansi(colour).with_writer(writer);
            registry.with(layer).try_init()
        }
    };
    if result.is_err() {
        output::complain("warning: logs are already set up elsewhere");
    }
}
