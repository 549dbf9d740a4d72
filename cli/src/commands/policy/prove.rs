//! `openshell policy prove`: four questions about a policy and the credentials that are used under it, decided by the engine
//! that decides in sandboxes, over every program, destination and method that the policy tells apart.
//!
//! A wildcard stands for one name that it matches. Invariant: what fails has a witness, a program that may do it.

use std::{collections::BTreeSet, net::IpAddr, path::Path, process::ExitCode};

use anyhow::Context as _;
use document::{Report, Spot};
use domain::{Destination, Host};
use policy::{
    Caller, CanonicalPath, Connect, Grant, HostPattern, Operation, Policy, Query, Request,
    RequestVerdict, Verdict,
};
use serde::Serialize;

use crate::{args::change::PolicyProveArgs, commands::provider, failure::Failure, output};

/// Addresses of this host and its link.
const LINK_LOCAL: [&str; 4] = ["169.254.169.254", "127.0.0.1", "fe80::1", "::1"];
/// What a wildcard stands for.
const ANY: &str = "any";
/// Every method that a rule could be about, with those that change nothing first.
const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];

/// A credential: where it belongs, and what it is meant for. What else a file says of it decides nothing.
#[derive(Clone, Debug)]
struct Credential {
    name: String,
    target_hosts: Vec<HostPattern>,
    access: Meant,
}

/// What a credential is meant for.
#[derive(Clone, Copy, Debug, Default)]
enum Meant {
    ReadOnly,
    ReadWrite,
    #[default]
    Full,
}

impl Meant {
    fn covers(self, method: &str) -> bool {
        match self {
            Self::ReadOnly => matches!(method, "GET" | "HEAD" | "OPTIONS"),
            Self::ReadWrite => method != "DELETE",
            Self::Full => true,
        }
    }
}

/// The answer to one question.
#[derive(Debug, Serialize)]
struct Answer {
    question: &'static str,
    passed: bool,
    /// Who could do what should not be possible.
    witnesses: BTreeSet<String>,
}

/// Answers all questions; exit code 1 when one fails.
pub(super) fn run(args: &PolicyProveArgs) -> Result<ExitCode, Failure> {
    let (file, notices) = super::load(&args.policy)?;
    super::warn(&args.policy, &notices);
    let credentials = match &args.credentials {
        Some(path) => read(path)?,
        None => own()?,
    };
    let answers = prove(&Policy::new(file), &credentials);
    let failed = answers.iter().any(|answer| !answer.passed);
    output::emit(args.output, &answers, table)?;
    Ok(ExitCode::from(u8::from(failed)))
}

fn read(path: &Path) -> Result<Vec<Credential>, Failure> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut report = Report::default();
    let root = document::read(&text, "write `credentials:` with a list", &mut report);
    let read = root.map(|root| credentials(&Spot::root(&root), &mut report));
    report.give(read).map(|(credentials, _)| credentials).map_err(|faults| {
        for fault in &faults {
            output::complain(&format!("{}:{fault}", path.display()));
        }
        Failure::new(format!("{} describes no credentials", path.display()))
            .hint("write credentials: [{name: NAME, target_hosts: [HOST], access: read-only}]")
    })
}

/// A list of credentials. What else a file says of them decides nothing here.
fn credentials(root: &Spot<'_>, report: &mut Report) -> Vec<Credential> {
    const FIELDS: [&str; 7] =
        ["name", "type", "scopes", "injected_via", "target_hosts", "access", "description"];
    const ACCESS: [(&str, Meant); 3] =
        [("read-only", Meant::ReadOnly), ("read-write", Meant::ReadWrite), ("full", Meant::Full)];
    let Some(top) = root.table(&["version", "credentials"], report) else { return Vec::new() };
    let list = top.need("credentials", "add `credentials: []`", report);
    let list = list.map(|list| list.list(report)).unwrap_or_default();
    let mut all = Vec::new();
    for spot in list {
        let Some(fields) = spot.table(&FIELDS, report) else { continue };
        for field in ["type", "scopes", "injected_via", "description"] {
            // Taken, so that it is no unknown field.
            drop(fields.take(field));
        }
        let name = fields.need("name", "add `name: github`", report);
        let Some(name) = name.and_then(|name| name.text(report)) else { continue };
        let hosts = fields.take("target_hosts").map(|hosts| hosts.list(report)).unwrap_or_default();
        let target_hosts = hosts.iter().filter_map(|host| host.parsed(report)).collect();
        let access = fields.take("access").and_then(|access| access.word(&ACCESS, report));
        let access = access.unwrap_or_default();
        all.push(Credential { name: name.to_owned(), target_hosts, access });
    }
    all
}

