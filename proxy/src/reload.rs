//! Takes over a changed configuration file while running.
//!
//! The file is looked at each second: time of change and length first, then the content, because editors and mounted
//! volumes replace files in ways that notifications miss. Invariant: a file with faults changes nothing.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use tokio::sync::Notify;

use crate::{
    service::Router,
    snapshot::{SnapshotError, revision},
};

/// How often the file is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a file looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    changed: Option<SystemTime>,
    length: u64,
    inode: u64,
}

/// Why the file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Somebody asked for it.
    Asked,
    /// It looks different.
    Look,
}

/// Watches `path` for as long as the server runs; `asked` makes it look at once and read whatever it sees.
pub(crate) async fn run(router: Arc<Router>, path: PathBuf, asked: Arc<Notify>) {
    // Nothing seen yet: the file may have changed since the start read it.
    let mut seen = None;
    let mut refused = None;
    loop {
        let cause = tokio::select! {
            () = asked.notified() => Cause::Asked,
            () = tokio::time::sleep(EVERY) => Cause::Look,
        };
        let now = look(&path);
        if cause == Cause::Look && seen == Some(now) {
            continue;
        }
        seen = Some(now);
        refused = reload(&router, &path, refused, cause).await;
    }
}

/// Reads the file and takes it over; gives the revision that was refused, so that it is reported once.
async fn reload(
    router: &Arc<Router>,
    path: &Path,
    refused: Option<String>,
    cause: Cause,
) -> Option<String> {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => {
            report(router, path, &SnapshotError::Read(error));
            return refused;
        }
    };
    let revision = revision(&text);
    // Who asks for it wants credentials to be read again, too.
    let known = refused.as_ref() == Some(&revision) || router.snapshot.load().revision == revision;
    if known && cause == Cause::Look {
        return refused;
    }
    // Building reads credential files and certificate authorities, and takes long: no stream waits for it.
    let building = Arc::clone(router);
    let built = tokio::task::spawn_blocking(move || building.reload(&text)).await;
    match built.unwrap_or_else(|error| Err(SnapshotError::Read(std::io::Error::other(error)))) {
        Ok(()) => {
            router.metrics.reloads.fetch_add(1, Ordering::Relaxed);
            tracing::info!(path = %path.display(), revision, "configuration taken over");
            None
        }
        Err(error) => {
            report(router, path, &error);
            Some(revision)
        }
    }
}

fn report(router: &Router, path: &Path, error: &SnapshotError) {
    router.metrics.reloads_refused.fetch_add(1, Ordering::Relaxed);
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(path = %path.display(), cause, "{error}; the old configuration stays in force");
}

fn look(path: &Path) -> Option<Look> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    Some(Look { changed: found.modified().ok(), length: found.len(), inode: found.ino() })
}
