//! The walls, one module each, and the order in which the first process of a sandbox puts them up around itself.
//!
//! What is done here is done by that process, inside its new namespaces. A step that fails ends it.

mod bpf;
mod identity;
mod landlock;
mod limits;
mod netlink;
mod nft;
mod routes;
pub(crate) mod seccomp;
pub(crate) mod sockets;
mod tree;

use ::landlock::RulesetCreated;
use rustix::system::sethostname;

use crate::{
    error::{At, StartError, Step},
    plan::Plan,
    spec::Compatibility,
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
pub(crate) fn close(
    rules: RulesetCreated,
    asked: Compatibility,
) -> Result<Option<String>, StartError> {
    let note = landlock::restrict(rules, asked)?;
    seccomp::install().at(Step::Seccomp)?;
    Ok(note)
}
