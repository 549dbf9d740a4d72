//! What was decided and what came of it: one line per model call, and one per decision about a sandbox's network, with
//! evidence and without content.
//!
//! `record` is what is known of a call, `line` has the shape of its line (OCSF 1.6, class API Activity); `event` and
//! `event_line` are the same for the network of a sandbox; `sink` writes both. Who decides only fills a record and puts it
//! into a bounded queue; a thread of its own renders and writes.
//! Invariant: a record has no field that could hold content, a header or a credential.

mod event;
mod event_line;
mod line;
pub(crate) mod record;
pub(crate) mod sink;

use std::path::PathBuf;

/// Where audit lines go. Nowhere is possible, but only on purpose.
#[derive(Clone, Debug, Default)]
pub struct AuditOptions {
    /// A file, made with mode 0600.
    pub file: Option<PathBuf>,
    /// Size at which the file is moved aside, bytes; 0 stands for the default of 64 MiB.
    pub rotate_bytes: u64,
    /// Files that are kept aside; 0 stands for the default of 8.
    pub keep: usize,
    /// Standard output too.
    pub stdout: bool,
}

pub use event::{Activity, Engine, Event, Outcome};
pub(crate) use record::{AttemptRecord, DroppedRecord, FoundRecord, Record};
pub use sink::{Entry, Sink};
