//! What would open what was refused, and no more: a rule of its own for one host, one port and one executable.

use std::collections::BTreeSet;

use policy::{
    PolicyFile, address,
    change::{Change, EndpointSpec, RuleSpec},
    model::{Block, Endpoint},
};
use serde::Serialize;

use super::{Entry, Key, collapse};

/// Most rules about requests in one proposal; a person has to read them.
const RULES_MAX: usize = 16;

/// Most rules about one host and port, each for another executable.
const NAMES_MAX: usize = 64;

/// Programs that do what others tell them.
const INTERPRETERS: [&str; 12] = [
    "sh", "bash", "dash", "zsh", "busybox", "env", "python", "node", "bun", "deno", "perl", "ruby",
];

/// Where a sandbox can put programs of its own.
const WRITABLE: [&str; 5] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/home/", "/sandbox/"];

/// Changes that a person may approve, in the form that `openshell policy update` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    /// The key of the rule, `allow_<host>_<port>`.
    pub rule_name: String,
    /// `host:port[:access[:protocol[:enforcement]]]`.
    pub add_endpoint: String,
    /// Who may use it.
    pub binary: String,
    /// `host:port:METHOD:glob`, each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add_allow: Vec<String>,
    /// What to think of before it is approved.
    pub security_notes: Vec<Note>,
    /// The same as steps that [`PolicyFile::merged`] takes.
    #[serde(skip)]
    pub changes: Vec<Change>,
}

/// What to think of before a proposal is approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Requests on the connection are not looked at.
    NotInspected,
    /// The destination is an address of an internal network.
    InternalAddress,
    /// The program does what others tell it, so whatever it runs may do the same.
    Interpreter,
    /// The sandbox can write where the program is.
    WritableProgram,
    /// Requests were refused that the proposal does not allow.
    Incomplete,
}

/// A proposal; none where no policy could open it, or nobody could tell who asked.
pub(super) fn of(key: &Key, entry: &Entry, policy: &PolicyFile) -> Option<Proposal> {
    let binary = key.binary.as_deref().filter(|binary| is_exact(binary))?;
    // What is wrong with an address is not mended by a rule about its name.
    if entry.blocked.is_some() {
        return None;
    }
    let to = key.to.to_string();
    let rules = collapse::rules(entry.samples.keys().map(|(method, path)| (&**method, &**path)));
    let text = match (rules.is_empty(), entry.connections) {
        (true, 0) => return None,
        (true, _) => to.clone(),
        (false, _) => format!("{to}::rest:enforce"),
    };
    let endpoint: EndpointSpec = text.parse().ok()?;
    let rule_name = rule_name(&endpoint, binary, policy)?;
    let mut notes = notes(key, binary);
    if rules.is_empty() {
        notes.insert(Note::NotInspected);
    }
    let add_allow: Vec<String> = rules
        .iter()
        .take(RULES_MAX)
        .map(|(method, path)| format!("{to}:{method}:{path}"))
        .collect();
    let left_out = entry.samples.keys().any(|(_, path)| !collapse::is_plain(path));
    if rules.len() > RULES_MAX || entry.unsampled > 0 || left_out {
        notes.insert(Note::Incomplete);
    }
    let add = Change::AddEndpoint {
        endpoint,
        binaries: vec![binary.to_owned()],
        key: Some(rule_name.clone()),
    };
    let rules = add_allow.iter().filter_map(|rule| rule.parse::<RuleSpec>().ok());
    let changes: Vec<Change> = std::iter::once(add).chain(rules.map(Change::AddAllow)).collect();
    // The reader of policies has the last word, about addresses that are always blocked too.
    PolicyFile::default().merged(&changes).ok()?;
    Some(Proposal {
        rule_name,
        add_endpoint: text,
        binary: binary.to_owned(),
        add_allow,
        security_notes: notes.into_iter().collect(),
        changes,
    })
}

fn is_exact(binary: &str) -> bool {
    binary.starts_with('/') && !binary.contains('*') && !binary.contains(char::is_control)
}

/// A key that is free, or belongs to a rule about this endpoint and this executable alone: in any other, each of them would
/// open more than itself.
fn rule_name(endpoint: &EndpointSpec, binary: &str, policy: &PolicyFile) -> Option<String> {
    let name = endpoint.rule_name();
    let is_own = |block: &Block| {
        let same = |one: &Endpoint| {
            one.host.as_ref() == Some(&endpoint.host) && one.ports == [endpoint.port]
        };
        block.endpoints.iter().all(same)
            && block.binaries.iter().all(|listed| listed.as_str() == binary)
    };
    let numbered = (2..=NAMES_MAX).map(|number| format!("{name}_{number}"));
    std::iter::once(name.clone())
        .chain(numbered)
        .find(|name| policy.network.get(name).is_none_or(is_own))
}

fn notes(key: &Key, binary: &str) -> BTreeSet<Note> {
    let mut notes = BTreeSet::new();
    let internal = |one| address::check(one, key.to.port(), &[]).is_err();
    if key.to.host.address().is_some_and(internal) {
        notes.insert(Note::InternalAddress);
    }
    let name = binary.rsplit('/').next().unwrap_or(binary);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    if INTERPRETERS.contains(&stem) {
        notes.insert(Note::Interpreter);
    }
    if WRITABLE.iter().any(|folder| binary.starts_with(folder)) {
        notes.insert(Note::WritableProgram);
    }
    notes
}
