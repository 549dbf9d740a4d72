//! Why a question is answered as it is: every endpoint with what keeps it from matching, the nearest first, and
//! what would have to change.
//!
//! Not here: the answer itself; it comes from the same functions that decide for real. This walks the policy entry
//! by entry, because whoever asks why has time.

use std::fmt::Write as _;

use domain::{Destination, Host};

use crate::{
    address,
    compiled::{Place, Policy},
    file::print,
    host_pattern::HostPattern,
    model::{Access, Endpoint, Protocol},
    question::{Connect, Request},
    request::{Judged, RefusalCode, judge},
    rule::{Rule, Sense},
};

/// Most rules of one endpoint that are told to have missed.
const RULES_MAX: usize = 3;

/// The weight from which an endpoint is about something else.
const FAR: u32 = 60;

/// An endpoint, and what keeps it from matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// How its block is called.
    pub policy: String,
    /// Where it stands in the file, as `network_policies.github.endpoints[0]`.
    pub place: String,
    /// What it is about, as `*.example.com:443`.
    pub about: String,
    /// What keeps it from allowing the question; empty if it does.
    pub misses: Vec<Miss>,
    weight: u32,
}

/// One thing that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// What it is.
    pub what: String,
    /// What would have to change.
    pub change: String,
}

impl Policy {
    /// The endpoints that come nearest to allowing the question, at most `count`; those that allow it first.
    pub fn explain(
        &self,
        question: &Connect<'_>,
        request: Option<&Request<'_>>,
        count: usize,
    ) -> Vec<Near> {
        let mut all = Vec::new();
        for (key, block) in self.blocks() {
            for (index, endpoint) in block.endpoints.iter().enumerate() {
                all.push(near(Place { key, block, index, endpoint }, question, request));
            }
        }
        // Stable, so that of equals the one whose name is smallest comes first.
        all.sort_by_key(|near| near.weight);
        // Where some are about the host, the others are noise; where none is, two are enough to see that.
        let near = all.iter().take_while(|near| near.weight < FAR).count();
        all.truncate(count.min(if near > 0 { near } else { 2 }));
        all
    }
}

fn near(place: Place<'_>, question: &Connect<'_>, request: Option<&Request<'_>>) -> Near {
    let at =
        format!("{}.endpoints[{}]", document::joined("network_policies", place.key), place.index);
    let mut near = Near {
        policy: place.name().to_owned(),
        about: about(place.endpoint),
        place: at,
        misses: Vec::new(),
        weight: 0,
    };
    let endpoint = place.endpoint;
    if let Some(pattern) = endpoint.host.as_ref().filter(|host| !host.matches(&question.to.host)) {
        near.miss(host_weight(pattern, &question.to.host), host(pattern, question.to));
    }
    if !endpoint.ports.contains(&question.to.port()) {
        near.miss(20, port(&near.place, endpoint, question.to.port()));
    }
    let known = question
        .caller
        .paths()
        .any(|path| place.block.binaries.iter().any(|binary| binary.matches(path)));
    if !known {
        near.miss(10, binary(place, question.caller.binary));
    }
    if question.to.host.address().is_some_and(address::is_always_blocked) {
        let what =
            format!("no policy opens {}: loopback, link-local or unspecified", question.to.host);
        near.miss(5, Miss { what, change: "reach the service at another address".to_owned() });
    }
    let inspected = endpoint.protocol.is_some_and(Protocol::is_inspected);
    if let Some(request) = request.filter(|_| inspected) {
        near.request(endpoint, request);
    }
    near
}

impl Near {
    fn miss(&mut self, weight: u32, miss: Miss) {
        self.weight = self.weight.saturating_add(weight);
        self.misses.push(miss);
    }

