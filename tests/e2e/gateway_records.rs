//! What a gateway has on record: requests that are done once, logs, refusals with what was decided about them, the audit.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use openshell_tests::{process::run, sandboxes::Person, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::gateway::{Answer, Gateway, curl, files_with, policy};

/// What a request over the socket with these further arguments of curl is answered.
fn asked(gateway: &Gateway<'_>, args: &[&str], path: &str, body: Option<&Value>) -> Answer {
    let socket = gateway.state().join("gateway.sock");
    let socket = socket.to_str().expect("a plain path");
    let url = format!("http://localhost{path}");
    curl(gateway.person, &[&["--unix-socket", socket], args, &[&url]].concat(), body)
}

fn keyed(gateway: &Gateway<'_>, key: &str, path: &str, body: &Value) -> Answer {
    let key = format!("idempotency-key: {key}");
    asked(gateway, &["-X", "POST", "-H", &key], path, Some(body))
}

/// A header of an answer.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = answer.head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

#[test]
fn a_request_with_a_key_is_done_once() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let new = json!({"spec": {}});
    let first = keyed(&gateway, "k1", "/v1/sandboxes", &new);
    assert_eq!(first.status, 201, "{first:?}");
    assert!(header(&first, "idempotency-replayed").is_none(), "{}", first.head);
    let again = keyed(&gateway, "k1", "/v1/sandboxes", &new);
    assert_eq!((again.status, &again.body), (201, &first.body));
    for name in ["location", "etag", "content-type"] {
        assert!(header(&again, name).is_some(), "{name}: {}", again.head);
        assert_eq!(header(&again, name), header(&first, name), "{name}");
    }
    assert_eq!(header(&again, "idempotency-replayed"), Some("true"));
    assert_eq!(gateway.get("/v1/sandboxes")["items"].as_array().map(Vec::len), Some(1));
    let other = keyed(&gateway, "k1", "/v1/sandboxes", &json!({"name": "x", "spec": {}}));
    assert_eq!((other.status, &other.body["code"]), (422, &json!("idempotency_key_used")));
    // Where it goes is a part of what it is.
    let elsewhere = keyed(&gateway, "k1", "/v1/sandboxes?workspace=default", &new);
    assert_eq!(elsewhere.status, 422, "{elsewhere:?}");

    // What was refused may be tried again: it is the same when it is, and another when it is not.
    let refused = keyed(&gateway, "k2", "/v1/sandboxes", &json!({"name": "a/b"}));
    assert_eq!(refused.status, 422);
    let good = keyed(&gateway, "k2", "/v1/sandboxes", &json!({"name": "ab"}));
    assert_eq!(good.status, 201, "{good:?}");
    let long = keyed(&gateway, &"k".repeat(254), "/v1/sandboxes", &new);
    assert_eq!((long.status, &long.body["code"]), (400, &json!("invalid_idempotency_key")));

    // A token comes again with its secret, which lies nowhere in clear.
    let token = json!({"label": "ci"});
    let issued = keyed(&gateway, "k3", "/v1/me/tokens", &token);
    let replayed = keyed(&gateway, "k3", "/v1/me/tokens", &token);
    assert_eq!((issued.status, replayed.status), (201, 201), "{replayed:?}");
    assert_eq!(issued.body, replayed.body);
    let secret = issued.body["secret"].as_str().expect("a secret");
    assert_eq!(files_with(person.path(), secret.as_bytes()), Vec::<PathBuf>::new());
    assert_eq!(gateway.get("/v1/me/tokens")["items"].as_array().map(Vec::len), Some(1));
    // Who proves itself with a token has other keys than its owner.
    let bearer = format!("authorization: Bearer {secret}");
    let ca = person.path().join(".config/openshell/gateways/openshell/mtls/ca.crt");
    let url = format!("{}/v1/me/tokens", gateway.endpoint);
    let ca = ca.to_str().expect("a plain path");
    let args = ["--cacert", ca, "-X", "POST", "-H", &bearer, "-H", "idempotency-key: k3", &url];
    let others = curl(&person, &args, Some(&token));
    assert_eq!(others.status, 201, "{others:?}");
    assert_ne!(others.body["secret"], issued.body["secret"]);
}

