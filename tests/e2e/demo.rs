//! `openshell demo`: the story on one machine, without root, network or containers, and it tells the truth.

use std::time::Duration;

use openshell_tests::{process::run, text::assert_absent, world::openshell};

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
