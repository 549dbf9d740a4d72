//! The router as part of the gateway: where model calls go is kept in revisions, changed without anybody noticing but new calls,
//! known before it is changed, and paid for once.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, time::Duration};

use openshell_tests::{
    echo::{self, Cut},
    sandboxes::Person,
    script::Script,
    upstream::ScriptedUpstream,
    wait, wire,
};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::gateway::{Gateway, files_with};

/// What must be nowhere in clear.
const KEY: &str = "sk-lab-5b81c9d0e47c21";

/// A provider of the gateway whose model API is there.
fn provider(gateway: &Gateway<'_>, name: &str, upstream: &ScriptedUpstream) {
    let new = json!({
        "name": name, "type": "openai-compatible", "credentials": {"LLM_KEY": KEY},
        "config": {"base_url": upstream.url(), "price": "1/2"},
    });
    let made = gateway.ask("POST", "/v1/providers", Some(&new));
    assert_eq!(made.status, 201, "{made:?}");
}

fn sandbox(gateway: &Gateway<'_>, name: &str) {
    let new = json!({"name": name, "spec": {}});
    assert_eq!(gateway.ask("POST", "/v1/sandboxes", Some(&new)).status, 201);
    drop(gateway.wait_for(name, "Ready"));
}

/// A file with these backends, one a line.
fn file(backends: &[(&str, &ScriptedUpstream)], rest: &str) -> String {
    let line = |(name, upstream): &(&str, &ScriptedUpstream)| {
        format!(
            "  - {{name: {name}, provider: openai-compatible, zone: private, base_url: \"{}\", credential: {{provider: llm}}, models: [{{id: m, price: {{input: 1, output: 2}}}}]}}\n",
            upstream.url()
        )
    };
    format!("version: 1\nbackends:\n{}{rest}", backends.iter().map(line).collect::<String>())
}

/// Asks a model from inside of a sandbox: the head of the answer, and its body.
fn call(gateway: &Gateway<'_>, sandbox: &str, model: &str) -> (String, Value) {
    let body = format!(
        r#"{{"model":"{model}","max_tokens":7,"messages":[{{"role":"user","content":"a word"}}]}}"#
    );
    let script = format!(
        "curl -sS -i --suppress-connect-headers --max-time 60 $OPENAI_BASE_URL/chat/completions -H 'content-type: application/json' -d '{body}'"
    );
    let (said, ended) = gateway.exec(sandbox, &["sh", "-c", &script]);
    assert_eq!(ended["code"], 0, "{said}");
    let (head, body) = said.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_ascii_lowercase(), serde_json::from_str(body).unwrap_or_default())
}

/// Kills the gateway, and starts the next one when it is gone.
fn killed_and_started(person: &Person, gateway: &Gateway<'_>) {
    kill_process(gateway.process(), Signal::KILL).expect("it runs");
    wait::until("the gateway to be gone", wait::LONG, || {
        person.run(&["status"]).stdout.contains("Disconnected").then_some(())
    });
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
}

fn route(head: &str) -> &str {
    header(head, "x-openshell-route")
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(known, _)| *known == name).map_or("", |(_, value)| value)
}

