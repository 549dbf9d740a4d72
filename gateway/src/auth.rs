//! Who is calling, and what they may do.
//!
//! A request passes [`layer`] before anything reads its body: the row of its route in [`access`] says what it needs, the
//! facts of its connection ([`peer`]) and its `Authorization` header say who asks, and [`access::permit`] makes of both a
//! [`access::Permit`], the proof that handlers take, or a [`refused::Refused`].
//!
//! | module | what it does |
//! |---|---|
//! | [`access`] | what every route needs, in one table; the permit |
//! | [`authority`] | the gateway's own certificate authority: its leaf, those of users |
//! | [`failures`] | how often one may be wrong |
//! | [`files`] | files that only their owner reads |
//! | [`layer`] | all of it, in front of the routes |
//! | [`oidc`] | bearer tokens of an issuer elsewhere |
//! | [`origin`] | pages of others are not callers |
//! | [`peer`] | what is known of a connection; what ends it early |
//! | [`principal`] | users, sandboxes, roles, workspaces |
//! | [`refused`] | why a request goes no further |
//! | [`revoked`] | certificates that are good no more |
//! | [`sandbox`] | tokens bound to one sandbox |
//! | [`scope`] | what a token is for |
//! | [`token`] | bearer tokens of users |
//!
//! Not here: where users, tokens and sandboxes are kept; the layer is given functions that look them up.
//! Invariant: what is unknown, unreadable or cannot be looked up is refused.

pub mod access;
pub mod authority;
pub mod failures;
pub mod files;
pub mod layer;
pub mod oidc;
pub mod origin;
pub mod peer;
pub mod principal;
pub mod refused;
pub mod revoked;
pub mod sandbox;
pub mod scope;
pub mod token;
