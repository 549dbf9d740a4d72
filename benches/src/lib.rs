//! What the benchmarks are run on: conversations made by code, so that a clone needs no recorded data.
//!
//! `wall` (criterion) times each step of the router alone; `load` compares the whole router with a bare proxy.

pub mod conversation;
pub mod router_file;
pub mod text;
