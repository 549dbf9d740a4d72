//! Outside: where sandboxes run, and how their supervisors are started, ended and found again.
//!
//! | module | what it has |
//! |---|---|
//! | `local` | this machine: a supervisor is a process of this user, a sandbox is a folder |
//! | `supervisor` | the supervisor of one sandbox here: started, ended, ended by force |
//! | `names` | names for sandboxes that were given none |
//! | `error` | why a driver did not do something |
//!
//! Not here: what a supervisor is asked (`sandbox::control`), which sandboxes there should be (`gateway`). Invariant: every
//! operation may be repeated; doing again what was done is no error.

mod error;
mod local;
mod names;
pub mod supervisor;

pub use error::DriverError;
pub use local::{Local, Observed, Order};
pub use names::random_name;
