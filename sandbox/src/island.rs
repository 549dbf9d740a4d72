//! A network of this process's own, with addresses that a policy can open and names for them, and without a way out.
//!
//! A policy never opens loopback, so servers of a demonstration listen here, and sandboxes that are made here reach them. Needs
//! no root: an ordinary user gets it in a user namespace, as itself. It ends with the last process in it.

use std::{net::Ipv4Addr, path::Path};

use rustix::{
    mount::{MountPropagationFlags, mount_bind, mount_change},
    process::{getegid, geteuid},
};

use crate::{
    error::{At as _, StartError, Step},
    isolate::{identity, routes},
    sys::{Alone, UserNamespace, unshare_network},
};

/// Where host names are looked up first.
const HOSTS: &str = "/etc/hosts";

/// Moves this process, which must have one thread, into a network that has these addresses beside loopback, where the file
/// `hosts` says what names mean. There is no way back.
///
/// # Errors
/// The step that failed. Some of it may have been done, so nothing but ending is sensible then.
pub fn enter_island(addresses: &[Ipv4Addr], hosts: &Path) -> Result<(), StartError> {
    let (uid, gid) = (geteuid(), getegid());
    let user = if uid.is_root() { UserNamespace::Present } else { UserNamespace::New };
    let alone = Alone::prove().at(Step::Namespaces)?;
    unshare_network(alone, user).at(Step::Namespaces)?;
    if user == UserNamespace::New {
        let same = (uid.as_raw(), gid.as_raw());
        identity::map_ids(same, same).at(Step::UserMap)?;
    }
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .on(Step::Mounts, "making mounts private")?;
    mount_bind(hosts, HOSTS).on(Step::Mounts, HOSTS)?;
    routes::bring_up().at(Step::Routes)?;
    routes::add_addresses(addresses).at(Step::Routes)
}