#[test]
fn a_request_is_done_to_its_end_when_its_caller_leaves() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let body = json!({"name": "left", "spec": {}}).to_string();
    let mut stream = UnixStream::connect(gateway.state().join("gateway.sock")).expect("it listens");
    let head = format!(
        "POST /v1/sandboxes HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nidempotency-key: k\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("it hears");
    stream.write_all(body.as_bytes()).expect("it hears");
    drop(stream);
    let answer = wait::until("the answer", wait::LONG, || {
        let answer = keyed(&gateway, "k", "/v1/sandboxes", &serde_json::from_str(&body).unwrap());
        (answer.status == 201).then_some(answer)
    });
    assert_eq!(answer.body["name"], "left", "{answer:?}");
    let mut own = gateway.get("/v1/audit?sandbox=gateway&kind=change")["items"].clone();
    let made = own.as_array_mut().expect("events").iter().filter(|one| {
        one["event"]["unmapped"]["openshell"]["made"] == "/v1/sandboxes/left?workspace=default"
    });
    assert_eq!(made.count(), 1, "it was done once");
}

/// A stream of events that is read line by line.
struct Stream {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Stream {
    fn open(gateway: &Gateway<'_>, path: &str, last: Option<&str>) -> Self {
        let mut command: Command = gateway.person.program("curl");
        let socket = gateway.state().join("gateway.sock");
        command.args(["-sN", "--max-time", "60", "--unix-socket"]).arg(socket);
        if let Some(last) = last {
            command.args(["-H", &format!("last-event-id: {last}")]);
        }
        Self::reading(command.arg(format!("http://localhost{path}")))
    }

    /// The same over the port, with a token.
    fn of_token(gateway: &Gateway<'_>, path: &str, token: &str) -> Self {
        let mut command: Command = gateway.person.program("curl");
        let ca = gateway.person.path().join(".config/openshell/gateways/openshell/mtls/ca.crt");
        command.args(["-sN", "--max-time", "60", "--cacert"]).arg(ca);
        command.args(["-H", &format!("authorization: Bearer {token}")]);
        Self::reading(command.arg(format!("{}{path}", gateway.endpoint)))
    }

    fn reading(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("curl is there");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, lines }
    }

    /// The next event, as its kind, its id and what it says; none at the end.
    fn next(&mut self) -> Option<(String, String, Value)> {
        let (mut kind, mut id, mut data) = (String::new(), String::new(), Value::Null);
        loop {
            let line = self.lines.next()?.expect("text");
            match line.split_once(": ") {
                Some(("event", value)) => value.clone_into(&mut kind),
                Some(("id", value)) => value.clone_into(&mut id),
                Some(("data", value)) => data = serde_json::from_str(value).unwrap_or_default(),
                _ if line.is_empty() && !kind.is_empty() => return Some((kind, id, data)),
                _ => {}
            }
        }
    }

