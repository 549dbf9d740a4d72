//! What was done, read from the record of decisions, and the policy that allows just that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, ToSocketAddrs as _},
};

use domain::Destination;
use policy::{PolicyFile, address, change::Change};
use proxy::egress::denials::{Inbox, Note, Refused, What};
use serde_json::Value;

use crate::{failure::Failure, output::printable};

/// Who went where, and what for.
#[derive(Debug, Default)]
pub(super) struct Watched {
    done: BTreeMap<(String, String), Done>,
    refused: BTreeMap<String, u64>,
    model_calls: u64,
}

#[derive(Debug, Default)]
struct Done {
    connections: u64,
    requests: BTreeMap<(String, String), u64>,
    addresses: BTreeSet<IpAddr>,
}

impl Done {
    /// How often: requests where there were some, else connections.
    fn times(&self) -> String {
        let requests: u64 = self.requests.values().sum();
        let (count, what) =
            if requests > 0 { (requests, "request") } else { (self.connections, "connection") };
        format!("{count} {what}{}", if count == 1 { "" } else { "s" })
    }
}

impl Watched {
    /// Takes one event of the record.
    pub(super) fn add(&mut self, event: &Value) {
        let text = |at: &str| event.pointer(at).and_then(Value::as_str);
        let host = text("/dst_endpoint/hostname").or_else(|| text("/dst_endpoint/ip"));
        let number = |at: &str| event.pointer(at).and_then(Value::as_u64);
        let port = number("/dst_endpoint/port");
        if event.pointer("/unmapped/openshell/inference").is_some() {
            self.model_calls += u64::from(number("/class_uid") == Some(4_002));
            return;
        }
        let (Some(host), Some(port)) = (host, port) else { return };
        let to =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        if text("/action") == Some("Denied") {
            let reason = text("/status_detail").unwrap_or("refused");
            *self.refused.entry(format!("{to} ({reason})")).or_default() += 1;
            return;
        }
        let Some(binary) = text("/actor/process/file/path") else { return };
        let done = self.done.entry((to, binary.to_owned())).or_default();
        done.addresses.extend(text("/dst_endpoint/ip").and_then(|ip| ip.parse::<IpAddr>().ok()));
        let request = text("/http_request/http_method").zip(text("/http_request/url/path"));
        match (number("/class_uid"), request) {
            (Some(4_002), Some((method, path))) if method != "CONNECT" => {
                *done.requests.entry((method.to_owned(), path.to_owned())).or_default() += 1;
            }
            (Some(4_002), _) => done.connections += 1,
            (Some(4_001), _) if number("/activity_id") == Some(1) => done.connections += 1,
            _ => {}
        }
    }

    /// Asks again where the names lead that were reached: what leads into an internal network needs its addresses in the
    /// policy. The sandbox was allowed to ask, so nothing new is told.
    pub(super) fn resolve(&mut self) {
        for ((to, _), done) in &mut self.done {
            let found = to.to_socket_addrs();
            done.addresses.extend(found.into_iter().flatten().map(|address| address.ip()));
        }
    }

    /// The policy that would have allowed what was done, with a remark for each rule.
    pub(super) fn policy(&self) -> Result<String, Failure> {
        let mut policy = PolicyFile::restrictive();
        let mut remarks = BTreeMap::new();
        let mut left = Vec::new();
        for ((to, binary), done) in &self.done {
            match proposed(&policy, to, binary, done) {
                Some((key, changes)) => {
                    policy = policy.merged(&changes)?.0;
                    open_addresses(&mut policy, &key, done);
                    remarks
                        .insert(key, format!("{} by {}", done.times(), printable(binary, false)));
                }
                None => {
                    left.push(format!("{to} by {}: {}", printable(binary, false), done.times()));
                }
            }
        }
        let mut text =
            String::from("# Made by openshell learn: what one run needed, and no more.\n");
        if self.model_calls > 0 {
            let count = self.model_calls;
            writeln!(text, "# {count} calls of models went to the router, which needs no rule.")?;
        }
        for one in left {
            writeln!(text, "# No rule could be made for {one}.")?;
        }
        for (what, count) in &self.refused {
            let what = printable(what, false);
            writeln!(text, "# Refused all the same, {count} times: {what}.")?;
        }
        let yaml = policy.to_yaml()?;
        for line in yaml.lines() {
            let key = line.strip_prefix("  ").and_then(|line| line.strip_suffix(':'));
            if let Some(remark) = key.and_then(|key| remarks.get(key.trim_matches(['"', '\'']))) {
                writeln!(text, "  # {remark}")?;
            }
            text.push_str(line);
            text.push('\n');
        }
        PolicyFile::parse(&text)
            .map_err(|_| Failure::new("what was learned is no sound policy"))?;
        Ok(text)
    }
}

