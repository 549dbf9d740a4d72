//! WHICH backend answers this prompt, and what may it see?
//!
//! Here: reading a request in its dialect (`wire`), finding what is sensitive in it (`classify`), hiding and
//! restoring values (`redact`, `restore`), counting and pricing (`count`, `choose`), and the plan that joins them.
//! Not here: how a provider is spoken to (`backends`), sockets, clocks, files, randomness; they are arguments.
//!
//! Invariant: a plan never holds a candidate whose zone is wider than the ceiling of what remains visible.

pub mod classify;
pub mod sse;
pub mod wire;
