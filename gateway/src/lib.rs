//! The control plane: who may do what, the state that survives, what every supervisor and router gets.
//!
//! | module | what it does |
//! |---|---|
//! | `store` | what is kept, in SQLite or Postgres; secrets sealed |
//! | `auth` | who is calling, and what they may do |
//! | `serve` | the port: TLS, limits, the Unix socket of the local user |

pub mod auth;
pub mod serve;
