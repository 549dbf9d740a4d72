//! The commands around the router: what they print, and with which code they end.

use std::{fs, process::Stdio};

use openshell_tests::{
    desk::Desk,
    dialect::Dialect,
    echo::{self, Cut},
    environment,
    text::{self, EMAIL, assert_absent},
    world::{Backend, Config, command, openshell},
};
use serde_json::{Value, json};

/// A desk with a router file.
fn desk(config: &Config) -> Desk {
    Desk::with("router.yaml", &config.yaml())
}

fn config() -> Config {
    Config::new([
        Backend::new("here", "http://127.0.0.1:9").zone("local").priced("small", 1.0, 1.0),
        Backend::new("cloud", "http://127.0.0.1:9").zone("public").priced("big", 0.1, 0.1),
    ])
    .sensitivity(
        ["public", "public", "private", "local"],
        &[("pii/*", "confidential", "redact"), ("payment/*", "restricted", "route")],
    )
}

#[test]
fn help_and_version() {
    let help = command(&["--help"]).expect(0).stdout;
    for word in ["router", "route", "classify"] {
        assert!(help.contains(word), "{help}");
    }
    let version = command(&["--version"]).expect(0).stdout;
    assert!(version.starts_with("openshell "), "{version}");
}

#[test]
fn a_wrong_word_is_an_error_that_suggests_the_right_one() {
    let ended = command(&["ruoter", "check", "x"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("router"), "{}", ended.stderr);
    let ended = command(&["router", "check", "no-such-file.yaml"]);
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("no-such-file.yaml"), "{}", ended.stderr);
}

#[test]
fn a_good_file_passes_its_check() {
    let desk = desk(&config());
    let _ = desk.run(&["router", "check", "router.yaml"]).expect(0);
}

#[test]
fn every_example_passes_its_check() {
    let folder = environment::repository().join("examples/router");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let ended = command(&["router", "check", path.to_str().unwrap()]);
            assert_eq!(ended.code, Some(0), "{}: {}", path.display(), ended.said());
            count += 1;
        }
    }
    assert!(count >= 4, "{count} examples");
}

#[test]
fn classify_names_kinds_and_places_but_no_values() {
    let desk = desk(&config());
    let path = desk.write("note.txt", &format!("first line\nmail {EMAIL} today\n"));
    let ended = desk.run(&["classify", path.to_str().unwrap()]).expect(0);
    assert!(ended.stdout.contains("pii/email"), "{}", ended.stdout);
    assert_absent(EMAIL, ended.said().as_bytes(), "what classify prints");
}

#[test]
fn classify_answers_line_by_line() {
    let desk = desk(&config());
    let lines = [
        json!({"id": "a", "text": "nothing here"}),
        json!({"id": "b", "text": format!("ü {EMAIL}")}),
        json!({"id": 3, "text": format!("card {}", text::CARD)}),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let path = desk.write("texts.ndjson", &text);
    let out =
        desk.run(&["classify", "--format", "ndjson", path.to_str().unwrap()]).expect(0).stdout;
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 3, "{out}");
    assert_eq!(
        answers.iter().map(|answer| answer["id"].clone()).collect::<Vec<_>>(),
        [json!("a"), json!("b"), json!(3)]
    );
    assert_eq!(answers[0]["spans"], json!([]));
    assert_eq!(answers[0]["sensitivity"], "public");
    let span = &answers[1]["spans"][0];
    assert_eq!(
        (span["start"].as_u64(), span["end"].as_u64()),
        (Some(2), Some(2 + EMAIL.chars().count() as u64)),
        "{span}"
    );
    assert_eq!(span["type"], "pii/email");
    assert!(
        span["confidence"].as_f64().is_some_and(|confidence| (0.0..=100.0).contains(&confidence)),
        "{span}"
    );
    assert_eq!(answers[2]["spans"][0]["type"], "payment/card");
}

#[test]
fn classify_fails_on_a_level_when_asked_to() {
    let desk = desk(&config());
    let path = desk.write("note.txt", &format!("mail {EMAIL}\n"));
    let path = path.to_str().unwrap();
    for (level, code) in [("internal", 1), ("confidential", 1), ("restricted", 0)] {
        let args = ["classify", "--config", "router.yaml", "--fail-on", level, path];
        assert_eq!(desk.run(&args).code, Some(code), "{level}");
    }
}

