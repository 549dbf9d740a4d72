//! `openshell inference`: model calls of sandboxes reach the provider that was set, with nothing configured inside.

use std::fs;

use openshell_tests::{
    echo::{self, Cut},
    process::run,
    sandboxes::Person,
    script::Script,
    upstream::ScriptedUpstream,
    wait::{self, LONG},
};
use serde_json::{Value, json};

const KEY: &str = "sk-lab-2f81c9d0e47b";

fn provider(person: &Person, name: &str, upstream: &ScriptedUpstream) {
    let (key, url) = (format!("LLM_KEY={KEY}"), format!("base_url={}", upstream.url()));
    let create = [
        "provider",
        "create",
        "--name",
        name,
        "--type",
        "openai-compatible",
        "--credential",
        &key,
        "--config",
        &url,
    ];
    drop(person.run(&create).expect(0));
}

fn ask(person: &Person, path: &str, key: &str) -> Value {
    let body = r#"{"model":"any","max_tokens":50,"messages":[{"role":"user","content":"a word"}]}"#;
    let script =
        format!("curl -s $BASE{path} -H 'content-type: application/json' -H \"{key}\" -d '{body}'")
            .replace("$BASE/v1/messages", "$ANTHROPIC_BASE_URL/v1/messages")
            .replace("$BASE", "$OPENAI_BASE_URL");
    let said = person.run(&["sandbox", "exec", "-n", "i", "--", "sh", "-c", &script]).expect(0);
    serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.said()))
}

#[test]
fn agents_reach_the_model_that_was_set_with_nothing_configured() {
    for person in Person::all() {
        let upstream = echo::upstream(Cut::NONE);
        provider(&person, "llm", &upstream);
        assert!(person.run(&["inference", "get"]).expect(0).stdout.contains("Not configured"));
        let set = person
            .run(&["inference", "set", "--provider", "llm", "--model", "m-one"])
            .expect(0)
            .stdout;
        assert!(set.starts_with("Gateway inference configured:\n\n  Route: inference.local\n  Provider: llm\n  Model: m-one\n  Version: 1\n  Timeout: 60s\n  Validated Endpoints:\n    - llm/m-one"), "{set}");
        let verified = upstream.only();
        let audit = person.home().join("router/audit.jsonl");
        assert_eq!(fs::read_to_string(&audit).unwrap_or_default(), "", "a trial is not on record");
        assert_eq!(verified.header("authorization"), Some(&*format!("Bearer {KEY}")));
        drop(person.run(&["sandbox", "create", "--name", "i", "--detach"]).expect(0));
        let chat = ask(&person, "/chat/completions", "Authorization: Bearer $OPENAI_API_KEY");
        assert_eq!(chat["choices"][0]["message"]["content"], "you said: a word", "{chat}");
        let message = ask(&person, "/v1/messages", "x-api-key: $ANTHROPIC_API_KEY");
        assert_eq!(message["content"][0]["text"], "you said: a word", "{message}");
        for seen in upstream.seen() {
            assert_eq!(seen.header("authorization"), Some(&*format!("Bearer {KEY}")));
            let all = String::from_utf8_lossy(&seen.everything()).into_owned();
            assert!(!all.contains("openshell:resolve") && !all.contains("x-openshell"), "{all}");
        }
        let known = || fs::read_to_string(&audit).ok().filter(|text| text.contains("sandbox/i"));
        drop(wait::until("the record of the sandbox's call", LONG, known));

        drop(person.run(&["inference", "update", "--model", "m-two"]).expect(0));
        wait::until("the other model", LONG, || {
            drop(ask(&person, "/chat/completions", "Authorization: Bearer $OPENAI_API_KEY"));
            (upstream.seen().last()?.json()["model"] == "m-two").then_some(())
        });
        let inside = person
            .run(&["sandbox", "exec", "-n", "i", "--", "sh", "-c", "env; cat /proc/[0-9]*/environ"])
            .expect(0);
        assert!(!inside.said().contains(KEY));
    }
}

