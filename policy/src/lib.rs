//! MAY this caller do this? Policy files in, verdicts with their reasons out.
//!
//! Here: reading a file with all its faults ([`PolicyFile::parse`]), compiling it ([`Policy::new`]), the questions
//! ([`Policy::connect`], [`Grant::request`], [`Grant::check_address`]), what changes and may change
//! (`change`), and why ([`Policy::explain`]).
//! Not here: sockets, clocks, the environment, files, async; finding out who is calling; parsing bodies.
//!
//! Invariants: what is unknown, absent or unreadable is denied; a denying rule wins over every allowing one; a
//! decision allocates nothing. Read next: `connect`, then `request`.

pub mod address;
mod binaries;
pub mod change;
mod compiled;
mod connect;
mod explain;
mod file;
mod glob;
mod host_pattern;
pub mod inference;
pub mod model;
mod operation;
mod path;
mod prefix;
mod query;
mod question;
mod request;
mod rule;
mod trie;

pub use compiled::{Place, Policy};
pub use connect::{Deny, DenyCode, Grant, Inference, Verdict};
pub use explain::{Miss, Near};
pub use file::FILE_BYTES_MAX;
pub use glob::{Glob, GlobError};
pub use host_pattern::{HostPattern, HostPatternError};
pub use model::{PolicyFile, Protocol};
pub use operation::{GraphqlOperation, Operation, OperationKind, RpcCall};
pub use path::{CanonicalPath, EncodedSlash, PATH_BYTES_MAX, PathError};
pub use query::{PAIRS_MAX, QUERY_BYTES_MAX, Query, QueryError};
pub use question::{Caller, Connect, Request};
pub use request::{Because, Refusal, RefusalCode, RequestVerdict};
pub use rule::{Matcher, Rule, Sense};