#[test]
fn explain_shows_the_decision_without_sending() {
    let upstream = echo::upstream(Cut::NONE);
    let config = Config::new([
        Backend::new("here", &upstream.url()).zone("local").priced("small", 1.0, 1.0),
        Backend::new("cloud", &upstream.url()).zone("public").priced("big", 0.1, 0.1),
    ])
    .sensitivity(["public", "public", "private", "local"], &[("payment/*", "restricted", "route")]);
    let desk = desk(&config);
    let body = Dialect::Chat.ask(&format!("charge {}", text::CARD), false).to_string();
    let path = desk.write("request.json", &body);
    let args = ["route", "explain", "-f", path.to_str().unwrap(), "--config", "router.yaml"];
    let said = desk.run(&args).expect(0).stdout;
    for word in ["payment/card", "restricted", "here/small", "cloud/big"] {
        assert!(said.contains(word), "{word} is missing in:\n{said}");
    }
    assert_absent(text::CARD, said.as_bytes(), "the explanation");
    let json_args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
    let explained: Value = serde_json::from_str(&desk.run(&json_args).expect(0).stdout).unwrap();
    assert!(explained.to_string().contains("here/small"), "{explained}");
    assert_eq!(upstream.count(), 0);
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = command(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("openshell"), "{shell}");
    }
    let home = tempfile::tempdir().unwrap();
    let mut asked = openshell(home.path());
    asked.env("COMPLETE", "fish").args(["--", "openshell", "cla"]);
    let asked = asked.output().unwrap();
    assert!(String::from_utf8_lossy(&asked.stdout).contains("classify"), "{asked:?}");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("man1");
    drop(command(&["man", folder.to_str().unwrap()]).expect(0));
    for page in ["openshell.1", "openshell-sandbox-create.1", "openshell-gateway-start.1"] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}

#[test]
fn a_reader_that_goes_early_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let mut command = openshell(home.path());
    command.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(0));
}

#[test]
fn every_help_is_plain_text() {
    for words in [
        vec![],
        vec!["router", "run"],
        vec!["router", "check"],
        vec!["route", "explain"],
        vec!["classify"],
        vec!["cost"],
        vec!["audit"],
        vec!["demo"],
        vec!["completions"],
    ] {
        let args: Vec<&str> = words.iter().copied().chain(["--help"]).collect();
        let help = command(&args).expect(0).stdout;
        assert!(!help.contains('`') && !help.contains("<http"), "{help}");
    }
}

#[test]
fn reports_are_data_when_asked_for() {
    let desk = desk(&config());
    let note = desk.write("note.txt", &format!("mail {EMAIL}\n"));
    let note = note.to_str().unwrap();
    let request = desk.write("request.json", &Dialect::Messages.ask("hello", false).to_string());
    let request = request.to_str().unwrap();
    for (args, pointer, expected) in [
        (vec!["router", "check", "router.yaml"], "/sound", json!(true)),
        (vec!["classify", note], "/0/spans/0/type", json!("pii/email")),
        (vec!["route", "explain", "-d", "messages", "-f", request], "/dialect", json!("messages")),
    ] {
        let with = |format| args.iter().copied().chain(["-o", format]).collect::<Vec<_>>();
        let out = desk.run(&with("json")).expect(0).stdout;
        let found: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(found.pointer(pointer), Some(&expected), "{out}");
        let yaml = desk.run(&with("yaml")).expect(0).stdout;
        let word = expected.to_string();
        assert!(!yaml.starts_with(['{', '[']) && yaml.contains(word.trim_matches('"')), "{yaml}");
    }
}

#[test]
fn all_faults_of_a_file_are_data_too() {
    let desk = desk(&config());
    let bad = config().yaml().replace("zone: local", "zone: nowhere") + "budgetz: 1\n";
    let _ = desk.write("bad.yaml", &bad);
    let out = desk.run(&["router", "check", "bad.yaml", "-o", "json"]).expect(1).stdout;
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["sound"], false);
    let paths: Vec<&str> = report["faults"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|fault| fault["path"].as_str())
        .collect();
    assert!(paths.contains(&"backends[0].zone") && paths.contains(&"budgetz"), "{out}");
    assert!(report["faults"][0]["line"].as_u64().is_some_and(|line| line > 0), "{out}");
}

