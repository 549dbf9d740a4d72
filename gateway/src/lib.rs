//! The control plane: who may do what, the state that survives, what every supervisor and router gets.
//!
//! | module | what it does |
//! |---|---|
//! | `http` | the API: requests in, answers out |
//! | `auth` | who is calling, and what they may do |
//! | `serve` | the port: connections, TLS, limits |
//! | `lifecycle` | sandboxes as they should be: desired and observed state, and the next step |
//! | `inference` | where model calls go: revisions of the router file, what calls cost |
//! | `policies`, `providers` | what sandboxes are held to, and what they may use |
//! | `store` | what is kept, in SQLite or Postgres |
//! | `secrets` | keys, and how secrets are sealed |

pub mod auth;
mod http;
pub mod inference;
mod lifecycle;
mod names;
mod policies;
mod providers;
mod records;
pub mod run;
pub mod secrets;
pub mod serve;
pub mod store;
mod time;
