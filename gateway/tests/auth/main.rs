//! The door of the gateway with real clients: reqwest, curl and bare sockets, against a real port.
#![cfg(test)]

mod callers;
mod command_line;
mod ends;
mod limits;
mod local;
mod oidc;
mod support;
mod walk;
