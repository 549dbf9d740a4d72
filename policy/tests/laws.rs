//! Laws of policies, over generated policies and questions.
#![cfg(test)]
#![expect(clippy::format_push_string, reason = "a test counts no allocation")]

use domain::{Destination, Host};
use policy::{
    Caller, CanonicalPath, Connect, EncodedSlash, Glob, Grant, Operation, Policy, PolicyFile,
    Query, Request, RequestVerdict, Verdict,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// What an endpoint of a generated policy says; few words, so that they meet.
#[derive(Clone, Debug)]
struct Ep {
    host: &'static str,
    ports: Vec<u16>,
    path: Option<&'static str>,
    enforce: bool,
    inspected: bool,
    access: Option<&'static str>,
    rules: Vec<(&'static str, &'static str)>,
    deny: Vec<(&'static str, &'static str)>,
    slash: bool,
}

const HOSTS: [&str; 9] = [
    "a.example.com",
    "b.a.example.com",
    "example.com",
    "*.example.com",
    "**.example.com",
    "**.a.example.com",
    "a*.example.com",
    "10.0.0.5",
    "other.org",
];
const ASKED: [&str; 9] = [
    "a.example.com",
    "b.a.example.com",
    "c.b.a.example.com",
    "example.com",
    "ab.example.com",
    "10.0.0.5",
    "other.org",
    "x.other.org",
    "fd00::1",
];
const BINARIES: [&str; 6] =
    ["/usr/bin/curl", "/usr/bin/*", "/usr/**", "/opt/a/b/tool", "/opt/*/tool", "/bin/sh"];
const PATHS: [&str; 7] = ["/**", "/v1/*", "/v1/**", "/v1/a", "/*/a", "/admin/**", "**"];
const METHODS: [&str; 4] = ["GET", "POST", "get", "*"];

fn endpoint() -> impl Strategy<Value = Ep> {
    let rule = || (select(&METHODS[..]), select(&PATHS[..]));
    let places = (
        select(&HOSTS[..]),
        vec(select(vec![80_u16, 443, 8443]), 0..3),
        option::weighted(0.2, select(&PATHS[..])),
    );
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let access = option::of(select(vec!["read-only", "read-write", "full"]));
    (places, flags, access, vec(rule(), 1..4), vec(rule(), 0..3)).prop_map(
        |((host, ports, path), (enforce, inspected, slash), access, rules, deny)| Ep {
            host,
            ports,
            path,
            enforce,
            inspected,
            access,
            rules,
            deny,
            slash,
        },
    )
}

type Blocks = Vec<(Vec<Ep>, Vec<&'static str>)>;

fn blocks() -> impl Strategy<Value = Blocks> {
    vec((vec(endpoint(), 0..4), vec(select(&BINARIES[..]), 0..3)), 0..6)
}

fn yaml(blocks: &Blocks) -> String {
    let mut text = "version: 1\nnetwork_policies:\n".to_owned();
    for (index, (endpoints, binaries)) in blocks.iter().enumerate() {
        // Names against the order of keys, so that the smallest name is not the first key.
        text += &format!("  k{index}:\n    name: n{}\n    endpoints:\n", 9 - index);
        for ep in endpoints {
            text += &format!("      - {{host: \"{}\", ports: {:?}", ep.host, ep.ports);
            if ep.inspected {
                text += ", protocol: rest";
                if let Some(path) = ep.path {
                    text += &format!(", path: \"{path}\"");
                }
                if ep.enforce {
                    text += ", enforcement: enforce";
                }
                if let Some(access) = ep.access {
                    text += &format!(", access: {access}");
                } else {
                    let rule = |(method, path): &(&str, &str)| {
                        format!("{{allow: {{method: \"{method}\", path: \"{path}\"}}}}")
                    };
                    let rules: Vec<String> = ep.rules.iter().map(rule).collect();
                    text += &format!(", rules: [{}]", rules.join(", "));
                }
                let rule = |(method, path): &(&str, &str)| {
                    format!("{{method: \"{method}\", path: \"{path}\"}}")
                };
                let deny: Vec<String> = ep.deny.iter().map(rule).collect();
                if !deny.is_empty() {
                    text += &format!(", deny_rules: [{}]", deny.join(", "));
                }
                text += &format!(", allow_encoded_slash: {}", ep.slash);
            }
            text += "}\n";
        }
        if endpoints.is_empty() {
            text += "      []\n";
        }
        let binaries: Vec<String> =
            binaries.iter().map(|path| format!("{{path: \"{path}\"}}")).collect();
        text += &format!("    binaries: [{}]\n", binaries.join(", "));
    }
    if blocks.is_empty() {
        text += "  {}\n";
    }
    text
}

#[derive(Clone, Debug)]
struct Ask {
    host: &'static str,
    port: u16,
    binary: &'static str,
    ancestors: Vec<String>,
    method: &'static str,
    path: &'static str,
}

fn ask() -> impl Strategy<Value = Ask> {
    let paths = ["/usr/bin/curl", "/usr/lib/x", "/opt/a/b/tool", "/opt/a/tool", "/bin/sh", "/evil"];
    let asked = ["/", "/v1/a", "/v1/a/b", "/x/a", "/admin/x", "/admin%2Fx", "/v1/../admin/y"];
    (
        (select(&ASKED[..]), select(vec![80_u16, 443, 8443, 22])),
        select(paths.to_vec()),
        vec(select(paths.to_vec()).prop_map(str::to_owned), 0..3),
        (select(vec!["GET", "POST", "DELETE"]), select(asked.to_vec())),
    )
        .prop_map(|((host, port), binary, ancestors, (method, path))| Ask {
            host,
            port,
            binary,
            ancestors,
            method,
            path,
        })
}

/// What a policy says to a question: the connection and the request on it, in words.
fn says(policy: &Policy, ask: &Ask) -> (String, String) {
    let to = Destination::new(ask.host.parse().unwrap(), ask.port).unwrap();
    let caller = Caller { binary: ask.binary, ancestors: &ask.ancestors };
    let connect = Connect { caller, to: &to, inference: true };
    match policy.connect(&connect) {
        Verdict::Allow(grant) => (format!("allow {}", grant.name()), request(&grant, ask)),
        Verdict::Inference(why) => (format!("inference {why}"), String::new()),
        Verdict::Deny(deny) => (format!("deny {deny}"), String::new()),
    }
}

fn request(grant: &Grant<'_>, ask: &Ask) -> String {
    let query = Query::default();
    let path = match CanonicalPath::new(ask.path, grant.encoded_slash()) {
        Ok(path) => path,
        Err(error) => return format!("deny {error}"),
    };
    let request =
        Request { method: ask.method, path: &path, query: &query, operation: Operation::None };
    match grant.request(&request) {
        RequestVerdict::Allow(because) => format!("allow {because}"),
        RequestVerdict::Audit(refusal) => format!("audit {refusal}"),
        RequestVerdict::Deny(refusal) => format!("deny {refusal}"),
    }
}

/// The same by a walk over all entries: the smallest name of a block that lists host, port and caller.
fn linear(file: &PolicyFile, ask: &Ask) -> Option<String> {
    let host = ask.host.parse().unwrap();
    let mut paths = vec![ask.binary];
    paths.extend(ask.ancestors.iter().map(String::as_str));
    let matching = file.network.iter().filter(|(_, block)| {
        let known = block.binaries.iter().any(|one| paths.iter().any(|path| one.matches(path)));
        let listed = block.endpoints.iter().any(|endpoint| {
            endpoint.ports.contains(&ask.port)
                && endpoint.host.as_ref().is_none_or(|pattern| pattern.matches(&host))
        });
        known && listed
    });
    matching.map(|(key, block)| block.name.clone().unwrap_or_else(|| key.clone())).min()
}

/// A glob by its definition: every way of cutting the text is tried.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', '*', rest @ ..] => (0..=text.len()).any(|cut| naive(rest, &text[cut..])),
        ['*', rest @ ..] => {
            let end = text.iter().position(|c| *c == '/').unwrap_or(text.len());
            (0..=end).any(|cut| naive(rest, &text[cut..]))
        }
        ['?', rest @ ..] => text.first().is_some_and(|c| *c != '/') && naive(rest, &text[1..]),
        [c, rest @ ..] => text.first() == Some(c) && naive(rest, &text[1..]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn globs_match_what_their_definition_says(pattern in "[ab/*?]{0,9}", text in "[ab/]{0,9}") {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        let glob = Glob::path(&pattern).unwrap();
        // Three stars are two: the pattern is read from the left.
        let reduced = regex_free_collapse(&pattern);
        prop_assert_eq!(glob.matches(&text), naive(&chars(&reduced), &chars(&text)));
    }

    #[test]
    fn a_canonical_path_is_itself_and_stays_below_the_root(
        raw in "(/|\\.|\\.\\.|%2e|%2E|%2f|%25|;|a|b|%61|%c3%bc|//|\\?|%00|\\\\){0,12}",
        keep in any::<bool>(),
    ) {
        let slash = if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse };
        let raw = format!("/{raw}");
        if let Ok(path) = CanonicalPath::new(&raw, slash) {
            let text = path.as_str();
            let again = CanonicalPath::new(text, slash).unwrap();
            prop_assert_eq!(again.as_str(), text);
            prop_assert!(text.starts_with('/') && !text.contains("//") && !text.contains(';'));
            let read = path.with_slashes().unwrap_or(text);
            prop_assert!(read.split('/').all(|part| part != ".." && part != "."), "{}", text);
        }
    }

    #[test]
    fn a_printed_policy_reads_back_and_decides_the_same(blocks in blocks(), asks in vec(ask(), 1..8)) {
        let (file, _) = PolicyFile::parse(&yaml(&blocks)).unwrap();
        let printed = file.to_yaml().unwrap();
        let (again, _) = PolicyFile::parse(&printed).unwrap();
        prop_assert_eq!(&again, &file, "{}", printed);
        prop_assert_eq!(again.hash(), file.hash());
        let (one, two) = (Policy::new(file), Policy::new(again));
        for ask in &asks {
            prop_assert_eq!(says(&one, ask), says(&two, ask));
        }
    }

    #[test]
    fn the_tree_finds_what_a_walk_finds(blocks in blocks(), asks in vec(ask(), 1..16)) {
        let (file, _) = PolicyFile::parse(&yaml(&blocks)).unwrap();
        let policy = Policy::new(file.clone());
        for ask in &asks {
            let (said, _) = says(&policy, ask);
            match linear(&file, ask) {
                Some(name) => prop_assert_eq!(said, format!("allow {name}")),
                None => prop_assert!(said.starts_with("deny "), "{}", said),
            }
        }
    }

    #[test]
    fn a_host_could_be_reached_if_an_endpoint_with_a_port_is_about_it(blocks in blocks(), host in select(&ASKED[..])) {
        let file = PolicyFile::parse(&yaml(&blocks)).unwrap().0;
        let host: Host = host.parse().unwrap();
        let endpoints = file.network.values().flat_map(|block| &block.endpoints);
        let mut open = endpoints.filter(|endpoint| !endpoint.ports.is_empty());
        let expected = open.any(|endpoint| endpoint.host.as_ref().is_none_or(|one| one.matches(&host)));
        let ports: Vec<u16> = file.network.values().flat_map(|block| &block.endpoints).flat_map(|endpoint| endpoint.ports.clone()).collect();
        let policy = Policy::new(file);
        prop_assert_eq!(policy.could_reach(&host), expected);
        for port in [22, 80, 443, 8080] {
            prop_assert_eq!(policy.has_port(port), ports.contains(&port), "{}", port);
        }
    }

    #[test]
    fn one_more_denying_rule_never_allows_more(
        mut blocks in blocks(),
        asks in vec(ask(), 1..8),
        rule in (select(&METHODS[..]), select(&PATHS[..])),
        at in any::<prop::sample::Index>(),
    ) {
        let before = Policy::new(PolicyFile::parse(&yaml(&blocks)).unwrap().0);
        let inspected = blocks.iter_mut().flat_map(|(endpoints, _)| endpoints).filter(|ep| ep.inspected);
        let mut inspected: Vec<_> = inspected.collect();
        if inspected.is_empty() {
            return Ok(());
        }
        let index = at.index(inspected.len());
        inspected[index].deny.push(rule);
        let after = Policy::new(PolicyFile::parse(&yaml(&blocks)).unwrap().0);
        for ask in &asks {
            let ((one, before), (two, after)) = (says(&before, ask), says(&after, ask));
            prop_assert_eq!(one, two);
            let refused = |said: &str| said.starts_with("deny") || said.starts_with("audit");
            prop_assert!(!refused(&before) || refused(&after), "{} then {}", before, after);
        }
    }

    #[test]
    fn explanations_agree_with_decisions(blocks in blocks(), ask in ask()) {
        let (file, _) = PolicyFile::parse(&yaml(&blocks)).unwrap();
        let policy = Policy::new(file);
        let to = Destination::new(ask.host.parse().unwrap(), ask.port).unwrap();
        let caller = Caller { binary: ask.binary, ancestors: &ask.ancestors };
        let connect = Connect { caller, to: &to, inference: true };
        let nearest = policy.explain(&connect, None, 3);
        let allowed = matches!(policy.connect(&connect), Verdict::Allow(_));
        prop_assert_eq!(nearest.first().is_some_and(|near| near.misses.is_empty()), allowed);
    }

    #[test]
    fn any_text_is_answered(pieces in vec(select(&PIECES[..]), 0..60)) {
        match PolicyFile::parse(&pieces.concat()) {
            Ok((file, _)) => {
                let printed = file.to_yaml().unwrap();
                let again = PolicyFile::parse(&printed).map(|(file, _)| file);
                prop_assert_eq!(again, Ok(file), "{}", printed);
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}

/// Runs of three stars or more as two.
fn regex_free_collapse(pattern: &str) -> String {
    let mut out = String::new();
    for c in pattern.chars() {
        if !(c == '*' && out.ends_with("**")) {
            out.push(c);
        }
    }
    out
}

/// Pieces that YAML, or this format, gives a meaning to.
const PIECES: [&str; 48] = [
    "version: 1\n",
    "version",
    "network_policies:\n",
    "filesystem_policy",
    "process",
    "landlock",
    "  web:\n",
    "    endpoints:\n",
    "    binaries: [{path: /usr/bin/curl}]\n",
    "    binaries: [{path: '/usr/**'}]\n",
    "      - host: a.org\n",
    "      - host: '*.a.org'\n",
    "        port: 443\n",
    "        ports: [80, 443]\n",
    "        protocol: rest\n",
    "        protocol: graphql\n",
    "        protocol: mcp\n",
    "        access: full\n",
    "        access: read-only\n",
    "        enforcement: enforce\n",
    "        rules:\n",
    "          - allow: {method: GET, path: '/**'}\n",
    "          - allow: {method: '*', path: \"/[a\"}\n",
    "          - allow: {operation_type: query, fields: [a]}\n",
    "          - allow: {method: tools/call, tool: {any: [a, b]}}\n",
    "        deny_rules:\n",
    "          - {method: POST, path: /x, query: {a: 'b*'}}\n",
    "        allowed_ips: [10.0.0.0/24]\n",
    "        sensitivity: block\n",
    "        mcp: {strict_tool_names: false}\n",
    "        credential_binding: {provider: x}\n",
    "        path: /graphql\n",
    "network_middlewares:\n",
    "  m: {middleware: x, order: 1, config: {a: [1, 1.5, yes, null, \"2\"]}}\n",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ": ",
    ", ",
    "\n",
    "  ",
    "*",
    "&a ",
    "\"",
    "#",
    "\u{0}",
];
