//! Policies of a thousand endpoints in the shapes that cost most: many hosts, many wildcards, many policies for one host.

use std::fmt::Write as _;

/// How many endpoints each has.
const ENDPOINTS: usize = 1000;

const RULES: &str = "protocol: rest, enforcement: enforce, rules: [{allow: {method: GET, path: \"/v1/*/*\"}}, {allow: {method: GET, path: \"/v2/**\"}}, {allow: {method: POST, path: \"/v1/items\", query: {tag: \"v*\"}}}], deny_rules: [{method: \"*\", path: \"/admin/**\"}]";

/// Each shape with its policy file.
pub(crate) fn all() -> [(&'static str, String); 3] {
    [("many hosts", many_hosts()), ("wildcards", wildcards()), ("one host", one_host())]
}

fn many_hosts() -> String {
    blocks(|n| format!("{{host: h{n}.example.com, port: 443, {RULES}}}"), ENDPOINTS / 10)
}

fn wildcards() -> String {
    blocks(
        |n| match n % 3 {
            0 => format!("{{host: \"**.d{n}.example.com\", port: 443, {RULES}}}"),
            1 => format!("{{host: \"*.d{n}.org.example.com\", port: 443}}"),
            _ => format!("{{host: \"a{n}*.example.com\", port: 443}}"),
        },
        ENDPOINTS / 10,
    ) + &format!(
        "  own: {{endpoints: [{{host: \"*.example.com\", port: 443, {RULES}}}], binaries: [{{path: /usr/bin/tool999}}, {{path: \"/opt/*/agent\"}}]}}\n"
    )
}

/// A hundred policies for one host: every one of them is about the destination.
fn one_host() -> String {
    let shared = |n: usize| match n % 10 {
        0 => format!("{{host: shared.org, port: 443, {RULES}}}"),
        _ => format!("{{host: h{n}.example.com, port: 443, {RULES}}}"),
    };
    blocks(shared, ENDPOINTS / 10)
}

/// Policies of ten endpoints each; the last of them lists `/usr/bin/tool999`, every one of them two binaries.
fn blocks(endpoint: impl Fn(usize) -> String, count: usize) -> String {
    let mut text = "version: 1\nnetwork_policies:\n".to_owned();
    for block in 0..count {
        let _always = writeln!(text, "  p{block:03}:\n    endpoints:");
        for at in 0..10 {
            let _always = writeln!(text, "      - {}", endpoint(block * 10 + at));
        }
        let tool = block * 10 + 9;
        let _always = writeln!(
            text,
            "    binaries: [{{path: /usr/bin/tool{tool}}}, {{path: \"/opt/*/agent{block}\"}}]"
        );
    }
    text
}
