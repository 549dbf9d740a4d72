//! End to end, one binary: one file per promise or feature. A file that is not listed here is found by `cargo xtask tidy`.
//!
//! Start reading at `dialects.rs`. Promises first, then features, then clients and upstreams that others wrote.
#![cfg(test)]
#![expect(
    let_underscore_drop,
    clippy::let_underscore_must_use,
    clippy::format_collect,
    reason = "many requests are sent for what they leave behind, and a test counts no allocation"
)]

mod backend_credentials_never_come_back;
mod bad_configuration_never_replaces_good;
mod bad_input_costs_little;
mod caller_credentials_never_reach_an_upstream;
mod ceilings_hold_on_every_path;
mod content_never_in_logs;
mod credentials_never_in_a_sandbox;
mod every_stream_ends_once;
mod killed_gateways_lose_nothing;
mod killed_supervisors_leave_nothing;
mod nothing_leaves_without_a_decision;
mod placeholders_always_restored;

mod agent_in_sandbox;
mod attacks;
mod black_box;
mod cancel;
mod commands;
mod demo;
mod dialects;
mod egress;
mod egress_bad_input;
mod egress_load;
mod encodings;
mod failover;
mod first_hour;
mod gateway;
mod gateway_access;
mod gateway_backup;
mod gateway_described;
mod gateway_inference;
mod gateway_records;
mod inference;
mod lab;
mod late_system;
mod limits;
mod oidc;
mod own_authorities;
mod policy;
mod providers;
mod reload;
mod rules;
mod sandbox_limits;
mod sandbox_pool;
mod sandbox_tokens;
mod sandboxes;
mod spans;
mod state;
mod tls_h2;
mod translation;

mod claude_code;
mod codex;
mod foreign_upstreams;
mod llmock;
mod real_model;
mod sdk_node;
mod sdk_python;
mod suites;
