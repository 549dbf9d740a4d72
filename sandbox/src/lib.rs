//! Inside: the walls around an agent, and the processes that run within them.
//!
//! | module | what it does |
//! |---|---|
//! | `spec` | what is asked for |
//! | `plan` | what of it this host has, and what is mounted where |
//! | `start` | the supervisor's side: [`Sandbox::start`], programs, endings |
//! | `init` | the first process: puts the walls up around itself, starts programs, reaps |
//! | `isolate` | the walls: network, file tree, limits, identity, Landlock, seccomp |
//! | `resolve` | names, for a binary without the C library's resolver |
//! | `wire` | the line between the two |
//! | `pool` | sandboxes that were prepared and wait to be taken |
//! | `identity` | who opened a connection: asked at `connect()`, checked when it is accepted |
//! | `island` | a network without a way out for a whole process, for demonstrations |
//! | `sys` | the only unsafe code |
//!
//! Not here: what a connection may do. The sandbox has no network, only the [`Sockets`] that its supervisor holds; who
//! accepts on them decides. Invariant: a step that fails is fatal, so a program runs behind all walls or not at all.

#[cfg(not(all(
    target_os = "linux",
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
compile_error!("sandboxes are made of Linux: x86-64 or aarch64");

mod accounts;
mod cgroup;
pub mod control;
mod dial;
mod environment;
mod error;
mod etc;
mod files;
mod foreground;
mod identity;
mod init;
mod island;
mod isolate;
mod plan;
pub mod policies;
mod policy_spec;
pub mod pool;
pub mod providers;
mod resolve;
pub mod rules;
mod spawn;
mod spec;
mod start;
pub mod state;
mod supervisor;
mod sys;
mod wire;

pub use cgroup::not_granted;
pub use error::{StartError, Step};
pub use etc::{CA, CA_BUNDLE};
pub use files::{FilesError, Filter, Packed, Place, begins_with_folder, pack, unpack};
pub use foreground::attend;
pub use identity::{Callers, ConnectWatch};
pub use island::enter_island;
pub use isolate::sockets::{CAPTURED_PORT, DNS_PORT, PROXY_PORT, Sockets};
pub use policy_spec::{Setting, WORKSPACE};
pub use resolve::Resolver;
pub use spec::{CallerCheck, Compatibility, Grant, Limits, Spec, Tcp, Workspace};
pub use start::{ProgramId, Sandbox, Started, Stdio};
pub use supervisor::{LogLines, Main, prepare, supervise};
pub use wire::{Ending, Program, Size, Transfer, Version};
