//! Credentials of providers: kept for their owner, used by a sandbox that never sees them, and only where they belong.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use openshell_tests::{
    lab::{Lab, SERVER},
    process::{Finished, run},
    sandboxes::Person,
    script::Script,
    upstream::ScriptedUpstream,
    wait::LONG,
};
use serde_json::{Value, json};

const SECRET: &str = "lab_4f9c81d27a6b";
const RENEWED: &str = "lab_renewed_77c0de";

fn everywhere(person: &Person, args: &[&str]) -> Command {
    let mut command = person.openshell(args);
    command.env("LAB_TOKEN", SECRET);
    command
}

fn list(person: &Person, args: &[&str]) -> Value {
    let said = person.run(&[args, &["-o", "json"]].concat()).expect(0).stdout;
    serde_json::from_str(&said).expect("it is JSON")
}

#[test]
fn providers_are_made_changed_and_deleted_and_their_values_never_shown() {
    for person in Person::all() {
        let create = [
            "provider",
            "create",
            "--name",
            "lab",
            "--type",
            "generic",
            "--credential",
            "LAB_TOKEN",
            "--config",
            "endpoint=a.example.com:443",
        ];
        let created = run("create", &mut everywhere(&person, &create), LONG).expect(0);
        assert_eq!(created.stdout, "✓ Created provider lab\n");
        let again = run("again", &mut everywhere(&person, &create), LONG).expect(1);
        assert!(again.stderr.contains("provider 'lab' already exists"), "{}", again.stderr);
        let mut existing = person.openshell(&[
            "provider",
            "create",
            "--name",
            "gh",
            "--type",
            "github",
            "--from-existing",
        ]);
        let none = run("existing", &mut existing, LONG).expect(1);
        assert!(none.stderr.contains("set GITHUB_TOKEN or GH_TOKEN"), "{}", none.stderr);
        existing.env("GH_TOKEN", SECRET);
        drop(run("existing", &mut existing, LONG).expect(0));
        let table = person.run(&["provider", "list"]).expect(0).stdout;
        assert_eq!(
            table,
            "NAME  TYPE     CREDENTIAL_KEYS  CONFIG_KEYS\ngh    github   1                0\nlab   generic  1                1\n"
        );
        let shown = list(&person, &["provider", "get", "lab"]);
        assert_eq!(
            (&shown["type"], &shown["credential_keys"]),
            (&json!("generic"), &json!(["LAB_TOKEN"]))
        );
        drop(
            person
                .run(&[
                    "provider",
                    "update",
                    "lab",
                    "--credential",
                    "OTHER=abc",
                    "--credential",
                    "LAB_TOKEN=",
                    "--config",
                    "endpoint=",
                ])
                .expect(0),
        );
        let shown = list(&person, &["provider", "get", "lab"]);
        assert_eq!((&shown["config"], &shown["credential_keys"]), (&json!({}), &json!(["OTHER"])));
        let said =
            [created, again, none].map(|ended| ended.said()).concat() + &table + &shown.to_string();
        assert!(!said.contains(SECRET), "{said}");
        assert_eq!(
            person.run(&["provider", "delete", "gh", "nope"]).expect(0).stdout,
            "✓ Deleted provider gh\n! Provider nope not found\n"
        );
        assert_eq!(person.run(&["provider", "list", "--names"]).expect(0).stdout, "lab\n");
    }
}

#[test]
fn what_makes_no_provider_is_told_and_no_value_repeated() {
    let person = Person::all().remove(0);
    let create =
        |rest: &[&str]| person.run(&[&["provider", "create", "--name", "x"], rest].concat());
    let bogus = create(&["--type", "bogus", "--credential", "A=b"]).expect(2).stderr;
    assert!(bogus.contains("possible values: claude, opencode, codex, copilot, generic, openai, anthropic, nvidia, gitlab, github, outlook"), "{bogus}");
    assert!(
        create(&["--type", "openai"]).expect(2).stderr.contains("--from-existing|--credential")
    );
    let bare = create(&["--type", "openai", "--credential", "sk-123-secret"]).expect(2).stderr;
    assert!(!bare.contains("sk-123-secret"), "{bare}");
    assert!(
        create(&["--type", "openai", "--credential", "NOT_SET"])
            .expect(1)
            .stderr
            .contains("NOT_SET is not set")
    );
    let lines = create(&["--type", "openai", "--credential", "A=two\nlines"]).expect(2).stderr;
    assert!(lines.contains("line end") && !lines.contains("two"), "{lines}");
    drop(
        create(&["--type", "generic", "--credential", "A=b", "--config", "endpoint=nowhere"])
            .expect(2),
    );
    assert_eq!(person.run(&["provider", "list"]).expect(0).stdout, "No providers found.\n");
    let missing =
        person.run(&["sandbox", "create", "--provider", "x", "--detach"]).expect(1).stderr;
    assert!(missing.contains("provider 'x' not found"), "{missing}");
    assert_eq!(person.run(&["sandbox", "list", "--names"]).expect(0).stdout, "", "none was made");
}

