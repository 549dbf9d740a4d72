//! A user's first hour with a gateway, as it is typed: nothing is set up before, and everything goes through it.

use std::{
    fs::{self, Permissions},
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
};

use openshell_tests::{sandboxes::Person, wait};
use rustix::process::Signal;
use serde_json::Value;

/// A provider's secret, which no sandbox may see.
const SECRET: &str = "ghp_9876543210abcdefABCDEFghijklmnopqrst";

const POLICY: &str = "version: 1\nfilesystem_policy: {include_workdir: true}\nnetwork_policies: {a: {endpoints: [{host: HOST, port: 443}], binaries: [{path: /**}]}}\n";

/// A person with its gateway, which ends with everything of it.
struct Ends<'a>(&'a Person);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        drop(self.0.openshell(&["gateway", "destroy", "--yes"]).output());
    }
}

#[test]
fn the_first_sandbox_brings_a_gateway_and_everything_after_goes_through_it() {
    for person in Person::all().into_iter().map(Person::with_gateways) {
        let none = person.run(&["sandbox", "list"]).expect(1);
        assert!(none.stderr.contains("No active gateway"), "{none:?}");
        let _ends = Ends(&person);

        // With a command: what it says and its exit code are ours, and files are there before it.
        person.write("project/note.txt", "from outside\n");
        person.write("a.yaml", &POLICY.replace("HOST", "a.example.com"));
        let args = [
            "sandbox",
            "create",
            "--name",
            "calm",
            "--policy",
            "a.yaml",
            "--upload",
            "project",
            "--env",
            "GREETING=hello",
        ];
        let command =
            ["--", "sh", "-c", "cat note.txt; echo $GREETING; read line; echo got $line; exit 7"];
        let ran = person.run_with(b"typed\n", &[&args[..], &command[..]].concat()).expect(7);
        assert_eq!(ran.stdout, "from outside\nhello\ngot typed\n", "{ran:?}");
        assert!(ran.stderr.contains("There is no gateway yet"), "{ran:?}");
        assert!(ran.stderr.contains("✓ Created sandbox calm"), "{ran:?}");
        assert!(person.run(&["status"]).expect(0).stdout.contains("Connected"));

        // It is kept by the gateway, not by this user's own state.
        let own = person.run(&["--gateway", "none", "sandbox", "list"]).expect(0);
        assert!(own.stdout.contains("No sandboxes found"), "{own:?}");
        let listed = person.run(&["sandbox", "list", "-o", "json"]).expect(0);
        let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        assert_eq!(listed[0]["name"], "calm");
        assert_eq!(listed[0]["phase"], "Ready");
        assert_eq!(listed[0]["exit_code"], 7);
        let twice = person.run(&["sandbox", "create", "--name", "calm", "--detach"]).expect(1);
        assert!(twice.stderr.contains("calm"), "{twice:?}");

        let checked = person.run(&["doctor", "check", "-o", "json"]).expect(0);
        let checked: Value = serde_json::from_str(&checked.stdout).expect("JSON");
        let status = |name: &str| {
            let all = checked.as_array().expect("checks");
            all.iter().find(|one| one["name"] == name).map(|one| one["status"].clone())
        };
        assert_eq!(status("Sandbox"), Some("ok".into()), "{checked}");
        assert_eq!(status("Gateway"), Some("ok".into()), "{checked}");
        let key = person.path().join(".config/openshell/gateways/openshell/mtls/tls.key");
        fs::set_permissions(&key, Permissions::from_mode(0o644)).expect("it is there");
        let open = person.run(&["doctor", "check"]).expect(1);
        assert!(open.stdout.contains("can be read by others"), "{open:?}");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("it is there");

        // A shell that completes a name gets it from the gateway.
        let mut asked = person.openshell(&["--", "openshell", "sandbox", "get", "c"]);
        let asked = asked.env("COMPLETE", "fish").output().expect("it runs");
        assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "calm", "{asked:?}");

        programs_files_and_ports(&person);
        providers(&person);
        policies(&person);

        // Stopped it rests, with its files; started again it runs its command again.
        assert!(person.run(&["sandbox", "stop", "calm"]).expect(0).stdout.contains("✓ Stopped"));
        assert!(person.run(&["sandbox", "stop", "calm"]).expect(0).stdout.contains("not running"));
        let away = person.run(&["sandbox", "exec", "-n", "calm", "--", "true"]).expect(1);
        assert!(away.stderr.contains("sandbox start calm"), "{away:?}");
        assert!(person.run(&["sandbox", "start", "calm"]).expect(0).stdout.contains("✓ Started"));
        assert_eq!(
            person.run(&["sandbox", "exec", "--", "cat", "note.txt"]).expect(0).stdout,
            "from outside\n"
        );

        let gone = person.run(&["sandbox", "delete", "calm"]).expect(0);
        assert!(gone.stdout.contains("✓ Deleted sandbox calm"), "{gone:?}");
        assert!(person.run(&["sandbox", "get", "calm"]).expect(1).stderr.contains("calm"));
        let unnamed = person.run(&["sandbox", "get"]).expect(1);
        assert!(unnamed.stderr.contains("no sandbox is named"), "{unnamed:?}");
    }
}

