//! One file per message: what is wrong with a policy, in the words that users know, with its place.
#![cfg(test)]

use std::{fs, path::Path};

use policy::PolicyFile;

/// Each `NAME.yaml` of a folder with what `NAME.txt` says about it.
fn cases(folder: &str) -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            cases.push((name, fs::read_to_string(&path).unwrap(), expected));
        }
    }
    cases
}

fn lines(entries: &[impl ToString]) -> String {
    entries.iter().map(|entry| entry.to_string() + "\n").collect()
}

#[test]
fn every_fault_is_told_with_its_place() {
    let cases = cases("faults");
    assert!(cases.len() > 50, "{} cases", cases.len());
    for (name, text, expected) in cases {
        let faults = PolicyFile::parse(&text).expect_err(&name);
        assert_eq!(lines(&faults), expected, "{name}");
    }
}

#[test]
fn what_is_odd_is_told_and_the_policy_is_used() {
    let cases = cases("notices");
    assert!(cases.len() > 10, "{} cases", cases.len());
    for (name, text, expected) in cases {
        let (_, notices) =
            PolicyFile::parse(&text).unwrap_or_else(|faults| panic!("{name}: {faults:?}"));
        assert_eq!(lines(&notices), expected, "{name}");
    }
}

/// The wording of OpenShell 0.0.36, which other tools look for.
#[test]
fn the_words_are_those_that_users_know() {
    let all: String =
        ["faults", "notices"].iter().flat_map(|folder| cases(folder)).map(|case| case.2).collect();
    let known = [
        "web.endpoints[0]: host wildcard '*' matches all hosts; use specific patterns like '*.example.com'",
        "web.endpoints[0]: host wildcard must start with '*.' or '**.' (e.g., '*.example.com'), got 'api.*.example.com'",
        "web.endpoints[0]: TLD wildcard '*.com' is not allowed; use subdomain wildcards like '*.example.com' instead",
        "web.endpoints[0]: port and ports are mutually exclusive; use ports for multiple ports",
        "web.endpoints[0]: rules and access are mutually exclusive",
        "web.endpoints[0]: protocol requires rules or access to define allowed traffic",
        "web.endpoints[0]: SQL enforcement requires full SQL parsing (not available in v1). Use `enforcement: audit`.",
        "web.endpoints[0]: rules list cannot be empty (would deny all traffic). Use `access: full` or remove rules.",
        "web.endpoints[0]: deny_rules require protocol (L7 inspection must be enabled)",
        "web.endpoints[0]: deny_rules require rules or access to define the base allow set",
        "web.endpoints[0]: deny_rules list cannot be empty (would have no effect). Remove it if no denials are needed.",
        "query: expected map of query matchers",
        "query.tag: expected string glob or object with `any`",
        "query.tag: unknown matcher keys; only `glob` or `any` are supported",
        "query.tag: matcher cannot specify both `glob` and `any`",
        "query.tag: object matcher requires `glob` string or non-empty `any` list",
        "query.tag.any: list must not be empty",
        "query.tag.any: all values must be strings",
        "run_as_user must be 'sandbox', got 'root'",
        "path contains '..' traversal component: /usr/../etc/shadow",
        "path must be absolute (start with '/'): usr/lib",
        "read-write path is overly broad: /",
        "path exceeds maximum length (4097 > 4096): /a",
        "too many filesystem paths (257 > 256)",
    ];
    for words in known {
        assert!(all.contains(words), "{words}");
    }
}
