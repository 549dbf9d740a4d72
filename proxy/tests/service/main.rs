//! The router service as a whole, inside this process, against a small upstream of our own.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose world breaks cannot go on; helpers outside of test functions are no exception"
)]

mod support;

mod limits;
mod passing;
mod private;
mod running;
mod secure;