    fn request(&mut self, endpoint: &Endpoint, request: &Request<'_>) {
        let path = request.path.as_str();
        if let Some(glob) = endpoint.path.as_ref().filter(|glob| !glob.matches(path)) {
            let what = format!("the endpoint speaks for the path {glob}, and {path} is none of it");
            let change =
                format!("widen `path` of {}, or add an endpoint for this path", self.place);
            self.miss(8, Miss { what, change });
        }
        let http = matches!(endpoint.protocol, Some(Protocol::Rest | Protocol::Websocket));
        match endpoint.protocol.map(|protocol| judge(endpoint, protocol, request)) {
            Some(Judged::Denied(RefusalCode::DenyRule(index))) => {
                let what = format!("deny_rules[{index}] denies it");
                let change = format!("remove or narrow {}.deny_rules[{index}]", self.place);
                self.miss(4, Miss { what, change });
            }
            Some(Judged::Denied(code)) => {
                let what = format!("the body is refused ({})", code.as_str());
                let change = "send a body in the endpoint's protocol".to_owned();
                self.miss(4, Miss { what, change });
            }
            Some(Judged::Nothing) if !http => {
                let what = "no rule allows what the body asks for".to_owned();
                let change = format!("add a rule for it to {}.rules", self.place);
                self.miss(2, Miss { what, change });
            }
            Some(Judged::Nothing | Judged::Allowed(_)) | None => {}
        }
        if !http {
            return;
        }
        if let Some(access) = endpoint.access {
            if let Some(protocol) = endpoint.protocol
                && !crate::rule::access_allows(access, protocol, request.method)
            {
                self.miss(2, preset(&self.place, access, request.method));
            }
            return;
        }
        let meant = |rule: &Rule| {
            rule.matches_http(Sense::Allow, request.method, request.path, request.query)
        };
        if !endpoint.rules.iter().any(meant) {
            for miss in rules(&self.place, endpoint, request) {
                self.miss(2, miss);
            }
        }
    }
}

fn about(endpoint: &Endpoint) -> String {
    let host = endpoint.host.as_ref().map_or_else(|| "any host".to_owned(), HostPattern::to_string);
    let ports: Vec<String> = endpoint.ports.iter().map(u16::to_string).collect();
    let ports = if ports.is_empty() { "no port".to_owned() } else { ports.join(",") };
    let mut about = format!("{host}:{ports}");
    if let Some(path) = &endpoint.path {
        let _always = write!(about, " {path}");
    }
    about
}

/// How far a host is from a pattern: names below the same domain are near.
fn host_weight(pattern: &HostPattern, host: &Host) -> u32 {
    let name = host.to_string();
    let text = pattern.to_string();
    let labels = |text: &str| text.rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    let same = labels(&text).iter().zip(labels(&name)).take_while(|(one, two)| *one == two).count();
    let typo = document::nearest(&name, [text.as_str()]).is_some();
    match same {
        _ if typo => 30,
        0 | 1 => 1000,
        _ => FAR,
    }
}

fn host(pattern: &HostPattern, to: &Destination) -> Miss {
    let host = &to.host;
    let what = match pattern {
        HostPattern::One(suffix) if host.name() == Some(suffix) => {
            format!("`{pattern}` does not mean {host} itself")
        }
        HostPattern::Many(suffix) if host.name() == Some(suffix) => {
            format!("`{pattern}` does not mean {host} itself")
        }
        HostPattern::One(suffix) if HostPattern::Many(suffix.clone()).matches(host) => {
            format!(
                "`*` of `{pattern}` stands for one label, and {host} has more; `**` takes several"
            )
        }
        _ => format!("the host {host} is not `{pattern}`"),
    };
    Miss { what, change: format!("add an endpoint {{host: {host}, port: {}}}", to.port()) }
}

fn port(place: &str, endpoint: &Endpoint, port: u16) -> Miss {
    let ports: Vec<String> = endpoint.ports.iter().map(u16::to_string).collect();
    let list = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
    Miss {
        what: format!("the port is {port}, and the endpoint has {list}"),
        change: format!("add {port} to `ports` of {place}"),
    }
}

