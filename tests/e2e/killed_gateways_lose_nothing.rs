//! A gateway that is killed at any moment of creating, changing or deleting a sandbox loses nothing, doubles nothing and opens
//! nothing: the next one goes on with what was wanted.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use openshell_tests::{process::Finished, processes, sandboxes::Person, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Between two moments at which it is killed.
const STEP: Duration = Duration::from_millis(9);

struct Killed<'a> {
    person: &'a Person,
}

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        drop(self.person.openshell(&["gateway", "destroy", "--yes"]).output());
    }
}

impl Killed<'_> {
    fn start(&self) {
        drop(self.person.run(&["gateway", "start", "--port", "0"]).expect(0));
    }

    fn state(&self) -> PathBuf {
        self.person.home().join("gateways/openshell")
    }

    /// Runs a command, and kills the gateway some time after it has begun; then there is another one.
    fn kill_during(&self, after: Duration, args: &[&str]) -> Finished {
        let lock = fs::read_to_string(self.state().join("lock")).expect("a lock file");
        let process = Pid::from_raw(lock.trim().parse().expect("a number")).expect("a process");
        let mut running = self.person.start(args);
        thread::park_timeout(after);
        kill_process(process, Signal::KILL).expect("it runs");
        let ended = running.wait(wait::LONG);
        wait::until("the gateway to be gone", wait::LONG, || {
            processes::told(process, "stat").is_empty().then_some(())
        });
        self.start();
        ended
    }

    fn sandboxes(&self) -> Vec<Value> {
        let listed = self.person.run(&["sandbox", "list", "-o", "json"]).expect(0);
        serde_json::from_str(&listed.stdout).expect("JSON")
    }

    /// The sandbox when it is settled, or that there is none.
    fn settled(&self) -> Option<Value> {
        let begun = Instant::now();
        wait::until("the sandbox to be settled", 2 * wait::LONG, || {
            let mut all = self.sandboxes();
            assert!(begun.elapsed() < wait::LONG, "{all:?}");
            assert!(all.len() < 2, "{all:?}");
            match all.pop() {
                None => Some(None),
                Some(one) if one["phase"] == "Ready" => Some(Some(one)),
                Some(_) => None,
            }
        })
    }

    /// The supervisors of this person's gateway.
    fn supervisors(&self) -> usize {
        let folder = self.state().join("sandboxes");
        let folder = folder.to_str().expect("a plain path");
        let is_one = |process: &Pid| {
            let line = processes::told(*process, "cmdline");
            line.contains("supervise") && line.contains(folder)
        };
        // The first process of a sandbox is called like its supervisor.
        processes::all().iter().filter(|process| is_one(process)).count()
    }
}

fn policy(host: &str) -> String {
    format!(
        "version: 1\nfilesystem_policy: {{include_workdir: true}}\nnetwork_policies: {{a: {{endpoints: [{{host: {host}, port: 443}}], binaries: [{{path: /**}}]}}}}\n"
    )
}

#[test]
fn a_gateway_that_is_killed_at_any_moment_goes_on_with_what_was_wanted() {
    let person = Person::root().with_gateways();
    let gateway = Killed { person: &person };
    gateway.start();
    person.write("a.yaml", &policy("a.example.com"));
    let create = ["sandbox", "create", "--name", "calm", "--policy", "a.yaml", "--detach", "--"];
    let create = [&create[..], &["sleep", "1000"][..]].concat();
    let (mut kept, mut never) = (0, 0);
    for moment in 0..10_u32 {
        let ended = gateway.kill_during(STEP * moment, &create);
        let Some(sandbox) = gateway.settled() else {
            // It was not accepted, or not told so: then its maker was told that it failed.
            assert_ne!(ended.code, Some(0), "{ended:?}");
            never += 1;
            continue;
        };
        kept += 1;
        assert_eq!(sandbox["running"], true, "{sandbox}");
        assert_eq!(sandbox["policy_version"], 1, "{sandbox}");
        assert_eq!(gateway.supervisors(), 2, "a supervisor and its first process");
        let said = person.run(&["sandbox", "exec", "-n", "calm", "--", "echo", "up"]).expect(0);
        assert_eq!(said.stdout, "up\n");

        // A policy that was accepted is in force, one that was not is not there.
        person.write("b.yaml", &policy(&format!("b{moment}.example.com")));
        let set = ["policy", "set", "calm", "--policy", "b.yaml"];
        let ended = gateway.kill_during(STEP * moment, &set);
        let shown = wait::until("the policy to be decided about", wait::LONG, || {
            let shown = person.run(&["policy", "get", "calm", "--full"]).expect(0).stdout;
            shown.contains("Status: loaded").then_some(shown)
        });
        let is_new = shown.contains(&format!("b{moment}.example.com"));
        assert!(is_new || ended.code != Some(0), "{ended:?} {shown}");
        assert!(is_new || shown.contains("a.example.com"), "{shown}");

        let ended = gateway.kill_during(STEP * moment, &["sandbox", "delete", "calm"]);
        if gateway.settled().is_some() {
            assert_ne!(ended.code, Some(0), "{ended:?}");
            drop(person.run(&["sandbox", "delete", "calm"]).expect(0));
        }
        assert_eq!(gateway.supervisors(), 0);
        let left = fs::read_dir(gateway.state().join("sandboxes")).into_iter().flatten().count();
        assert_eq!(left, 0, "nothing is left of it");
    }
    assert!(kept > 0 && never > 0, "killed too early or too late each time: {kept} {never}");
}