    /// Reads until an event says this.
    fn until(&mut self, wanted: &str) -> (String, String, Value) {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("{wanted} never came"));
            if event.2.to_string().contains(wanted) {
                return event;
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn logs_are_read_followed_and_taken_up_where_they_were() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let new =
        json!({"name": "calm", "policy": policy("a.example.com"), "spec": {"command": ["true"]}});
    assert_eq!(gateway.ask("POST", "/v1/sandboxes", Some(&new)).status, 201);
    drop(gateway.wait_for("calm", "Ready"));
    let set = |host: &str| {
        let body = json!({"policy": policy(host)});
        assert_eq!(gateway.ask("PUT", "/v1/sandboxes/calm/policy", Some(&body)).status, 202);
    };
    set("b.example.com");
    let path = "/v1/sandboxes/calm/logs";
    let logs = wait::until("the line", wait::LONG, || {
        let logs = gateway.get(&format!("{path}?source=sandbox"));
        logs.to_string().contains("policy loaded").then_some(logs)
    });
    let lines = logs["lines"].as_array().expect("lines");
    assert!(
        lines.iter().all(|line| line["source"] == "sandbox" && !line["time"].is_null()),
        "{logs}"
    );
    let of_gateway = gateway.get(&format!("{path}?source=gateway"));
    assert!(of_gateway.to_string().contains("phase=Ready"), "{of_gateway}");
    assert!(!of_gateway.to_string().contains("policy loaded"), "{of_gateway}");
    let last = gateway.get(&format!("{path}?lines=1&source=sandbox"));
    assert_eq!(last["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(gateway.get(&format!("{path}?level=error"))["lines"], json!([]));
    assert_eq!(gateway.get(&format!("{path}?since=2999-01-01T00:00:00Z"))["lines"], json!([]));
    for wrong in
        ["lines=10001", "since=yesterday", "level=loud", "source=me", "follow=maybe", "x=1"]
    {
        assert_eq!(gateway.ask("GET", &format!("{path}?{wrong}"), None).status, 400, "{wrong}");
    }
    assert_eq!(gateway.ask("GET", "/v1/sandboxes/none/logs", None).status, 404);

    // Who follows hears what comes, and goes on behind any line.
    let follow = format!("{path}?source=sandbox&follow=true&lines=0");
    let mut stream = Stream::open(&gateway, &follow, logs["next"].as_str());
    set("c.example.com");
    let (kind, id, line) = stream.until("policy loaded");
    assert_eq!((kind.as_str(), &line["level"]), ("log", &json!("info")));
    drop(stream);
    set("d.example.com");
    let mut stream = Stream::open(&gateway, &follow, Some(&id));
    let (_, next, line) = stream.until("policy loaded");
    assert!(line["text"].as_str().is_some_and(|text| text.contains("version=4")), "{line}");
    assert_ne!(id, next);
    // The command does the same.
    let shown = person.run(&["logs", "calm", "--source", "sandbox", "-n", "2"]).expect(0).stdout;
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("policy loaded version=4"), "{shown}");
    let tail = person.start(&["logs", "calm", "--tail", "--level", "info", "--since", "1h"]);
    wait::until("the tail", wait::LONG, || tail.stdout().contains("version=4").then_some(()));
    set("e.example.com");
    wait::until("a new line", wait::LONG, || tail.stdout().contains("version=5").then_some(()));
    let token = gateway.ask("POST", "/v1/me/tokens", Some(&json!({"scopes": ["sandbox:read"]})));
    let mut of_token = Stream::of_token(
        &gateway,
        &follow.replace("lines=0", "lines=9"),
        token.body["secret"].as_str().expect("a secret"),
    );
    drop(of_token.until("policy loaded"));
    let id = token.body["token"]["id"].as_str().expect("an id");
    assert_eq!(gateway.ask("DELETE", &format!("/v1/me/tokens/{id}"), None).status, 204);
    // It ends with the right to read it,
    while of_token.next().is_some() {}
    // and when the sandbox is gone.
    assert_eq!(gateway.ask("DELETE", "/v1/sandboxes/calm", None).status, 202);
    assert_eq!(stream.until("null").0, "deleted");
    assert_eq!(stream.next(), None);
    let mut tail = tail;
    drop(tail.wait(wait::LONG).expect(0));
    assert!(tail.stdout().contains("sandbox deleted"), "{}", tail.stdout());
    let missing = person.run(&["logs", "calm"]).expect(1).stderr;
    assert!(missing.contains("there is no sandbox calm"), "{missing}");
}

/// A program in the sandbox asks for names that nobody opens: each is refused, and on record.
fn refuse(gateway: &Gateway<'_>, sandbox: &str, hosts: &[&str]) {
    let script: Vec<String> = hosts.iter().map(|host| format!("curl -s http://{host}/")).collect();
    let script = format!("{}; true", script.join("; "));
    let (output, ended) = gateway.exec(sandbox, &["sh", "-c", &script]);
    assert_eq!(ended["code"], 0, "{output}");
}

#[test]
fn what_was_refused_is_approved_into_a_revision_or_rejected() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let new = json!({"name": "calm", "policy": policy("a.example.com"), "spec": {}});
    assert_eq!(gateway.ask("POST", "/v1/sandboxes", Some(&new)).status, 201);
    drop(gateway.wait_for("calm", "Ready"));
    let path = "/v1/sandboxes/calm/proposals";
    assert_eq!(gateway.get(path)["items"], json!([]));
    refuse(&gateway, "calm", &["one.example.com", "two.example.com", "three.example.com"]);
    let pending = gateway.get(path);
    let items = pending["items"].as_array().expect("proposals");
    assert_eq!(items.len(), 3, "{pending}");
    let id = |host: &str| {
        let one = items.iter().find(|one| one["denial"]["host"] == host).expect("it was refused");
        one["id"].as_str().expect("an id").to_owned()
    };
    let (one, two) = (id("one.example.com"), id("two.example.com"));
    // Only what was shown is approved, and only into the version that was seen.
    let known = one.split('-').next().expect("a name");
    let ask = |what: &str, body: &Value| gateway.ask("POST", &format!("{path}/{what}"), Some(body));
    let short = ask(&format!("{known}/approve"), &json!({}));
    assert_eq!((short.status, &short.body["code"]), (409, &json!("proposal_changed")));
    let stale = ask(&format!("{one}/approve"), &json!({"base": 7}));
    assert_eq!((stale.status, &stale.body["code"]), (412, &json!("changed_meanwhile")));
    assert_eq!(ask("nothing/approve", &json!({})).status, 404);
    let approved = ask(&format!("{one}/approve"), &json!({"base": 1}));
    assert_eq!(approved.status, 202, "{approved:?}");
    assert_eq!(approved.body["policy"]["revision"]["version"], 2);
    assert_eq!(approved.body["proposal"]["status"], "approved");
    wait::until("the policy to be loaded", wait::LONG, || {
        let newest = gateway.get("/v1/sandboxes/calm/policy");
        let text = newest["policy"].as_str().expect("a policy");
        (newest["status"] == "loaded" && text.contains("one.example.com")).then_some(())
    });
    let rejected = ask(&format!("{two}/reject"), &json!({"reason": "not ours"}));
    assert_eq!((rejected.status, &rejected.body["reason"]), (200, &json!("not ours")));
    refuse(&gateway, "calm", &["two.example.com"]);
    let left = gateway.get(path);
    let hosts: Vec<_> =
        left["items"].as_array().unwrap().iter().map(|one| &one["denial"]["host"]).collect();
    assert_eq!(hosts, ["three.example.com"], "what was rejected is not proposed again");
    let decided = gateway.get(&format!("{path}?status=approved"));
    assert_eq!(decided["items"][0]["policy_version"], 2, "{decided}");
    assert!(decided["items"][0]["decided_by"].is_string(), "{decided}");

    // While the gateway's policy is in force no sandbox has a policy of its own to put anything into.
    let global = json!({"policy": policy("g.example.com")});
    assert_eq!(gateway.ask("PUT", "/v1/policy", Some(&global)).status, 202);
    let three = id("three.example.com");
    let locked = ask(&format!("{three}/approve"), &json!({}));
    assert_eq!((locked.status, &locked.body["code"]), (409, &json!("managed_globally")));
    assert_eq!(gateway.ask("DELETE", "/v1/policy", None).status, 204);

    the_commands_do_the_same(&gateway, &three);
}

fn the_commands_do_the_same(gateway: &Gateway<'_>, three: &str) {
    let person = gateway.person;
    let shown = person.run(&["rule", "get", "calm", "-o", "json"]).expect(0).stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown[0]["id"], three, "{shown}");
    let said = person.run(&["rule", "approve", "calm", "--chunk-id", three]).expect(0).stdout;
    assert!(
        said.contains("✓ Policy version 3 submitted") && said.contains("✓ Approved rule"),
        "{said}"
    );
    let none = person.run(&["rule", "approve", "calm", "--chunk-id", three]).expect(1).stderr;
    assert!(none.contains("there is no proposal"), "{none}");
    refuse(gateway, "calm", &["four.example.com", "five.example.com"]);
    let four = person.run(&["rule", "get", "calm", "-o", "json"]).expect(0).stdout;
    let four: Vec<Value> = serde_json::from_str(&four).expect("JSON");
    let four =
        four.iter().find(|one| one["denial"]["host"] == "four.example.com").expect("refused");
    let four = four["denial"]["id"].as_str().expect("an id");
    let said = person.run(&["rule", "reject", "calm", "--chunk-id", four]).expect(0).stdout;
    assert!(said.contains("✓ Rejected rule"), "{said}");
    let cleared = person.run(&["rule", "clear", "calm"]).expect(0).stdout;
    assert_eq!(cleared, "✓ 1 pending rules cleared\n");
    let history = person.run(&["rule", "history", "-o", "json"]).expect(0).stdout;
    let history: Vec<Value> = serde_json::from_str(&history).expect("JSON");
    let statuses: Vec<_> = history.iter().map(|one| one["status"].clone()).collect();
    assert_eq!(statuses, ["approved", "rejected", "approved", "rejected"]);
}