#[test]
fn what_does_not_work_never_replaces_what_does_and_a_file_by_hand_stays() {
    let person = Person::all().remove(0);
    let (good, bad) = (
        echo::upstream(Cut::NONE),
        ScriptedUpstream::always(Script::json(401, &json!({"error": {"message": "no"}}))),
    );
    provider(&person, "good", &good);
    provider(&person, "bad", &bad);
    let set = |name: &str, rest: &[&str]| {
        person.run(&[&["inference", "set", "--provider", name, "--model", "m"], rest].concat())
    };
    drop(set("good", &["--timeout", "7"]).expect(0));
    let file = person.home().join("router.yaml");
    let before = fs::read_to_string(&file).unwrap();
    assert!(before.contains("first_byte: 7s") && !before.contains(KEY), "{before}");
    let failed = set("bad", &[]).expect(1).stderr;
    assert!(
        failed.contains("failed to verify inference endpoint") && failed.contains("--no-verify"),
        "{failed}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    drop(set("bad", &["--no-verify"]).expect(0));
    let used = person.run(&["provider", "delete", "bad"]).expect(1).stderr;
    assert!(used.contains("model calls go to provider 'bad'"), "{used}");

    let mine = format!("{before}# mine\n");
    fs::write(&file, &mine).unwrap();
    let refused = set("good", &[]).expect(1).stderr;
    assert!(refused.contains("was written by hand and is not overwritten"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);
    let config = person.write("own.yaml", &format!("version: 1\nbackends: [{{name: own, provider: openai-compatible, zone: private, base_url: \"{}\", models: [{{id: x, price: {{input: 0, output: 0}}}}]}}]\n", good.url()));
    drop(person.run(&["inference", "set", "--config", config.to_str().unwrap()]).expect(0));
    assert_eq!(fs::read_to_string(person.home().join("router.yaml.before")).unwrap(), mine);
    let shown = person.run(&["inference", "get", "-o", "json"]).expect(0).stdout;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["written_by_hand"], &shown["running"]),
        (&json!(true), &json!(true)),
        "{shown}"
    );
}

