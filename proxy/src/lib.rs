//! The data plane on Pingora: one model call from accept to close.
//!
//! The life of a call, in the order of the files:
//! 1. [`server`] starts and stops everything; `listen` binds sockets and bounds connections.
//! 2. `connection` reads the head of each request and gives it to what its path asks for.
//! 3. `exchange` is the story of a model call: `body`, `tenant`, the decision of `router`, `failover` over the
//!    candidates with `attempt`, and `answer` on the way back.
//! 4. `reject` says how each failure is told to the caller; `audit`, `metrics` and `spans` say what happened.
//!
//! Not here: which backend may answer (`router`), how a provider is spoken to (`backends`).
//!
//! Invariants: a call holds one snapshot of the configuration from its head to its end. A caller's credential never
//! reaches a backend, a backend's credential never reaches a caller. Every stream ends exactly once.

mod admin;
mod answer;
mod attempt;
pub mod audit;
mod body;
mod books;
mod call;
mod connection;
mod credentials;
mod decode;
pub mod egress;
mod exchange;
mod failover;
mod flight;
mod head;
mod health;
pub mod listen;
mod mask;
mod metrics;
mod models;
mod pace;
mod pass;
mod plan;
mod pool;
mod probe;
mod reject;
mod reload;
mod sandbox_token;
pub mod server;
mod service;
mod snapshot;
pub mod spans;
mod state;
mod tasks;
mod tenant;
mod until;
mod upstream;

pub use sandbox_token::{SANDBOX_TOKEN_HEADER, SandboxKey, TokenError};
