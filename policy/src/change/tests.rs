use super::{Change, Difference, EndpointSpec, MergeError, ProposalError};
use crate::model::{Access, Enforcement, PolicyFile, Protocol};

const BASE: &str = "
version: 1
filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/tmp]}
network_policies:
  github_api:
    endpoints: [{host: api.github.com, port: 443, protocol: rest, enforcement: enforce, access: read-only}]
    binaries: [{path: /usr/bin/curl}]
  plain:
    endpoints: [{host: example.com, ports: [80, 443]}]
    binaries: [{path: /usr/bin/wget}]
";

fn policy(text: &str) -> PolicyFile {
    PolicyFile::parse(text).unwrap().0
}

fn base() -> PolicyFile {
    policy(BASE)
}

fn add(spec: &str, binaries: &[&str], key: Option<&str>) -> Change {
    Change::AddEndpoint {
        endpoint: spec.parse().unwrap(),
        binaries: binaries.iter().map(|path| (*path).to_owned()).collect(),
        key: key.map(str::to_owned),
    }
}

fn merged(changes: &[Change]) -> PolicyFile {
    base().merged(changes).unwrap().0
}

#[test]
fn endpoint_specs_name_their_parts() {
    let spec: EndpointSpec = "api.github.com:443:read-only:rest:enforce".parse().unwrap();
    assert_eq!(
        (spec.port, spec.access, spec.protocol, spec.enforcement),
        (443, Some(Access::ReadOnly), Some(Protocol::Rest), Some(Enforcement::Enforce))
    );
    let plain: EndpointSpec = "[fd00::1]:80".parse().unwrap();
    assert_eq!((plain.host.to_string(), plain.access), ("fd00::1".to_owned(), None));
    let skipped: EndpointSpec = "a.b:1::rest".parse().unwrap();
    assert_eq!((skipped.access, skipped.protocol), (None, Some(Protocol::Rest)));
    let cases = [
        ("a.b", "expected host:port"),
        ("a.b:0", "'0' is no port"),
        ("a.b:x", "'x' is no port"),
        ("*:443", "matches all hosts"),
        ("a.b:443:readonly", "'readonly' is not known here"),
        ("a.b:443:full:rset", "'rset' is not known here"),
        ("a.b:443:full:rest:enforce:more", "expected host:port"),
        ("[fd00::1:80", "expected host:port"),
    ];
    for (text, message) in cases {
        let error = text.parse::<EndpointSpec>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}

#[test]
fn an_endpoint_is_added_to_the_policy_that_has_it_or_to_a_new_one() {
    let next = merged(&[add("api.github.com:443:full", &["/usr/bin/gh"], None)]);
    let block = &next.network["github_api"];
    assert_eq!(block.endpoints.len(), 1);
    assert_eq!(block.endpoints[0].access, Some(Access::Full));
    assert_eq!(block.endpoints[0].enforcement, Enforcement::Enforce);
    assert_eq!(block.binaries.len(), 2);
    let next = merged(&[add("*.example.org:8443", &["/opt/*/bin/x"], None)]);
    assert!(next.network["allow_example_org_8443"].binaries[0].is_glob());
    let next = merged(&[add("b.org:1", &[], Some("mine"))]);
    assert_eq!(next.network["mine"].endpoints[0].ports, [1]);
    assert_eq!(next.network.len(), 3);
}

#[test]
fn endpoints_and_policies_are_removed() {
    let next = merged(&[Change::remove_endpoint("example.com:80").unwrap()]);
    assert_eq!(next.network["plain"].endpoints[0].ports, [443]);
    let next = merged(&[
        Change::remove_endpoint("example.com:80").unwrap(),
        Change::remove_endpoint("example.com:443").unwrap(),
        Change::RemoveRule("github_api".to_owned()),
    ]);
    assert!(next.network.is_empty());
}

#[test]
fn rules_are_added_to_inspected_endpoints() {
    let spec = || "api.github.com:443:POST:/repos/*/issues".parse().unwrap();
    let next = merged(&[Change::AddAllow(spec()), Change::AddDeny(spec())]);
    let endpoint = &next.network["github_api"].endpoints[0];
    let methods: Vec<_> = endpoint.rules.iter().filter_map(|rule| rule.method.as_deref()).collect();
    assert_eq!((endpoint.access, methods), (None, vec!["GET", "HEAD", "OPTIONS", "POST"]));
    assert_eq!(endpoint.deny_rules.len(), 1);
}

#[test]
fn changes_that_cannot_be_made_are_refused_and_change_nothing() {
    let cases = [
        (Change::RemoveRule("nope".to_owned()), "there is no policy 'nope'"),
        (
            Change::remove_endpoint("example.com:22").unwrap(),
            "no policy has an endpoint example.com:22",
        ),
        (
            Change::AddAllow("example.com:443:GET:/**".parse().unwrap()),
            "endpoint example.com:443 is not inspected",
        ),
        (
            Change::AddDeny("nowhere.org:443:GET:/**".parse().unwrap()),
            "no policy has an endpoint nowhere.org:443",
        ),
        (
            add("127.0.0.1:80", &[], None),
            "proposed rule endpoint host '127.0.0.1' is an always-blocked address (loopback/link-local/unspecified)",
        ),
        (
            add("localhost:80", &[], None),
            "proposed rule endpoint host 'localhost' is always blocked",
        ),
        (
            add("a.org:443::rest", &[], None),
            "protocol requires rules or access to define allowed traffic",
        ),
    ];
    for (change, message) in cases {
        let first = add("fine.org:443", &["/bin/x"], None);
        let error = base().merged(&[first, change]).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    let spec = add("a.org:443", &[], None);
    let blocked = policy(
        "version: 1\nnetwork_policies: {a: {endpoints: [{host: a.org, port: 443, allowed_ips: [10.0.0.0/24]}], binaries: [{path: /a}]}}",
    );
    assert!(blocked.merged(std::slice::from_ref(&spec)).is_ok());
    let mut worse = blocked;
    let endpoint = worse.network.get_mut("a").and_then(|block| block.endpoints.get_mut(0)).unwrap();
    endpoint.allowed_ips = vec!["127.0.0.0/8".parse().unwrap()];
    let error = worse.merged(&[spec]).unwrap_err();
    let net = "127.0.0.0/8".parse().unwrap();
    assert_eq!(error, MergeError::Proposal(ProposalError::Network(net)));
    assert_eq!(
        error.to_string(),
        "proposed rule contains always-blocked allowed_ips entry '127.0.0.0/8'"
    );
}

#[test]
fn differences_have_places_and_know_what_is_fixed() {
    let next = policy(
        &BASE
            .replace("read-only,", "full,")
            .replace("access: read-only", "access: full")
            .replace("[/usr]", "[/usr, /opt]"),
    );
    let paths: Vec<(String, bool)> = base()
        .differences(&next)
        .into_iter()
        .map(|one: Difference| (one.path, one.fixed))
        .collect();
    assert_eq!(
        paths,
        [
            ("filesystem_policy.read_only[1]".to_owned(), true),
            ("network_policies.github_api.endpoints[0].access".to_owned(), false),
        ]
    );
    assert!(base().differences(&base()).is_empty());
}

#[test]
fn what_is_fixed_cannot_change_on_a_live_sandbox() {
    let with = |text: &str| policy(&format!("version: 1\n{text}"));
    let old =
        with("filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/tmp]}");
    let cases = [
        ("", "filesystem policy cannot be removed on a live sandbox"),
        (
            "filesystem_policy: {read_only: [/usr], read_write: [/tmp]}",
            "filesystem include_workdir cannot be changed on a live sandbox",
        ),
        (
            "filesystem_policy: {include_workdir: true, read_write: [/tmp]}",
            "filesystem read_only path '/usr' cannot be removed on a live sandbox",
        ),
        (
            "filesystem_policy: {include_workdir: true, read_only: [/usr]}",
            "filesystem read_write path '/tmp' cannot be removed on a live sandbox",
        ),
        (
            "filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/tmp]}\nlandlock: {compatibility: hard_requirement}",
            "landlock policy cannot be changed on a live sandbox (applied at startup)",
        ),
        (
            "filesystem_policy: {include_workdir: true, read_only: [/usr], read_write: [/tmp]}\nprocess: {run_as_user: 1000}",
            "process policy cannot be changed on a live sandbox (applied at startup)",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(old.rejections(&with(text)), [message]);
    }
    let more = with(
        "filesystem_policy: {include_workdir: true, read_only: [/usr, /opt], read_write: [/tmp]}\nlandlock: {}\nprocess: {}",
    );
    assert!(old.rejections(&more).is_empty());
    assert_eq!(
        old.postponed(&more),
        ["filesystem read_only path '/opt' takes effect when the sandbox starts next"]
    );
}

#[test]
fn the_hash_tells_meanings_apart_and_not_spellings() {
    let spelled =
        policy(&BASE.replace("port: 443, protocol: rest", "ports: [443], protocol: \"rest\""));
    assert_eq!(base().hash(), spelled.hash());
    assert_eq!(base().hash().len(), 64);
    let other = policy(&BASE.replace("443, protocol", "444, protocol"));
    assert_ne!(base().hash(), other.hash());
}