#[test]
fn the_provider_that_a_command_looks_for_is_made_of_this_environment_when_told_so() {
    for person in Person::all() {
        person.write("tools/gh", "#!/bin/sh\nenv\n");
        let tool = person.path().join("tools/gh");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        let create = |name: &str, flags: &[&str], secret: Option<&str>| {
            let create = ["sandbox", "create", "--name", name, "--upload", "tools:/sandbox/bin"];
            let mut command =
                person.openshell(&[&create, flags, &["--", "/sandbox/bin/gh"]].concat());
            command.envs(secret.map(|secret| ("GH_TOKEN", secret)));
            let ended = run("create", &mut command, LONG).expect(0);
            assert!(!ended.said().contains(SECRET), "{}", ended.said());
            ended
        };
        let providers = || person.run(&["provider", "list", "--names"]).expect(0).stdout;
        let placeholder = "GH_TOKEN=openshell:resolve:env:GH_TOKEN\n";

        let without = create("a", &["--auto-providers"], None);
        assert!(without.stderr.contains("! No credential of type 'github'"), "{}", without.stderr);
        for flags in [&[][..], &["--no-auto-providers"]] {
            let name = format!("b{}", flags.len());
            let unasked = create(&name, flags, Some(SECRET));
            assert!(!unasked.stdout.contains("GH_TOKEN"), "{}", unasked.stdout);
        }
        assert_eq!(providers(), "", "nobody asked for one");
        let made = create("c", &["--auto-providers"], Some(SECRET));
        assert!(made.stderr.contains("✓ Created provider github"), "{}", made.stderr);
        assert!(made.stdout.contains(placeholder), "{}", made.stdout);
        let found = create("d", &["--auto-providers"], None);
        assert!(found.stderr.contains("• Provider github is attached"), "{}", found.stderr);
        assert!(found.stdout.contains(placeholder), "{}", found.stdout);
        assert_eq!(providers(), "github\n");
        assert_eq!(list(&person, &["sandbox", "provider", "list", "d"]), json!(["github"]));

        // A name that is that of a type is made as well.
        let create = ["sandbox", "create", "--name", "e", "--detach", "--auto-providers"];
        let mut command = person.openshell(&[&create[..], &["--provider", "gitlab"]].concat());
        drop(run("create", command.env("CI_JOB_TOKEN", SECRET), LONG).expect(0));
        assert_eq!(providers(), "github\ngitlab\n");
    }
}

#[test]
fn a_person_at_a_terminal_is_asked_before_a_sandbox_gets_a_provider() {
    for person in Person::all() {
        person.write("tools/gh", "#!/bin/sh\necho token $GH_TOKEN\n");
        let tool = person.path().join("tools/gh");
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, answer, token, providers) in [
            ("no", "send:\\r", "expect:token\r\n", ""),
            ("yes", "send:y\\r", "expect:token openshell:resolve:env:GH_TOKEN", "github\n"),
        ] {
            let create = ["sandbox", "create", "--name", name, "--upload", "tools:/sandbox/bin"];
            let create = [&create[..], &["--", "/sandbox/bin/gh"]].concat();
            let mut command = person.terminal(&["expect:[y/N]", answer, token], &create);
            drop(run(name, command.env("GH_TOKEN", SECRET), LONG).expect(0));
            assert_eq!(person.run(&["provider", "list", "--names"]).expect(0).stdout, providers);
        }
    }
}

/// A person in a network with a service at `api.lab.test` that tells the token it was sent, and another one beside it.
struct Story {
    // Its sandboxes end before its network.
    person: Person,
    lab: Lab,
    service: ScriptedUpstream,
    other: ScriptedUpstream,
}

impl Story {
    fn all() -> impl Iterator<Item = Self> {
        Person::all().into_iter().filter_map(Self::of)
    }

    fn of(person: Person) -> Option<Self> {
        let lab =
            Lab::start(&[("api.lab.test", "198.18.0.10"), ("other.lab.test", "198.18.0.11")])?;
        let echo = |seen: &openshell_tests::upstream::Seen, _: usize| {
            let sent = seen.header("authorization").unwrap_or("nothing").to_owned();
            Script::json(200, &json!({"sent": sent}))
        };
        let service = ScriptedUpstream::on(lab.listen((SERVER, 80)), echo);
        let other = ScriptedUpstream::on(lab.listen(([198, 18, 0, 11], 80)), echo);
        Some(Self { person, lab, service, other })
    }

    fn run(&self, args: &[&str]) -> Finished {
        let command = everywhere(&self.person, args);
        let mut inside = self.lab.inside_as(&command, self.person.user());
        run(&format!("{args:?}"), &mut inside, LONG)
    }

