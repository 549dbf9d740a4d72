//! The revisions of a sandbox's policy on disk, and what became of each.
//!
//! Not here: what a policy allows (`policy`), putting it in force (`supervisor`). Invariant: a bad policy never replaces a good
//! one; the newest one that can be read is in force.

use std::{fs, io};

use policy::PolicyFile;
use serde::{Deserialize, Serialize};

use crate::{
    control::Failed,
    state::{Folder, now},
};

/// Older revisions than this many are forgotten.
const REVISIONS_MAX: usize = 100;
const INDEX: &str = "policies/index.json";

/// What became of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for the sandbox to start.
    Pending,
    /// It is in force, or was until the next one.
    Loaded,
    /// It could not be put in force.
    Failed,
    /// A newer one is in force.
    Superseded,
}

impl Status {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Loaded => "loaded",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
        }
    }
}

/// A revision of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number, from 1.
    pub version: u64,
    /// What tells it from others, 64 hexadecimal digits.
    pub hash: String,
    /// What became of it.
    pub status: Status,
    /// When it came, in seconds since 1970.
    pub created: u64,
    /// When it was put in force.
    pub loaded: Option<u64>,
    /// Why it could not be.
    pub error: Option<String>,
}

/// What came of setting a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// The revision that holds it.
    pub revision: Revision,
    /// False when it was the newest one already, leaving out those that failed.
    pub changed: bool,
    /// What of it is applied only when the sandbox starts next.
    pub postponed: Vec<String>,
}

/// All revisions of one sandbox, the oldest first.
#[derive(Debug)]
pub struct Policies {
    folder: Folder,
    revisions: Vec<Revision>,
}

impl Policies {
    /// Those of the sandbox in this folder.
    ///
    /// # Errors
    /// When the index is there and cannot be read.
    pub fn open(folder: &Folder) -> io::Result<Self> {
        let revisions = match folder.read(INDEX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        Ok(Self { folder: folder.clone(), revisions })
    }

    /// Every revision that is still known, the oldest first.
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// The revision with that number; the newest one for 0.
    pub fn revision(&self, version: u64) -> Option<&Revision> {
        match version {
            0 => self.revisions.last(),
            _ => self.revisions.iter().find(|revision| revision.version == version),
        }
    }

    /// The one in force, or the one that will be.
    pub fn active(&self) -> Option<&Revision> {
        let loaded = self.revisions.iter().rev().find(|one| one.status == Status::Loaded);
        loaded.or_else(|| self.revisions.iter().rev().find(|one| one.status == Status::Pending))
    }

    /// The text of a revision, as it was given.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn text(&self, version: u64) -> io::Result<String> {
        fs::read_to_string(self.folder.path().join(file(version)))
    }

    /// Takes a policy as the newest revision. A policy that a live sandbox cannot take is refused.
    ///
    /// # Errors
    /// What is wrong with the policy, or with the disk.
    pub fn set(&mut self, text: &str) -> Result<(Set, PolicyFile), Failed> {
        let policy = parse(text)?;
        let hash = policy.hash();
        let newest = self.revisions.last().map_or(0, |newest| newest.version);
        // One that could not be put in force is tried again, and is not what there is.
        let standing = self.revisions.iter().rev().find(|one| one.status != Status::Failed);
        if let Some(revision) = standing.filter(|standing| standing.hash == hash).cloned() {
            return Ok((Set { revision, changed: false, postponed: Vec::new() }, policy));
        }
        let mut postponed = Vec::new();
        let active = self.active().and_then(|active| self.text(active.version).ok());
        if let Some(old) = active.and_then(|text| parse(&text).ok()) {
            let rejections = old.rejections(&policy);
            if !rejections.is_empty() {
                return Err(Failed::new(
                    rejections.join("; "),
                    "what a sandbox is built of stays as long as it lives; create another one with this policy",
                ));
            }
            postponed = old.postponed(&policy);
        }
        let revision = Revision {
            version: newest + 1,
            hash,
            status: Status::Pending,
            created: now(),
            loaded: None,
            error: None,
        };
        self.keep(&revision, text).map_err(|error| {
            Failed::new(format!("cannot keep the policy: {error}"), "look at the disk")
        })?;
        Ok((Set { revision, changed: true, postponed }, policy))
    }