#[test]
fn a_change_is_in_force_when_it_is_answered_and_no_stream_notices() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let events = wire::chat_events(&["one ", "two ", "three"]);
    let slow = ScriptedUpstream::always(Script::events(&events).paced(Duration::from_millis(400)));
    let quick = echo::upstream(Cut::NONE);
    provider(&gateway, "llm", &quick);
    sandbox(&gateway, "calm");
    assert_eq!(gateway.get("/v1/inference")["configured"], false);

    let set = json!({"config": file(&[("slow", &slow)], ""), "base": 0});
    let set = gateway.ask("PUT", "/v1/inference", Some(&set));
    assert_eq!((set.status, &set.body["revision"]["status"]), (200, &json!("loaded")), "{set:?}");
    let names = json!([{"workspace": "default", "name": "calm"}]);
    assert_eq!(set.body["sandboxes"], names);

    // A stream begins, the file changes under it, and it ends as it began.
    let streaming = std::thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let script = r#"curl -sSN --max-time 60 $OPENAI_BASE_URL/chat/completions -H 'content-type: application/json' -d '{"model":"auto","stream":true,"messages":[{"role":"user","content":"a word"}]}'"#;
            gateway.exec("calm", &["sh", "-c", script]).0
        });
        drop(slow.wait_for(1));
        let change = json!({"config": file(&[("quick", &quick)], ""), "base": 1});
        // Whom it is about is known before anything is done.
        let tried = gateway.ask("PUT", "/v1/inference?dry_run=true", Some(&change));
        assert_eq!((tried.status, &tried.body["revision"]), (200, &Value::Null), "{tried:?}");
        assert_eq!(tried.body["sandboxes"], names);
        assert!(tried.body["changes"].to_string().contains("backend slow is no longer asked"));
        assert_eq!(gateway.get("/v1/inference")["in_force"], 1);
        let changed = gateway.ask("PUT", "/v1/inference", Some(&change));
        assert_eq!(changed.body["revision"]["version"], 2, "{changed:?}");
        let (head, answer) = call(&gateway, "calm", "auto");
        assert_eq!(route(&head), "quick/m", "the answer to the change means that it is in force");
        assert_eq!(answer["choices"][0]["message"]["content"], "you said: a word");
        stream.join().expect("a stream")
    });
    assert!(streaming.contains("three") && streaming.trim_end().ends_with("[DONE]"), "{streaming}");
    assert_eq!(slow.count(), 1);
    let seen = quick.seen();
    let known = format!("Bearer {KEY}");
    assert!(seen.iter().all(|one| one.header("authorization") == Some(&known)));

    // The same again changes nothing, and nobody is re-pointed by it.
    let same = json!({"config": file(&[("quick", &quick)], ""), "base": 2});
    let same = gateway.ask("PUT", "/v1/inference", Some(&same)).body;
    assert_eq!((&same["changed"], &same["sandboxes"]), (&json!(false), &json!([])), "{same}");
    // Of two who change the same, the later is told.
    let stale = json!({"config": file(&[("slow", &slow)], ""), "base": 1});
    let stale = gateway.ask("PUT", "/v1/inference", Some(&stale));
    assert_eq!((stale.status, &stale.body["code"]), (412, &json!("changed_meanwhile")));

    what_does_not_work_changes_nothing(&gateway, &quick);
    // Neither is in force.
    let shown = gateway.get("/v1/inference");
    assert_eq!((&shown["in_force"], &shown["newest"]["status"]), (&json!(2), &json!("failed")));
    assert_eq!(route(&call(&gateway, "calm", "auto").0), "quick/m");

    // Killed, it goes on with the newest that works.
    killed_and_started(&person, &gateway);
    drop(gateway.wait_for("calm", "Ready"));
    assert_eq!(gateway.get("/v1/inference")["in_force"], 2);
    assert_eq!(route(&call(&gateway, "calm", "auto").0), "quick/m");
    assert_eq!(gateway.get("/readyz")["parts"]["inference"], "ok");

    let clear = files_with(person.path(), KEY.as_bytes());
    assert_eq!(clear, Vec::<PathBuf>::new());
    let environments = "env; cat /proc/[0-9]*/environ";
    assert!(!gateway.exec("calm", &["sh", "-c", environments]).0.contains(KEY));

    // Ended, nobody answers any more.
    let ended = gateway.ask("DELETE", "/v1/inference", None).body;
    assert_eq!(ended["sandboxes"], names, "{ended}");
    assert_eq!(gateway.get("/v1/inference")["running"], false);
    let (head, _) = call(&gateway, "calm", "auto");
    assert!(head.contains(" 503"), "{head}");
}

