//! The walls, one module each, and the order in which the first process of a sandbox puts them up around itself.
//!
//! What is done here is done by that process, inside its new namespaces. A step that fails ends it.

mod bpf;
pub(crate) mod identity;
mod landlock;
mod limits;
mod netlink;
mod nft;
pub(crate) mod routes;
pub(crate) mod seccomp;
pub(crate) mod sockets;
mod tree;

use std::os::fd::OwnedFd;

use ::landlock::RulesetCreated;
use rustix::system::sethostname;

use crate::{
    error::{At, StartError, Step},
    plan::Plan,
};
use sockets::{CAPTURED_PORT, DNS_PORT, Sockets};

/// What stands so far: the sockets for the supervisor, rules that are not in force yet, notes on what this host lacks.
#[derive(Debug)]
pub(crate) struct Walls {
    pub(crate) sockets: Sockets,
    pub(crate) rules: RulesetCreated,
    pub(crate) notes: Vec<String>,
}

/// Puts everything up that needs rights.
///
/// # Errors
/// The first step that failed.
pub(crate) fn build(plan: &Plan) -> Result<Walls, StartError> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    sethostname(plan.host_name.as_bytes()).at(Step::HostName)?;
    routes::bring_up().at(Step::Routes)?;
    routes::add_addresses(&[routes::ADDRESS]).at(Step::Routes)?;
    let versions = sockets::versions().at(Step::Sockets)?;
    routes::close(versions).at(Step::Routes)?;
    let sockets = Sockets::open(versions).at(Step::Sockets)?;
    nft::install(nft::Ports { captured: CAPTURED_PORT, dns: DNS_PORT }).at(Step::Capture)?;
    tree::enter(plan)?;
    let notes = limits::lower(plan)?.into_iter().collect();
    let rules = landlock::prepare(plan)?;
    Ok(Walls { sockets, rules, notes })
}

/// Maps the user; the first thing to do in a user namespace.
///
/// # Errors
/// [`Step::UserMap`].
pub(crate) fn map_user(plan: &Plan) -> Result<(), StartError> {
    identity::map(&plan.identity).at(Step::UserMap)
}

/// Becomes the agent's user. What is left for [`close`] needs no right.
///
/// # Errors
/// [`Step::Identity`].
pub(crate) fn give_up_rights(plan: &Plan) -> Result<(), StartError> {
    identity::assume(&plan.identity).at(Step::Identity)
}

/// Closes the last two walls. From here on this process can do what an agent can, and no more.
///
/// # Errors
/// The step that failed.
pub(crate) fn close(rules: RulesetCreated, plan: &Plan) -> Result<Closed, StartError> {
    let mut notes: Vec<String> = landlock::restrict(rules, plan.landlock)?.into_iter().collect();
    let listener = seccomp::install(plan.callers).at(Step::Seccomp)?;
    if listener.is_none() && plan.callers.are_known() {
        notes.push(NO_LISTENER.to_owned());
    }
    Ok(Closed { listener, notes })
}

/// What the last two walls leave: the listener for every `connect()`, and notes.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) notes: Vec<String>,
}

const NO_LISTENER: &str = "callers are looked up when a connection is accepted, not when it is begun: this system grants no \
    listener for connect()";
