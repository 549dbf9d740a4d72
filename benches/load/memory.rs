//! Resident memory: idle, under new prompts, and when it is quiet again.

use std::{path::Path, sync::Arc, time::Duration};

use openshell_benches::conversation::{Conversation, New, Shape};

use crate::{
    children::{Child, Resident},
    measure::{Bounds, Way, load},
    modes::{Files, Setting},
    say,
};

/// New prompts that are sent.
const REQUESTS: u32 = 10_000;

/// How long a process is left alone before it counts as idle.
const QUIET: Duration = Duration::from_secs(3);

/// Memory of one process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Memory {
    /// Ready, before any request.
    pub(crate) idle: Resident,
    /// Right after all requests of 1 KB.
    pub(crate) after_1k: Resident,
    /// Right after a tenth as many of 100 KB.
    pub(crate) after_100k: Resident,
    /// When nothing has happened for a while.
    pub(crate) quiet: Resident,
}

/// Memory of both sides.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Memories {
    /// The router with the configuration of `examples/router/local-first.yaml`, idle.
    pub(crate) example: Resident,
    /// The bare proxy.
    pub(crate) bare: Memory,
    /// The router with everything on.
    pub(crate) router: Memory,
}

/// Measures it.
///
/// # Errors
/// When a process does not start or an answer is no success.
pub(crate) async fn run(bounds: &Bounds) -> anyhow::Result<Memories> {
    let files = Files::new()?;
    let model = Child::model()?;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/router/local-first.yaml");
    let example = Child::router(Path::new(example), bounds.threads)?;
    let bare = Child::bare(model.address, bounds.threads)?;
    let router = files.write(Setting::Everything, model.address, "")?;
    let router = Child::router(&router, bounds.threads)?;
    tokio::time::sleep(QUIET).await;
    Ok(Memories {
        example: example.resident()?,
        bare: of(&bare, bounds).await?,
        router: of(&router, bounds).await?,
    })
}

async fn of(child: &Child, bounds: &Bounds) -> anyhow::Result<Memory> {
    // The count is what bounds this part.
    let bounds = Bounds { seconds: 60, ..*bounds };
    let idle = child.resident()?;
    let conversation = |bytes| {
        let new = New::Everything;
        Arc::new(Conversation::new(&Shape { bytes, last_bytes: 700, new, stream_tokens: 0 }))
    };
    say(&format!("memory: {REQUESTS} requests of 1 KB"));
    load(child, &conversation(1_024), (REQUESTS, Way::Direct), &bounds).await?;
    let after_1k = child.resident()?;
    say(&format!("memory: {} requests of 100 KB", REQUESTS / 10));
    load(child, &conversation(100 << 10), (REQUESTS / 10, Way::Direct), &bounds).await?;
    let after_100k = child.resident()?;
    tokio::time::sleep(QUIET).await;
    Ok(Memory { idle, after_1k, after_100k, quiet: child.resident()? })
}
