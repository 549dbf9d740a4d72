//! The kernel's surface and other processes.

use std::{
    os::linux::net::SocketAddrExt as _,
    os::unix::fs::PermissionsExt as _,
    os::unix::net::{SocketAddr, UnixListener},
};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use sandbox::{Ending, Limits, Spec};

use crate::support::{Check, World, output, start};

pub(crate) const CHECKS: &[Check] = &[
    ("system_calls_that_lead_out_are_refused", refused),
    ("foreign_numbers_and_architectures_kill", foreign),
    ("no_right_is_left", rights),
    ("no_descriptor_of_the_supervisor_is_inherited", descriptors),
    ("other_processes_are_neither_seen_nor_reached", processes),
    ("abstract_sockets_of_the_host_are_not_reached", abstract_socket),
    ("sockets_of_the_host_below_a_listed_folder_are_covered", path_socket),
    ("a_fork_bomb_hits_the_limit", fork_bomb),
];

fn refused(world: &World) -> Result<(), String> {
    world.contained(&mut world.sandbox(), &["calls"]);
    Ok(())
}

fn foreign(world: &World) -> Result<(), String> {
    if !cfg!(target_arch = "x86_64") {
        return Err("this machine has no second set of numbers".to_owned());
    }
    let mut sandbox = world.sandbox();
    for probe in ["x32", "i386"] {
        let (ending, text) = output(&mut sandbox, world.probe(&[probe]));
        assert_eq!(ending, Ending::Signal(libc::SIGSYS), "{probe}: {text}");
    }
    Ok(())
}

fn rights(world: &World) -> Result<(), String> {
    let text = world.contained(&mut world.sandbox(), &["status"]);
    let hard = rustix::process::getrlimit(rustix::process::Resource::Core).maximum;
    if hard == Some(0) {
        return Err("the hard limit on cores is zero already, so it cannot be one".to_owned());
    }
    assert!(text.contains("maximum: Some(1)"), "a limit of zero does not close pipes: {text}");
    Ok(())
}

fn descriptors(world: &World) -> Result<(), String> {
    let leaky = std::fs::File::open("/dev/null").unwrap();
    let flags = fcntl_getfd(&leaky).unwrap();
    fcntl_setfd(&leaky, flags & !FdFlags::CLOEXEC).unwrap();
    let text = world.contained(&mut world.sandbox(), &["descriptors"]);
    drop((leaky, text));
    Ok(())
}

fn processes(world: &World) -> Result<(), String> {
    let host = std::process::id().to_string();
    world.contained(&mut world.sandbox(), &["processes", &host]);
    Ok(())
}

fn abstract_socket(world: &World) -> Result<(), String> {
    let name = format!("openshell-walls-{}", std::process::id());
    let _listens =
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    world.contained(&mut world.sandbox(), &["abstract", &name]);
    Ok(())
}

fn path_socket(world: &World) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = folder.path().join("engine.sock");
    let _listens = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut spec = world.spec();
    spec.read_write.push(folder.path().to_owned());
    world.contained(&mut start(&spec), &["no-socket", socket.to_str().unwrap()]);
    Ok(())
}

fn fork_bomb(world: &World) -> Result<(), String> {
    // By the control group where there is one, else by the limit of the user.
    let limits = Limits { processes: Some(32), ..Limits::default() };
    let mut sandbox = start(&Spec { limits, ..world.spec() });
    let text = world.contained(&mut sandbox, &["fork-bomb"]);
    let count: u32 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap();
    assert!(count < 32, "{text}");
    Ok(())
}
