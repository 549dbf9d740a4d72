//! What people have decided about refusals of a sandbox, as its folder keeps it.
//!
//! Not here: refusals that nobody has decided about (`supervisor`), what a policy would open (`proxy`).

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::state::{Folder, now};

const FILE: &str = "rules.json";
/// Older decisions than this many are forgotten.
const DECIDED_MAX: usize = 500;

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
