//! What the system tells of processes: which there are, whose children, in which namespaces, and what they hold.
//!
//! Not here: starting them (`process`). A process that ends while it is looked at is none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rustix::process::Pid;

/// Every process that can be seen.
pub fn all() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").expect("it is mounted").flatten();
    entries.filter_map(|entry| pid(entry.file_name().to_str()?)).collect()
}

/// The processes that this one started, and that still run.
pub fn children(parent: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let lists: Vec<String> = lists.collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(pid).collect()
}

/// The process and all below it.
pub fn family(root: Pid) -> Vec<Pid> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        all.extend(children(parent));
        at += 1;
    }
    all
}

/// The namespace of a kind, such as `net`, that a process is in.
pub fn namespace(process: Pid, kind: &str) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{process}/ns/{kind}")).ok()
}

/// The processes in this namespace of a kind.
pub fn within(kind: &str, namespace: &Path) -> Vec<Pid> {
    let mut all = all();
    all.retain(|process| self::namespace(*process, kind).as_deref() == Some(namespace));
    all
}

/// One of the files that tell of a process, as text; empty where there is none.
pub fn told(process: Pid, file: &str) -> String {
    let bytes = fs::read(format!("/proc/{process}/{file}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The number in a line of its status, such as `Threads`; that of a size, such as `VmRSS` or `VmHWM`, is in KiB.
pub fn number(process: Pid, line: &str) -> u64 {
    let status = told(process, "status");
    let line = status.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(':'));
    let value = line.expect("a process that runs has it").trim().trim_end_matches(" kB");
    value.parse().expect("a number")
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}
