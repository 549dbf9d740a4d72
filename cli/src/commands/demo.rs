//! `openshell demo`: the story of the router and of a sandbox on one machine, in a few seconds, without network or root.
//!
//! Two demonstration models answer: scripted servers that say what they are. The router between them and the caller is the
//! real one, so is the sandbox, and each scene checks what it tells. All of it happens on an island: a second process in a
//! network of its own (`island`), because no policy opens the loopback network of this machine. This process waits for it,
//! and cleans up. Where no island can be had, the router's part is played here.

mod agent;
mod island;
mod models;
mod real;
mod scenes;
mod stage;

use std::process::ExitCode;

use self::{
    island::Voyage,
    real::RealModel,
    scenes::{play_router, play_sandbox},
    stage::Stage,
};
use crate::{args::DemoArgs, failure::Failure, output};

/// Plays all scenes; a scene that does not go as told is a failure.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    // The clients here speak in clear, and yet refuse to be made without. It is there already only where this runs twice.
    rustls::crypto::ring::default_provider().install_default().ok();
    if let Some(folder) = &args.island {
        return island::play(folder, || {
            runtime()?.block_on(island::until_told(whole_story(args, folder)))
        });
    }
    let folder = tempfile::Builder::new().prefix("openshell-demo-").tempdir()?;
    if args.real_model {
        // There is no network on the island.
        runtime()?.block_on(RealModel::install(args.model_dir.as_deref()))?;
    }
    match runtime()?.block_on(island::voyage(args, folder.path()))? {
        Voyage::Ended(code) => Ok(code),
        Voyage::Refused => {
            runtime()?.block_on(router_story(args, folder.path()))?;
            output::line(
                "The sandbox's part was left out: this system does not let this user make the namespaces that a sandbox is \
                 made of (see above). As root, or with them allowed, `openshell demo` plays it as well.",
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn whole_story(args: &DemoArgs, folder: &std::path::Path) -> Result<(), Failure> {
    let mut stage = Stage::set(args, folder).await?;
    output::line(&stage.introduction())?;
    let number = play_router(&stage).await?;
    let decisions = play_sandbox(&stage, number).await?;
    let scenes = decisions.as_ref().map_or(0, |decisions| decisions.scenes);
    scenes::failover(&mut stage, number.saturating_add(scenes)).await?;
    stage.close(decisions.map(|decisions| decisions.events))
}

async fn router_story(args: &DemoArgs, folder: &std::path::Path) -> Result<(), Failure> {
    let mut stage = Stage::set(args, folder).await?;
    output::line(&stage.introduction())?;
    let number = play_router(&stage).await?;
    scenes::failover(&mut stage, number).await?;
    stage.close(None)
}
