//! Benchmarks that others wrote: does a gateway send personal data to its upstream, and does it give it back?

use std::{fs, net::SocketAddr, time::Duration};

use openshell_tests::{
    clients::{bare, installed},
    process::{Finished, run},
    world::{Backend, Config, World, free_address},
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(3);

/// Everything is masked on its way to the public upstream, which is the benchmark's own.
fn world(capture: SocketAddr) -> World {
    let labels = [
        ("pii/*", "confidential", "redact"),
        ("payment/*", "confidential", "redact"),
        ("credential/*", "confidential", "redact"),
    ];
    let backend = Backend::new("capture", &format!("http://{capture}/v1"))
        .zone("public")
        .model("conformance-model");
    Config::new([backend]).sensitivity(["public", "public", "private", "local"], &labels).start()
}

fn leak_benchmark(command: &[&str]) -> Option<(Finished, Value)> {
    let [suites] = installed(["suites"])?;
    let capture = free_address();
    let world = world(capture);
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut benchmark = bare(&suites.python_program("pii-leak-benchmark"));
    benchmark.args(command).args(["--target-base-url", &format!("{}/v1", world.url())]);
    benchmark.args(["--capture-port", &capture.port().to_string(), "--json-out"]).arg(&report);
    benchmark.env("HOME", folder.path()).current_dir(folder.path());
    let ended = run("pii-leak-benchmark", &mut benchmark, LIMIT);
    let report = fs::read_to_string(&report).unwrap_or_default();
    Some((ended, serde_json::from_str(&report).unwrap_or_default()))
}

#[test]
fn nothing_leaks_and_everything_is_restored() {
    for profile in ["pii-v1", "pii-secrets-v1"] {
        let Some((ended, report)) = leak_benchmark(&["selfcheck", "--profile", profile]) else {
            return;
        };
        assert_eq!(ended.code, Some(0), "{profile}:\n{}\n{report:#}", ended.said());
        assert!(ended.stdout.contains("CLEAN"), "{}", ended.stdout);
    }
}

#[test]
fn values_come_back_through_every_cut() {
    let Some([suites]) = installed(["suites"]) else { return };
    let upstream = free_address();
    let world = world(upstream);
    let mut invariance = suites.python("chunk_invariance_check.py");
    invariance.args([world.url(), upstream.port().to_string()]);
    let ended = run("chunk_invariance_check.py", &mut invariance, LIMIT).expect(0);
    assert!(ended.stdout.contains("all is well"), "{}", ended.stdout);
}
