//! The processes that are measured: each serves until its standard input ends.
//!
//! Each writes its address on standard output when it is ready, and takes orders on standard input: `reload`.

mod bare;
mod bare_tunnel;
mod egress;
mod model;

use std::{
    io::{BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

pub(crate) use bare_tunnel::BareTunnelArgs;
use clap::Args;
pub(crate) use egress::EgressArgs;
use proxy::server::{Environment, ListenAddr, Options, Running};

/// What the proxies send upstream in place of what the caller sent.
const KEY: &str = "bench-upstream-key-5b8a1c";

/// Arguments of the bare proxy.
#[derive(Clone, Debug, Args)]
pub(crate) struct BareArgs {
    /// The model server.
    pub(crate) upstream: SocketAddr,
    /// Threads.
    pub(crate) workers: usize,
}

/// Arguments of the router.
#[derive(Clone, Debug, Args)]
pub(crate) struct RouterArgs {
    /// The router file.
    pub(crate) config: PathBuf,
    /// Threads.
    pub(crate) workers: usize,
}

/// Arguments of the model server behind TLS.
#[derive(Clone, Debug, Args)]
pub(crate) struct SecureArgs {
    /// Where its certificate goes.
    pub(crate) folder: PathBuf,
}

/// Serves as the model server behind TLS.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn secure_model(args: &SecureArgs) -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    let address = runtime.block_on(egress::secure(&args.folder))?;
    ready(address)?;
    orders(|| {});
    runtime.shutdown_background();
    Ok(())
}

/// Serves as a proxy that does nothing but TLS, or nothing at all.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn bare_tunnel(args: &BareTunnelArgs) -> anyhow::Result<()> {
    let runtime = runtime(args.workers)?;
    let address = runtime.block_on(bare_tunnel::start(args))?;
    ready(address)?;
    orders(|| {});
    runtime.shutdown_background();
    Ok(())
}

/// Serves as the egress proxy.
///
/// # Errors
/// When it does not start.
pub(crate) fn egress(args: &EgressArgs) -> anyhow::Result<()> {
    let runtime = runtime(args.workers)?;
    let (address, egress) = runtime.block_on(egress::start(args))?;
    ready(address)?;
    orders(|| {});
    drop(egress);
    runtime.shutdown_background();
    Ok(())
}

/// Serves as the model server.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn model() -> anyhow::Result<()> {
    let runtime = runtime(1)?;
    let address = runtime.block_on(model::start())?;
    ready(address)?;
    orders(|| {});
    runtime.shutdown_background();
    Ok(())
}

/// Serves as the bare proxy.
///
/// # Errors
/// When it cannot listen.
pub(crate) fn bare(args: &BareArgs) -> anyhow::Result<()> {
    let runtime = runtime(args.workers)?;
    let address = runtime.block_on(bare::start(args.upstream))?;
    ready(address)?;
    orders(|| {});
    runtime.shutdown_background();
    Ok(())
}

/// Serves as the router.
///
/// # Errors
/// When it does not start.
pub(crate) fn router(args: &RouterArgs) -> anyhow::Result<()> {
    let anywhere = ListenAddr::Tcp((Ipv4Addr::LOCALHOST, 0).into());
    let options = Options {
        threads: args.workers,
        environment: Environment::new(|_| Some(KEY.to_owned())),
        ..Options::new(&args.config, anywhere)
    };
    let running = Running::start(&options)?;
    ready(running.addr().ok_or_else(|| anyhow::anyhow!("the router listens nowhere"))?)?;
    orders(|| running.reload());
    // Streams of a run that was broken off are not waited for.
    drop(running);
    Ok(())
}

fn runtime(workers: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    Ok(builder.worker_threads(workers).enable_all().build()?)
}

fn ready(address: SocketAddr) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    Ok(out.flush()?)
}

/// Follows orders until the parent is gone.
fn orders(reload: impl Fn()) {
    for line in std::io::stdin().lock().lines() {
        match line.as_deref() {
            Ok("reload") => reload(),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}