/// What cannot be read is told with every fault; what cannot be built is kept as failed.
fn what_does_not_work_changes_nothing(gateway: &Gateway<'_>, quick: &ScriptedUpstream) {
    let bad = json!({"config": "version: 2\nbackends: [{name: a, zone: near}]\n"});
    let bad = gateway.ask("PUT", "/v1/inference", Some(&bad));
    assert_eq!(bad.status, 422);
    assert!(bad.body["errors"].as_array().expect("faults").len() > 2, "{bad:?}");
    let unknown = file(&[("quick", quick)], "").replace("provider: llm", "provider: nobody");
    let unknown = gateway.ask("PUT", "/v1/inference", Some(&json!({"config": unknown})));
    assert_eq!(unknown.status, 422);
    assert!(unknown.body["detail"].to_string().contains("no provider nobody"), "{unknown:?}");
    let unbuilt =
        file(&[("quick", quick)], "").replace("models:", "tls: {ca_file: /none}, models:");
    let unbuilt = gateway.ask("PUT", "/v1/inference", Some(&json!({"config": unbuilt})));
    assert_eq!(
        (unbuilt.status, &unbuilt.body["code"]),
        (422, &json!("not_in_force")),
        "{unbuilt:?}"
    );
}

#[test]
fn a_provider_and_a_model_are_enough_and_a_file_by_hand_stays() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let good = echo::upstream(Cut::NONE);
    let bad = ScriptedUpstream::always(Script::json(401, &json!({"error": {"message": "no"}})));
    provider(&gateway, "llm", &good);
    provider(&gateway, "bad", &bad);
    let set = |body: Value| gateway.ask("PUT", "/v1/inference/route", Some(&body));
    let none = set(json!({"model": "m"}));
    assert_eq!((none.status, &none.body["errors"][0]["pointer"]), (422, &json!("/provider")));
    let made = set(json!({"provider": "llm", "model": "m-one", "timeout_secs": 7}));
    assert_eq!(
        (made.status, &made.body["validated"]),
        (200, &json!("llm/m-one (openai_chat_completions)")),
        "{made:?}"
    );
    assert_eq!(good.count(), 1, "one real call");
    let failed = set(json!({"provider": "bad", "model": "m"}));
    assert_eq!((failed.status, &failed.body["code"]), (422, &json!("not_verified")), "{failed:?}");
    let shown = gateway.get("/v1/inference");
    assert_eq!(shown["made_of"], json!({"provider": "llm", "model": "m-one", "timeout_secs": 7}));
    assert_eq!(set(json!({"model": "m-two", "verify": false})).status, 200);
    assert_eq!(gateway.get("/v1/inference")["made_of"]["model"], "m-two");

    // A provider that is asked stays; another credential is in force at once.
    let used = gateway.ask("DELETE", "/v1/providers/llm", None);
    assert_eq!((used.status, &used.body["code"]), (409, &json!("in_use")));
    let other = json!({"credentials": {"LLM_KEY": "sk-lab-rotated"}});
    assert_eq!(gateway.ask("PATCH", "/v1/providers/llm", Some(&other)).status, 200);
    let test = || gateway.ask("POST", "/v1/inference/backends/llm/test", None).body;
    assert_eq!(test()["ok"], true, "{}", test());
    sandbox(&gateway, "i");
    assert_eq!(route(&call(&gateway, "i", "auto").0), "llm/m-two");
    let last = good.seen().pop().expect("a call");
    assert_eq!(last.header("authorization"), Some("Bearer sk-lab-rotated"));

    one_backend_more_and_one_less(&gateway, &bad);

    // The route of programs outside: a router of its own, which no sandbox reaches.
    let system = gateway.ask(
        "PUT",
        "/v1/inference/route?route=system",
        Some(&json!({"provider": "llm", "model": "m-sys"})),
    );
    assert_eq!((system.status, &system.body["sandboxes"]), (200, &json!([])), "{system:?}");
    let socket = gateway.get("/v1/inference?route=system")["socket"].clone();
    let socket = socket.as_str().expect("a socket");
    let mut curl = person.program("curl");
    curl.args(["-sS", "--unix-socket", socket, "http://localhost/v1/models"]);
    let models = openshell_tests::process::run("curl", &mut curl, wait::LONG).expect(0).stdout;
    assert!(models.contains("m-sys"), "{models}");
    assert_eq!(route(&call(&gateway, "i", "auto").0), "llm/m-two");
}