    /// The provider of the tests: its credential is for the service alone.
    fn create_provider(&self) {
        let create = ["provider", "create", "--name", "lab", "--type", "generic"];
        let credential = ["--credential", "LAB_TOKEN", "--config", "endpoint=api.lab.test:80"];
        let network = ["--config", "allowed_ips=198.18.0.10/32"];
        drop(self.run(&[&create[..], &credential[..], &network[..]].concat()).expect(0));
    }

    fn curl(&self, url: &str) -> String {
        let script = format!("curl -s -H \"Authorization: Bearer $LAB_TOKEN\" {url}");
        self.run(&["sandbox", "exec", "-n", "s", "--", "sh", "-c", &script]).expect(0).stdout
    }

    fn last_sent(&self) -> Option<String> {
        self.service.seen().last()?.header("authorization").map(str::to_owned)
    }
}

#[test]
fn a_sandbox_uses_a_credential_that_it_never_sees_and_only_where_it_belongs() {
    for story in Story::all() {
        story.create_provider();
        let policy = "version: 1\nnetwork_policies:\n  other: {endpoints: [{host: other.lab.test, port: 80, protocol: rest, access: full, enforcement: enforce, allowed_ips: [198.18.0.11/32]}], binaries: [{path: /**}]}\n";
        story.person.write("policy.yaml", policy);
        drop(
            story
                .run(&[
                    "sandbox",
                    "create",
                    "--name",
                    "s",
                    "--provider",
                    "lab",
                    "--policy",
                    "policy.yaml",
                    "--detach",
                ])
                .expect(0),
        );
        let told = story.curl("http://api.lab.test/hello");
        assert_eq!(story.last_sent().as_deref(), Some(&*format!("Bearer {SECRET}")), "{told}");
        assert_eq!(
            told, r#"{"sent":"Bearer openshell:resolve:env:LAB_TOKEN"}"#,
            "and nothing comes back"
        );
        // Elsewhere it is refused before anything leaves.
        let told = story.curl("http://other.lab.test/");
        assert!(told.contains("credential_endpoint_mismatch"), "{told}");
        assert_eq!(story.other.count(), 0);

        let look = "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline; grep -rs . /sandbox /tmp /etc/openshell*; true";
        let inside =
            story.run(&["sandbox", "exec", "-n", "s", "--", "sh", "-c", look]).expect(0).said();
        assert!(
            inside.contains("LAB_TOKEN=openshell:resolve:env:LAB_TOKEN")
                && !inside.contains(SECRET)
        );
        let folder = story.person.home().join("sandboxes/s");
        for file in ["sandbox.json", "state.json", "log", "audit.jsonl"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains(SECRET), "{file}: {text}");
        }
        let supervisor = story.person.supervisor("s").unwrap();
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{}/{file}", supervisor.as_raw_nonzero())).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(SECRET), "{file}");
        }
    }
}

#[test]
fn a_changed_provider_reaches_sandboxes_that_run_and_those_that_start_again() {
    for story in Story::all() {
        story.create_provider();
        drop(story.run(&["sandbox", "create", "--name", "s", "--detach"]).expect(0));
        assert!(!story.curl("http://api.lab.test/").contains("sent"), "nothing is open");
        drop(story.run(&["sandbox", "provider", "attach", "s", "lab"]).expect(0));
        let ask = || {
            let told = story.curl("http://api.lab.test/");
            (story.last_sent().unwrap_or_default(), told)
        };
        assert_eq!(ask().0, format!("Bearer {SECRET}"));
        let used = story.run(&["provider", "delete", "lab"]).expect(1).stderr;
        assert!(used.contains("is attached to sandbox s"), "{used}");
        let updated = story
            .run(&["provider", "update", "lab", "--credential", &format!("LAB_TOKEN={RENEWED}")])
            .expect(0);
        assert!(updated.stderr.contains("Sandbox s uses it from now on"), "{}", updated.stderr);
        assert_eq!(ask().0, format!("Bearer {RENEWED}"));
        drop(story.run(&["sandbox", "stop", "s"]).expect(0));
        drop(story.run(&["sandbox", "start", "s"]).expect(0));
        assert_eq!(ask().1, r#"{"sent":"Bearer openshell:resolve:env:LAB_TOKEN"}"#);
        let count = story.service.count();
        drop(story.run(&["sandbox", "provider", "detach", "s", "lab"]).expect(0));
        let script = "curl -s -H 'Authorization: Bearer openshell:resolve:env:LAB_TOKEN' http://api.lab.test/";
        let refused =
            story.run(&["sandbox", "exec", "-n", "s", "--", "sh", "-c", script]).expect(0).stdout;
        assert!(refused.contains("policy_denied"), "{refused}");
        assert_eq!(story.service.count(), count);
        assert_eq!(
            story.run(&["sandbox", "provider", "list", "s"]).expect(0).stdout,
            "No providers attached.\n"
        );
    }
}
