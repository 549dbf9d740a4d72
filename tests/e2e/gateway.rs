//! The gateway: who comes in, what it keeps, and that sandboxes neither fall with it nor outlive what is wanted of them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use openshell_tests::{process::run, sandboxes::Person, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client::IntoClientRequest as _};

/// What must be nowhere in clear.
const SECRET: &str = "ghp_0123456789abcdefABCDEFghijklmnopqrst";

/// A gateway of one person, ended with everything of it.
pub(crate) struct Gateway<'a> {
    person: &'a Person,
    endpoint: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl<'a> Gateway<'a> {
    pub(crate) fn start(person: &'a Person) -> Self {
        let said = person.run(&["gateway", "start", "--port", "0"]).expect(0);
        let endpoint = said.stdout.lines().find_map(|line| line.trim().strip_prefix("Endpoint: "));
        let endpoint = endpoint.expect("it says where it is").to_owned();
        Self { person, endpoint }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.person.home().join("gateways/openshell")
    }

    pub(crate) fn process(&self) -> Pid {
        let text = fs::read_to_string(self.state().join("lock")).expect("a lock file");
        Pid::from_raw(text.parse().expect("a number")).expect("a process")
    }

    /// The files that `gateway start` has put down for this person.
    fn mtls(&self, name: &str) -> String {
        let folder = self.person.path().join(".config/openshell/gateways/openshell/mtls");
        folder.join(name).to_str().expect("a plain path").to_owned()
    }

    /// Asks over the socket of the person.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let socket = self.state().join("gateway.sock");
        let socket = socket.to_str().expect("a plain path");
        curl(
            self.person,
            &["--unix-socket", socket, "-X", method, &format!("http://localhost{path}")],
            body,
        )
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Asks over the port with these further arguments of curl.
    fn over_tls(&self, args: &[&str]) -> Answer {
        let ca = self.mtls("ca.crt");
        let mut all = vec!["--cacert", &ca];
        all.extend(args);
        let url = format!("{}/v1/me", self.endpoint);
        all.push(&url);
        curl(self.person, &all, None)
    }

    /// Waits until a sandbox is in that phase, by what the gateway tells.
    pub(crate) fn wait_for(&self, sandbox: &str, phase: &str) -> Value {
        wait::until(&format!("{sandbox} to be {phase}"), wait::LONG, || {
            let answer = self.ask("GET", &format!("/v1/sandboxes/{sandbox}"), None);
            (answer.body["status"]["phase"] == phase).then_some(answer.body)
        })
    }

    fn wait_until_gone(&self, sandbox: &str) {
        wait::until(&format!("{sandbox} to be gone"), wait::LONG, || {
            let answer = self.ask("GET", &format!("/v1/sandboxes/{sandbox}"), None);
            (answer.status == 404).then_some(())
        });
    }

    /// The process of a sandbox's supervisor.
    fn supervisor(&self, id: &str) -> String {
        let lock = self.state().join("sandboxes").join(id).join("lock");
        fs::read_to_string(lock).expect("a lock file")
    }

    /// A conversation with a sandbox.
    fn converse(&self, path: &str, first: &Value) -> WebSocket<UnixStream> {
        let stream = UnixStream::connect(self.state().join("gateway.sock")).expect("it listens");
        let request = format!("ws://localhost{path}").into_client_request().expect("a request");
        let (mut socket, _) = tungstenite::client(request, stream).expect("a conversation");
        socket.send(Message::text(first.to_string())).expect("it hears");
        socket
    }

    /// Runs a program to its end: what it wrote, and its exit code.
    pub(crate) fn exec(&self, sandbox: &str, command: &[&str]) -> (String, Value) {
        let path = format!("/v1/sandboxes/{sandbox}/exec");
        let mut socket = self.converse(&path, &json!({"ask": "exec", "command": command}));
        let mut output = Vec::new();
        loop {
            match socket.read().expect("a message") {
                Message::Text(text) => {
                    let said: Value = serde_json::from_str(&text).expect("JSON");
                    if said["answer"] != "started" {
                        return (String::from_utf8(output).expect("text"), said);
                    }
                }
                Message::Binary(bytes) => output.extend(&bytes[1..]),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        drop(self.person.openshell(&["gateway", "destroy", "--yes"]).output());
    }
}

fn curl(person: &Person, args: &[&str], body: Option<&Value>) -> Answer {
    let mut command = person.program("curl");
    command.args(["-sS", "-i", "--max-time", "30"]).args(args);
    if let Some(body) = body {
        command.args(["-H", "content-type: application/json", "--data-binary", &body.to_string()]);
    }
    let said = run(&format!("curl {args:?}"), &mut command, wait::LONG);
    let (head, body) = said.stdout.split_once("\r\n\r\n").unwrap_or((&said.stderr, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: serde_json::from_str(body).unwrap_or_default() }
}

/// A policy that opens one host.
fn policy(host: &str) -> String {
    format!(
        "version: 1\nfilesystem_policy: {{include_workdir: true}}\nnetwork_policies: {{a: {{endpoints: [{{host: {host}, port: 443}}], binaries: [{{path: /**}}]}}}}\n"
    )
}

/// Every file below a folder that holds these bytes.
pub(crate) fn files_with(folder: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(bytes.len()).any(|window| window == bytes) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_person_starts_one_and_comes_in_with_a_certificate_alone() {
    for person in Person::all() {
        let none = person.run(&["status"]).expect(0);
        assert!(none.stdout.contains("No gateway configured"), "{none:?}");
        let gateway = Gateway::start(&person);
        assert!(person.run(&["status"]).expect(0).stdout.contains("Connected"));
        let again = person.run(&["gateway", "start"]).expect(0);
        assert!(again.stdout.contains("is running"), "{again:?}");

        let (certificate, key) = (gateway.mtls("tls.crt"), gateway.mtls("tls.key"));
        let me = gateway.over_tls(&["--cert", &certificate, "--key", &key]);
        assert_eq!((me.status, &me.body["by"]), (200, &json!("certificate")), "{me:?}");
        assert_eq!(me.body["role"], "admin");
        // Nobody else comes in, whatever they bring.
        assert_eq!(gateway.over_tls(&[]).status, 401);
        assert_eq!(gateway.over_tls(&["-H", "authorization: Bearer osh_x"]).status, 401);
        let page = [
            "--cert",
            &certificate,
            "--key",
            &key,
            "-H",
            "origin: https://evil.example",
            "-X",
            "POST",
        ];
        assert_eq!(gateway.over_tls(&page).status, 403);
        let plain = gateway.endpoint.replace("https://", "http://");
        assert_eq!(curl(&person, &[&format!("{plain}/v1/me")], None).status, 400);

        // A token opens what it is for, until it is ended.
        let new = json!({"label": "ci", "scopes": ["sandbox:read"], "days": 1});
        let issued = gateway.ask("POST", "/v1/me/tokens", Some(&new));
        assert_eq!(issued.status, 201, "{issued:?}");
        let token = issued.body["secret"].as_str().expect("a secret").to_owned();
        let bearer = format!("authorization: Bearer {token}");
        assert_eq!(gateway.over_tls(&["-H", &bearer]).body["by"], "token");
        let ca = gateway.mtls("ca.crt");
        let more = format!("{}/v1/users", gateway.endpoint);
        let more = curl(&person, &["--cacert", &ca, "-H", &bearer, &more], None);
        assert_eq!((more.status, &more.body["code"]), (403, &json!("scope_missing")));
        let id = issued.body["token"]["id"].as_str().expect("an id").to_owned();
        assert_eq!(gateway.ask("DELETE", &format!("/v1/me/tokens/{id}"), None).status, 204);
        assert_eq!(gateway.over_tls(&["-H", &bearer]).status, 401);
        assert_eq!(files_with(&person.home(), token.as_bytes()), Vec::<PathBuf>::new());

        // A certificate that was revoked is none; the next one is made over the socket.
        let user = me.body["name"].as_str().expect("a name");
        let all = gateway.get(&format!("/v1/users/{user}/certificates"));
        let serial = all["items"][0]["serial"].as_str().expect("a serial number");
        let path = format!("/v1/users/{user}/certificates/{serial}");
        assert_eq!(gateway.ask("DELETE", &path, None).status, 204);
        let refused = gateway.over_tls(&["--cert", &certificate, "--key", &key]);
        assert_eq!((refused.status, &refused.body["code"]), (401, &json!("certificate_revoked")));
        drop(person.run(&["gateway", "login"]).expect(0));
        assert_eq!(gateway.over_tls(&["--cert", &certificate, "--key", &key]).status, 200);

        drop(person.run(&["gateway", "stop"]).expect(0));
        assert!(person.run(&["status"]).expect(1).stdout.contains("Disconnected"));
        drop(person.run(&["gateway", "destroy"]).expect(0));
        assert!(!gateway.state().exists());
        assert!(person.run(&["gateway", "destroy"]).expect(0).stdout.contains("nothing to do"));
    }
}

#[test]
fn a_sandbox_is_kept_as_it_is_wanted_also_when_the_gateway_is_killed() {
    // The socket of another person is closed to who runs the tests.
    let person = Person::root();
    let gateway = Gateway::start(&person);
    let provider = json!({"name": "gh", "type": "github", "credentials": {"GITHUB_TOKEN": SECRET}});
    let made = gateway.ask("POST", "/v1/providers", Some(&provider));
    assert_eq!(made.status, 201, "{made:?}");
    let new = json!({
        "name": "calm", "policy": policy("a.example.com"),
        "spec": {"command": ["sh", "-c", "sleep 1000"], "providers": ["gh"]},
    });
    let created = gateway.ask("POST", "/v1/sandboxes", Some(&new));
    assert_eq!(created.status, 201, "{created:?}");
    let id = created.body["id"].as_str().expect("an id").to_owned();
    let ready = gateway.wait_for("calm", "Ready");
    assert_eq!(ready["status"]["running"], true, "{ready}");
    let supervisor = gateway.supervisor(&id);

    programs_are_talked_to(&gateway);

    // A policy is in force when its revision says so; a bad one changes nothing.
    let set = json!({"policy": policy("b.example.com"), "base": 1});
    assert_eq!(gateway.ask("PUT", "/v1/sandboxes/calm/policy", Some(&set)).status, 202);
    wait::until("the policy to be loaded", wait::LONG, || {
        let newest = gateway.get("/v1/sandboxes/calm/policy");
        (newest["version"] == 2 && newest["status"] == "loaded").then_some(())
    });
    let stale = gateway.ask("PUT", "/v1/sandboxes/calm/policy", Some(&set));
    assert_eq!((stale.status, &stale.body["code"]), (412, &json!("changed_meanwhile")));
    let bad = json!({"policy": "version: 1\nnetwork: {}\n"});
    assert_eq!(gateway.ask("PUT", "/v1/sandboxes/calm/policy", Some(&bad)).status, 422);
    assert_eq!(gateway.get("/v1/sandboxes/calm/policy")["version"], 2);

    // Killed, it leaves its sandboxes alone, and the next one goes on with them.
    kill_process(gateway.process(), Signal::KILL).expect("it runs");
    assert!(person.run(&["status"]).expect(1).stdout.contains("Disconnected"));
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
    let ready = gateway.wait_for("calm", "Ready");
    assert_eq!(gateway.supervisor(&id), supervisor, "nothing was started twice");
    assert_eq!(ready["status"]["policy_version"], 2);

    // A supervisor that is killed is started again, with the main command, the files and the policy.
    let process = Pid::from_raw(supervisor.parse().expect("a number")).expect("a process");
    assert_eq!(gateway.exec("calm", &["sh", "-c", "echo kept > note"]).1["code"], 0);
    kill_process(process, Signal::KILL).expect("it runs");
    wait::until("another supervisor", wait::LONG, || {
        let now = gateway.supervisor(&id);
        (now != supervisor && !now.is_empty()).then_some(())
    });
    let ready = gateway.wait_for("calm", "Ready");
    assert_eq!(
        (&ready["status"]["running"], &ready["status"]["policy_version"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(gateway.exec("calm", &["cat", "note"]).0, "kept\n");

    // The gateway's policy is stronger; that a sandbox cannot take it is trouble, and not told as if it were in force.
    let global = json!({"policy": policy("c.example.com").replace("filesystem_policy: {include_workdir: true}\n", "")});
    assert_eq!(gateway.ask("PUT", "/v1/policy", Some(&global)).status, 202);
    let trouble = gateway.wait_for("calm", "Error");
    assert_eq!(trouble["status"]["reason"], "ConfigurationFailed", "{trouble}");
    assert_eq!(trouble["status"]["policy_version"], 2, "{trouble}");
    let own = json!({"policy": policy("d.example.com")});
    let locked = gateway.ask("PUT", "/v1/sandboxes/calm/policy", Some(&own));
    assert_eq!((locked.status, &locked.body["code"]), (409, &json!("managed_globally")));
    assert_eq!(gateway.ask("DELETE", "/v1/policy", None).status, 204);
    drop(gateway.wait_for("calm", "Ready"));

    // Stopped it stays stopped; a provider that is used stays.
    assert_eq!(gateway.ask("POST", "/v1/sandboxes/calm/stop", None).status, 202);
    drop(gateway.wait_for("calm", "Stopped"));
    let used = gateway.ask("DELETE", "/v1/providers/gh", None);
    assert_eq!((used.status, &used.body["code"]), (409, &json!("in_use")));
    assert_eq!(gateway.ask("POST", "/v1/sandboxes/calm/start", None).status, 202);
    drop(gateway.wait_for("calm", "Ready"));

    let clear = files_with(person.path(), SECRET.as_bytes());
    assert_eq!(clear, Vec::<PathBuf>::new(), "{}", person.name());
    assert_eq!(gateway.ask("DELETE", "/v1/sandboxes/calm", None).status, 202);
    gateway.wait_until_gone("calm");
    assert!(!gateway.state().join("sandboxes").join(&id).exists());
    assert_eq!(gateway.ask("DELETE", "/v1/providers/gh", None).status, 204);
}

fn programs_are_talked_to(gateway: &Gateway<'_>) {
    // What runs in there has a placeholder, and its exit code comes out.
    let (output, ended) = gateway.exec("calm", &["sh", "-c", "echo $GITHUB_TOKEN; exit 7"]);
    assert_eq!(output, "openshell:resolve:env:GITHUB_TOKEN\n");
    assert_eq!(ended, json!({"answer": "ended", "code": 7}));
    // A signal reaches it.
    let sleep = json!({"ask": "exec", "command": ["sleep", "1000"]});
    let mut sleeping = gateway.converse("/v1/sandboxes/calm/exec", &sleep);
    let started = sleeping.read().expect("an answer").into_text().expect("text");
    assert!(started.contains("started"), "{started}");
    sleeping
        .send(Message::text(json!({"say": "signal", "number": 15}).to_string()))
        .expect("it hears");
    let ended = sleeping.read().expect("an answer").into_text().expect("text");
    assert_eq!(
        serde_json::from_str::<Value>(&ended).unwrap(),
        json!({"answer": "ended", "code": 143})
    );
    // Under one path only that is asked which it is for.
    let path = "/v1/sandboxes/calm/exec";
    let mut other = gateway.converse(path, &json!({"ask": "stop", "grace_ms": 0}));
    assert!(matches!(other.read(), Ok(Message::Close(Some(_)))));
}

#[test]
fn who_was_away_hears_what_it_missed() {
    let person = Person::root();
    let gateway = Gateway::start(&person);
    let new = json!({"name": "one", "spec": {}});
    assert_eq!(gateway.ask("POST", "/v1/sandboxes", Some(&new)).status, 201);
    drop(gateway.wait_for("one", "Ready"));
    // Everything of this gateway's life comes after a number that none of its events has.
    let first = read_events(&gateway, None, |events| events.contains("\"Ready\""));
    let last = first.lines().rfind(|line| line.starts_with("id: ")).expect("events have numbers");
    assert_eq!(gateway.ask("POST", "/v1/sandboxes/one/stop", None).status, 202);
    drop(gateway.wait_for("one", "Stopped"));
    let missed =
        read_events(&gateway, last.strip_prefix("id: "), |events| events.contains("\"Stopped\""));
    assert!(!missed.contains("\"Provisioning\""), "{missed}");
    let socket = gateway.state().join("gateway.sock");
    let old = [
        "--unix-socket",
        socket.to_str().unwrap(),
        "-H",
        "last-event-id: 1",
        "http://localhost/v1/watch",
    ];
    assert_eq!(curl(&person, &old, None).status, 410);
}

/// Watches until enough was heard. Without a number it begins with what is there: the sandbox is touched so that something comes.
fn read_events(gateway: &Gateway<'_>, after: Option<&str>, enough: fn(&str) -> bool) -> String {
    let mut command: Command = gateway.person.program("curl");
    let socket = gateway.state().join("gateway.sock");
    command.args(["-sN", "--max-time", "30", "--unix-socket"]).arg(socket);
    if let Some(after) = after {
        command.args(["-H", &format!("last-event-id: {after}")]);
    }
    command.arg("http://localhost/v1/watch").stdout(Stdio::piped());
    let mut child = command.spawn().expect("curl is there");
    if after.is_none() {
        // It listens only from now on: something has to happen.
        for path in ["stop", "start"] {
            let path = format!("/v1/sandboxes/one/{path}");
            assert_eq!(gateway.ask("POST", &path, None).status, 202);
        }
    }
    let mut heard = String::new();
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    while !(enough(&heard) && heard.ends_with("\n\n")) {
        let line = lines.next().expect("more is heard").expect("text");
        heard.push_str(&line);
        heard.push('\n');
    }
    child.kill().expect("it runs");
    child.wait().expect("it ended");
    heard
}

#[test]
fn what_cannot_be_is_told_with_every_fault_and_changes_nothing() {
    let person = Person::root();
    let gateway = Gateway::start(&person);
    let wrong = json!({
        "name": "a/b", "policy": "version: 2\n",
        "spec": {"providers": ["none"], "environment": {"a=b": "c"}, "command": ["a\u{0}b"]},
    });
    let refused = gateway.ask("POST", "/v1/sandboxes", Some(&wrong));
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.head.contains("application/problem+json"), "{}", refused.head);
    let faults = refused.body["errors"].as_array().expect("faults");
    let mut at: Vec<&str> = faults.iter().filter_map(|fault| fault["pointer"].as_str()).collect();
    at.sort_unstable();
    assert_eq!(
        at,
        ["/name", "/policy", "/spec/command/0", "/spec/environment/a=b", "/spec/providers/0"]
    );
    for (body, code) in [
        (json!({"title": "x"}), "invalid"),
        (json!({"spec": {"terminal": "yes"}}), "invalid"),
        (json!([]), "invalid"),
    ] {
        let refused = gateway.ask("POST", "/v1/sandboxes", Some(&body));
        assert_eq!((refused.status, &refused.body["code"]), (422, &json!(code)), "{body}");
    }
    let secret = json!({"name": "p", "type": "github", "credentials": SECRET});
    let refused = gateway.ask("POST", "/v1/providers", Some(&secret));
    assert!(!refused.body.to_string().contains(SECRET), "{refused:?}");
    assert_eq!(gateway.get("/v1/sandboxes")["items"], json!([]));
    assert_eq!(gateway.ask("GET", "/v1/nothing", None).status, 404);
    assert_eq!(gateway.ask("PUT", "/v1/sandboxes", None).status, 405);
    assert_eq!(gateway.ask("GET", "/v1/sandboxes?limit=0", None).status, 400);
    assert_eq!(gateway.ask("GET", "/v1/sandboxes?after=x", None).status, 400);

    // Two providers that name the same variable do not fit into one sandbox, however that comes about.
    for name in ["one", "two"] {
        let variable = if name == "one" { "A_TOKEN" } else { "B_TOKEN" };
        let new = json!({"name": name, "type": "generic", "credentials": {variable: "x"}, "config": {"endpoint": "a.example.com:443"}});
        let made = gateway.ask("POST", "/v1/providers", Some(&new));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let new = json!({"name": "fits", "spec": {"providers": ["one", "two"]}});
    assert_eq!(gateway.ask("POST", "/v1/sandboxes", Some(&new)).status, 201);
    let clash = json!({"credentials": {"A_TOKEN": "y"}});
    let refused = gateway.ask("PATCH", "/v1/providers/two", Some(&clash));
    assert_eq!((refused.status, &refused.body["code"]), (422, &json!("invalid")), "{refused:?}");
    assert_eq!(gateway.get("/v1/providers/two")["credential_keys"], json!(["B_TOKEN"]));

    // Of two that change the same, the later is told.
    let user = json!({"name": "bob", "role": "viewer"});
    let made = gateway.ask("POST", "/v1/users", Some(&user));
    assert!(made.head.to_ascii_lowercase().contains("etag: \"1\""), "{}", made.head);
    assert_eq!(gateway.ask("POST", "/v1/users", Some(&user)).status, 409);
    let socket = gateway.state().join("gateway.sock");
    let change = |tag: &str| {
        let tag = format!("if-match: {tag}");
        let at = ["--unix-socket", socket.to_str().unwrap(), "-X", "PATCH", "-H", &tag];
        let at = [&at[..], &["http://localhost/v1/users/bob"]].concat();
        curl(&person, &at, Some(&json!({"role": "operator"}))).status
    };
    assert_eq!([change("\"1\""), change("\"1\""), change("x")], [200, 412, 400]);
}
