//! A supervisor that is killed, at whatever moment, takes all of its sandbox along: no process, mount or path to the
//! network stays, and the sandbox starts again.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use openshell_tests::{
    sandboxes::Person,
    wait::{self, LONG},
};
use rustix::process::{Pid, Signal, kill_process};

/// Moments that are tried for each person, in either half of a sandbox's life.
const MOMENTS: u64 = 12;

/// What opens connections all the time, in a process and in children of it.
const BUSY: &str = "while :; do curl -s -m 5 http://denied.test/ >/dev/null & \
                    curl -s -m 5 --noproxy '*' http://10.0.0.1/ >/dev/null & wait; done";

/// Every process of this person's sandboxes: those whose root, environment or command is theirs.
fn processes(person: &Person) -> Vec<String> {
    let home = person.path().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let mounts = String::from_utf8_lossy(&read("mountinfo")).into_owned();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        if mounts.contains(&home) || command.contains(&home) {
            found.push(format!("{} {command}", entry.file_name().display()));
        }
    }
    found
}

/// Network namespaces that some process is in.
fn networks() -> BTreeSet<PathBuf> {
    let of = |entry: fs::DirEntry| fs::read_link(entry.path().join("ns/net")).ok();
    fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

/// Network namespaces of a supervisor's children.
fn of_children(supervisor: Pid) -> BTreeSet<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{supervisor}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")));
    let children: String = children.flatten().collect();
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let of = |child: &str| fs::read_link(format!("/proc/{child}/ns/net")).ok();
    children.split_whitespace().filter_map(of).filter(|network| *network != own).collect()
}

fn is_clean(person: &Person, networks_of_it: &BTreeSet<PathBuf>) {
    let mut left = Vec::new();
    let begun = Instant::now();
    loop {
        left.clear();
        left.extend(processes(person));
        let networks = networks();
        left.extend(networks_of_it.intersection(&networks).map(|at| at.display().to_string()));
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < LONG, "{}: left: {left:#?}", person.name());
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&person.path().display().to_string()), "{mounts}");
}

/// The supervisor that has the sandbox now, once there is one.
fn wait_for_supervisor(person: &Person, before: Option<Pid>) -> Pid {
    wait::until("a supervisor", LONG, || {
        person.supervisor("k").filter(|found| Some(*found) != before)
    })
}

#[test]
fn at_any_moment_of_its_life_or_of_its_start() {
    for person in Person::all() {
        let create = ["sandbox", "create", "--name", "k", "--detach", "--", "sh", "-c", BUSY];
        drop(person.run(&create).expect(0));
        let mut supervisor = person.supervisor("k").unwrap();
        for moment in 0..MOMENTS {
            // Spread over the time of a start and of a few connections; not the same twice.
            let pause = Duration::from_micros(moment * moment * 900);
            std::thread::park_timeout(pause);
            let networks = of_children(supervisor);
            assert!(!networks.is_empty() && !processes(&person).is_empty(), "it lives until now");
            kill_process(supervisor, Signal::KILL).unwrap();
            is_clean(&person, &networks);

            // Killed while it starts, as early as it can be seen.
            let mut command = person.openshell(&["sandbox", "start", "k"]);
            let mut start = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let early = wait_for_supervisor(&person, Some(supervisor));
            std::thread::park_timeout(pause / 4);
            let networks = of_children(early);
            // It may have failed by itself, where nothing is left either.
            let _ = kill_process(early, Signal::KILL);
            let _ = start.wait().unwrap();
            is_clean(&person, &networks);

            drop(person.run(&["sandbox", "start", "k"]).expect(0));
            supervisor = wait_for_supervisor(&person, Some(early));
            let said = person.run(&["sandbox", "exec", "-n", "k", "--", "echo", "there"]);
            assert_eq!(said.expect(0).stdout, "there\n", "{}", person.name());
        }
    }
}
