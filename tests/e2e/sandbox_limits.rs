//! What a sandbox may use up as a whole holds for as long as it is kept, or there is no such sandbox.

use std::{fs, path::Path};

use openshell_tests::{
    clients,
    sandboxes::Person,
    wait::{self, LONG},
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

fn get(person: &Person) -> Value {
    let text = person.run(&["sandbox", "get", "l", "-o", "json"]).expect(0).stdout;
    serde_json::from_str(&text).expect("it is JSON")
}

/// A program that needs a hundred megabytes does not get them.
fn is_held(person: &Person) {
    let script = "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}";
    let ended = person.run(&["sandbox", "exec", "-n", "l", "--", "sh", "-c", script]);
    assert!(!ended.stdout.contains("100000000"), "{}: {}", person.name(), ended.stdout);
    drop(person.run(&["sandbox", "exec", "-n", "l", "--", "true"]).expect(0));
}

/// The groups of this supervisor that are left.
fn groups(supervisor: i32) -> Vec<String> {
    let mark = format!("openshell-{supervisor}-");
    let mut found = Vec::new();
    let mut open = vec![Path::new("/sys/fs/cgroup").to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&mark) {
                found.push(entry.path().display().to_string());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(entry.path());
            }
        }
    }
    found
}

const CREATE: [&str; 9] =
    ["sandbox", "create", "--name", "l", "--detach", "--memory", "64Mi", "--cpus", "0.5"];

#[test]
fn a_sandbox_keeps_its_limits_over_restarts_and_leaves_no_group() {
    let person = Person::root();
    let created = person.run(&[&CREATE[..], &["--pids", "64"]].concat());
    if created.code != Some(0) && created.stderr.contains("control group") {
        clients::skip(&format!("no control groups here: {}", created.stderr.trim()));
        return;
    }
    drop(created.expect(0));
    let limits = get(&person)["limits"].clone();
    assert_eq!(limits["cpus"], 0.5, "{limits}");
    assert_eq!((&limits["memory_bytes"], &limits["pids"]), (&(64 << 20).into(), &64.into()));
    for what in ["cpu", "memory", "processes"] {
        assert_eq!(limits["limited_by"][what], "a control group", "{limits}");
    }
    is_held(&person);
    drop(person.run(&["sandbox", "stop", "l"]).expect(0));
    drop(person.run(&["sandbox", "start", "l"]).expect(0));
    assert_eq!(get(&person)["limits"], limits);
    is_held(&person);

    let supervisor = person.supervisor("l").expect("it runs");
    let number = supervisor.as_raw_nonzero().get();
    assert!(!groups(number).is_empty());
    kill_process(supervisor, Signal::KILL).expect("it was there");
    wait::until("its groups to go with the next command", LONG, || {
        drop(person.run(&["sandbox", "list"]).expect(0));
        groups(number).is_empty().then_some(())
    });
    drop(person.run(&["sandbox", "start", "l"]).expect(0));
    is_held(&person);
    let number = person.supervisor("l").expect("it runs").as_raw_nonzero().get();
    drop(person.run(&["sandbox", "delete", "l"]).expect(0));
    assert_eq!(groups(number), Vec::<String>::new());
}

#[test]
fn somebody_without_groups_of_its_own_is_told_so() {
    let Some(person) = Person::named("user") else { return };
    let refused = person.run(&CREATE);
    if refused.code == Some(0) {
        clients::skip("this user has control groups of its own");
        return;
    }
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("cannot set up the control group: memory"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("systemd-run"), "{}", refused.stderr);
    assert_eq!(person.run(&["sandbox", "list"]).expect(0).stdout, "No sandboxes found.\n");
    // Processes are held all the same.
    let create = ["sandbox", "create", "--name", "l", "--detach", "--pids", "32"];
    drop(person.run(&create).expect(0));
    let limits = get(&person)["limits"].clone();
    assert_eq!(limits["limited_by"]["processes"], "the limit of its user", "{limits}");
    assert!(
        limits["not_granted"].to_string().contains("no control group limits memory"),
        "{limits}"
    );
    let many = "i=0; while [ $i -lt 64 ]; do sleep 1 & i=$((i + 1)); done";
    let ended = person.run(&["sandbox", "exec", "-n", "l", "--", "sh", "-c", many]);
    assert!(ended.code != Some(0) && ended.stderr.contains("fork"), "{}", ended.stderr);
    for wrong in [["--memory", "lots"], ["--cpus", "0"], ["--pids", "-1"]] {
        let refused = person.run(&[&["sandbox", "create", "--detach"][..], &wrong].concat());
        assert_eq!(refused.code, Some(2), "{wrong:?}: {}", refused.stderr);
    }
}
