//! Everything a sandbox opens: one connection from accept to close.
//!
//! The life of a connection, in the order of the files:
//! 1. `service` holds what is shared and starts the tasks; `accept` lets a bounded number of connections in.
//! 2. `explicit` reads a `CONNECT` or an absolute-form request, `captured` finds out where an intercepted connection
//!    was meant to go; `head` and `sniff` say what the first bytes are.
//! 3. `link` knows who is calling and where to, asks the policy, and records the answer before any byte flows.
//! 4. `tunnel` carries what is allowed: spliced bytes, or TLS that `tls` ends with a certificate of `authority`.
//! 5. `inspect` reads every request on it and `ask` asks about it; `forward` carries one request and its answer over `upstream`.
//!
//! Not here: who is calling (`sandbox`), what a policy says (`policy`), which model answers (the router).
//!
//! Invariants: nothing is dialled before it was allowed, and only addresses that were checked; what is judged is what is
//! sent; a connection that the policy no longer allows ends, whatever it carries. No content in records or logs.

mod accept;
mod ask;
mod authority;
mod caller;
mod captured;
mod content;
pub mod credentials;
pub mod denials;
pub mod dial;
pub mod dns;
mod explicit;
mod forward;
pub mod head;
mod heads;
mod inference;
mod inspect;
mod linger;
mod link;
pub mod names;
pub mod operation;
mod outlet;
mod patience;
mod pump;
pub mod reflect;
pub mod refusal;
pub mod resolve;
mod room;
mod roots;
pub mod scrutiny;
mod service;
pub mod sigv4;
pub mod sniff;
mod socket;
mod steps;
mod tally;
mod tls;
mod tunnel;
mod upstream;
pub mod upstream_proxy;
mod websocket;

pub use authority::{Authority, AuthorityError};
pub use caller::{Connection, Identify, Identity, Unidentified};
pub use inference::{InferenceTarget, RouterAddress};
pub use roots::Authorities;
pub use service::{Egress, EgressError, Ends, Original, Record, Settings};