/// The rest of the file stays as it is.
fn one_backend_more_and_one_less(gateway: &Gateway<'_>, bad: &ScriptedUpstream) {
    let new = json!({
        "name": "two", "provider": "openai-compatible", "base_url": bad.url(), "zone": "private",
        "credential_of": "bad", "models": [{"id": "x", "price": {"input": 0.5, "output": 1}}],
    });
    let add = || gateway.ask("POST", "/v1/inference/backends", Some(&new));
    assert_eq!(add().status, 200);
    assert_eq!(add().body["code"], "exists");
    let items = gateway.get("/v1/inference/backends")["items"].clone();
    assert_eq!(
        (&items[0]["name"], &items[1]["credential"]),
        (&json!("llm"), &json!("provider bad"))
    );
    let tested = gateway.ask("POST", "/v1/inference/backends/two/test", None).body;
    assert_eq!(tested["ok"], false, "{tested}");
    // Now it is no file of one provider any more.
    let by_hand = gateway.ask("PUT", "/v1/inference/route", Some(&json!({"model": "m-three"})));
    assert_eq!((by_hand.status, &by_hand.body["code"]), (409, &json!("written_by_hand")));
    let remove =
        |name: &str| gateway.ask("DELETE", &format!("/v1/inference/backends/{name}"), None);
    assert_eq!(remove("two").status, 200);
    assert_eq!(remove("two").status, 404);
    assert_eq!(remove("llm").body["code"], "last_backend");
    let revisions = gateway.get("/v1/inference/revisions");
    let versions: Vec<u64> = revisions["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["version"].as_u64())
        .collect();
    assert_eq!(versions, [4, 3, 2, 1]);
    let first = gateway.get("/v1/inference/revisions/1");
    assert!(first["config"].as_str().expect("a file").contains("first_byte: 7s"));
}

#[test]
fn a_file_in_the_folder_of_an_older_gateway_is_taken_over() {
    let person = Person::root().with_gateways();
    let upstream = echo::upstream(Cut::NONE);
    let folder = person.home().join("gateways/openshell");
    fs::create_dir_all(&folder).expect("a folder");
    let text = file(&[("old", &upstream)], "").replace(" credential: {provider: llm},", "");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("ours");
    fs::write(folder.join("router.yaml"), &text).expect("a file");
    let gateway = Gateway::start(&person);
    let shown = gateway.get("/v1/inference");
    assert_eq!((&shown["in_force"], &shown["newest"]["config"]), (&json!(1), &json!(text)));
    sandbox(&gateway, "i");
    assert_eq!(route(&call(&gateway, "i", "auto").0), "old/m");
}

const BUDGETS: &str = "budgets:\n  - {scope: sandbox, limit_usd: 0.5, per: day, on_exceed: downgrade}\n  - {scope: backend, limit_usd: 100, per: month, on_exceed: block}\n";

/// A backend with one model of its name, at that price in USD per million tokens.
fn priced(name: &str, upstream: &ScriptedUpstream, price: f64, quality: u32) -> String {
    format!(
        "  - {{name: {name}, provider: openai-compatible, zone: private, base_url: \"{}\", models: [{{id: {name}, quality: {quality}, price: {{input: {price}, output: {price}}}}}]}}\n",
        upstream.url()
    )
}

fn put(gateway: &Gateway<'_>, backends: &[String]) {
    let text = format!("version: 1\nbackends:\n{}{BUDGETS}", backends.concat());
    let set = gateway.ask("PUT", "/v1/inference", Some(&json!({"config": text})));
    assert_eq!(set.status, 200, "{set:?}");
}

/// How the budget of a sandbox stands.
fn budget(gateway: &Gateway<'_>, sandbox: &str) -> Value {
    let report = gateway.get(&format!("/v1/cost?sandbox={sandbox}"));
    let all = report["budgets"].as_array().expect("budgets");
    all.iter().find(|one| one["scope"] == "sandbox").cloned().unwrap_or_default()
}

fn spent(gateway: &Gateway<'_>, sandbox: &str) -> f64 {
    budget(gateway, sandbox)["spent_usd"].as_f64().unwrap_or(0.0)
}

/// A header with an amount.
fn usd(head: &str, name: &str) -> f64 {
    header(head, name).parse().unwrap_or_else(|_| panic!("no {name}: {head}"))
}

#[test]
fn what_was_spent_is_booked_once_also_when_the_gateway_is_killed() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let dear = echo::upstream(Cut::NONE);
    let never = Script::json(200, &wire::chat("late")).after(Duration::from_mins(10));
    let stalling = ScriptedUpstream::always(never);
    put(&gateway, &[priced("dear", &dear, 10_000.0, 60)]);
    sandbox(&gateway, "a");
    sandbox(&gateway, "b");
    let (head, _) = call(&gateway, "a", "auto");
    let (cost, left) =
        (usd(&head, "x-openshell-cost-usd"), usd(&head, "x-openshell-budget-remaining"));
    assert!(left > 0.0 && (0.5 - cost - left).abs() < 1e-5, "{head}");
    wait::until("the call to be booked", wait::LONG, || {
        ((spent(&gateway, "a") - cost).abs() < 1e-9).then_some(())
    });
    let report = gateway.get("/v1/cost");
    assert_eq!(report["lines"][0]["sandbox"], "sandbox/a");
    assert_eq!(report["total"]["requests"], 1);

    // A call under way when everything is killed: nobody can say what of it was used, so it counts in full, once.
    put(&gateway, &[priced("slow", &stalling, 10_000.0, 60)]);
    std::thread::scope(|scope| {
        let script = r#"curl -sS --max-time 20 $OPENAI_BASE_URL/chat/completions -H 'content-type: application/json' -d '{"model":"auto","max_tokens":7,"messages":[{"role":"user","content":"a word"}]}'"#;
        scope.spawn(|| {
            // The conversation breaks off with the gateway.
            let told = || gateway.exec("b", &["sh", "-c", script]);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(told)).ok()
        });
        drop(stalling.wait_for(1));
        let reserved = budget(&gateway, "b")["reserved_usd"].as_f64().expect("an account");
        assert!(reserved > 0.0, "it is set aside before it is sent");
        for _ in 0..2 {
            killed_and_started(&person, &gateway);
            let now = budget(&gateway, "b");
            let stands = (now["reserved_usd"].as_f64(), now["spent_usd"].as_f64());
            assert_eq!(stands, (Some(0.0), Some(reserved)), "{now}");
            let of_a = spent(&gateway, "a");
            assert!((of_a - cost).abs() < 1e-9, "neither lost nor doubled: {of_a}");
        }
    });
}

