//! The ready policies: each is sound, opens what its agent needs to that agent alone, and leaves models to the router.
#![cfg(test)]

use std::{fs, path::PathBuf};

use domain::Destination;
use policy::{
    Caller, CanonicalPath, Connect, EncodedSlash, Operation, Policy, PolicyFile, Query, Request,
    RequestVerdict, Verdict,
};

const NODE: &str = "/usr/bin/node";

/// Each agent: who it is, what it must reach, and the model API that stays with the router (if it can).
const AGENTS: [(&str, &str, &str, Option<&str>); 9] = [
    (
        "claude-code",
        "/home/me/.local/share/claude/versions/2.1.0",
        "statsig.anthropic.com:443",
        Some("api.anthropic.com:443"),
    ),
    (
        "codex",
        "/usr/lib/node_modules/@openai/codex/vendor/x86_64-unknown-linux-musl/codex/codex",
        "github.com:443",
        Some("api.openai.com:443"),
    ),
    (
        "opencode",
        "/home/me/.opencode/bin/opencode",
        "models.dev:443",
        Some("api.anthropic.com:443"),
    ),
    ("copilot", "/home/me/.local/bin/copilot", "api.githubcopilot.com:443", None),
    ("cursor", "/home/me/.local/share/cursor-agent/versions/1/node", "api2.cursor.sh:443", None),
    (
        "gemini-cli",
        NODE,
        "oauth2.googleapis.com:443",
        Some("generativelanguage.googleapis.com:443"),
    ),
    ("aider", "/usr/bin/python3.13", "raw.githubusercontent.com:443", Some("api.openai.com:443")),
    ("goose", "/usr/local/bin/goose", "github.com:443", Some("api.openai.com:443")),
    ("openclaw", NODE, "clawhub.ai:443", Some("api.anthropic.com:443")),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/policies")
}

fn read(name: &str) -> Policy {
    let text = fs::read_to_string(folder().join(format!("{name}.yaml"))).unwrap();
    let (file, notices) =
        PolicyFile::parse(&text).unwrap_or_else(|faults| panic!("{name}: {faults:#?}"));
    assert!(notices.is_empty(), "{name}: {notices:?}");
    Policy::new(file)
}

fn decision(policy: &Policy, binary: &str, to: &str) -> &'static str {
    let to: Destination = to.parse().unwrap();
    let caller = Caller { binary, ancestors: &[] };
    match policy.connect(&Connect { caller, to: &to, inference: true }) {
        Verdict::Allow(_) => "allow",
        Verdict::Inference(_) => "inference",
        Verdict::Deny(_) => "deny",
    }
}

fn request(policy: &Policy, binary: &str, to: &str, method: &str, path: &str) -> bool {
    let to: Destination = to.parse().unwrap();
    let caller = Caller { binary, ancestors: &[] };
    let connect = Connect { caller, to: &to, inference: true };
    let Verdict::Allow(grant) = policy.connect(&connect) else { panic!("{to} is closed") };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = CanonicalPath::new(path, EncodedSlash::Keep).unwrap();
    let query = Query::new(query).unwrap();
    let request = Request { method, path: &path, query: &query, operation: Operation::None };
    matches!(grant.request(&request), RequestVerdict::Allow(_))
}

#[test]
fn each_agent_reaches_what_it_needs_and_nobody_else_does() {
    for (name, binary, own, model) in AGENTS {
        let policy = read(name);
        assert_eq!(decision(&policy, binary, own), "allow", "{name}");
        assert_eq!(decision(&policy, "/tmp/evil", own), "deny", "{name}");
        if let Some(model) = model {
            assert_eq!(decision(&policy, binary, model), "inference", "{name}");
        }
        for closed in ["169.254.169.254:80", "example.org:443", "127.0.0.1:8080"] {
            assert_eq!(decision(&policy, binary, closed), "deny", "{name} {closed}");
        }
    }
}

#[test]
fn every_agent_may_fetch_and_install_and_not_push_or_publish() {
    for (name, ..) in AGENTS {
        let policy = read(name);
        let git = |method, path| request(&policy, "/usr/bin/git", "github.com:443", method, path);
        assert!(git("GET", "/o/r.git/info/refs?service=git-upload-pack"), "{name}");
        assert!(!git("GET", "/o/r.git/info/refs?service=git-receive-pack"), "{name}");
        assert!(git("POST", "/o/r.git/git-upload-pack"), "{name}");
        assert!(!git("POST", "/o/r.git/git-receive-pack"), "{name}");
        let npm =
            |method| request(&policy, NODE, "registry.npmjs.org:443", method, "/@scope%2Fname");
        assert!(npm("GET") && !npm("PUT"), "{name}");
    }
}

#[test]
fn no_example_is_forgotten() {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| AGENTS.iter().all(|agent| agent.0 != name));
    assert_eq!(names, ["quickstart"]);
    let quickstart = read("quickstart");
    assert_eq!(decision(&quickstart, "/usr/bin/curl", "api.github.com:443"), "allow");
}