#[test]
fn what_is_no_audit_file_is_told() {
    let desk = desk(&config());
    for command in ["audit", "cost"] {
        let ended = desk.run(&[command, "--file", "router.yaml"]).expect(1);
        assert!(ended.stderr.contains("no event of an audit"), "{}", ended.stderr);
        let ended = desk.run(&[command, "--config", "nothing.yaml"]).expect(1);
        assert!(ended.stderr.contains("--file"), "{}", ended.stderr);
        let empty = desk.write("empty.jsonl", "");
        let _ = desk.run(&[command, "--file", empty.to_str().unwrap()]).expect(0);
    }
}

#[test]
fn cost_and_audit_read_what_the_router_wrote() {
    let upstream = echo::upstream(Cut::NONE);
    let world = Config::new([Backend::new("only", &upstream.url()).priced("m", 2.0, 10.0)]).start();
    let id = world.chat("hello").expect(200).header("x-openshell-request-id").unwrap().to_owned();
    let _ = world.wait_for_audit(1, |event| event.to_string().contains(&id));
    let file = world.folder().join("audit.jsonl");
    let file = file.to_str().unwrap();
    let audit = command(&["audit", "--file", file, "-o", "json"]).expect(0).stdout;
    assert!(audit.contains(&id), "{audit}");
    let cost = command(&["cost", "--file", file, "-o", "json"]).expect(0).stdout;
    let cost: Value = serde_json::from_str(&cost).unwrap();
    assert!(cost.to_string().contains("only"), "{cost}");
}

/// What a sandbox's proxy writes about a connection, in the parts that `audit` shows.
const REFUSED_CONNECTION: &str = r#"{"class_uid":4001,"activity_name":"Open","time":1764000000000,"severity_id":3,"action":"Denied","disposition":"Blocked","status_detail":"endpoint_not_allowed","actor":{"process":{"pid":64,"file":{"path":"/usr/bin/curl"}}},"dst_endpoint":{"hostname":"httpbin.org","port":443},"firewall_rule":{"name":"-","type":"policy"},"unmapped":{"openshell":{"sandbox":"dev"}}}"#;
const CALL: &str = r#"{"class_uid":6003,"activity_name":"Create","time":1764000000001,"status_detail":"done","actor":{"user":{"uid":"key-1"}}}"#;

#[test]
fn audit_shows_calls_and_the_network_of_sandboxes() {
    let desk = desk(&config());
    let file = desk.write("both.jsonl", &format!("{REFUSED_CONNECTION}\n{CALL}\n"));
    let file = file.to_str().unwrap();
    let audit =
        |more: &[&str]| desk.run(&[&["audit", "--file", file], more].concat()).expect(0).stdout;
    let table = audit(&[]);
    let row = ["dev", "NET:OPEN", "DENIED", "/usr/bin/curl(64)", "httpbin.org:443"];
    assert!(table.lines().any(|line| row.iter().all(|cell| line.contains(cell))), "{table}");
    assert!(table.contains("key-1"), "{table}");
    let short = "OCSF NET:OPEN [MED] DENIED /usr/bin/curl(64) -> httpbin.org:443 \
                 [policy:- engine:policy] [reason:endpoint_not_allowed]\n";
    for filter in [["--sandbox", "dev"], ["--kind", "net"], ["--kind", "denied"]] {
        assert_eq!(audit(&[&filter[..], &["--short"]].concat()), short, "{filter:?}");
    }
    assert_eq!(audit(&["--kind", "dns", "--short"]), "");
}

#[test]
fn output_has_no_colour_when_nobody_looks() {
    let desk = desk(&config());
    let path = desk.write("note.txt", &format!("mail {EMAIL}\n"));
    for args in [
        vec!["--help"],
        vec!["classify", path.to_str().unwrap()],
        vec!["router", "check", "router.yaml"],
    ] {
        assert!(!desk.run(&args).said().contains('\u{1b}'), "{args:?}");
    }
}
