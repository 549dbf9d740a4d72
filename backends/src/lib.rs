//! HOW a provider is spoken to: catalogue, prices, wire translation, where a credential goes, what an outcome means.
//!
//! Here: the providers that are known (`provider`), the router file and what it becomes (`file`,
//! `configuration`), prices and abilities of models (`catalogue`), the parts of an outgoing request that are no
//! body (`prepare`), which headers pass in either direction (`headers`), and what a status means (`outcome`).
//! Not here: choosing among backends (`router`), credentials themselves, sockets, files, clocks, environment.
//!
//! Invariant: no value of this crate holds a secret; a credential is only ever named.
//! Read next: `configuration` for what the file becomes, then `file`.

pub mod catalogue;
pub mod configuration;
pub mod file;
pub mod headers;
pub mod outcome;
pub mod prepare;
pub mod provider;
pub mod spoken;
pub mod translate;