fn binary(place: Place<'_>, binary: &str) -> Miss {
    let listed: Vec<&str> =
        place.block.binaries.iter().take(5).map(crate::model::BinaryPattern::as_str).collect();
    let more = place.block.binaries.len().saturating_sub(listed.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let listed = if listed.is_empty() { "none".to_owned() } else { listed.join(", ") };
    let key = document::joined("network_policies", place.key);
    Miss {
        what: format!("neither {binary} nor an ancestor is among its binaries: {listed}{more}"),
        change: format!(
            "add {{path: {binary}}} to {key}.binaries; it must be the file that links lead to"
        ),
    }
}

fn preset(place: &str, access: Access, method: &str) -> Miss {
    let change = match access {
        Access::ReadOnly
            if crate::rule::access_allows(Access::ReadWrite, Protocol::Rest, method) =>
        {
            format!("write `access: read-write` at {place}, or rules that name what may be sent")
        }
        Access::Unknown => format!("write `access: read-only`, `read-write` or `full` at {place}"),
        Access::ReadOnly | Access::ReadWrite | Access::Full => {
            format!("replace `access` of {place} by rules that name what may be sent")
        }
    };
    Miss { what: format!("access {} does not allow {method}", access.as_str()), change }
}

/// What the nearest rules lack.
fn rules(place: &str, endpoint: &Endpoint, request: &Request<'_>) -> Vec<Miss> {
    let mut misses: Vec<(usize, String)> = Vec::new();
    for (index, rule) in endpoint.rules.iter().enumerate() {
        let lacks = lacks(rule, request);
        misses.push((lacks.len(), format!("rules[{index}]: {}", lacks.join("; "))));
    }
    misses.sort_by_key(|(count, _)| *count);
    let path = request.path.as_str();
    let change =
        format!("add `- allow: {{method: {}, path: \"{path}\"}}` to {place}.rules", request.method);
    if misses.is_empty() {
        return vec![Miss { what: "it has no rules".to_owned(), change }];
    }
    let nearest = misses.into_iter().take(RULES_MAX);
    nearest.map(|(_, what)| Miss { what, change: change.clone() }).collect()
}

fn lacks(rule: &Rule, request: &Request<'_>) -> Vec<String> {
    let mut lacks = Vec::new();
    let method = rule.method.as_deref().unwrap_or("nothing");
    if !crate::rule::method_is(method, Sense::Allow, request.method) {
        lacks.push(format!("the method is {}, and the rule allows {method}", request.method));
    }
    if !rule.path.as_ref().is_some_and(|glob| glob.matches(request.path.as_str())) {
        let glob = rule.path.as_ref().map_or("no path", |glob| glob.as_str());
        lacks.push(format!("the path {} does not match {glob}", request.path));
    }
    for (name, matcher) in &rule.query {
        let mut values = request.query.values(name).peekable();
        if values.peek().is_none() {
            lacks.push(format!("the query has no `{name}`"));
        } else if !values.all(|value| matcher.matches(value)) {
            // The value itself may be a secret.
            lacks.push(format!("a value of `{name}` does not match"));
        }
    }
    if lacks.is_empty() {
        let text = print::rule(rule);
        lacks.push(format!("it asks for more than method, path and query: {text}"));
    }
    lacks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Caller, CanonicalPath, EncodedSlash, Operation, PolicyFile, Query};

    const POLICY: &str = "
version: 1
network_policies:
  web:
    endpoints:
      - {host: \"*.example.com\", port: 443, protocol: rest, access: read-only, deny_rules: [{method: GET, path: /x}]}
      - {host: tools.example.org, port: 443, protocol: mcp, access: full}
    binaries: [{path: /usr/bin/curl}]
";

    /// What keeps the nearest endpoint from allowing it, and how many others are told about.
    fn misses(binary: &str, to: &str, request: Option<(&str, &str)>) -> (Vec<String>, usize) {
        let policy = Policy::new(PolicyFile::parse(POLICY).unwrap().0);
        let to: Destination = to.parse().unwrap();
        let caller = Caller { binary, ancestors: &[] };
        let connect = Connect { caller, to: &to, inference: true };
        let (method, path) = request.unwrap_or_default();
        let path = CanonicalPath::new(path, EncodedSlash::Refuse);
        let query = Query::default();
        let request = path.as_ref().ok().map(|path| Request {
            method,
            path,
            query: &query,
            operation: Operation::None,
        });
        let near = policy.explain(&connect, request.as_ref(), 5);
        let words = near[0].misses.iter().map(|miss| miss.what.clone()).collect();
        (words, near.len() - 1)
    }

    #[test]
    fn the_nearest_endpoint_tells_what_it_lacks() {
        let curl = "/usr/bin/curl";
        let cases = [
            (curl, "a.example.com:443", None, ""),
            (curl, "a.example.com:80", None, "the port is 80, and the endpoint has 443"),
            (curl, "example.com:443", None, "`*.example.com` does not mean example.com itself"),
            (
                curl,
                "a.b.example.com:443",
                None,
                "`*` of `*.example.com` stands for one label, and a.b.example.com has more; `**` takes several",
            ),
            (
                "/bin/sh",
                "a.example.com:443",
                None,
                "neither /bin/sh nor an ancestor is among its binaries: /usr/bin/curl",
            ),
            (
                curl,
                "a.example.com:443",
                Some(("POST", "/y")),
                "access read-only does not allow POST",
            ),
            (curl, "a.example.com:443", Some(("GET", "/x")), "deny_rules[0] denies it"),
            (
                curl,
                "tools.example.org:443",
                Some(("POST", "/mcp")),
                "the body is refused (unreadable_operation)",
            ),
        ];
        for (binary, to, request, expected) in cases {
            assert_eq!(misses(binary, to, request).0.join("; "), expected, "{to} {request:?}");
        }
    }

    #[test]
    fn what_is_about_other_hosts_is_told_only_where_nothing_is_nearer() {
        assert_eq!(misses("/usr/bin/curl", "a.example.com:443", None).1, 0);
        assert_eq!(misses("/usr/bin/curl", "elsewhere.net:443", None).1, 1);
    }
}
