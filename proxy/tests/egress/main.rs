//! The egress proxy as a whole, inside this process: real clients, real TLS, servers that stand in for the Internet.
#![expect(
    clippy::unwrap_used,
    reason = "a test whose world breaks cannot go on; helpers outside of test functions are no exception"
)]

mod lab;
mod server;

mod captured;
mod content;
mod duplex;
mod explicit;
mod inference;
mod revision;
mod secrets;
mod tls;
mod websocket;