/// Every event of a sandbox, by pages of a few.
fn events(gateway: &Gateway<'_>, query: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = gateway.get(&format!("/v1/audit?limit=3&{query}{after}"));
        let items = page["items"].as_array().expect("a page");
        if items.is_empty() {
            return all;
        }
        all.extend(items.iter().cloned());
        after = format!("&after={}", page["next"].as_str().expect("there is always more to come"));
    }
}

/// Fails unless the events of each run are numbered without a gap from 1.
fn assert_gap_free(events: &[Value]) -> usize {
    let mut runs: Vec<(&str, u64)> = Vec::new();
    for event in events {
        let (run, number) =
            (event["instance"].as_str().unwrap(), event["sequence"].as_u64().unwrap());
        assert_ne!(event["kind"], "gap", "{event}");
        if let Some((_, last)) = runs.iter_mut().find(|(known, _)| *known == run) {
            assert_eq!(number, *last + 1, "{event}");
            *last = number;
        } else {
            assert_eq!(number, 1, "{event}");
            runs.push((run, number));
        }
    }
    runs.len()
}

#[test]
fn events_of_sandboxes_come_in_order_without_a_gap_whoever_is_killed() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let new = json!({"name": "calm", "policy": policy("a.example.com"), "spec": {"command": ["sleep", "1000"]}});
    let created = gateway.ask("POST", "/v1/sandboxes", Some(&new));
    let id = created.body["id"].as_str().expect("an id").to_owned();
    drop(gateway.wait_for("calm", "Ready"));
    let hosts = |run: usize| (0..5).map(move |number| format!("r{run}n{number}.example.com"));
    let refuse_all = |run: usize| {
        let all: Vec<String> = hosts(run).collect();
        refuse(&gateway, "calm", &all.iter().map(String::as_str).collect::<Vec<_>>());
    };
    let all_of = |runs: usize| {
        wait::until("the events", wait::LONG, || {
            let found = events(&gateway, "sandbox=calm");
            let text = serde_json::to_string(&found).expect("JSON");
            (0..runs).flat_map(&hosts).all(|host| text.contains(&host)).then_some(found)
        })
    };
    let mut stream = Stream::open(&gateway, "/v1/audit?sandbox=calm&follow=true&since=1h", None);
    refuse_all(0);
    let (kind, last, event) = stream.until("r0n4.example.com");
    assert_eq!((kind.as_str(), &event["sandbox"]), ("audit", &json!(id)));
    assert_eq!(last, event["position"].to_string());
    assert_eq!(assert_gap_free(&all_of(1)), 1);

    // What happens while no gateway runs waits in the files, and what was stored is not stored twice.
    kill_process(gateway.process(), Signal::KILL).expect("it runs");
    let supervisor = gateway.supervisor(&id);
    let inside = format!(
        "{}; true",
        hosts(1).map(|host| format!("curl -s http://{host}/")).collect::<Vec<_>>().join("; ")
    );
    converse(&gateway.state().join("sandboxes").join(&id), &["sh", "-c", &inside]);
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
    drop(gateway.wait_for("calm", "Ready"));
    assert_eq!(assert_gap_free(&all_of(2)), 1);
    // Who followed goes on where it was.
    let mut stream = Stream::open(&gateway, "/v1/audit?sandbox=calm&follow=true", Some(&last));
    let (_, _, next) = stream.next().expect("an event");
    assert!(next["position"].as_u64() > event["position"].as_u64(), "{next}");

    // Another run of the proxy numbers anew.
    let process = Pid::from_raw(supervisor.parse().expect("a number")).expect("a process");
    kill_process(process, Signal::KILL).expect("it runs");
    wait::until("another supervisor", wait::LONG, || {
        let now = gateway.supervisor(&id);
        (now != supervisor && !now.is_empty()).then_some(())
    });
    drop(gateway.wait_for("calm", "Ready"));
    refuse_all(2);
    assert_eq!(assert_gap_free(&all_of(3)), 2);

    // What it did last is on record although its files go with it; it is found by its id then.
    refuse_all(3);
    assert_eq!(gateway.ask("DELETE", "/v1/sandboxes/calm", None).status, 202);
    gateway.wait_until_gone("calm");
    let kept = events(&gateway, &format!("sandbox={id}"));
    assert!(serde_json::to_string(&kept).unwrap().contains("r3n4.example.com"));
    assert_eq!(assert_gap_free(&kept), 2);
    assert_eq!(gateway.ask("GET", "/v1/audit?sandbox=calm", None).status, 404);
    let kind = kept[0]["kind"].as_str().expect("a kind");
    let of_kind = events(&gateway, &format!("sandbox={id}&kind={kind}"));
    assert_eq!(of_kind, kept.iter().filter(|one| one["kind"] == kind).cloned().collect::<Vec<_>>());
    assert_eq!(events(&gateway, &format!("sandbox={id}&kind=gap")), Vec::<Value>::new());
    assert_eq!(events(&gateway, "since=2999-01-01T00:00:00Z"), Vec::<Value>::new());

    exported_and_verified(&person, &gateway, &id, kept.len());
}

