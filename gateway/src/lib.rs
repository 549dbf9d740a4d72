//! The control plane: who may do what, the state that survives, what every supervisor and router gets.
//!
//! | module | what it does |
//! |---|---|
//! | `http` | the API: requests in, answers out |
//! | `auth` | who is calling, and what they may do |
//! | `serve` | the port: connections, TLS, limits |
//! | `broker`, `tail` | the audit: events of sandboxes into the store |
//! | `lifecycle` | sandboxes as they should be: desired and observed state, and the next step |
//! | `inference` | where model calls go: revisions of the router file, what calls cost |
//! | `policies`, `providers`, `proposals` | what sandboxes are held to, what they may use, and what they were refused |
//! | `settings` | what an administrator sets for all of them |
//! | `identities` | which user somebody is who logged in elsewhere |
//! | `store` | what is kept, in SQLite or Postgres |
//! | `secrets` | keys, and how secrets are sealed |

pub mod auth;
pub mod broker;
mod http;
mod identities;
pub mod inference;
mod lifecycle;
mod names;
mod policies;
mod proposals;
mod providers;
mod records;
pub mod run;
pub mod secrets;
pub mod serve;
mod settings;
pub mod store;
mod tail;
mod time;

pub use lifecycle::written;