#[test]
fn a_budget_lands_softly_before_it_refuses_and_outlives_the_gateway() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let (dear, free) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let two = [priced("dear", &dear, 10_000.0, 60), priced("free", &free, 0.0, 10)];
    put(&gateway, &two);
    sandbox(&gateway, "a");
    sandbox(&gateway, "b");
    // When the dear one cannot be paid any more, what is free answers.
    let spend = || call(&gateway, "a", "dear").0;
    let landed = (0..20).map(|_| spend()).find(|head| route(head) == "free/free");
    assert!(landed.is_some_and(|head| head.contains(" 200")), "a budget is used up some time");
    assert_eq!(route(&call(&gateway, "b", "dear").0), "dear/dear", "each has its own");
    // Without anything free, nobody does.
    put(&gateway, &two[..1]);
    let refused = spend();
    assert!(refused.contains(" 429"), "{refused}");
    let left = usd(&refused, "x-openshell-budget-remaining");

    drop(person.run(&["gateway", "stop"]).expect(0));
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
    drop(gateway.wait_for("a", "Ready"));
    let booked = spent(&gateway, "a");
    assert!((0.5 - left - booked).abs() < 1e-5, "{booked} of 0.5, {left} left");
    assert!(spend().contains(" 429"));
}

/// A program that says of itself what Ollama says, and answers as it does.
fn ollama() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen, _| {
        if seen.target == "/api/tags" {
            return Script::json(200, &json!({"models": [{"name": "tiny:1b"}]}));
        }
        echo::answer(seen, Cut::NONE)
    })
}

