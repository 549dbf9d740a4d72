//! Control groups: what a sandbox may use up as a whole, and that a limit which cannot be held is refused.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Ending, Grant, Limits, Sandbox, Spec, Step};

use crate::{
    life::{everybody, first_line, spawn, without},
    support::{Check, World, eventually, explain, output, start},
};

pub(crate) const CHECKS: &[Check] = &[
    ("a_limit_of_memory_holds_a_whole_sandbox", memory),
    ("a_limit_of_processes_holds_by_its_group", processes),
    ("a_limit_of_processor_time_holds", cpu),
    ("a_limit_that_nothing_can_hold_is_refused", refused),
    ("a_lack_of_groups_is_told_and_each_process_is_held", told),
    ("groups_of_a_killed_supervisor_go_with_the_next_sandbox", left),
];

const MEMORY_BYTES: u64 = 64 << 20;

fn required() -> Limits {
    Limits { cgroup: Grant::Required, ..Limits::default() }
}

/// A sandbox with these limits; where this system grants no groups, the check that it is refused then.
fn grouped(world: &World, limits: Limits) -> Result<Option<Sandbox>, String> {
    let missing = sandbox::not_granted();
    if missing.is_empty() {
        return Ok(Some(start(&Spec { limits, ..world.spec() })));
    }
    if world.is_root() {
        return Err(missing.join("; "));
    }
    match Sandbox::start(&Spec { limits, ..world.spec() }) {
        Ok(_) if limits.memory_bytes.is_none() && limits.cpu_percent.is_none() => {}
        other => assert_eq!(other.unwrap_err().step, Step::Cgroup),
    }
    Ok(None)
}

/// The folders of the groups that this process has made.
fn folders() -> Vec<PathBuf> {
    find(&format!("openshell-{}-", std::process::id()))
}

fn file(name: &str) -> String {
    let all = folders();
    let path = all.iter().map(|folder| folder.join(name)).find(|path| path.exists());
    fs::read_to_string(path.unwrap_or_else(|| panic!("no {name} in {all:?}"))).unwrap()
}

fn memory(world: &World) -> Result<(), String> {
    let Some(mut sandbox) =
        grouped(world, Limits { memory_bytes: Some(MEMORY_BYTES), ..required() })?
    else {
        return Ok(());
    };
    let init = sandbox.process().as_raw_nonzero().get();
    let group = fs::read_to_string(format!("/proc/{init}/cgroup")).unwrap();
    assert!(group.contains(&format!("openshell-{}-", std::process::id())), "{group}");
    let (ending, text) = output(&mut sandbox, world.probe(&["hog", "20"]));
    let held: usize = text.trim().parse().unwrap_or_else(|_| panic!("{ending:?} {text}"));
    assert!((1..4).contains(&held), "{held} programs of 20 MiB fit into 64");
    // It stands, and what was ended was a program alone.
    world.contained(&mut sandbox, &["status"]);
    drop(sandbox);
    assert_eq!(folders(), Vec::<PathBuf>::new());
    Ok(())
}

fn processes(world: &World) -> Result<(), String> {
    let Some(mut sandbox) = grouped(world, Limits { processes: Some(24), ..required() })? else {
        return Ok(());
    };
    assert_eq!(file("pids.max"), "24\n");
    let text = world.contained(&mut sandbox, &["fork-bomb"]);
    let count: u32 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap();
    assert!(count < 24, "{text}");
    assert_ne!(file("pids.events"), "max 0\n", "the group has refused some");
    Ok(())
}

fn cpu(world: &World) -> Result<(), String> {
    let Some(mut sandbox) = grouped(world, Limits { cpu_percent: Some(20), ..required() })? else {
        return Ok(());
    };
    world.contained(&mut sandbox, &["spin"]);
    let stat = file("cpu.stat");
    let throttled = stat.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    assert!(throttled.is_some_and(|count| count != "0"), "{stat}");
    Ok(())
}

fn refused(world: &World) -> Result<(), String> {
    let missing = sandbox::not_granted();
    if missing.is_empty() {
        return granted(world);
    }
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), ..required() };
    let error = Sandbox::start(&Spec { limits, ..world.spec() }).unwrap_err();
    assert_eq!(error.step, Step::Cgroup, "{}", explain(&error));
    assert!(error.to_string().contains("memory") && error.advice().contains("delegated"));
    let limits = Limits { cpu_percent: Some(50), ..required() };
    let error = Sandbox::start(&Spec { limits, ..world.spec() }).unwrap_err();
    assert_eq!(error.step, Step::Cgroup, "{}", explain(&error));
    // The user's own limit holds processes, so nothing is refused.
    let limits = Limits { processes: Some(64), ..required() };
    drop(start(&Spec { limits, ..world.spec() }));
    Ok(())
}

/// Where groups are granted, the same in a process that can make no folder.
fn granted(world: &World) -> Result<(), String> {
    let (code, text) = without(world, MKDIR, libc::EACCES, "limited");
    let told = text.starts_with("Cgroup: cannot set up the control group: memory");
    assert!(code == Some(1) && told, "{code:?} {text}");
    Ok(())
}

/// The call that makes a folder, as the C library of this machine does it.
#[cfg(target_arch = "x86_64")]
const MKDIR: i64 = libc::SYS_mkdir;
#[cfg(not(target_arch = "x86_64"))]
const MKDIR: i64 = libc::SYS_mkdirat;

fn told(world: &World) -> Result<(), String> {
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), ..Limits::default() };
    let mut sandbox = start(&Spec { limits, ..world.spec() });
    let noted = sandbox.notes().iter().any(|note| note.contains("limits memory"));
    assert_eq!(noted, folders().is_empty(), "{:?}", sandbox.notes());
    let (ending, text) = output(&mut sandbox, world.probe(&["hold", "100"]));
    assert!(ending != Ending::Code(0) && !text.contains("held"), "{ending:?} {text}");
    Ok(())
}

fn left(world: &World) -> Result<(), String> {
    let limits = Limits { memory_bytes: Some(MEMORY_BYTES), ..required() };
    let Some(before) = grouped(world, limits)? else { return Ok(()) };
    drop(before);
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    fs::write(&spec, r#"{"limits":{"memory_bytes":67108864,"cgroup":"required"}}"#).unwrap();
    let mut run = Command::new(&world.binary);
    run.args(["run", "--spec", spec.to_str().unwrap(), "--", "/bin/sh", "-c"]);
    run.arg("echo up; sleep 1000");
    let mut killed = spawn(&mut run);
    assert_eq!(first_line(&mut killed), "up\n");
    let mark = format!("openshell-{}-", killed.id());
    let groups = find(&mark);
    assert!(!groups.is_empty());
    let process = i32::try_from(killed.id()).unwrap();
    kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
    killed.wait().unwrap();
    assert!(eventually(|| !everybody().contains(&process)));
    let is_empty = |folder: &PathBuf| {
        fs::read_to_string(folder.join("cgroup.procs")).is_ok_and(|text| text.is_empty())
    };
    assert!(eventually(|| groups.iter().all(is_empty)), "its processes are gone");
    drop(grouped(world, Limits { memory_bytes: Some(MEMORY_BYTES), ..required() })?);
    assert_eq!(find(&mark), Vec::<PathBuf>::new());
    Ok(())
}

fn find(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![Path::new("/sys/fs/cgroup").to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(name) {
                found.push(entry.path());
            } else {
                open.push(entry.path());
            }
        }
    }
    found
}
