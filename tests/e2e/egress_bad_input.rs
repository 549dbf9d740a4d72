//! What a sandbox sends to hurt its proxy is refused in words, costs bounded memory, and disturbs nobody else in it.

use openshell_tests::{
    lab::SERVER, process::run, processes, site::Site, upstream::ScriptedUpstream,
};
use serde_json::{Value, json};

/// More memory than this, KiB, no bad input may cost.
const COST_KIB_MAX: u64 = 64 << 10;

const POLICY: &str = "\
version: 1
filesystem_policy: {include_workdir: true, read_only: [/usr, /lib, /etc], read_write: [/tmp]}
network_policies:
  some:
    endpoints: [{host: allowed.test, ports: [80, 443], allowed_ips: [\"198.18.0.0/24\"]}]
    binaries: [{path: \"/usr/bin/python3*\"}, {path: /usr/bin/curl}]
";

/// A sandbox with a server that it may reach.
struct Victim {
    site: Site,
    _servers: [ScriptedUpstream; 2],
}

impl Victim {
    fn all() -> impl Iterator<Item = Self> {
        Site::all().map(|site| {
            let servers = [site.server((SERVER, 80)), site.server((SERVER, 443))];
            site.create(POLICY);
            assert_eq!(site.status("http://allowed.test/"), 200);
            Self { site, _servers: servers }
        })
    }

    /// The most memory that its supervisor ever held, KiB.
    fn peak_kib(&self) -> u64 {
        processes::number(self.site.person().supervisor("s").unwrap(), "VmHWM")
    }

    /// Sends one kind of bad input; gives how it ended. Others work meanwhile, and afterwards.
    fn suffers(&self, kind: &str) -> Value {
        let before = self.peak_kib();
        let script = include_str!("../clients/egress_bad_input.py");
        let exec = ["sandbox", "exec", "-n", "s", "--no-tty", "--", "python3", "-c", script, kind];
        let mut command = self.site.command(&exec);
        let limit = std::time::Duration::from_mins(3);
        let ended = run(kind, &mut command, limit).expect(0);
        assert_eq!(self.site.status("http://allowed.test/after"), 200, "{kind}");
        let cost = self.peak_kib().saturating_sub(before);
        assert!(cost <= COST_KIB_MAX, "{kind} cost {cost} KiB: {}", ended.stdout);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

#[test]
fn heads_that_make_no_sense_are_refused_in_words() {
    for victim in Victim::all() {
        let said = victim.suffers("refused");
        for (what, status) in [
            ("port 0", "400"),
            ("port 65536", "400"),
            ("no port", "400"),
            ("no UTF-8", "400"),
            ("NUL", "400"),
            ("long name", "400"),
            ("1 MB header", "431"),
            ("1 MB target", "431"),
            ("endless lines", "431"),
            ("garbage", "400"),
            ("TLS to the proxy", "400"),
        ] {
            let line = said[what].as_str().unwrap();
            assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {line}: {said}");
        }
    }
}

#[test]
fn what_is_begun_and_not_ended_is_given_up() {
    for victim in Victim::all() {
        let said = victim.suffers("hello");
        assert_eq!(
            said,
            json!({"tunnel": "HTTP/1.1 200 Connection Established", "half": "closed"})
        );
        let said = victim.suffers("slow");
        assert_eq!(said["left"], 0, "{said}");
        let ended = said["ended"].as_object().unwrap();
        assert!(ended.keys().any(|line| line.starts_with("HTTP/1.1 408 ")), "{said}");
    }
}

#[test]
fn ten_thousand_connections_cost_little_and_are_told_when_there_is_no_room() {
    for victim in Victim::all() {
        let said = victim.suffers("connections");
        assert_eq!(said["opened"], 10_000, "{said}");
        let ended = said["ended"].as_object().unwrap();
        assert!(ended.keys().any(|line| line.starts_with("HTTP/1.1 503 ")), "{said}");
        let told =
            victim.site.wait_for_event(|event| event["status_detail"] == "too_many_connections");
        assert_eq!(told["action"], "Denied", "{told}");
    }
}

#[test]
fn a_hundred_thousand_questions_for_names_cost_little_and_few_are_put_on_record() {
    for victim in Victim::all() {
        let said = victim.suffers("names");
        assert_eq!(said["allowed"], true, "{said}");
        let codes = said["codes"].as_object().unwrap();
        let answered: u64 = codes.values().filter_map(Value::as_u64).sum();
        // Beyond the pace of a name server, questions go unanswered, as any resolver expects of datagrams.
        assert!(answered >= 1_000, "{said}");
        assert!(!codes.contains_key("0"), "no name was there: {said}");
        let names = |event: &&Value| event["class_name"] == "DNS Activity";
        let audit = victim.site.audit();
        let listed = audit.iter().filter(names).count();
        assert!((1..5_000).contains(&listed), "{listed}");
    }
}

#[test]
fn a_policy_with_everything_wrong_is_refused_with_all_of_it_and_changes_nothing() {
    for victim in Victim::all() {
        let wrong = "\
version: 2
filesystem_policy: {read_write: [/], read_only: [relative, /a/../b], writable: []}
process: {run_as_user: root}
network_policies:
  a:
    endpoints:
      - {host: \"*.com\", port: 443}
      - {host: b.test, port: 443, ports: [443]}
      - {host: c.test, port: 443, protocol: gopher}
      - {host: d.test, port: 443, protocol: rest, access: full, rules: [{allow: {method: GET, path: /}}]}
      - {host: e.test, port: 443, allowed_ips: [\"10.0.0.0/99\"]}
    binaries: [/usr/bin/curl]
";
        let file = victim.site.policy(wrong);
        let set = ["policy", "set", "s", "--policy", file.to_str().unwrap(), "--wait"];
        let ended = victim.site.openshell(&set).expect(1);
        let said = ended.said();
        for word in [
            "version",
            "read_write[0]",
            "read_only[0]",
            "read_only[1]",
            "writable",
            "run_as_user",
            "endpoints[0]",
            "port and ports are mutually exclusive",
            "gopher",
            "rules and access are mutually exclusive",
            "10.0.0.0/99",
            "binaries[0]",
        ] {
            assert!(said.contains(word), "{word}: {said}");
        }
        assert_eq!(victim.site.status("http://allowed.test/"), 200, "the good one stays in force");
    }
}