/// A file with all that it says, and all that is wrong with one; one backend more or less.
fn files_and_backends(person: &Person, upstream: &ScriptedUpstream, discover: &[&str]) {
    let text = file(
        &[("one", upstream)],
        "budgets: [{scope: sandbox, limit_usd: 0.0001, per: day, on_exceed: block}]\n",
    );
    let good = person.write("good.yaml", &text);
    let bad = person.write("bad.yaml", "version: 3\nbackends: [{name: a, zone: near}]\n");
    let apply = |path: &std::path::Path| {
        person.run(&["inference", "apply", "--yes", "-f", path.to_str().expect("a plain path")])
    };
    let refused = apply(&bad).expect(1).stderr;
    assert!(
        refused.contains("1:10: version") && refused.contains("`provider` is missing"),
        "{refused}"
    );
    assert!(apply(&good).expect(0).stdout.contains("Backends: one\n  Version: 3"));
    let routes = person.run(&["inference", "route", "list"]).expect(0).stdout;
    assert!(routes.contains("inference.local") && routes.contains("sandbox-system"), "{routes}");
    drop(person.run(&[discover, &["--yes"]].concat()).expect(0));
    let backends = person.run(&["inference", "backend", "list"]).expect(0).stdout;
    assert!(backends.contains("provider llm") && backends.contains("tiny:1b"), "{backends}");
    drop(person.run(&["inference", "backend", "remove", "ollama", "--yes"]).expect(0));
    drop(person.run(&["inference", "backend", "test", "one"]).expect(0));
    drop(person.run(&["inference", "backend", "test", "ollama"]).expect(1));
}

/// What is explained is what is in force, with what is left of budgets; what was spent is told of the same calls.
fn what_is_in_force_is_explained_and_paid(person: &Person, gateway: &Gateway<'_>) {
    let request = person.write(
        "request.json",
        r#"{"model":"m","max_tokens":7,"messages":[{"role":"user","content":"a word"}]}"#,
    );
    let explain = |rest: &[&str]| {
        let args =
            [&["route", "explain", "-f", request.to_str().expect("a plain path")], rest].concat();
        person.run(&args)
    };
    assert!(explain(&["--sandbox", "i"]).expect(0).stdout.contains("winner: one/m"));
    let (head, _) = call(gateway, "i", "auto");
    let id = header(&head, "x-openshell-request-id");
    wait::until("the budget to be used up", wait::LONG, || {
        drop(call(gateway, "i", "auto"));
        let said = explain(&["--sandbox", "i"]);
        said.stdout.contains("refused with 429").then_some(())
    });
    assert!(explain(&["--sandbox", "other"]).expect(0).stdout.contains("winner: one/m"));
    let replayed = wait::until("the record of the call", wait::LONG, || {
        let said = person.run(&["route", "explain", id]);
        said.stdout.contains("backend: one").then_some(said.stdout)
    });
    assert!(replayed.contains(id), "{replayed}");
    let cost = person.run(&["cost", "--sandbox", "i"]).expect(0).stdout;
    assert!(
        cost.contains("sandbox/i") && cost.contains("one/m") && cost.contains("BUDGET"),
        "{cost}"
    );
    let cost = person.run(&["cost", "--since", "1h", "-o", "json"]).expect(0).stdout;
    let cost: Value = serde_json::from_str(&cost).expect("JSON");
    assert!(cost["total"]["requests"].as_u64() > Some(1), "{cost}");
}