fn programs_files_and_ports(person: &Person) {
    // A program that reads no input still hears signals.
    let mut sleeping = person.start(&[
        "sandbox",
        "exec",
        "-n",
        "calm",
        "--",
        "sh",
        "-c",
        "echo up; exec sleep 1000",
    ]);
    wait::until("the program to run", wait::LONG, || {
        sleeping.stdout().contains("up").then_some(())
    });
    sleeping.signal(Signal::INT);
    assert_eq!(sleeping.wait(wait::LONG).code, Some(130));

    let big = vec![b'x'; 300_000];
    let counted =
        person.run_with(&big, &["sandbox", "exec", "-n", "calm", "--", "wc", "-c"]).expect(0);
    assert_eq!(counted.stdout.trim(), "300000");
    let failed =
        person.run(&["sandbox", "exec", "-n", "calm", "--", "no-such-program"]).expect(127);
    assert!(failed.stderr.contains("no-such-program"), "{failed:?}");
    let late =
        person.run(&["sandbox", "exec", "-n", "calm", "--timeout", "1", "--", "sleep", "100"]);
    assert_eq!(late.code, Some(124), "{late:?}");

    person.write("up/one.txt", "one\n");
    drop(person.run(&["sandbox", "upload", "calm", "up", "/sandbox/in"]).expect(0));
    drop(person.run(&["sandbox", "download", "calm", "/sandbox/in", "down"]).expect(0));
    let back = fs::read_to_string(person.path().join("down/one.txt")).expect("it came back");
    assert_eq!(back, "one\n");
    let missing = person.run(&["sandbox", "download", "calm", "/sandbox/none", "x"]).expect(1);
    assert!(missing.stderr.contains("none"), "{missing:?}");

    // A port in there is a port here.
    let serve = "import socket\ns=socket.create_server(('127.0.0.1',9099))\nwhile 1:\n c,_=s.accept()\n d=c.recv(100)\n c.sendall(b'echo '+d)\n c.close()\n";
    person.write("serve.py", serve);
    drop(person.run(&["sandbox", "upload", "calm", "serve.py", "/sandbox"]).expect(0));
    let _server = person.start(&["sandbox", "exec", "-n", "calm", "--", "python3", "serve.py"]);
    drop(person.run(&["forward", "start", "9099", "calm", "-d"]).expect(0));
    let heard = wait::until("the port to answer", wait::LONG, || {
        let mut stream = TcpStream::connect("127.0.0.1:9099").ok()?;
        stream.write_all(b"hello").ok()?;
        let mut heard = String::new();
        stream.read_to_string(&mut heard).ok()?;
        (!heard.is_empty()).then_some(heard)
    });
    assert_eq!(heard, "echo hello");
    assert!(person.run(&["forward", "list"]).expect(0).stdout.contains("calm"));
    assert!(person.run(&["forward", "stop", "9099"]).expect(0).stdout.contains("✓ Stopped"));
}

