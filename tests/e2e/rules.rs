//! A policy grows by small steps, by what people approve, and by what a run needed: never by more than that.

use std::process::Command;

use openshell_tests::{
    lab::{Lab, SERVER},
    process::{Finished, run},
    sandboxes::Person,
    script::Script,
    upstream::ScriptedUpstream,
    wait::LONG,
};
use serde_json::{Value, json};

fn version(person: &Person, sandbox: &str) -> Value {
    let said = person.run(&["policy", "get", sandbox, "-o", "json"]).expect(0).stdout;
    let shown: Value = serde_json::from_str(&said).expect("it is JSON");
    shown["version"].clone()
}

#[test]
fn a_policy_is_changed_in_small_steps_all_of_them_or_none() {
    for person in Person::all() {
        drop(person.run(&["sandbox", "create", "--name", "u", "--detach"]).expect(0));
        let update = |rest: &[&str]| person.run(&[&["policy", "update", "u"], rest].concat());
        let add = [
            "--add-endpoint",
            "a.example.com:443:read-only:rest:enforce",
            "--binary",
            "/usr/bin/curl",
        ];
        let preview = update(&[&add[..], &["--dry-run"]].concat()).expect(0).stdout;
        assert!(preview.contains("allow_a_example_com_443:"), "{preview}");
        assert_eq!(version(&person, "u"), 1, "a preview changes nothing");
        let done =
            update(&[&add[..], &["--add-allow", "a.example.com:443:POST:/x", "--wait"]].concat())
                .expect(0)
                .stdout;
        assert!(done.starts_with("✓ Policy version 2 submitted (hash: "), "{done}");
        assert!(done.ends_with("✓ Policy version 2 loaded (active version: 2)\n"), "{done}");
        let full = person.run(&["policy", "get", "u", "--full"]).expect(0).stdout;
        assert!(full.contains("method: POST") && full.contains("/usr/bin/curl"), "{full}");
        // One step that cannot be made undoes the others.
        let none = update(&["--remove-endpoint", "a.example.com:443", "--remove-rule", "nope"])
            .expect(1)
            .stderr;
        assert!(none.contains("there is no policy 'nope'"), "{none}");
        let local = update(&["--add-endpoint", "127.0.0.1:80"]).expect(1).stderr;
        assert!(local.contains("is an always-blocked address"), "{local}");
        assert_eq!(version(&person, "u"), 2);
        for (wrong, told) in [
            (&["--add-endpoint", "nowhere"][..], "expected host:port"),
            (&["--add-deny", "a.example.com:443:GET"], "expected host:port:METHOD:glob"),
            (&["--binary", "/x"], "--add-endpoint"),
            (
                &["--add-endpoint", "a.b:1", "--add-endpoint", "a.b:2", "--rule-name", "x"],
                "exactly one --add-endpoint",
            ),
            (&[], "required arguments"),
        ] {
            let said = update(wrong).expect(2).stderr;
            assert!(said.contains(told), "{wrong:?}: {said}");
        }
        drop(person.run(&["sandbox", "stop", "u"]).expect(0));
        let later = update(&["--remove-endpoint", "a.example.com:443"]).expect(0);
        assert!(later.stderr.contains("takes effect when it starts"), "{}", later.stderr);
        assert_eq!(version(&person, "u"), 3);
    }
}

/// A person in a network with a service at `api.lab.test` that greets everybody.
struct Story {
    // Its sandboxes end before its network.
    person: Person,
    lab: Lab,
    service: ScriptedUpstream,
}

impl Story {
    fn all() -> impl Iterator<Item = Self> {
        Person::all().into_iter().filter_map(Self::of)
    }

    fn of(person: Person) -> Option<Self> {
        let lab = Lab::start(&[("api.lab.test", "198.18.0.10")])?;
        let service =
            ScriptedUpstream::on(lab.listen((SERVER, 80)), |_, _| Script::json(200, &json!("hi")));
        Some(Self { person, lab, service })
    }

    fn command(&self, args: &[&str]) -> Command {
        self.lab.inside_as(&self.person.openshell(args), self.person.user())
    }

    fn run(&self, args: &[&str]) -> Finished {
        run(&format!("{args:?}"), &mut self.command(args), LONG)
    }

    fn shell(&self, sandbox: &str, script: &str) -> String {
        self.run(&["sandbox", "exec", "-n", sandbox, "--", "sh", "-c", script]).expect(0).stdout
    }

    fn pending(&self) -> Vec<Value> {
        let said = self.run(&["rule", "list", "r", "-o", "json"]).expect(0).stdout;
        serde_json::from_str(&said).expect("it is JSON")
    }
}

const RULED: &str = "version: 1\nnetwork_policies:\n  allow_api_lab_test_80:\n    endpoints: [{host: api.lab.test, port: 80, protocol: rest, enforcement: enforce, allowed_ips: [198.18.0.10/32], rules: [{allow: {method: GET, path: /a}}]}]\n    binaries: [{path: /usr/bin/curl}]\n";