/// The changes that would have allowed this, as they are proposed for refusals, and the key of their rule.
fn proposed(
    policy: &PolicyFile,
    to: &str,
    binary: &str,
    done: &Done,
) -> Option<(String, Vec<Change>)> {
    let to: Destination = to.parse().ok()?;
    let inbox = Inbox::default();
    let refused = |what| Refused {
        to: &to,
        binary: Some(binary),
        reason: "learned",
        blocked: None,
        what,
        at_ms: 0,
    };
    if done.requests.is_empty() {
        inbox.add(&refused(What::Connection));
    }
    for (method, path) in done.requests.keys() {
        inbox.add(&refused(What::Request { method, path }));
    }
    let proposal = inbox.denials(policy).pop()?.proposal?;
    let mut changes = proposal.changes;
    if proposal.security_notes.contains(&Note::Incomplete) {
        // More than a person would read: the methods alone.
        changes.retain(|change| matches!(change, Change::AddEndpoint { .. }));
        let methods: BTreeSet<&str> = done.requests.keys().map(|(method, _)| &**method).collect();
        let rule = |method: &str| format!("{to}:{method}:/**").parse().ok().map(Change::AddAllow);
        changes.extend(methods.into_iter().filter_map(rule));
    }
    Some((proposal.rule_name, changes))
}

/// Addresses of an internal network open only where they are listed.
fn open_addresses(policy: &mut PolicyFile, key: &str, done: &Done) {
    let Some(block) = policy.network.get_mut(key) else { return };
    for endpoint in &mut block.endpoints {
        let port = endpoint.ports.first().copied().unwrap_or_default();
        let internal = done.addresses.iter().any(|one| address::check(*one, port, &[]).is_err());
        if internal {
            endpoint.allowed_ips = done.addresses.iter().map(|one| (*one).into()).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(host: &str, method: &str, path: &str, ip: &str) -> Value {
        json!({
            "class_uid": 4002, "action": "Observed",
            "dst_endpoint": {"hostname": host, "ip": ip, "port": 443},
            "actor": {"process": {"file": {"path": "/usr/bin/curl"}}},
            "http_request": {"http_method": method, "url": {"path": path}},
        })
    }

    fn learned(events: &[Value]) -> String {
        let mut watched = Watched::default();
        for event in events {
            watched.add(event);
        }
        watched.policy().unwrap()
    }

    #[test]
    fn requests_become_rules_with_how_often() {
        let get = request("api.example.com", "GET", "/a", "93.184.216.34");
        let text =
            learned(&[get.clone(), get, request("api.example.com", "POST", "/b", "93.184.216.34")]);
        assert!(
            text.contains("  # 3 requests by /usr/bin/curl\n  allow_api_example_com_443:"),
            "{text}"
        );
        let (policy, _) = PolicyFile::parse(&text).unwrap();
        let endpoint = &policy.network["allow_api_example_com_443"].endpoints[0];
        assert_eq!((endpoint.rules.len(), endpoint.allowed_ips.len()), (2, 0));
    }

    #[test]
    fn many_requests_become_their_methods() {
        let lines: Vec<Value> = (0..50)
            .map(|n| request("a.example.com", "GET", &format!("/x{n}y/z"), "1.2.3.4"))
            .collect();
        let (policy, _) = PolicyFile::parse(&learned(&lines)).unwrap();
        let rules = &policy.network["allow_a_example_com_443"].endpoints[0].rules;
        assert_eq!(rules.len(), 1);
        assert_eq!(rules[0].path.as_ref().unwrap().as_str(), "/**");
    }

    #[test]
    fn internal_addresses_are_listed() {
        let (policy, _) =
            PolicyFile::parse(&learned(&[request("a.lab.test", "GET", "/", "198.18.0.10")]))
                .unwrap();
        let endpoint = &policy.network["allow_a_lab_test_443"].endpoints[0];
        assert_eq!(endpoint.allowed_ips[0].to_string(), "198.18.0.10/32");
    }

    #[test]
    fn what_was_refused_all_the_same_is_a_remark() {
        let line = json!({
            "class_uid": 4001, "action": "Denied", "status_detail": "ssrf_denied",
            "dst_endpoint": {"ip": "169.254.169.254", "port": 80},
        });
        let text = learned(&[line]);
        assert!(
            text.contains("# Refused all the same, 1 times: 169.254.169.254:80 (ssrf_denied).\n"),
            "{text}"
        );
    }
}