/// Runs a program in a sandbox without any gateway, by its supervisor's own socket.
fn converse(folder: &std::path::Path, command: &[&str]) {
    // The path of a socket has to be short: it is reached from its folder.
    let script =
        format!("cd {} && exec python3 -c \"$0\" \"$@\"", folder.to_str().expect("a plain path"));
    let client = "import json,socket,struct,sys\n\
        s=socket.socket(socket.AF_UNIX); s.connect('control.sock')\n\
        m=json.dumps({'ask':'exec','command':sys.argv[1:]}).encode()\n\
        s.sendall(struct.pack('<BI',0,len(m))+m)\n\
        while True:\n\
        \tb=s.recv(65536)\n\
        \tif not b or b'\"ended\"' in b: break\n";
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, client]).args(command);
    drop(run("a client of the supervisor", &mut shell, Duration::from_mins(1)).expect(0));
}

fn exported_and_verified(person: &Person, gateway: &Gateway<'_>, id: &str, count: usize) {
    let export =
        |args: &[&str]| person.run(&[&["audit", "export"], args].concat()).expect(0).stdout;
    let lines = export(&["--sandbox", id]);
    assert_eq!(lines.lines().count(), count);
    for line in lines.lines() {
        let event: Value = serde_json::from_str(line).expect("an event a line");
        assert!(event["class_uid"].is_u64() && event["metadata"]["version"] == "1.6.0", "{event}");
        assert_eq!(event["unmapped"]["openshell"]["chain"]["sandbox_id"], id, "{event}");
    }
    let requests = export(&["--format", "otlp"]);
    let mut records = 0;
    for line in requests.lines() {
        let request: Value = serde_json::from_str(line).expect("a request a line");
        let all =
            request["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
        records += all.len();
        assert!(
            all.iter().all(|one| one["timeUnixNano"].is_string() && one["severityNumber"].is_u64())
        );
    }
    assert_eq!(records, export(&[]).lines().count());

    // What users did is on record without what they sent.
    let own = export(&["--sandbox", "gateway"]);
    assert!(
        own.contains("DELETE /v1/sandboxes/calm") && own.contains("GET /v1/sandboxes/calm/exec"),
        "{own}"
    );
    assert!(!own.contains("a.example.com") && !own.contains("curl"), "{own}");
    let shown = person.run(&["audit", "--kind", "change"]).expect(0).stdout;
    assert!(shown.contains("DELETE /v1/sandboxes/calm"), "{shown}");
    let denied = person
        .run(&["audit", "--sandbox", id, "--kind", "denied", "--short", "-n", "1"])
        .expect(0)
        .stdout;
    assert_eq!(denied.lines().count(), 1, "{denied}");
    assert!(denied.contains("DENIED") && denied.contains("r3n4.example.com"), "{denied}");

    let verified = person.run(&["audit", "verify"]).expect(0).stdout;
    assert!(verified.contains("✓ The audit is as it was written"), "{verified}");
    // Somebody who writes to the database is found, and told where.
    let mut stream = Stream::open(gateway, "/v1/audit?follow=true&since=1h", None);
    drop(stream.next().expect("an event"));
    drop(person.run(&["gateway", "stop"]).expect(0));
    while stream.next().is_some() {}
    // Streams are no requests that are waited for.
    let log = fs::read_to_string(gateway.state().join("log")).expect("a log");
    assert!(!log.contains("still running were ended"), "{log}");
    let database = gateway.state().join("gateway.db");
    let change = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\n\
        c.execute(\"UPDATE audit_events SET line = replace(line, 'Denied', 'Allowed') WHERE position = 4\")\nc.commit()\n";
    let mut python = Command::new("python3");
    python.args(["-c", change]).arg(&database);
    drop(run("somebody else", &mut python, Duration::from_mins(1)).expect(0));
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
    let verified = person.run(&["audit", "verify", "-o", "json"]).expect(1).stdout;
    let report: Value = serde_json::from_str(&verified).expect("JSON");
    assert_eq!(report["fault"], "the line at position 4 was changed", "{report}");
}

#[test]
fn what_is_lost_is_counted_and_what_is_too_old_goes() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let created = gateway.ask("POST", "/v1/sandboxes", Some(&json!({"name": "calm", "spec": {}})));
    let id = created.body["id"].as_str().expect("an id").to_owned();
    drop(gateway.wait_for("calm", "Ready"));
    // As a supervisor would write them whose disk was full for a while.
    let line = |sequence: u64| {
        json!({
            "metadata": {"sequence": sequence}, "class_uid": 4001, "time": 1_764_000_000_000_u64,
            "unmapped": {"openshell": {"instance": "r"}},
        })
    };
    let text = format!("{}\nhalf a li{}\n{}\n{}\n", line(1), line(2), line(5), line(6));
    let file = gateway.state().join("sandboxes").join(&id).join("audit.jsonl");
    let mut open = fs::OpenOptions::new().append(true).create(true).open(file).expect("a file");
    open.write_all(text.as_bytes()).expect("room");
    let found = wait::until("the events", wait::LONG, || {
        let found = events(&gateway, "sandbox=calm");
        found.iter().any(|one| one["sequence"] == 6).then_some(found)
    });
    let told: Vec<_> = found
        .iter()
        .filter(|one| one["instance"] == "r")
        .map(|one| (one["kind"].clone(), one["sequence"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("net"), json!(1)),
            (json!("gap"), json!(4)),
            (json!("net"), json!(5)),
            (json!("net"), json!(6))
        ]
    );
    let gap = found.iter().find(|one| one["kind"] == "gap").expect("a gap");
    assert_eq!(gap["event"], json!({"lost": 3, "from": 2, "to": 4}));
    let shown = person.run(&["audit", "--kind", "gap"]).expect(0).stdout;
    assert!(shown.contains("3 lost: 2 to 4"), "{shown}");

    // The oldest go when there is too much, and the rest is still a chain.
    let long: String = (7..60)
        .map(|sequence| {
            let mut line = line(sequence);
            line["unmapped"]["openshell"]["pad"] = "x".repeat(40_000).into();
            format!("{line}\n")
        })
        .collect();
    open.write_all(long.as_bytes()).expect("room");
    wait::until("the last event", wait::LONG, || {
        let newest = gateway.get("/v1/audit?sandbox=calm&newest=true&limit=1");
        (newest["items"][0]["sequence"] == 59).then_some(())
    });
    let before = gateway.get("/v1/audit/verify");
    assert_eq!((&before["sound"], &before["first_position"]), (&json!(true), &json!(1)));
    let set = gateway.ask("PATCH", "/v1/settings", Some(&json!({"audit_bytes": 1 << 20})));
    assert_eq!(set.status, 200, "{set:?}");
    let after = wait::until("the oldest to go", wait::LONG, || {
        let after = gateway.get("/v1/audit/verify");
        (after["first_position"].as_u64() > Some(20)).then_some(after)
    });
    assert_eq!(after["sound"], true, "{after}");
    assert!(after["lines"].as_u64() < before["lines"].as_u64(), "{after}");
}

#[test]
fn what_is_set_for_all_is_managed_there_alone() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let settings = asked(&gateway, &[], "/v1/settings", None);
    assert_eq!(
        settings.body,
        json!({"audit_days": null, "audit_bytes": null, "default_policy": null, "strict_callers": null})
    );
    assert_eq!(header(&settings, "etag"), Some("\"0\""));
    let change = |body: &Value| gateway.ask("PATCH", "/v1/settings", Some(body));
    let wrong =
        change(&json!({"audit_days": 0, "audit_bytes": 5, "default_policy": "version: 7\n"}));
    assert_eq!(wrong.status, 422, "{wrong:?}");
    let at: Vec<_> =
        wrong.body["errors"].as_array().unwrap().iter().map(|one| one["pointer"].clone()).collect();
    assert_eq!(at, ["/audit_days", "/audit_bytes", "/default_policy"]);
    assert_eq!(change(&json!({"colour": "red"})).status, 422);
    let set = change(&json!({"audit_days": 7, "default_policy": policy("d.example.com")}));
    assert_eq!((set.status, &set.body["audit_days"]), (200, &json!(7)));
    let stale = asked(
        &gateway,
        &["-X", "PATCH", "-H", "if-match: \"0\""],
        "/v1/settings",
        Some(&json!({})),
    );
    assert_eq!(stale.status, 412, "{stale:?}");

    // A sandbox that names no policy has the default one.
    let created = gateway.ask("POST", "/v1/sandboxes", Some(&json!({"name": "calm", "spec": {}})));
    let id = created.body["id"].as_str().expect("an id").to_owned();
    drop(gateway.wait_for("calm", "Ready"));
    let own = gateway.get("/v1/sandboxes/calm/policy");
    assert!(own["policy"].as_str().is_some_and(|text| text.contains("d.example.com")), "{own}");
    assert_eq!(change(&json!({"default_policy": null})).body["default_policy"], Value::Null);
    assert_eq!(gateway.get("/v1/settings")["audit_days"], 7, "what is left out stays");

    // A setting of the sandbox counts until there is one for all.
    let path = "/v1/sandboxes/calm/settings";
    assert_eq!(gateway.get(path)["strict_callers"], json!({"value": false, "source": "sandbox"}));
    let strict = json!({"strict_callers": true});
    assert_eq!(gateway.ask("PATCH", path, Some(&strict)).body["strict_callers"]["value"], true);
    let record = || -> Value {
        let file = gateway.state().join("sandboxes").join(&id).join("sandbox.json");
        serde_json::from_str(&fs::read_to_string(file).expect("a record")).expect("JSON")
    };
    let restart = || {
        assert_eq!(gateway.ask("POST", "/v1/sandboxes/calm/stop", None).status, 202);
        drop(gateway.wait_for("calm", "Stopped"));
        assert_eq!(gateway.ask("POST", "/v1/sandboxes/calm/start", None).status, 202);
        drop(gateway.wait_for("calm", "Ready"));
    };
    restart();
    assert_eq!(record()["strict_callers"], true, "it holds from the next start");
    assert_eq!(change(&json!({"strict_callers": false})).status, 200);
    assert_eq!(gateway.get(path)["strict_callers"], json!({"value": false, "source": "gateway"}));
    let managed = gateway.ask("PATCH", path, Some(&strict));
    assert_eq!((managed.status, &managed.body["code"]), (409, &json!("managed_globally")));
    restart();
    assert_eq!(record()["strict_callers"], false);
}