/// The credentials of this user's providers.
fn own() -> Result<Vec<Credential>, Failure> {
    let all = provider::all()?.all()?.into_iter().map(|provider| {
        let places = provider.kind.profile().credentials.iter().flat_map(|one| one.places);
        let target_hosts = places.filter_map(|place| place.host.parse().ok()).collect();
        Credential { name: provider.name, target_hosts, access: Meant::Full }
    });
    Ok(all.collect())
}

fn prove(policy: &Policy, credentials: &[Credential]) -> Vec<Answer> {
    let [mut link, mut bypass, mut reach, mut capability] = [const { BTreeSet::new() }; 4];
    for (binary, to) in cases(policy) {
        let caller = Caller { binary: &binary, ancestors: &[] };
        let asked = Connect { caller, to: &to, inference: false };
        let Verdict::Allow(grant) = policy.connect(&asked) else { continue };
        let local = LINK_LOCAL.iter().filter_map(|text| text.parse::<IpAddr>().ok());
        for address in local.filter(|address| grant.check_address(*address).is_ok()) {
            link.insert(format!("{binary} may reach {address} as {to}"));
        }
        for credential in credentials {
            let at_home = credential.is_of(&to.host);
            let mut bound = false;
            grant.each(|place| {
                bound |= place.endpoint.credentials.provider.as_deref() == Some(&credential.name);
            });
            let name = &credential.name;
            if bound && !at_home {
                reach.insert(format!("{binary} may send {name} to {to}, which is not its service"));
            }
            if !bound && !at_home {
                continue;
            }
            if !grant.is_inspected() {
                bypass.insert(format!(
                    "{binary} may send {name} to {to} in requests that nobody looks at"
                ));
                continue;
            }
            for (method, path) in
                passed(&grant).into_iter().filter(|(method, _)| !credential.access.covers(method))
            {
                capability.insert(format!(
                    "{binary} may {method} {path} at {to} with {name}, which is not meant for that"
                ));
            }
        }
    }
    let answer = |question, witnesses: BTreeSet<String>| Answer {
        question,
        passed: witnesses.is_empty(),
        witnesses,
    };
    vec![
        answer("link_local_reach", link),
        answer("l7_bypass_credentialed", bypass),
        answer("credential_reach_expansion", reach),
        answer("capability_expansion", capability),
    ]
}

impl Credential {
    fn is_of(&self, host: &Host) -> bool {
        self.target_hosts.iter().any(|pattern| pattern.matches(host))
    }
}

/// Every program and destination that the policy tells apart.
fn cases(policy: &Policy) -> BTreeSet<(String, Destination)> {
    let blocks = || policy.file().network.values();
    let binaries = blocks().flat_map(|block| &block.binaries).map(|one| filled(one.as_str()));
    let binaries: BTreeSet<String> = binaries.chain([format!("/{ANY}")]).collect();
    let endpoints = blocks().flat_map(|block| &block.endpoints);
    let mut all = BTreeSet::new();
    for endpoint in endpoints {
        let host = endpoint
            .host
            .as_ref()
            .map_or_else(|| format!("{ANY}.example.com"), |host| filled(&host.to_string()));
        let Ok(host) = host.parse::<Host>() else { continue };
        for to in endpoint.ports.iter().filter_map(|port| Destination::new(host.clone(), *port)) {
            all.extend(binaries.iter().map(|binary| (binary.clone(), to.clone())));
        }
    }
    all
}