#[test]
fn a_file_by_hand_is_tried_before_it_replaces_the_one_in_force() {
    let person = Person::all().remove(0);
    let upstream = echo::upstream(Cut::NONE);
    let own = |name: &str, url: &str, rest: &str| {
        person.write(name, &format!("version: 1\nbackends: [{{name: own, provider: openai-compatible, zone: private, base_url: \"{url}\", models: [{{id: x, price: {{input: 0, output: 0}}}}]}}]\n{rest}"))
    };
    let set = |file: &std::path::Path, rest: &[&str]| {
        person.run(&[&["inference", "set", "--config", file.to_str().unwrap()], rest].concat())
    };
    let good = own("good.yaml", &upstream.url(), "");
    let told = set(&good, &[]).expect(0);
    assert!(told.stdout.contains("Validated Endpoints:\n    - own/x"), "{}", told.stdout);
    assert_eq!(upstream.count(), 1, "one real call");
    let file = person.home().join("router.yaml");
    let before = fs::read_to_string(&file).unwrap();

    // Nobody answers there.
    let dead = own("dead.yaml", "http://127.0.0.1:9", "");
    let failed = set(&dead, &[]).expect(1).stderr;
    assert!(failed.contains("failed to verify inference endpoint"), "{failed}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // A router that has to be started cannot be with this one, whether it is tried before or not.
    drop(person.run(&["inference", "stop"]).expect(0));
    let closed = own("closed.yaml", &upstream.url(), "audit: {file: /proc/nowhere/audit.jsonl}\n");
    let failed = set(&closed, &["--no-verify"]).expect(1).stderr;
    assert!(failed.contains("the router ended with"), "{failed}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before, "what was there is there again");
    assert!(!person.home().join("router.yaml.before").exists());
    drop(set(&dead, &["--no-verify"]).expect(0));
    assert_eq!(fs::read_to_string(&file).unwrap(), fs::read_to_string(dead).unwrap());
    assert_eq!(fs::read_to_string(person.home().join("router.yaml.before")).unwrap(), before);
}

#[test]
fn the_system_route_answers_programs_of_this_user_and_no_sandbox() {
    for person in Person::all() {
        let (ours, theirs) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
        provider(&person, "ours", &ours);
        provider(&person, "theirs", &theirs);
        drop(person.run(&["inference", "set", "--provider", "theirs", "--model", "m"]).expect(0));
        let set = ["inference", "set", "--system", "--provider", "ours", "--model", "m-system"];
        let told = person.run(&set).expect(0).stdout;
        assert!(told.starts_with("System inference configured:\n\n  Route: sandbox-system\n  Provider: ours\n  Model: m-system\n  Version: 1\n"), "{told}");
        let socket = person.home().join("system/router.sock");
        assert!(told.contains(&format!("Socket: {}", socket.display())), "{told}");

        // Outside.
        let body = r#"{"model":"any","messages":[{"role":"user","content":"a word"}]}"#;
        let mut curl = person.program("curl");
        curl.args(["-s", "--unix-socket"]).arg(&socket).args(["-d", body]);
        curl.args(["-H", "content-type: application/json", "http://system/v1/chat/completions"]);
        let told = run("curl", &mut curl, LONG).expect(0).stdout;
        assert!(told.contains("you said: a word"), "{told}");
        assert_eq!(ours.seen().last().unwrap().json()["model"], "m-system");

        // Inside.
        let wide = format!(
            "version: 1\nfilesystem_policy: {{read_only: [/usr, {}]}}\n",
            person.path().display()
        );
        person.write("wide.yaml", &wide);
        let create = ["sandbox", "create", "--name", "i", "--detach", "--policy", "wide.yaml"];
        drop(person.run(&create).expect(0));
        let (asked, count) = (theirs.count(), ours.count());
        let chat = ask(&person, "/chat/completions", "Authorization: Bearer x");
        assert_eq!(chat["choices"][0]["message"]["content"], "you said: a word", "{chat}");
        let reach = format!(
            "curl -s --max-time 5 --unix-socket {} -d '{body}' http://system/v1/chat/completions",
            socket.display()
        );
        let reached = person.run(&["sandbox", "exec", "-n", "i", "--", "sh", "-c", &reach]);
        assert_eq!((reached.code, &*reached.stdout), (Some(7), ""), "{}", reached.said());
        assert_eq!((theirs.count(), ours.count()), (asked + 1, count));

        let shown = person.run(&["inference", "get"]).expect(0).stdout;
        assert!(
            shown.contains("Gateway inference:\n\n  Route: inference.local\n  Provider: theirs")
                && shown.contains("System inference:\n\n  Route: sandbox-system\n  Provider: ours"),
            "{shown}"
        );
        let shown = person.run(&["inference", "get", "--system", "-o", "json"]).expect(0).stdout;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&shown["provider"], &shown["running"]), (&json!("ours"), &json!(true)));
        let both = person.run(&["inference", "get", "-o", "json"]).expect(0).stdout;
        let both: Value = serde_json::from_str(&both).unwrap();
        assert_eq!((&both["provider"], &both["system"]), (&json!("theirs"), &shown));
        let used = person.run(&["provider", "delete", "ours"]).expect(1).stderr;
        assert!(used.contains("model calls go to provider 'ours'"), "{used}");
        drop(person.run(&["inference", "stop"]).expect(0));
        drop(person.run(&["sandbox", "stop", "i"]).expect(0));
        drop(person.run(&["sandbox", "start", "i"]).expect(0));
        drop(run("curl", &mut curl, LONG).expect(0));
    }
}