#[test]
fn the_commands_speak_to_the_active_gateway_and_to_this_user_without_one() {
    let person = Person::root().with_gateways();
    let upstream = echo::upstream(Cut::NONE);
    let found = ollama();
    let port = format!("ollama={}", found.address().port());
    let dead = openshell_tests::upstream::dead_address().port();
    let others = ["vllm", "lm-studio", "llamacpp"].map(|name| format!("{name}={dead}"));
    let mut discover = vec!["inference", "discover", "--port", &port];
    for other in &others {
        discover.extend(["--port", other]);
    }
    // Without a gateway it is this user's own file.
    let offered = person.run(&discover).expect(0);
    assert!(offered.stdout.contains("tiny:1b") && offered.stderr.contains("--add"), "{offered:?}");
    assert!(!person.home().join("router.yaml").exists());
    discover.push("--add");
    let added = person.run(&discover).expect(0);
    assert!(added.stdout.contains("ollama"), "{added:?}");
    let own = fs::read_to_string(person.home().join("router.yaml")).expect("a file");
    let listed = person.run(&["inference", "backend", "list", "-o", "json"]).expect(0).stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed["items"][0]["zone"], "local", "{listed}");
    let tested = person.run(&["inference", "backend", "test", "ollama"]).expect(0).stdout;
    assert!(tested.contains("✓ answered: ollama/tiny:1b"), "{tested}");

    let gateway = Gateway::start(&person);
    provider(&gateway, "llm", &upstream);
    let get = || -> Value {
        let said = person.run(&["inference", "get", "-o", "json"]).expect(0).stdout;
        serde_json::from_str(&said).expect("JSON")
    };
    assert_eq!(get()["configured"], false);
    let set = person.run(&["inference", "set", "--provider", "llm", "--model", "m-one"]).expect(0);
    assert!(set.stdout.starts_with("Gateway inference configured:\n\n  Route: inference.local\n  Provider: llm\n  Model: m-one\n  Version: 1\n  Timeout: 60s\n  In force: 1\n  Validated Endpoints:\n    - llm/m-one"), "{}", set.stdout);
    assert_eq!((&get()["in_force"], &get()["status"]), (&json!(1), &json!("loaded")));
    sandbox(&gateway, "i");

    // Nobody is re-pointed silently: without anybody to ask, nothing happens.
    let other = ["inference", "update", "--model", "m-two"];
    let asked = person.run(&other).expect(1).stderr;
    assert!(
        asked.contains("1 sandbox go") && asked.contains("default/i") && asked.contains("--yes"),
        "{asked}"
    );
    assert_eq!(get()["model"], "m-one");
    drop(person.run(&[&other[..], &["--yes"]].concat()).expect(0));
    assert_eq!(get()["model"], "m-two");
    let at_terminal = person.at_a_terminal(
        &["expect:Type yes", "send:no\\n", "expect:nothing was changed"],
        &["inference", "update", "--model", "m-x"],
    );
    drop(at_terminal.expect(1));
    assert_eq!(get()["model"], "m-two");

    files_and_backends(&person, &upstream, &discover);
    what_is_in_force_is_explained_and_paid(&person, &gateway);

    // The own file of this user is as it was.
    assert_eq!(fs::read_to_string(person.home().join("router.yaml")).expect("a file"), own);
    let none =
        person.run(&["inference", "get", "--gateway", "none", "-o", "json"]).expect(0).stdout;
    assert!(none.contains("\"written_by_hand\": true"), "{none}");
    drop(person.run(&["inference", "route", "remove", "--yes"]).expect(0));
    assert_eq!(get()["configured"], false);
    let gone = person.run(&["inference", "route", "remove", "--gateway", "none"]).expect(0);
    assert!(gone.stdout.contains("✓ Route removed"), "{gone:?}");
}
