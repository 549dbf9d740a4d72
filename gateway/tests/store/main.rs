//! The store as a whole, in a file of SQLite and in a real Postgres: every check runs on both.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test whose world breaks cannot go on; helpers outside of test functions are no exception"
)]

mod place;
#[expect(unreachable_pub, reason = "the end-to-end tests have it in their library")]
#[path = "../../../tests/src/postgres.rs"]
mod postgres;

mod answers;
mod audit;
mod backup;
mod claim;
mod faults;
mod ledger;
mod objects;
mod opening;
mod owning;
mod policies;
mod secrets;
mod tokens;