#[test]
fn logs_tell_of_the_supervisor_and_of_the_router_behind_it() {
    for person in Person::all() {
        let upstream =
            ScriptedUpstream::always(Script::json(503, &json!({"error": {"message": "no"}})));
        provider(&person, "llm", &upstream);
        let set = ["inference", "set", "--provider", "llm", "--model", "m", "--no-verify"];
        drop(person.run(&set).expect(0));
        drop(person.run(&["sandbox", "create", "--name", "i", "--detach"]).expect(0));
        for _ in 0..4 {
            drop(ask(&person, "/chat/completions", "Authorization: Bearer x"));
        }
        drop(person.run(&["inference", "update", "--model", "n", "--no-verify"]).expect(0));
        let logs = |flags: &[&str]| person.run(&[&["logs", "i"], flags].concat()).expect(0).stdout;
        wait::until("a word of the router", LONG, || {
            logs(&["--source", "gateway"]).contains("] [gateway] [").then_some(())
        });
        // Nobody tells anything between two looks.
        drop(person.run(&["inference", "stop"]).expect(0));
        let gateway = logs(&["--source", "gateway"]);
        assert!(!gateway.contains("[sandbox]"), "{gateway}");
        let sandbox = logs(&["--source", "sandbox"]);
        assert!(
            !sandbox.is_empty() && sandbox.lines().all(|line| line.contains("] [sandbox] [")),
            "{sandbox}"
        );
        let both = logs(&["--source", "gateway", "--source", "sandbox"]);
        assert_eq!(both, logs(&[]), "both, unless told otherwise");
        assert_eq!(both.lines().count(), gateway.lines().count() + sandbox.lines().count());
        // What a router says of where it listens has no time.
        let timed = both.lines().filter_map(|line| line.strip_prefix('['));
        let times: Vec<&str> = timed.map(|line| line.split(']').next().unwrap()).collect();
        assert!(times.is_sorted(), "{both}");
        assert_eq!(logs(&["-n", "1"]).lines().count(), 1);
        // A sandbox with a router of its own has nothing to do with this one.
        let create = ["sandbox", "create", "--name", "o", "--detach", "--router", "127.0.0.1:9"];
        drop(person.run(&create).expect(0));
        assert_eq!(person.run(&["logs", "o", "--source", "gateway"]).expect(0).stdout, "");
    }
}

#[test]
fn there_is_one_router_and_it_is_found_stopped_and_started_again() {
    for person in Person::all() {
        let upstream = echo::upstream(Cut::NONE);
        provider(&person, "llm", &upstream);
        let none = person.run(&["inference", "stop"]).expect(0).stdout;
        assert_eq!(none, "· Router is not running\n");
        drop(
            person
                .run(&["inference", "set", "--provider", "llm", "--model", "m", "--no-verify"])
                .expect(0),
        );
        let process = || fs::read_to_string(person.home().join("router/lock")).unwrap();
        let first = process();
        drop(person.run(&["sandbox", "create", "--name", "i", "--detach"]).expect(0));
        assert_eq!(process(), first, "it is found again");
        assert_eq!(person.run(&["inference", "stop"]).expect(0).stdout, "✓ Router stopped\n");
        let told = ask(&person, "/chat/completions", "Authorization: Bearer x");
        assert_eq!(told["error"], "inference_unavailable", "{told}");
        // Over HTTP/2 too a refusal is an answer, whatever was sent of the request's body.
        let post =
            "curl -sf -d '{\"messages\": []}' -o /dev/null $OPENAI_BASE_URL/chat/completions";
        let script =
            format!("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do {post}; echo $?; done");
        let codes =
            person.run(&["sandbox", "exec", "-n", "i", "--", "sh", "-c", &script]).expect(0).stdout;
        assert_eq!(codes, "22\n".repeat(16), "an answer with a status");
        drop(person.run(&["sandbox", "stop", "i"]).expect(0));
        drop(person.run(&["sandbox", "start", "i"]).expect(0));
        assert_ne!(process(), first, "a sandbox that starts needs it");
        let chat = ask(&person, "/chat/completions", "Authorization: Bearer x");
        assert_eq!(chat["choices"][0]["message"]["content"], "you said: a word", "{chat}");
    }
}