#[test]
fn a_workspace_is_made_before_anything_is_in_it() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let names = |gateway: &Gateway<'_>| -> Vec<Value> {
        let all = gateway.get("/v1/workspaces");
        all["items"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect()
    };
    assert_eq!(names(&gateway), ["default"]);
    let new = json!({"name": "calm", "spec": {}});
    let unknown = gateway.ask("POST", "/v1/sandboxes?workspace=red", Some(&new));
    assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("workspace_not_found")));
    assert_eq!(gateway.ask("GET", "/v1/sandboxes?workspace=red", None).status, 404);
    let red = json!({"name": "red"});
    assert_eq!(gateway.ask("POST", "/v1/workspaces", Some(&red)).status, 201);
    assert_eq!(gateway.ask("POST", "/v1/workspaces", Some(&red)).status, 409);
    assert_eq!(gateway.ask("POST", "/v1/workspaces", Some(&json!({"name": "a/b"}))).status, 422);
    assert_eq!(names(&gateway), ["default", "red"]);
    let created = gateway.ask("POST", "/v1/sandboxes?workspace=red", Some(&new));
    assert_eq!(created.status, 201, "{created:?}");
    let full = gateway.ask("DELETE", "/v1/workspaces/red", None);
    assert_eq!((full.status, &full.body["code"]), (409, &json!("not_empty")));
    let default = gateway.ask("DELETE", "/v1/workspaces/default", None);
    assert_eq!((default.status, &default.body["code"]), (409, &json!("default_workspace")));
    let shown = person.run(&["logs", "calm", "-w", "red"]).expect(0);
    assert!(shown.stdout.contains("sandbox"), "{shown:?}");
    assert_eq!(gateway.ask("DELETE", "/v1/sandboxes/calm?workspace=red", None).status, 202);
    wait::until("it to be gone", wait::LONG, || {
        (gateway.ask("DELETE", "/v1/workspaces/red", None).status == 204).then_some(())
    });
    assert_eq!(gateway.ask("DELETE", "/v1/workspaces/red", None).status, 404);
    assert_eq!(names(&gateway), ["default"]);
}

