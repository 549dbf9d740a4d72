//! Refusals of a sandbox as they are decided about: what is proposed, and what people have decided, as its folder keeps it.
//!
//! Not here: how refusals are gathered (`supervisor`), what a policy would open (`proxy`).

use std::io;

use policy::change::{Change, SpecError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::state::{Folder, now};

const FILE: &str = "rules.json";
/// Older decisions than this many are forgotten.
const DECIDED_MAX: usize = 500;

/// A refusal as its supervisor tells it; the rest of it is shown as it is.
#[derive(Clone, Debug, Deserialize)]
pub struct Denial {
    /// What names it: the same for the same host, port and executable.
    pub id: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The executable, where it could be told.
    pub binary: Option<String>,
    /// The reason of the last refusal.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// What would open it; none where no policy could, or where nobody can tell who asked.
    pub proposal: Option<Proposal>,
}

/// What would open what was refused.
#[derive(Clone, Debug, Deserialize)]
pub struct Proposal {
    /// The key of the rule.
    pub rule_name: String,
    /// `host:port[:access[:protocol[:enforcement]]]`.
    pub add_endpoint: String,
    /// Who may use it.
    pub binary: String,
    /// `host:port:METHOD:glob`, each.
    #[serde(default)]
    pub add_allow: Vec<String>,
    /// What to think of before it is approved.
    pub security_notes: Vec<String>,
}

impl Denial {
    /// What it is called where it is shown: with a digest of what would be approved, because that grows with every refusal.
    pub fn shown(&self) -> String {
        let Some(proposal) = &self.proposal else { return self.id.clone() };
        let digest = format!("{:x}", Sha256::digest(proposal.told()));
        format!("{}-{}", self.id, digest.get(..16).unwrap_or(&digest))
    }

    /// The steps that open it; none where nothing would.
    ///
    /// # Errors
    /// When what is proposed cannot be read.
    pub fn changes(&self) -> Result<Option<Vec<Change>>, SpecError> {
        let Some(proposal) = &self.proposal else { return Ok(None) };
        let mut changes = vec![Change::AddEndpoint {
            endpoint: proposal.add_endpoint.parse()?,
            binaries: vec![proposal.binary.clone()],
            key: Some(proposal.rule_name.clone()),
        }];
        for rule in &proposal.add_allow {
            changes.push(Change::AddAllow(rule.parse()?));
        }
        Ok(Some(changes))
    }
}

impl Proposal {
    /// All that it would open.
    pub fn told(&self) -> String {
        format!("{} for {} {}", self.add_endpoint, self.binary, self.add_allow.join(" "))
    }
}

/// How somebody has decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The rule is in the policy.
    Approved,
    /// It stays refused.
    Rejected,
}

/// A refusal that somebody has decided about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Its id.
    pub id: String,
    /// How.
    pub decision: Decision,
    /// Why, in words of whoever decided.
    pub reason: String,
    /// When, in seconds since 1970.
    pub at: u64,
    /// The version of the policy that has the rule.
    pub version: Option<u64>,
    /// The refusal itself.
    pub denial: Value,
}

impl Decided {
    /// A decision of now.
    pub fn new(id: &str, decision: Decision, denial: Value) -> Self {
        let (id, reason) = (id.to_owned(), String::new());
        Self { id, decision, reason, at: now(), version: None, denial }
    }
}

/// All decisions, the oldest first.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn decided(folder: &Folder) -> io::Result<Vec<Decided>> {
    match folder.read(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Adds decisions.
///
/// # Errors
/// When the file cannot be read or written.
pub fn decide(folder: &Folder, more: Vec<Decided>) -> io::Result<()> {
    let mut all = decided(folder)?;
    all.extend(more);
    let surplus = all.len().saturating_sub(DECIDED_MAX);
    all.drain(..surplus);
    folder.write(FILE, &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    #[test]
    fn decisions_are_kept_and_the_oldest_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::at(home.path().join("sandboxes/a"));
        folder.create(&Record::default()).unwrap();
        assert_eq!(decided(&folder).unwrap(), []);
        let one = |id: usize| Decided::new(&id.to_string(), Decision::Rejected, Value::Null);
        decide(&folder, (0..DECIDED_MAX).map(one).collect()).unwrap();
        decide(&folder, vec![one(DECIDED_MAX)]).unwrap();
        let all = decided(&folder).unwrap();
        assert_eq!((all.len(), &*all[0].id), (DECIDED_MAX, "1"));
    }
}