fn providers(person: &Person) {
    let credential = format!("GITHUB_TOKEN={SECRET}");
    let create =
        ["provider", "create", "--name", "gh", "--type", "github", "--credential", &credential];
    drop(person.run(&create).expect(0));
    assert!(person.run(&create).expect(1).stderr.contains("gh"));
    let shown = person.run(&["provider", "get", "gh"]).expect(0);
    assert!(shown.stdout.contains("GITHUB_TOKEN") && !shown.stdout.contains(SECRET), "{shown:?}");
    drop(person.run(&["sandbox", "provider", "attach", "calm", "gh"]).expect(0));
    assert!(person.run(&["sandbox", "provider", "list", "calm"]).expect(0).stdout.contains("gh"));
    let token = wait::until("the placeholder to be there", wait::LONG, || {
        let said =
            person.run(&["sandbox", "exec", "-n", "calm", "--", "sh", "-c", "echo $GITHUB_TOKEN"]);
        Some(said.stdout.trim().to_owned()).filter(|token| !token.is_empty())
    });
    assert_ne!(token, SECRET);
    assert!(person.run(&["provider", "delete", "gh"]).expect(1).stderr.contains("calm"));
    drop(person.run(&["provider", "update", "gh", "--config", "team=a"]).expect(0));
    drop(person.run(&["sandbox", "provider", "detach", "calm", "gh"]).expect(0));
    let twice = person.run(&["sandbox", "provider", "detach", "calm", "gh"]).expect(1);
    assert!(twice.stderr.contains("not attached"), "{twice:?}");
    drop(person.run(&["provider", "delete", "gh"]).expect(0));
    assert!(person.run(&["provider", "list"]).expect(0).stdout.contains("No providers found"));
}

fn policies(person: &Person) {
    person.write("b.yaml", &POLICY.replace("HOST", "b.example.com"));
    person.write("bad.yaml", "version: 1\nnetwork: {}\n");
    let set = person.run(&["policy", "set", "calm", "--policy", "b.yaml", "--wait"]).expect(0);
    assert!(set.stdout.contains("✓ Policy version 2 loaded"), "{set:?}");
    let same = person.run(&["policy", "set", "calm", "--policy", "b.yaml"]).expect(0);
    assert!(same.stdout.contains("· Policy unchanged (version 2"), "{same:?}");
    drop(person.run(&["policy", "set", "calm", "--policy", "bad.yaml"]).expect(1));
    let updated = person.run(&[
        "policy",
        "update",
        "calm",
        "--add-endpoint",
        "c.example.com:443",
        "--binary",
        "/usr/bin/curl",
        "--wait",
    ]);
    assert!(updated.expect(0).stdout.contains("✓ Policy version 3 loaded"));
    let got = person.run(&["policy", "get", "calm", "--full"]).expect(0);
    assert!(got.stdout.contains("Version: 3") && got.stdout.contains("c.example.com"), "{got:?}");
    let list = person.run(&["policy", "list", "calm"]).expect(0);
    assert!(list.stdout.contains("superseded") && list.stdout.contains("loaded"), "{list:?}");
    assert!(
        person
            .run(&["sandbox", "get", "calm", "--policy-only"])
            .expect(0)
            .stdout
            .contains("c.example.com")
    );

    // The policy of the gateway is stronger, and is not set by accident.
    drop(person.run(&["policy", "set", "--global", "--policy", "b.yaml"]).expect(2));
    drop(person.run(&["policy", "set", "--global", "--yes", "--policy", "b.yaml"]).expect(0));
    let locked = person.run(&["policy", "set", "calm", "--policy", "a.yaml"]).expect(1);
    assert!(locked.stderr.contains("gateway"), "{locked:?}");
    assert!(
        person
            .run(&["policy", "get", "--global", "--full"])
            .expect(0)
            .stdout
            .contains("b.example.com")
    );
    drop(person.run(&["policy", "delete", "--global", "--yes"]).expect(0));
    drop(person.run(&["policy", "set", "calm", "--policy", "a.yaml", "--wait"]).expect(0));
}
