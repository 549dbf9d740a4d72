use policy::{Caller, Connect, Policy, Verdict};
use serde_json::json;

use super::*;

const CURL: &str = "/usr/bin/curl";

fn add(inbox: &Inbox, to: &str, binary: Option<&str>, what: What<'_>, at_ms: u64) {
    let to = to.parse().unwrap();
    let reason = "endpoint_not_allowed";
    inbox.add(&Refused { to: &to, binary, reason, blocked: None, what, at_ms });
}

fn request(path: &str) -> What<'_> {
    What::Request { method: "GET", path }
}

fn proposal(inbox: &Inbox, policy: &PolicyFile) -> Option<Proposal> {
    let mut denials = inbox.denials(policy);
    assert_eq!(denials.len(), 1);
    denials.remove(0).proposal
}

#[test]
fn refusals_are_counted_by_host_port_and_executable() {
    let inbox = Inbox::default();
    add(&inbox, "a.example:443", Some(CURL), What::Connection, 10);
    add(&inbox, "a.example:443", Some("/usr/bin/wget"), What::Connection, 20);
    add(&inbox, "a.example:443", Some(CURL), What::Connection, 30);
    let denials = inbox.denials(&PolicyFile::default());
    let counts: Vec<u64> = denials.iter().map(|denial| denial.count).collect();
    assert_eq!(counts, [2, 1], "the latest first");
    let json = serde_json::to_value(&denials[0]).unwrap();
    let expected = json!({
        "id": denials[0].id, "host": "a.example", "port": 443, "binary": CURL,
        "reason": "endpoint_not_allowed", "count": 2, "first_seen_ms": 10, "last_seen_ms": 30,
        "unsampled": 0,
        "proposal": {
            "rule_name": "allow_a_example_443", "add_endpoint": "a.example:443", "binary": CURL,
            "security_notes": ["not_inspected"],
        },
    });
    assert_eq!(json, expected);
    assert!(inbox.forget(&denials[0].id) && !inbox.forget(&denials[0].id));
    assert_eq!(inbox.denials(&PolicyFile::default()).len(), 1);
}

#[test]
fn a_proposal_opens_what_was_refused_and_nothing_else() {
    let text = "version: 1\nnetwork_policies:\n  web:\n    endpoints: [{host: a.example, port: 443}, {host: b.example, port: 443}]\n    binaries: [{path: /usr/bin/wget}]\n";
    let policy = PolicyFile::parse(text).unwrap().0;
    let inbox = Inbox::default();
    add(&inbox, "a.example:443", Some(CURL), What::Connection, 1);
    let proposal = proposal(&inbox, &policy).unwrap();
    let merged = Policy::new(policy.merged(&proposal.changes).unwrap().0);
    let opens = |binary, to: &str| {
        let caller = Caller { binary, ancestors: &[] };
        let to = to.parse().unwrap();
        matches!(merged.connect(&Connect { caller, to: &to, inference: false }), Verdict::Allow(_))
    };
    assert!(opens(CURL, "a.example:443"));
    assert!(!opens(CURL, "b.example:443"), "the executable joins no other block");
    assert!(!opens(CURL, "a.example:80"));
    assert!(!opens("/usr/bin/python3", "a.example:443"));
}

#[test]
fn rules_of_different_executables_stay_apart() {
    let inbox = Inbox::default();
    add(&inbox, "a.example:443", Some(CURL), request("/one"), 1);
    let first = proposal(&inbox, &PolicyFile::default()).unwrap();
    assert_eq!(first.add_endpoint, "a.example:443::rest:enforce");
    assert_eq!(first.add_allow, ["a.example:443:GET:/one"]);
    let policy = PolicyFile::default().merged(&first.changes).unwrap().0;
    let inbox = Inbox::default();
    add(&inbox, "a.example:443", Some("/usr/bin/wget"), request("/two"), 1);
    let second = proposal(&inbox, &policy).unwrap();
    assert_eq!(second.rule_name, "allow_a_example_443_2");
    let inbox = Inbox::default();
    add(&inbox, "a.example:443", Some(CURL), request("/three"), 1);
    assert_eq!(proposal(&inbox, &policy).unwrap().rule_name, "allow_a_example_443");
}

#[test]
fn what_no_policy_could_open_and_what_nobody_can_tell_leads_to_no_proposal() {
    let none = |to: &str, binary, what| {
        let inbox = Inbox::default();
        add(&inbox, to, binary, what, 1);
        assert_eq!(proposal(&inbox, &PolicyFile::default()), None, "{to} {binary:?} {what:?}");
    };
    for to in
        ["127.0.0.1:80", "169.254.169.254:80", "[fe80::1]:80", "localhost:80", "x.localhost:1"]
    {
        none(to, Some(CURL), What::Connection);
    }
    none("a.example:443", None, What::Connection);
    none("a.example:443", Some("/tmp/*"), What::Connection);
    none("a.example:443", Some("relative"), What::Connection);
    none("a.example:443", Some(CURL), What::Other);
    none("a.example:443", Some(CURL), request("/a/*"));
    let inbox = Inbox::default();
    let to = "a.example:443".parse().unwrap();
    let blocked = Some(Blocked::Internal);
    let what = What::Connection;
    inbox.add(&Refused {
        to: &to,
        binary: Some(CURL),
        reason: "ssrf_denied",
        blocked,
        what,
        at_ms: 1,
    });
    assert_eq!(proposal(&inbox, &PolicyFile::default()), None);
}

#[test]
fn what_to_think_of_is_noted() {
    let notes = |to: &str, binary: &str, what| {
        let inbox = Inbox::default();
        add(&inbox, to, Some(binary), what, 1);
        proposal(&inbox, &PolicyFile::default()).unwrap().security_notes
    };
    assert_eq!(notes("a.example:443", CURL, request("/x")), []);
    assert_eq!(
        notes("10.0.0.5:443", "/tmp/python3.11", What::Connection),
        [Note::NotInspected, Note::InternalAddress, Note::Interpreter, Note::WritableProgram]
    );
}

#[test]
fn a_flood_of_refusals_takes_bounded_room() {
    let inbox = Inbox::default();
    for number in 0..2_000 {
        add(&inbox, &format!("n{number}.example:443"), Some(CURL), What::Connection, number);
        add(&inbox, "z.example:443", Some(CURL), request(&format!("/{number}")), number);
    }
    let denials = inbox.denials(&PolicyFile::default());
    assert_eq!(denials.len(), ENTRIES_MAX.get());
    let flooded = denials.iter().find(|denial| denial.host == "z.example").unwrap();
    assert_eq!((flooded.count, flooded.samples.len(), flooded.unsampled), (2_000, 32, 1_968));
    let proposal = flooded.proposal.as_ref().unwrap();
    assert_eq!(proposal.add_allow, ["z.example:443:GET:/*"]);
    assert_eq!(proposal.security_notes, [Note::Incomplete]);
}