/// A text that a pattern matches.
fn filled(pattern: &str) -> String {
    pattern.replace("**", ANY).replace('*', ANY)
}

/// What passes, whether it is recorded or not: each method with a path.
fn passed(grant: &Grant<'_>) -> BTreeSet<(&'static str, String)> {
    let mut paths = BTreeSet::from(["/".to_owned(), format!("/{ANY}")]);
    grant.each(|place| {
        let rules = place.endpoint.rules.iter().filter_map(|rule| rule.path.as_ref());
        let rooted = |path: String| if path.starts_with('/') { path } else { format!("/{path}") };
        paths.extend(rules.map(|glob| rooted(filled(glob.as_str()))));
    });
    let mut found = BTreeSet::new();
    let Ok(query) = Query::new("") else { return found };
    for method in METHODS {
        let passes = paths.iter().find(|path| {
            let Ok(path) = CanonicalPath::new(path, grant.encoded_slash()) else { return false };
            let request =
                Request { method, path: &path, query: &query, operation: Operation::None };
            match grant.request(&request) {
                RequestVerdict::Allow(_) | RequestVerdict::Audit(_) => true,
                RequestVerdict::Deny(_) => false,
            }
        });
        found.extend(passes.map(|path| (method, path.clone())));
    }
    found
}

fn table(answers: &Vec<Answer>) -> String {
    let mut lines = Vec::new();
    for answer in answers {
        lines.push(format!("{} {}", if answer.passed { "PASS" } else { "FAIL" }, answer.question));
        lines.extend(answer.witnesses.iter().map(|witness| format!("  {witness}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use policy::PolicyFile;

    use super::*;

    fn failed(endpoint: &str, access: Meant) -> Vec<&'static str> {
        let text = format!(
            "version: 1\nnetwork_policies: {{a: {{endpoints: [{{{endpoint}}}], binaries: [{{path: /usr/bin/*}}]}}}}"
        );
        let (file, _) = PolicyFile::parse(&text).unwrap();
        let github = Credential {
            name: "gh".to_owned(),
            target_hosts: vec!["*.github.com".parse().unwrap()],
            access,
        };
        let answers = prove(&Policy::new(file), &[github]);
        for answer in &answers {
            assert!(
                answer.witnesses.iter().all(|one| one.starts_with("/usr/bin/any may ")),
                "{answer:?}"
            );
        }
        answers.into_iter().filter(|answer| !answer.passed).map(|answer| answer.question).collect()
    }

    #[test]
    fn each_question_has_its_witness() {
        let rest = "host: api.github.com, port: 443, protocol: rest, enforcement: enforce";
        for (endpoint, access, expected) in [
            (format!("{rest}, access: read-only"), Meant::ReadOnly, &[][..]),
            (format!("{rest}, access: read-write"), Meant::ReadOnly, &["capability_expansion"]),
            (format!("{rest}, access: read-write"), Meant::ReadWrite, &[]),
            (format!("{rest}, rules: [{{allow: {{method: DELETE, path: \"/repos/*\"}}}}]"), Meant::ReadWrite, &["capability_expansion"]),
            // What is only recorded passes.
            (rest.replace("enforcement: enforce", "enforcement: audit, access: read-only"), Meant::ReadOnly, &["capability_expansion"]),
            ("host: \"*.github.com\", port: 443".to_owned(), Meant::Full, &["l7_bypass_credentialed"]),
            ("host: a.example.com, port: 443".to_owned(), Meant::ReadOnly, &[]),
            (
                "host: a.example.com, port: 443, protocol: rest, access: full, enforcement: enforce, credential_binding: {provider: gh}".to_owned(),
                Meant::Full,
                &["credential_reach_expansion"],
            ),
        ] {
            assert_eq!(failed(&endpoint, access), expected, "{endpoint}");
        }
    }
}
