//! What changes between two policies, what of it a running sandbox takes, and the hash that tells policies apart.
//!
//! Below: changes in small steps (`merge`) and what may be proposed (`propose`). Not here: versions, storage.

mod merge;
mod propose;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub use self::{
    merge::{Change, EndpointSpec, MergeError, RuleSpec, SpecError},
    propose::ProposalError,
};
use crate::model::{Filesystem, PolicyFile};

/// Sections that are applied when a sandbox starts.
const FIXED: [&str; 3] = ["filesystem_policy", "landlock", "process"];

/// One difference between two policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where, as `network_policies.github.endpoints[0].access`.
    pub path: String,
    /// What stood there; `None` for what is new.
    pub old: Option<Value>,
    /// What stands there now; `None` for what is gone.
    pub new: Option<Value>,
    /// Whether it is applied only when a sandbox starts.
    pub fixed: bool,
}

impl PolicyFile {
    /// What tells this policy from others: SHA-256 over its one form, 64 hexadecimal digits. Comments, order of keys
    /// and defaults that are written out make no difference.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.to_value().to_string().as_bytes());
        format!("{digest:x}")
    }

    /// What differs in `next`, in the order of the file.
    pub fn differences(&self, next: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        compare(String::new(), &self.to_value(), &next.to_value(), &mut found);
        for difference in &mut found {
            difference.fixed = FIXED.iter().any(|section| {
                let rest = difference.path.strip_prefix(section);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            });
        }
        found
    }

    /// Why a running sandbox cannot take `next`; empty if it can. The wording is that which users know.
    pub fn rejections(&self, next: &Self) -> Vec<String> {
        let mut rejections = Vec::new();
        if self.landlock.unwrap_or_default() != next.landlock.unwrap_or_default() {
            let message =
                "landlock policy cannot be changed on a live sandbox (applied at startup)";
            rejections.push(message.to_owned());
        }
        if self.process.clone().unwrap_or_default() != next.process.clone().unwrap_or_default() {
            let message = "process policy cannot be changed on a live sandbox (applied at startup)";
            rejections.push(message.to_owned());
        }
        match (&self.filesystem, &next.filesystem) {
            (Some(_), None) => {
                let message = "filesystem policy cannot be removed on a live sandbox";
                rejections.push(message.to_owned());
            }
            (Some(old), Some(new)) => rejections.extend(removed(old, new)),
            (None, _) => {}
        }
        rejections
    }

    /// What a running sandbox takes into its record and applies only when it starts next.
    pub fn postponed(&self, next: &Self) -> Vec<String> {
        let empty = Filesystem::default();
        let old = self.filesystem.as_ref().unwrap_or(&empty);
        let new = next.filesystem.as_ref().unwrap_or(&empty);
        let lists = [
            ("read_only", &old.read_only, &new.read_only),
            ("read_write", &old.read_write, &new.read_write),
        ];
        let mut postponed = Vec::new();
        for (name, old, new) in lists {
            for path in new.iter().filter(|path| !old.contains(path)) {
                let message = format!(
                    "filesystem {name} path '{path}' takes effect when the sandbox starts next"
                );
                postponed.push(message);
            }
        }
        postponed
    }
}

fn removed(old: &Filesystem, new: &Filesystem) -> Vec<String> {
    let mut rejections = Vec::new();
    if old.include_workdir != new.include_workdir {
        let message = "filesystem include_workdir cannot be changed on a live sandbox";
        rejections.push(message.to_owned());
    }
    let lists = [
        ("read_only", &old.read_only, &new.read_only),
        ("read_write", &old.read_write, &new.read_write),
    ];
    for (name, old, new) in lists {
        for path in old.iter().filter(|path| !new.contains(path)) {
            let message =
                format!("filesystem {name} path '{path}' cannot be removed on a live sandbox");
            rejections.push(message);
        }
    }
    rejections
}

fn compare(path: String, old: &Value, new: &Value, found: &mut Vec<Difference>) {
    match (old, new) {
        (Value::Object(one), Value::Object(two)) => {
            for (key, old) in one {
                let path = document::joined(&path, key);
                match two.get(key) {
                    Some(new) => compare(path, old, new, found),
                    None => found.push(difference(path, Some(old), None)),
                }
            }
            for (key, new) in two.iter().filter(|(key, _)| !one.contains_key(*key)) {
                found.push(difference(document::joined(&path, key), None, Some(new)));
            }
        }
        (Value::Array(one), Value::Array(two)) => lists(&path, one, two, found),
        (old, new) if old != new => found.push(difference(path, Some(old), Some(new))),
        _ => {}
    }
}

/// Lists of the same length item by item; else what only one of them holds.
fn lists(path: &str, one: &[Value], two: &[Value], found: &mut Vec<Difference>) {
    let at = |index: usize| format!("{path}[{index}]");
    if one.len() == two.len() {
        for (index, (old, new)) in one.iter().zip(two).enumerate() {
            compare(at(index), old, new, found);
        }
        return;
    }
    for (index, old) in one.iter().enumerate().filter(|(_, old)| !two.contains(old)) {
        found.push(difference(at(index), Some(old), None));
    }
    for (index, new) in two.iter().enumerate().filter(|(_, new)| !one.contains(new)) {
        found.push(difference(at(index), None, Some(new)));
    }
}

fn difference(path: String, old: Option<&Value>, new: Option<&Value>) -> Difference {
    Difference { path, old: old.cloned(), new: new.cloned(), fixed: false }
}

#[cfg(test)]
mod tests;
