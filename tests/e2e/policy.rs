//! The commands around sandbox policies: what they print, and with which code they end.

use std::fs::{self, File};

use openshell_tests::{desk::Desk, environment, world::command};
use serde_json::{Value, json};

const POLICY: &str = "\
version: 1
filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/sandbox, /tmp]}
network_policies:
  github_api:
    name: github-api-readonly
    endpoints:
      - {host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only}
      - {host: 169.254.169.254, port: 80}
    binaries: [{path: /usr/bin/curl}]
  packages:
    endpoints:
      - host: packages.example.com
        port: 443
        protocol: rest
        enforcement: enforce
        rules: [{allow: {method: GET, path: /dl/**, query: {tag: \"v1*\"}}}]
        deny_rules: [{method: \"*\", path: /dl/private/**}]
      - {host: mirror.example.com, port: 443, protocol: rest, access: read-only}
    binaries: [{path: \"/opt/*/bin/tool\"}]
";

fn desk() -> Desk {
    Desk::with("policy.yaml", POLICY)
}

/// `policy check` with a question, split at blanks.
fn check(desk: &Desk, question: &str) -> (Option<i32>, Value) {
    let mut args = vec!["policy", "check", "--policy", "policy.yaml"];
    args.extend(question.split(' '));
    let ended = desk.run(&args);
    let answer = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{question}: {error}: {}", ended.said()));
    (ended.code, answer)
}

/// Asks, and checks code, decision, policy and a part of the reason.
fn says(question: &str, code: i32, decision: &str, policy: Option<&str>, reason: &str) {
    let (ended, answer) = check(&desk(), question);
    assert_eq!(ended, Some(code), "{question}: {answer}");
    let told = (&answer["decision"], &answer["policy"]);
    assert_eq!(told, (&json!(decision), &json!(policy)), "{question}");
    let said = answer["reason"].as_str().unwrap();
    assert!(said.contains(reason), "{question}: {said}");
    assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
}

#[test]
fn a_connection_is_decided_in_one_line_of_json_and_an_exit_code() {
    let github = Some("github-api-readonly");
    let refused = "binary '/usr/bin/python3' not allowed in policy 'github-api-readonly'";
    let elsewhere = "endpoint example.org:443 not in policy 'github-api-readonly'";
    says("--binary /usr/bin/curl --connect api.github.com:443", 0, "allow", github, "endpoints[0]");
    says("--binary /usr/bin/curl --connect example.org:443", 4, "deny", None, elsewhere);
    says("--binary /usr/bin/python3 --connect api.github.com:443", 4, "deny", None, refused);
    says("--binary /any --connect inference.local:443", 3, "inference", None, "inference.local");
    says("--binary /any --connect api.openai.com:443", 3, "inference", None, "model API");
}

#[test]
fn an_address_that_nothing_opens_is_denied_although_a_policy_lists_it() {
    let metadata = "CONNECT 169.254.169.254:80 blocked: internal address";
    says("--binary /usr/bin/curl --connect 169.254.169.254:80", 4, "deny", None, metadata);
}

#[test]
fn a_request_is_decided_on_its_canonical_path() {
    let curl = "--binary /usr/bin/curl --connect api.github.com:443 --method";
    let github = Some("github-api-readonly");
    let posted = "POST /repos/o/r/issues not permitted by policy";
    says(&format!("{curl} GET --path /zen"), 0, "allow", github, "access read-only");
    says(&format!("{curl} POST --path /repos/o/r/issues"), 4, "deny", github, posted);
    let tool = "--binary /bin/sh --ancestor /opt/a/bin/tool --connect packages.example.com:443";
    let packages = Some("packages");
    let cases = [
        ("/dl/x --query tag=v1.2", 0, "allow", "rules[0]"),
        ("/dl/x?tag=v2", 4, "deny", "GET /dl/x not permitted"),
        ("/dl/%70rivate/x --query tag=v1", 4, "deny", "GET /dl/private/x blocked by deny rule"),
        ("/dl/../../x", 4, "deny", "above its root"),
    ];
    for (rest, code, decision, reason) in cases {
        let question = format!("{tool} --method GET --path {rest}");
        says(&question, code, decision, packages, reason);
    }
    let mirror = "--binary /opt/a/bin/tool --connect mirror.example.com:443";
    let recorded = "recorded and forwarded (enforcement: audit)";
    says(&format!("{mirror} --method POST --path /x"), 0, "allow", packages, recorded);
}

#[test]
fn a_refused_policy_names_every_fault_and_answers_nothing() {
    let desk = desk();
    desk.write("bad.yaml", "version: 1\nnetwork_policies:\n  web:\n    endpoints: [{host: \"*\", port: 443, protocl: rest}]\nprocess: {run_as_user: root}\n");
    let args =
        ["policy", "check", "--policy", "bad.yaml", "--binary", "/a", "--connect", "b.org:443"];
    let ended = desk.run(&args).expect(1);
    assert_eq!(ended.stdout, "");
    for words in [
        "bad.yaml:4:24: network_policies.web.endpoints[0]: host wildcard '*' matches all hosts",
        "protocl: unknown field; did you mean `protocol`?",
        "run_as_user must be 'sandbox', got 'root'",
        "3 faults",
    ] {
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    let missing = desk.run(&[
        "policy",
        "check",
        "--policy",
        "none.yaml",
        "--binary",
        "/a",
        "--connect",
        "b.org:1",
    ]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("none.yaml"), "{}", missing.stderr);
}

#[test]
fn a_question_that_makes_no_sense_is_a_usage_error() {
    let desk = desk();
    for question in [
        "--binary /a --connect b.org",
        "--binary /a --connect b.org:0",
        "--binary /a",
        "--connect b.org:443",
        "--binary /a --connect b.org:443 --method GET",
        "--binary /a --connect b.org:443 --path /x",
        "--ndjson --binary /a --connect b.org:443",
    ] {
        let mut args = vec!["policy", "check", "--policy", "policy.yaml"];
        args.extend(question.split(' '));
        assert_eq!(desk.run(&args).code, Some(2), "{question}");
    }
}

#[test]
fn without_a_question_the_policy_is_only_checked() {
    let desk = desk();
    let ended = desk.run(&["policy", "check", "--policy", "policy.yaml"]).expect(0);
    assert!(ended.stderr.contains("policy.yaml is sound"), "{}", ended.stderr);
}

#[test]
fn questions_are_answered_line_by_line_in_order() {
    let desk = desk();
    let questions = [
        json!({"id": 1, "binary": "/usr/bin/curl", "connect": "api.github.com:443"}).to_string(),
        json!({"id": "two", "binary": "/bin/sh", "ancestors": ["/opt/x/bin/tool"], "connect": "packages.example.com:443",
               "method": "GET", "path": "/dl/a", "query": "tag=v1"}).to_string(),
        json!({"id": [3], "binary": "/bin/sh", "connect": "api.anthropic.com:443"}).to_string(),
        json!({"id": 4, "binary": "/bin/sh", "connect": "nowhere"}).to_string(),
        json!({"id": 5, "binary": "/bin/sh", "connect": "a.org:443", "metod": "GET"}).to_string(),
        String::new(),
        "no json".to_owned(),
        json!({"id": 7, "binary": "/usr/bin/curl", "connect": "api.github.com:443", "method": "GET"}).to_string(),
        json!({"binary": "/usr/bin/curl", "connect": "example.org:443"}).to_string(),
    ];
    let path = desk.write("questions.ndjson", &(questions.join("\n") + "\n"));
    let mut command = desk.openshell();
    command.args(["policy", "check", "--ndjson", "--policy", "policy.yaml"]);
    command.stdin(File::open(path).unwrap());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let short: Vec<(&Value, &str)> = answers
        .iter()
        .map(|answer| (&answer["id"], answer["decision"].as_str().unwrap()))
        .collect();
    assert_eq!(
        short,
        [
            (&json!(1), "allow"),
            (&json!("two"), "allow"),
            (&json!([3]), "inference"),
            (&json!(4), "deny"),
            (&json!(5), "deny"),
            (&Value::Null, "deny"),
            (&json!(7), "deny"),
            (&Value::Null, "deny"),
        ]
    );
    assert!(answers[4]["reason"].as_str().unwrap().contains("unknown field"), "{}", answers[4]);
}

#[test]
fn explain_names_what_would_have_to_change() {
    let desk = desk();
    let explain = |question: &str| {
        let mut args = vec!["policy", "explain", "--policy", "policy.yaml"];
        args.extend(question.split(' '));
        desk.run(&args)
    };
    let ended = explain("--binary /usr/bin/python3 --connect api.github.com:80").expect(4);
    for words in [
        "decision: deny",
        "network_policies.github_api.endpoints[0] (api.github.com:443) of policy 'github-api-readonly' does not match",
        "add 80 to `ports` of network_policies.github_api.endpoints[0]",
        "add {path: /usr/bin/python3} to network_policies.github_api.binaries",
    ] {
        assert!(ended.stdout.contains(words), "{words}: {}", ended.stdout);
    }
    let ended = explain(
        "--binary /usr/bin/curl --connect api.github.com:443 --method POST --path /x -o json",
    )
    .expect(4);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["nearest"][0]["policy"], "github-api-readonly");
    assert_eq!(report["nearest"][0]["misses"][0]["what"], "access read-only does not allow POST");
    let ended = explain("--binary /opt/x/bin/tool --connect packages.example.com:443 --method GET --path /dl/a --query tag=secret").expect(4);
    assert!(ended.stdout.contains("a value of `tag` does not match"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("secret"), "{}", ended.stdout);
    let ended = explain("--binary /usr/bin/curl --connect api.github.com:443").expect(0);
    assert!(ended.stdout.contains("of policy 'github-api-readonly' matches"), "{}", ended.stdout);
}

#[test]
fn diff_tells_what_a_running_sandbox_takes() {
    let desk = desk();
    desk.write(
        "hot.yaml",
        &POLICY
            .replace("access: read-only}\n      - {host: 169", "access: full}\n      - {host: 169"),
    );
    desk.write("fixed.yaml", &POLICY.replace("read_only: [/usr]", "read_only: [/opt]"));
    let same = desk.run(&["policy", "diff", "policy.yaml", "policy.yaml"]).expect(0);
    assert!(same.stdout.contains("the policies say the same"), "{}", same.stdout);
    let hot = desk.run(&["policy", "diff", "policy.yaml", "hot.yaml", "-o", "json"]).expect(0);
    let report: Value = serde_json::from_str(&hot.stdout).unwrap();
    assert_eq!(
        report["differences"],
        json!([{
            "path": "network_policies.github_api.endpoints[0].access",
            "change": "changed",
            "applies": "at once",
            "old": "read-only",
            "new": "full",
        }])
    );
    let fixed = desk.run(&["policy", "diff", "policy.yaml", "fixed.yaml"]).expect(1);
    for words in [
        "rejected: filesystem read_only path '/usr' cannot be removed on a live sandbox",
        "filesystem read_only path '/opt' takes effect when the sandbox starts next",
    ] {
        assert!(fixed.stdout.contains(words), "{words}: {}", fixed.stdout);
    }
}

#[test]
fn every_ready_policy_passes_its_check() {
    let folder = environment::repository().join("examples/policies");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let ended = command(&["policy", "check", "--policy", path.to_str().unwrap()]);
        assert_eq!(ended.code, Some(0), "{}: {}", path.display(), ended.said());
        assert!(!ended.stderr.contains("warning"), "{}", ended.stderr);
        count += 1;
    }
    assert!(count >= 9, "{count} policies");
}

#[test]
fn prove_names_who_could_misuse_a_credential() {
    let policy = |endpoint: &str| {
        format!(
            "version: 1\nnetwork_policies: {{gh: {{endpoints: [{{{endpoint}}}], binaries: [{{path: /usr/bin/gh}}]}}}}\n"
        )
    };
    let held =
        "host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only";
    let desk = Desk::with("good.yaml", &policy(held));
    desk.write("bad.yaml", &policy("host: api.github.com, port: 443"));
    let credentials = "credentials:\n  - {name: github, type: github-pat, scopes: [repo], injected_via: GITHUB_TOKEN, target_hosts: [api.github.com], access: read-only}\n";
    desk.write("credentials.yaml", credentials);
    desk.write("wrong.yaml", "credentials: [{name: a, acces: full}]\n");
    let prove = |policy: &str, credentials: &str| {
        desk.run(&["policy", "prove", "--policy", policy, "--credentials", credentials])
    };
    let passed = prove("good.yaml", "credentials.yaml").expect(0).stdout;
    assert_eq!(
        passed,
        "PASS link_local_reach\nPASS l7_bypass_credentialed\nPASS credential_reach_expansion\nPASS capability_expansion\n"
    );
    let failed = prove("bad.yaml", "credentials.yaml").expect(1).stdout;
    let witness = "FAIL l7_bypass_credentialed\n  /usr/bin/gh may send github to api.github.com:443 in requests that nobody looks at\n";
    assert!(failed.contains(witness), "{failed}");
    let wrong = prove("good.yaml", "wrong.yaml").expect(1).stderr;
    assert!(wrong.contains("wrong.yaml:1:") && wrong.contains("`access`"), "{wrong}");
}
