//! Resource limits of processes. They only ever go down; what must be shared by a whole sandbox is the control group's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    error::{At, StartError, Step},
    plan::Plan,
};

/// A limit of one byte turns core dumps off, in files and in pipes: the kernel ignores a limit of zero when `core_pattern`
/// names a program, which would then read the agent's memory as root on the host, and refuses at exactly one.
const NO_CORE: u64 = 1;

/// Lowers the limits of this process and all that it starts. Gives a note when core dumps may still reach the host.
///
/// # Errors
/// [`Step::Limits`] and the limit.
pub(crate) fn lower(plan: &Plan) -> Result<Option<String>, StartError> {
    // Counts all processes of the user: as root, those of other sandboxes too.
    if !plan.grouped.processes {
        set(Resource::Nproc, plan.limits.processes_max().into(), "processes")?;
    }
    // Holds each process where nothing holds them together; what is only reserved does not count.
    if let Some(bytes) = plan.limits.memory_bytes.filter(|_| !plan.grouped.memory) {
        set(Resource::Data, bytes, "memory_bytes")?;
    }
    set(Resource::Nofile, plan.limits.open_files.into(), "open_files")?;
    let core = set(Resource::Core, NO_CORE, "core dumps")?;
    let pattern = std::fs::read("/proc/sys/kernel/core_pattern").unwrap_or_default();
    let leaves = core != NO_CORE && matches!(pattern.first(), Some(b'|' | b'@'));
    Ok(leaves.then(|| {
        "the hard limit on core dumps is zero already, so core_pattern still hands them to a program of the host".to_owned()
    }))
}

/// Sets both limits to `wanted`, or to the hard limit where that is lower. Gives what was set.
fn set(resource: Resource, wanted: u64, name: &str) -> Result<u64, StartError> {
    let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let value = wanted.min(most);
    let both = Rlimit { current: Some(value), maximum: Some(value) };
    setrlimit(resource, both).on(Step::Limits, name)?;
    Ok(value)
}
