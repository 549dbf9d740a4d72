//! What the router costs beside a bare Pingora proxy, measured turn by turn in one run.
//!
//! Three processes are started from this program: a model server, a bare proxy that only swaps a credential, and the
//! router. Both proxies have the same number of threads, the same allocator, and the same upstream, and keep connections on
//! both sides. The load comes from this process over loopback; CPU time and memory are those of each process alone.
//! Not here: the time of single steps (`wall`).

mod children;
mod client;
mod egress;
mod measure;
mod memory;
mod modes;
mod reload;
mod report;
mod serve;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

/// The allocator of `openshell`; all processes of a run have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compares the router with a bare proxy under the same load.
///
/// Every figure is a ratio to the bare proxy or stands beside its figure. Machines drift, so each round measures both
/// sides, one right after the other, and the median of the ratios counts.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
struct Cli {
    /// What is measured; everything if none is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Modes of the part `cpu`, by the beginning of their names; all if none is named.
    #[arg(long = "mode", value_name = "NAME")]
    modes: Vec<String>,
    /// How often both sides are measured in each mode.
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Most seconds for one side of one round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    connections: u32,
    /// Threads of each proxy.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
    /// Form of the report on standard output.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(subcommand)]
    serve: Option<Serve>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU time per request and requests per second in each mode.
    Cpu,
    /// Latency that a proxy adds at one request at a time.
    Latency,
    /// Resident memory when idle and after load.
    Memory,
    /// Gaps in 1,000 streams while the configuration is reloaded.
    Reload,
    /// CPU time of requests and tunnels of a sandbox.
    Egress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// The other processes of a run.
#[derive(Debug, Subcommand)]
enum Serve {
    /// A model server that answers at once.
    #[command(name = "serve-model", hide = true)]
    Model,
    /// A proxy that only swaps a credential.
    #[command(name = "serve-bare", hide = true)]
    Bare(serve::BareArgs),
    /// The router.
    #[command(name = "serve-router", hide = true)]
    Router(serve::RouterArgs),
    /// A model server behind TLS.
    #[command(name = "serve-secure-model", hide = true)]
    SecureModel(serve::SecureArgs),
    /// A proxy that does nothing but TLS.
    #[command(name = "serve-bare-tunnel", hide = true)]
    BareTunnel(serve::BareTunnelArgs),
    /// The egress proxy of a sandbox.
    #[command(name = "serve-egress", hide = true)]
    Egress(serve::EgressArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.serve {
        Some(Serve::Model) => serve::model(),
        Some(Serve::Bare(args)) => serve::bare(args),
        Some(Serve::Router(args)) => serve::router(args),
        Some(Serve::SecureModel(args)) => serve::secure_model(args),
        Some(Serve::BareTunnel(args)) => serve::bare_tunnel(args),
        Some(Serve::Egress(args)) => serve::egress(args),
        None => measure(&cli),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let wants = |part| cli.parts.is_empty() || cli.parts.contains(&part);
        let bounds = measure::Bounds {
            rounds: cli.rounds,
            seconds: cli.seconds,
            connections: usize::try_from(cli.connections)?,
            threads: cli.threads,
        };
        let mut report = report::Report::of_this_machine(&bounds);
        if wants(Part::Cpu) {
            report.cpu = measure::cpu(&bounds, &cli.modes).await?;
        }
        if wants(Part::Latency) {
            report.latency = Some(measure::latency(&bounds).await?);
        }
        if wants(Part::Memory) {
            report.memory = Some(memory::run(&bounds).await?);
        }
        if wants(Part::Reload) {
            report.reload = Some(reload::run(&bounds).await?);
        }
        if wants(Part::Egress) {
            report.egress = Some(egress::run(&bounds).await?);
        }
        anyhow::Ok(report)
    })?;
    let text = match cli.output {
        Output::Table => report.table(),
        Output::Json => serde_json::to_string_pretty(&report)? + "\n",
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// Tells a person on standard error how far the run is.
fn say(text: &str) {
    let mut error = std::io::stderr().lock();
    // Nobody can be told when standard error is gone, and the report does not need it.
    drop(writeln!(error, "{text}"));
}