    /// Notes that a revision is in force.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn loaded(&mut self, version: u64) -> io::Result<()> {
        for revision in &mut self.revisions {
            if revision.version == version {
                revision.status = Status::Loaded;
                revision.loaded = Some(now());
            } else if matches!(revision.status, Status::Loaded | Status::Pending) {
                revision.status = Status::Superseded;
            }
        }
        self.folder.write(INDEX, &self.revisions)
    }

    /// Notes that a revision could not be put in force.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn failed(&mut self, version: u64, error: &str) -> io::Result<()> {
        if let Some(one) = self.revisions.iter_mut().find(|one| one.version == version) {
            one.status = Status::Failed;
            one.error = Some(error.to_owned());
        }
        self.folder.write(INDEX, &self.revisions)
    }

    /// The newest policy that can be read, with its version; those that cannot are noted. The restrictive one, with version
    /// 0, when there is none.
    ///
    /// # Errors
    /// When every one there is cannot be read, or the index cannot be written.
    pub(crate) fn newest_good(&mut self) -> Result<(u64, PolicyFile), Failed> {
        let versions: Vec<u64> = self
            .revisions
            .iter()
            .rev()
            .filter(|one| one.status != Status::Failed)
            .map(|one| one.version)
            .collect();
        let mut last = None;
        for version in &versions {
            let text = self.text(*version).map_err(|error| Failed::new(error.to_string(), ""));
            match text.and_then(|text| parse(&text)) {
                Ok(policy) => return Ok((*version, policy)),
                Err(error) => {
                    // Only the newest good one matters from here on.
                    self.failed(*version, &error.message).ok();
                    last = Some(error);
                }
            }
        }
        last.map_or_else(|| Ok((0, PolicyFile::restrictive())), Err)
    }

    /// The same where the newest revision is this one, or whichever it is for none; `None` where it is another one.
    ///
    /// # Errors
    /// As [`Policies::set`].
    pub fn set_over(
        &mut self,
        text: &str,
        base: Option<u64>,
    ) -> Result<Option<(Set, PolicyFile)>, Failed> {
        let newest = self.revisions.last().map_or(0, |newest| newest.version);
        if base.is_some_and(|base| base != newest) {
            return Ok(None);
        }
        self.set(text).map(Some)
    }

    fn keep(&mut self, revision: &Revision, text: &str) -> io::Result<()> {
        let policies = self.folder.path().join("policies");
        fs::create_dir_all(policies)?;
        self.folder.put(&file(revision.version), text.as_bytes())?;
        self.revisions.push(revision.clone());
        while self.revisions.len() > REVISIONS_MAX {
            let oldest = self.revisions.remove(0);
            // One that stays on disk is only not listed.
            fs::remove_file(self.folder.path().join(file(oldest.version))).ok();
        }
        self.folder.write(INDEX, &self.revisions)
    }
}

fn file(version: u64) -> String {
    format!("policies/{version}.yaml")
}

/// The policy of a text.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<PolicyFile, Failed> {
    PolicyFile::parse(text).map(|(policy, _)| policy).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failed::new(faults.join("\n"), "`openshell policy check` says the same without a sandbox")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Record;

    fn sandbox() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::at(home.path().join("sandboxes/a"));
        folder.create(&Record::default()).unwrap();
        (home, folder)
    }

    fn policy(host: &str) -> String {
        format!(
            "version: 1\nnetwork_policies: {{a: {{endpoints: [{{host: {host}, port: 443}}], binaries: [{{path: /**}}]}}}}\n"
        )
    }

    #[test]
    fn revisions_are_counted_and_the_same_one_again_is_none() {
        let (_home, folder) = sandbox();
        let mut policies = Policies::open(&folder).unwrap();
        assert_eq!(policies.newest_good().unwrap().0, 0);
        let (first, _) = policies.set(&policy("a.example.com")).unwrap();
        assert_eq!((first.revision.version, first.changed), (1, true));
        policies.loaded(1).unwrap();
        assert!(
            !policies.set(&format!("# a comment\n{}", policy("a.example.com"))).unwrap().0.changed
        );
        policies.set(&policy("b.example.com")).unwrap();
        policies.loaded(2).unwrap();
        assert_eq!(policies.set_over(&policy("c.example.com"), Some(1)).unwrap(), None);
        let again = Policies::open(&folder).unwrap();
        let statuses: Vec<Status> = again.revisions().iter().map(|one| one.status).collect();
        assert_eq!(statuses, [Status::Superseded, Status::Loaded]);
        assert_eq!(again.text(2).unwrap(), policy("b.example.com"));
    }

    #[test]
    fn a_policy_that_failed_is_tried_again_and_the_one_before_still_stands() {
        let (_home, folder) = sandbox();
        let mut policies = Policies::open(&folder).unwrap();
        policies.set(&policy("a.example.com")).unwrap();
        policies.loaded(1).unwrap();
        policies.set(&policy("b.example.com")).unwrap();
        policies.failed(2, "no room").unwrap();
        let (back, _) = policies.set(&policy("a.example.com")).unwrap();
        assert_eq!((back.revision.version, back.changed), (1, false));
        let (again, _) = policies.set(&policy("b.example.com")).unwrap();
        assert_eq!((again.revision.version, again.changed), (3, true));
    }

    #[test]
    fn a_bad_policy_never_replaces_a_good_one() {
        let (_home, folder) = sandbox();
        let mut policies = Policies::open(&folder).unwrap();
        policies.set(&policy("a.example.com")).unwrap();
        policies.loaded(1).unwrap();
        let error = policies.set("version: 1\nnetwork: {}\n").unwrap_err();
        assert!(error.message.contains("network"), "{error}");
        let fixed = format!("{}process: {{run_as_user: \"1234\"}}\n", policy("b.example.com"));
        let error = policies.set(&fixed).unwrap_err();
        assert!(error.message.contains("cannot be changed on a live sandbox"), "{error}");
        assert_eq!(policies.revisions().len(), 1);
        // Damage on the disk costs the newest one only.
        policies.set(&policy("b.example.com")).unwrap();
        fs::write(folder.path().join("policies/2.yaml"), "version: 9").unwrap();
        let (version, _) = policies.newest_good().unwrap();
        assert_eq!(version, 1);
        assert_eq!(policies.revision(2).unwrap().status, Status::Failed);
    }
}
