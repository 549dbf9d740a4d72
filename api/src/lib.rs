//! What the control plane speaks: the JSON of its requests and answers.
//!
//! | module | what it has |
//! |---|---|
//! | `problem` | errors, as RFC 9457 writes them |
//! | `page` | lists in pages |
//! | `gateway` | the gateway itself: what it is, how it is doing |
//! | `user` | people, their certificates and tokens |
//! | `provider` | services with their credentials |
//! | `sandbox` | sandboxes: what is asked for, what came of it |
//! | `policy` | revisions of policies |
//! | `proposal` | what sandboxes were refused, and what would open it |
//! | `logs`, `audit` | what is told of sandboxes; what was decided and done, on record |
//! | `settings`, `workspace` | what is set for all; what keeps parties apart |
//! | `inference` | where model calls go: revisions of the router file, backends |
//! | `cost` | what was spent |
//! | `client` | asks a gateway (feature `client`) |
//!
//! Not here: routes and decisions (`gateway`). Invariants: a secret goes in and never comes out, so no answer has a field for
//! one, but the two that hand a new key to its owner; a field that is not known is an error.

pub mod audit;
#[cfg(feature = "client")]
pub mod client;
pub mod cost;
pub mod gateway;
pub mod inference;
pub mod logs;
pub mod page;
pub mod policy;
pub mod problem;
pub mod proposal;
pub mod provider;
pub mod sandbox;
pub mod secret;
pub mod settings;
pub mod user;
pub mod workspace;
