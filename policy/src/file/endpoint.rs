//! One endpoint: where it is, what is spoken there, what is allowed.
//!
//! Messages about the endpoint as a whole carry its path, `<key>.endpoints[i]`, in the wording users know.

use document::{Report, Spot, Table, nearest, shown};
use ipnet::IpNet;

use super::{optional, options, rules, switch};
use crate::{
    address,
    glob::Glob,
    host_pattern::HostPattern,
    model::{Access, Endpoint, Enforcement, Protocol, Scrutiny, Tls},
};

const FIELDS: &[&str] = &[
    "host",
    "port",
    "ports",
    "path",
    "protocol",
    "tls",
    "enforcement",
    "access",
    "rules",
    "deny_rules",
    "allowed_ips",
    "allow_encoded_slash",
    "sensitivity",
    "websocket_credential_rewrite",
    "request_body_credential_rewrite",
    "allow_uninspected_credentials",
    "credential_signing",
    "signing_service",
    "signing_region",
    "credential_binding",
    "persisted_queries",
    "graphql_persisted_queries",
    "graphql_max_body_bytes",
    "mcp",
    "json_rpc",
];

/// Most ports, and most addresses, of one endpoint.
const LIST_MAX: usize = 1024;

/// One endpoint. Everything is read before anything is given up, so that all faults are found.
pub(super) fn read(spot: &Spot<'_>, report: &mut Report) -> Option<Endpoint> {
    let fields = spot.table(FIELDS, report)?;
    let allowed_ips = allowed_ips(&fields, report);
    let protocol = protocol(&fields, report);
    let access = access(&fields, report);
    let endpoint = Endpoint {
        host: host(&fields, report),
        ports: ports(&fields, report),
        path: path(&fields, report),
        protocol,
        tls: tls(&fields, report),
        enforcement: enforcement(&fields, report),
        access,
        rules: rules::allow(&fields, protocol, report),
        deny_rules: rules::deny(&fields, protocol, report),
        allowed_ips,
        allow_encoded_slash: switch(&fields, "allow_encoded_slash", report),
        sensitivity: scrutiny(&fields, report),
        credentials: options::credentials(&fields, report),
        graphql: options::graphql(&fields, protocol, report),
        mcp: options::mcp(&fields, protocol, report),
        json_rpc_body_bytes_max: options::json_rpc(&fields, protocol, report),
    };
    together(&fields, &endpoint, report);
    Some(endpoint)
}

fn host(fields: &Table<'_>, report: &mut Report) -> Option<HostPattern> {
    let Some(spot) = optional(fields, "host") else {
        if fields.take("allowed_ips").is_none() {
            let help = "add `host: example.com`; without one, `allowed_ips` says which addresses are meant";
            report.fault(fields.mark, &fields.path, "`host` is missing", Some(help));
        }
        return None;
    };
    let pattern: HostPattern = match spot.text(report)?.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            report.fault(spot.mark(), &fields.path, format!("{error}"), None);
            return None;
        }
    };
    if let HostPattern::Exact(host) = &pattern
        && (host.address().is_some_and(address::is_always_blocked)
            || host.name() == Some("localhost"))
    {
        spot.notice(report, "this host is always blocked (loopback, link-local or unspecified)");
    }
    Some(pattern)
}

fn ports(fields: &Table<'_>, report: &mut Report) -> Vec<u16> {
    let port = |spot: &Spot<'_>, report: &mut Report| {
        let number = spot.integer(0..=u64::from(u16::MAX), report)?;
        u16::try_from(number).ok().filter(|port| *port > 0)
    };
    let single = fields.take("port").and_then(|spot| port(&spot, report));
    let list = fields.take("ports").map(|spot| spot.list(report)).unwrap_or_default();
    if single.is_some() && !list.is_empty() {
        let message = "port and ports are mutually exclusive; use ports for multiple ports";
        report.fault(fields.mark, &fields.path, message, None);
    }
    if list.len() > LIST_MAX {
        let message = format!("at most {LIST_MAX} ports are possible");
        report.fault(fields.mark, &fields.path, message, None);
    }
    let listed = list.iter().take(LIST_MAX).filter_map(|spot| port(spot, report));
    let mut ports: Vec<u16> = single.into_iter().chain(listed).collect();
    ports.sort_unstable();
    ports.dedup();
    if ports.is_empty() {
        report.notice(fields.mark, &fields.path, "no port is given, so this matches nothing");
    }
    ports
}

