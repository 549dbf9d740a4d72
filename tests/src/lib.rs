//! Harness of the end-to-end tests: a world is one real router process between a client and its upstreams.
//!
//! Here: starting the binary (`world`), upstreams that follow a script (`upstream`, `script`) or were written by others
//! (`foreign`), an HTTP client that sees every byte and its time (`http`), hostile clients (`hostile`), a receiver of spans
//! (`collector`), and outside programs as clients (`clients`),
//! sandboxes in a small internet (`site`, `lab`) and what attacks them (`attacks`). Not here: any test; they are in `e2e/`, one file per promise or feature.
//!
//! Invariant: everything listens on 127.0.0.1 on a port of its own, and every process dies with the value that owns it,
//! so tests run side by side. Everything blocks and every wait has a limit: a test reads like the story it tells.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::indexing_slicing,
    clippy::format_push_string,
    reason = "a harness has one way to report: it fails the test that called it; and it counts no allocation"
)]

pub mod attacks;
pub mod clients;
pub mod collector;
pub mod desk;
pub mod dialect;
pub mod echo;
pub mod environment;
pub mod foreign;
pub mod hostile;
pub mod http;
pub mod lab;
pub mod postgres;
pub mod process;
pub mod processes;
pub mod sandboxes;
pub mod script;
pub mod site;
pub mod text;
pub mod tls;
pub mod upstream;
pub mod wait;
pub mod wire;
pub mod world;
