//! What is measured: the load of each mode and the router file that goes with it.

use std::{fs, net::SocketAddr, path::PathBuf};

use openshell_benches::{
    conversation::{New, Shape},
    router_file,
};
use tempfile::TempDir;

/// What the router is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Setting {
    /// Nothing but to swap the credential.
    Swap,
    /// Classify, redact, count, price, keep budgets, write an audit file.
    Everything,
}

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// What the router does.
    pub(crate) setting: Setting,
    /// What is sent.
    pub(crate) shape: Shape,
    /// Requests of one side of one round.
    pub(crate) requests: u32,
}

const fn mode(name: &'static str, bytes: usize, new: New, requests: u32) -> Mode {
    let shape = Shape { bytes, last_bytes: 700, new, stream_tokens: 0 };
    Mode { name, setting: Setting::Everything, shape, requests }
}

/// All modes, in the order of the report.
pub(crate) const MODES: [Mode; 8] = [
    Mode { setting: Setting::Swap, ..mode("swap-1k", 1_024, New::Everything, 3_000) },
    mode("new-1k", 1_024, New::Everything, 3_000),
    mode("new-10k", 10 << 10, New::Everything, 1_500),
    mode("new-100k", 100 << 10, New::Everything, 250),
    mode("repeated-1k", 1_024, New::Nothing, 3_000),
    mode("repeated-10k", 10 << 10, New::Nothing, 2_500),
    Mode {
        shape: Shape { bytes: 1_024, last_bytes: 700, new: New::Everything, stream_tokens: 64 },
        ..mode("stream-64", 0, New::Nothing, 500)
    },
    Mode {
        shape: Shape { bytes: 204 << 10, last_bytes: 4 << 10, new: New::Last, stream_tokens: 0 },
        ..mode("growing-200k", 0, New::Nothing, 300)
    },
];

/// Router files of one run.
#[derive(Debug)]
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    /// A folder for them.
    ///
    /// # Errors
    /// When there is no room.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// The router file for `setting` in front of the model server; `note` makes its content differ.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(
        &self,
        setting: Setting,
        model: SocketAddr,
        note: &str,
    ) -> anyhow::Result<PathBuf> {
        let text = match setting {
            Setting::Swap => router_file::swap(model),
            Setting::Everything => {
                let audit = self.folder.path().join("audit.jsonl");
                router_file::everything(model, Some(&audit))
            }
        };
        let path = self.folder.path().join(format!("{setting:?}.yaml"));
        fs::write(&path, format!("# {note}\n{text}"))?;
        Ok(path)
    }
}
