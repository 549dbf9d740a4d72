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
//! | `inference` | where model calls go: revisions of the router file, backends |
//! | `cost` | what was spent |
//! | `client` | asks a gateway (feature `client`) |
//!
//! Not here: routes and decisions (`gateway`). Invariants: a secret goes in and never comes out, so no answer has a field for
//! one, but the two that hand a new key to its owner; a field that is not known is an error.

#[cfg(feature = "client")]
pub mod client;
pub mod cost;
pub mod gateway;
pub mod inference;
pub mod page;
pub mod policy;
pub mod problem;
pub mod provider;
pub mod sandbox;
pub mod secret;
pub mod user;