/// The selector; faults, because an endpoint that speaks for other paths than meant is not safe.
fn path(fields: &Table<'_>, report: &mut Report) -> Option<Glob> {
    let spot = optional(fields, "path")?;
    let text = spot.text(report)?;
    match Glob::path(&rules::spelled(text)) {
        Ok(glob) => Some(glob.written_as(text)),
        Err(error) => {
            spot.fault(report, format!("bad glob syntax: {error}"), None);
            None
        }
    }
}

fn protocol(fields: &Table<'_>, report: &mut Report) -> Option<Protocol> {
    let words = Protocol::ALL.map(|protocol| (protocol.as_str(), protocol));
    optional(fields, "protocol").and_then(|spot| spot.word(&words, report))
}

fn access(fields: &Table<'_>, report: &mut Report) -> Option<Access> {
    let spot = optional(fields, "access")?;
    let text = spot.text(report)?;
    let all = [Access::ReadOnly, Access::ReadWrite, Access::Full];
    let found = all.into_iter().find(|access| access.as_str() == text);
    if found.is_none() {
        let instead = nearest(text, all.map(Access::as_str));
        let help = instead.map_or_else(
            || "use one of read-only, read-write, full".to_owned(),
            |word| format!("did you mean `{word}`?"),
        );
        let message = format!("`{}` is not known, so nothing is allowed; {help}", shown(text));
        spot.notice(report, message);
    }
    Some(found.unwrap_or(Access::Unknown))
}

fn tls(fields: &Table<'_>, report: &mut Report) -> Tls {
    let Some(spot) = optional(fields, "tls") else { return Tls::Auto };
    let words = [
        ("auto", (Tls::Auto, false)),
        ("skip", (Tls::Skip, false)),
        ("terminate", (Tls::Auto, true)),
        ("passthrough", (Tls::Auto, true)),
    ];
    let (tls, deprecated) = spot.word(&words, report).unwrap_or_default();
    if deprecated {
        spot.notice(report, "deprecated; TLS is detected and terminated automatically");
    }
    tls
}

fn enforcement(fields: &Table<'_>, report: &mut Report) -> Enforcement {
    let words = [("audit", Enforcement::Audit), ("enforce", Enforcement::Enforce)];
    let spot = optional(fields, "enforcement");
    spot.and_then(|spot| spot.word(&words, report)).unwrap_or_default()
}

fn scrutiny(fields: &Table<'_>, report: &mut Report) -> Scrutiny {
    let all = [Scrutiny::Off, Scrutiny::Audit, Scrutiny::Redact, Scrutiny::Block];
    let words = all.map(|scrutiny| (scrutiny.as_str(), scrutiny));
    let spot = optional(fields, "sensitivity");
    spot.and_then(|spot| spot.word(&words, report)).unwrap_or_default()
}