#[test]
fn what_was_refused_is_approved_or_rejected_and_then_decided() {
    for story in Story::all() {
        story.person.write("policy.yaml", RULED);
        drop(
            story
                .run(&["sandbox", "create", "--name", "r", "--policy", "policy.yaml", "--detach"])
                .expect(0),
        );
        assert_eq!(story.run(&["rule", "get", "r"]).expect(0).stdout, "No network rules.\n");
        let post = "curl -s -X POST http://api.lab.test/b";
        let refused = story.shell("r", &format!("{post}; curl -s http://elsewhere.test/"));
        assert!(refused.contains("policy_denied"), "{refused}");
        assert_eq!(story.service.count(), 0);
        let pending = story.pending();
        assert_eq!(pending.len(), 2, "{pending:?}");
        let find = |host: &str| pending.iter().find(|one| one["denial"]["host"] == host).unwrap();
        let (lab, other) = (find("api.lab.test"), find("elsewhere.test"));
        assert_eq!(
            lab["denial"]["proposal"]["add_allow"],
            json!(["api.lab.test:80:POST:/b"]),
            "{lab}"
        );
        let id = |one: &Value| one["id"].as_str().unwrap().to_owned();
        let approved =
            story.run(&["rule", "approve", "r", "--chunk-id", &id(lab)]).expect(0).stdout;
        assert!(
            approved.contains("✓ Policy version 2 submitted")
                && approved.contains("✓ Approved rule"),
            "{approved}"
        );
        assert_eq!(story.shell("r", post), "\"hi\"", "it is in force at once");
        assert!(
            story.shell("r", "curl -s -X POST http://api.lab.test/c").contains("policy_denied"),
            "and nothing else"
        );
        drop(
            story
                .run(&["rule", "reject", "r", "--chunk-id", &id(other), "--reason", "not ours"])
                .expect(0),
        );
        drop(story.shell("r", "curl -s http://elsewhere.test/"));
        assert!(
            story.pending().iter().all(|one| one["denial"]["host"] != "elsewhere.test"),
            "it is not proposed again"
        );
        let history = story.run(&["rule", "history", "r", "-o", "json"]).expect(0).stdout;
        let history: Vec<Value> = serde_json::from_str(&history).unwrap();
        assert_eq!(
            history.iter().map(|one| &one["status"]).collect::<Vec<_>>(),
            ["approved", "rejected"]
        );
        assert_eq!(
            (&history[0]["policy_version"], &history[1]["reason"]),
            (&json!(2), &json!("not ours"))
        );
        let unknown = story.run(&["rule", "approve", "r", "--chunk-id", "zzzz"]).expect(1).stderr;
        assert!(unknown.contains("there is no pending rule zzzz"), "{unknown}");
        assert_eq!(
            story.run(&["rule", "clear", "r"]).expect(0).stdout,
            "✓ 1 pending rules cleared\n"
        );
        assert_eq!(story.pending(), Vec::<Value>::new());
    }
}

#[test]
fn rules_with_a_security_note_are_approved_only_when_that_is_asked_for() {
    for story in Story::all() {
        drop(story.run(&["sandbox", "create", "--name", "r", "--detach"]).expect(0));
        drop(story.shell("r", "curl -s http://api.lab.test/"));
        let left = story.run(&["rule", "approve-all", "r"]).expect(0);
        assert!(
            left.stdout == "✓ 0 rules approved\n" && left.stderr.contains("not_inspected"),
            "{}",
            left.said()
        );
        let all =
            story.run(&["rule", "approve-all", "r", "--include-security-flagged"]).expect(0).stdout;
        assert!(all.ends_with("✓ 1 rules approved\n"), "{all}");
        // The rule opens the name, and no internal address behind it.
        assert!(story.shell("r", "curl -s http://api.lab.test/").contains("ssrf_denied"));
    }
}

#[test]
fn what_a_run_needed_becomes_a_policy_that_allows_it_and_no_more() {
    for story in Story::all() {
        let script = "curl -s http://api.lab.test/a; curl -s http://api.lab.test/a; curl -s -X POST http://api.lab.test/b; curl -s http://169.254.169.254/; exit 3";
        let learned = story
            .run(&[
                "learn",
                "--allowed-ips",
                "198.18.0.10/32",
                "--output",
                "learned.yaml",
                "--",
                "sh",
                "-c",
                script,
            ])
            .expect(3);
        assert!(
            learned.stdout.starts_with("\"hi\"\"hi\"\"hi\"")
                && learned.stdout.contains("ssrf_denied"),
            "{}",
            learned.said()
        );
        assert_eq!(story.service.count(), 3);
        let policy = std::fs::read_to_string(story.person.path().join("learned.yaml")).unwrap();
        assert!(
            policy.contains("  # 3 requests by /usr/bin/curl\n  allow_api_lab_test_80:"),
            "{policy}"
        );
        assert!(
            policy.contains("# Refused all the same, 1 times: 169.254.169.254:80 (ssrf_denied)."),
            "{policy}"
        );
        assert_eq!(
            story.run(&["sandbox", "list", "--names"]).expect(0).stdout,
            "",
            "nothing is left of the run"
        );
        drop(
            story
                .run(&["sandbox", "create", "--name", "r", "--policy", "learned.yaml", "--detach"])
                .expect(0),
        );
        assert_eq!(
            story
                .shell("r", "curl -s http://api.lab.test/a; curl -s -X POST http://api.lab.test/b"),
            "\"hi\"\"hi\""
        );
        assert!(
            story.shell("r", "curl -s -X POST http://api.lab.test/a").contains("policy_denied")
        );
        assert_eq!(story.service.count(), 5);
    }
}
