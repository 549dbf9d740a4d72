//! Becoming the agent's user, for good and without any right left over.

use std::io;

use rustix::{
    fs::{Gid, Uid},
    io::Errno,
    process::{DumpableBehavior, getegid, geteuid, getgid, getuid, set_dumpable_behavior},
    thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
        remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

use crate::accounts::{Identity, Rights};

/// More capabilities than any kernel has.
const CAPABILITIES_MAX: u32 = 64;

/// Maps the user into the new user namespace of this process. With root's rights there is none, and nothing to do.
///
/// # Errors
/// Those of writing `/proc/self/uid_map` and its like.
pub(crate) fn map(identity: &Identity) -> io::Result<()> {
    let Rights::UserNamespace { uid, gid } = identity.rights else { return Ok(()) };
    map_ids((identity.uid, identity.gid), (uid, gid))
}

/// Lets a user and a group of the new user namespace of this process stand for those outside.
///
/// # Errors
/// Those of writing `/proc/self/uid_map` and its like.
pub(crate) fn map_ids(inside: (u32, u32), outside: (u32, u32)) -> io::Result<()> {
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/gid_map", format!("{} {} 1", inside.1, outside.1))?;
    std::fs::write("/proc/self/uid_map", format!("{} {} 1", inside.0, outside.0))
}

/// Gives up every capability and every other identity, and checks that nothing comes back.
///
/// # Errors
/// Those of the system calls; `EPERM` when something could be taken back.
pub(crate) fn assume(identity: &Identity) -> io::Result<()> {
    for number in 0..CAPABILITIES_MAX {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error.into()),
        }
    }
    clear_ambient_capability_set()?;
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    if identity.rights == Rights::Root {
        set_thread_groups(&[])?;
    }
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)?;
    // Nobody in there may look into this process, which keeps the line to the supervisor.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    check(uid, gid)
}

fn check(uid: Uid, gid: Gid) -> io::Result<()> {
    let left = capabilities(None)?;
    let is_other = getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid;
    let may_return = set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok();
    if is_other || may_return || !left.permitted.is_empty() || !left.effective.is_empty() {
        return Err(Errno::PERM.into());
    }
    Ok(())
}