fn allowed_ips(fields: &Table<'_>, report: &mut Report) -> Vec<IpNet> {
    let list = fields.take("allowed_ips").map(|spot| spot.list(report)).unwrap_or_default();
    if list.len() > LIST_MAX {
        let message = format!("at most {LIST_MAX} addresses are possible");
        report.fault(fields.mark, &fields.path, message, None);
    }
    let mut nets = Vec::new();
    for spot in list.iter().take(LIST_MAX) {
        let Some(text) = spot.text(report) else { continue };
        let address =
            text.parse::<std::net::IpAddr>().ok().map(|one| IpNet::from(one.to_canonical()));
        let Some(net) = address.or_else(|| text.parse().ok()) else {
            let message = format!("invalid allowed_ips entry '{}'", shown(text));
            spot.fault(report, message, Some("write a network, as 10.0.5.0/24, or an address"));
            continue;
        };
        if address::overlaps_always_blocked(&net) {
            let message = format!(
                "allowed_ips entry '{}' overlaps always-blocked addresses (loopback/link-local/unspecified)",
                shown(text)
            );
            spot.fault(report, message, Some("name a narrower network"));
        } else if net.prefix_len() < address::WIDE_PREFIX {
            let message =
                format!("this network is wide (/{}); name a narrower one", net.prefix_len());
            spot.notice(report, message);
        }
        nets.push(net.trunc());
    }
    nets
}

/// What fields say only together.
fn together(fields: &Table<'_>, endpoint: &Endpoint, report: &mut Report) {
    let given = |name: &str| fields.take(name).is_some();
    let based = endpoint.access.is_some() || given("rules") || endpoint.mcp.all_known_methods;
    let mut fault = |message: &str, help: Option<&str>| {
        report.fault(fields.mark, &fields.path, message, help);
    };
    if endpoint.access.is_some() && given("rules") {
        fault("rules and access are mutually exclusive", Some("keep one of them"));
    }
    match endpoint.protocol {
        Some(Protocol::Tcp) => {
            if based || given("deny_rules") || endpoint.path.is_some() {
                fault(
                    "protocol tcp is not looked into: rules, access, deny_rules and path have no place",
                    None,
                );
            }
            if endpoint.host.is_none() && !given("host") {
                fault("protocol tcp requires a host name", None);
            }
        }
        Some(Protocol::Sql) if endpoint.enforcement == Enforcement::Enforce => {
            let message = "SQL enforcement requires full SQL parsing (not available in v1). Use `enforcement: audit`.";
            fault(message, None);
        }
        Some(Protocol::JsonRpc)
            if matches!(endpoint.access, Some(Access::ReadOnly | Access::ReadWrite)) =>
        {
            fault("nobody can tell which JSON-RPC methods only read; use rules", None);
        }
        _ => {}
    }
    if endpoint.protocol.is_some_and(|protocol| protocol != Protocol::Tcp) && !based {
        let help = "add `access: read-only`, or `rules`";
        fault("protocol requires rules or access to define allowed traffic", Some(help));
    }
    if given("deny_rules") && fields.take("protocol").is_none() {
        fault(
            "deny_rules require protocol (L7 inspection must be enabled)",
            Some("add `protocol: rest`"),
        );
    }
    if given("deny_rules") && !based {
        fault("deny_rules require rules or access to define the base allow set", None);
    }
    oddities(fields, endpoint, report);
}

/// What is possible and hardly meant.
fn oddities(fields: &Table<'_>, endpoint: &Endpoint, report: &mut Report) {
    let mut notice = |message: &str| report.notice(fields.mark, &fields.path, message);
    let inspected = endpoint.protocol.is_some_and(Protocol::is_inspected);
    if endpoint.protocol.is_none() && (endpoint.access.is_some() || !endpoint.rules.is_empty()) {
        notice("without `protocol` requests are not looked at, and every one is allowed");
    }
    if endpoint.tls == Tls::Skip && inspected && endpoint.ports.contains(&443) {
        notice(
            "`tls: skip` with L7 rules on port 443: requests stay encrypted and no rule applies",
        );
    }
    if endpoint.tls == Tls::Skip && endpoint.sensitivity != Scrutiny::Off {
        notice(
            "`tls: skip` leaves bodies encrypted, so `sensitivity` sees none that are sent over TLS",
        );
    }
    if endpoint.path.is_some() && !inspected {
        notice("`path` selects requests, and without an inspected `protocol` none is looked at");
    }
}