#[test]
fn figures_are_for_who_may_see_them_and_name_nobody() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    assert_eq!(
        gateway
            .ask("POST", "/v1/sandboxes", Some(&json!({"name": "secretive", "spec": {}})))
            .status,
        201
    );
    drop(gateway.wait_for("secretive", "Ready"));
    assert_eq!(gateway.ask("GET", "/v1/nothing", None).status, 404);
    let mut stream = UnixStream::connect(gateway.state().join("gateway.sock")).expect("it listens");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .expect("it hears");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    for line in [
        "openshell_gateway_sandboxes{phase=\"Ready\"} 1",
        "openshell_gateway_requests_total{method=\"POST\",route=\"/v1/sandboxes\",status=\"201\"} 1",
        "openshell_gateway_requests_total{method=\"GET\",route=\"other\",status=\"404\"} 1",
        "openshell_gateway_request_seconds_count{route=\"/v1/sandboxes\"} 1",
        "openshell_gateway_store_up 1",
        "openshell_gateway_steps_failed_total 0",
        "openshell_gateway_audit_lost_total 0",
        "# TYPE openshell_gateway_request_seconds histogram",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("secretive"), "{text}");
    let strangers = curl(&person, &["-k", &format!("{}/metrics", gateway.endpoint)], None);
    assert_eq!(strangers.status, 401);
}
