//! The control plane: who may do what, the state that survives, what every supervisor and router gets.
//!
//! | module | what it does |
//! |---|---|
//! | `http` | the API: requests in, answers out |
//! | `auth` | who is calling, and what they may do |
//! | `lifecycle` | sandboxes as they should be: desired and observed state, and the next step |
//! | `policies`, `providers` | what sandboxes are held to, and what they may use |
//! | `store` | what is kept, in SQLite or Postgres; secrets sealed |

mod http;
mod lifecycle;
mod names;
mod policies;
mod providers;
mod records;
mod time;
