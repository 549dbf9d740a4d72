//! Whose policy a command is about: that of a sandbox, kept by this user or by a gateway, or that of a gateway.

use std::{sync::Arc, time::Duration};

use api::policy::{NewPolicy, PolicyRevision, PolicySet, RevisionStatus};
use policy::PolicyFile;
use reqwest::Method;
use sandbox::{
    control::{Reply, Request, client::Supervisor},
    policies::{Policies, Revision},
    state::Folder,
};
use tokio::time::{sleep, timeout};

use crate::{
    commands::{
        gateway::{Chosen, Whose, refused},
        sandbox::{block_on, find, heard, kept},
    },
    failure::Failure,
    output::{self, point},
};

/// The exit code when time has run out.
const TIMED_OUT: u8 = 124;
/// Between two looks at a revision that is on its way.
const LOOK: Duration = Duration::from_millis(50);

/// Whose policy it is.
#[derive(Debug)]
pub(crate) enum Subject {
    /// That of a sandbox of this user.
    Own {
        /// Its name.
        name: String,
        /// Its folder.
        folder: Folder,
    },
    /// That of a sandbox that a gateway keeps.
    Kept {
        /// The gateway.
        gateway: Arc<Chosen>,
        /// Its name.
        name: String,
    },
    /// That of a gateway, which is stronger than those of its sandboxes.
    Global(Arc<Chosen>),
}

/// Which policy a new one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// Whichever is there.
    Any,
    /// This version only; 0 where there is none.
    Version(u64),
}

/// Whether somebody wants to be told that a policy is in force, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) told: bool,
    pub(crate) seconds: u64,
}

/// A revision, as far as people are told.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) version: u64,
    pub(super) hash: String,
    pub(super) status: &'static str,
    pub(super) active: bool,
    pub(super) created: String,
    pub(super) loaded: Option<String>,
    pub(super) error: Option<String>,
}

impl Subject {
    /// The policy of the sandbox of that name, or of the last one that was used; that of the gateway where that is meant.
    pub(crate) fn of(whose: &Whose, name: Option<&str>, global: bool) -> Result<Self, Failure> {
        match whose {
            Whose::Gateway(gateway) if global => Ok(Self::Global(Arc::clone(gateway))),
            Whose::Gateway(gateway) => {
                let name = kept::named(gateway, name)?;
                Ok(Self::Kept { gateway: Arc::clone(gateway), name })
            }
            Whose::Own if global => {
                Err(Failure::usage("without a gateway there is no policy of one")
                    .hint("leave --global away, or choose a gateway with --gateway"))
            }
            Whose::Own => {
                let (name, folder) = find(name)?;
                Ok(Self::Own { name, folder })
            }
        }
    }

    /// How it is called in messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Own { name, .. } | Self::Kept { name, .. } => format!("sandbox {name}"),
            Self::Global(gateway) => format!("gateway {}", gateway.name),
        }
    }

    /// The newest policy and its version; the one that lets nothing through, and 0, where there is none.
    pub(crate) fn current(&self) -> Result<(u64, PolicyFile), Failure> {
        let newest = match self {
            Self::Own { folder, .. } => {
                let policies = Policies::open(folder)?;
                match policies.revision(0) {
                    Some(newest) => Some((newest.version, policies.text(newest.version)?)),
                    None => None,
                }
            }
            Self::Kept { gateway, .. } | Self::Global(gateway) => {
                let newest: Option<PolicyRevision> = gateway.find(&self.path(""))?;
                newest.map(|newest| (newest.version, newest.policy.unwrap_or_default()))
            }
        };
        let Some((version, text)) = newest else { return Ok((0, PolicyFile::restrictive())) };
        let (policy, _) = PolicyFile::parse(&text).map_err(|_| {
            Failure::new(format!("policy version {version} is damaged"))
                .hint("set another one with `openshell policy set`")
        })?;
        Ok((version, policy))
    }

    /// A revision, the newest for 0, and its file where that is wanted.
    pub(super) fn revision(
        &self,
        number: u64,
        with_file: bool,
    ) -> Result<Option<(Known, Option<String>)>, Failure> {
        match self {
            Self::Own { folder, .. } => {
                let policies = Policies::open(folder)?;
                let Some(revision) = policies.revision(number) else { return Ok(None) };
                let text = if with_file { Some(policies.text(revision.version)?) } else { None };
                Ok(Some((own(revision, &policies), text)))
            }
            Self::Kept { gateway, .. } | Self::Global(gateway) => {
                let found: Option<PolicyRevision> = if number == 0 {
                    gateway.find(&self.path(""))?
                } else {
                    self.revisions_of(gateway)?.into_iter().find(|one| one.version == number)
                };
                let Some(mut found) = found else { return Ok(None) };
                if with_file && found.policy.is_none() {
                    let path = self.path(&format!("/revisions/{number}"));
                    found.policy = gateway.get::<PolicyRevision>(&path)?.policy;
                }
                let text = found.policy.take().filter(|_| with_file);
                Ok(Some((kept_one(found), text)))
            }
        }
    }

    /// The newest revisions, the newest first.
    pub(super) fn revisions(&self, limit: usize) -> Result<Vec<Known>, Failure> {
        match self {
            Self::Own { folder, .. } => {
                let policies = Policies::open(folder)?;
                let newest = policies.revisions().iter().rev().take(limit);
                Ok(newest.map(|one| own(one, &policies)).collect())
            }
            Self::Kept { gateway, .. } | Self::Global(gateway) => {
                Ok(self.revisions_of(gateway)?.into_iter().take(limit).map(kept_one).collect())
            }
        }
    }

    fn revisions_of(&self, gateway: &Chosen) -> Result<Vec<PolicyRevision>, Failure> {
        gateway.all(&self.path("/revisions"))
    }

    fn path(&self, below: &str) -> String {
        match self {
            Self::Own { name, .. } | Self::Kept { name, .. } => {
                format!("/v1/sandboxes/{name}/policy{below}")
            }
            Self::Global(_) => format!("/v1/policy{below}"),
        }
    }

    /// Puts a policy in force and tells so; its version. None when another one than its base is there.
    pub(crate) fn put(
        &self,
        text: String,
        (base, wait): (Base, Wait),
    ) -> Result<Option<u64>, Failure> {
        let base = match base {
            Base::Any => None,
            Base::Version(version) => Some(version),
        };
        match self {
            Self::Own { name, folder } => put_own(name, folder, text, (base, wait)),
            Self::Kept { gateway, .. } | Self::Global(gateway) => {
                self.put_kept(gateway, &NewPolicy { policy: text, base }, wait)
            }
        }
    }

    fn put_kept(
        &self,
        gateway: &Chosen,
        new: &NewPolicy,
        wait: Wait,
    ) -> Result<Option<u64>, Failure> {
        let path = gateway.path(&self.path(""));
        let set: Option<PolicySet> = block_on(async {
            match gateway.client().send(Method::PUT, &path, new).await {
                Err(error) if error.status() == Some(412) => Ok(None),
                other => other.map(Some).map_err(refused),
            }
        })?;
        let Some(PolicySet { revision, changed, postponed }) = set else { return Ok(None) };
        let version = revision.version;
        submitted(version, &revision.hash, changed)?;
        told_later(&postponed);
        if wait.told {
            let path = gateway.path(&self.path(&format!("/revisions/{version}")));
            let ended = block_on(async {
                let limit = Duration::from_secs(wait.seconds);
                let ended = timeout(limit, decided(gateway, &path)).await;
                ended.map_err(|_| too_long(wait.seconds))?
            })?;
            if let Some(error) = ended {
                return Err(Failure::new(format!(
                    "✗ Policy version {version} failed to load: {error}"
                )));
            }
            loaded(version)?;
        }
        Ok(Some(version))
    }
}

/// What became of a revision: none when it is in force, or a newer one is; else why not.
async fn decided(gateway: &Chosen, path: &str) -> Result<Option<String>, Failure> {
    loop {
        let revision: PolicyRevision = gateway.client().get(path).await.map_err(refused)?;
        match revision.status {
            RevisionStatus::Pending => sleep(LOOK).await,
            RevisionStatus::Failed => return Ok(Some(revision.error.unwrap_or_default())),
            RevisionStatus::Loaded | RevisionStatus::Superseded => return Ok(None),
        }
    }
}

fn put_own(
    name: &str,
    folder: &Folder,
    text: String,
    (base, wait): (Option<u64>, Wait),
) -> Result<Option<u64>, Failure> {
    if !folder.is_attended() {
        let set = Policies::open(folder)?.set_over(&text, base);
        let set = set.map_err(|failed| Failure::new(failed.message).hint(failed.hint))?;
        let Some((set, _)) = set else { return Ok(None) };
        let Revision { version, hash, .. } = set.revision;
        submitted(version, &hash, set.changed)?;
        output::complain(&format!(
            "• Sandbox {name} is not running; it takes effect when it starts"
        ));
        return Ok(Some(version));
    }
    let limit = Duration::from_secs(wait.seconds);
    let asked = block_on(async {
        let request = Request::SetPolicy { text, base };
        Ok(timeout(limit, Supervisor::of(folder).ask(&request)).await)
    })?;
    let reply = asked.map_err(|_| too_long(wait.seconds))?;
    let (version, hash, changed, postponed) = match heard(name, reply)? {
        Reply::Policy { version, hash, changed, postponed } => (version, hash, changed, postponed),
        Reply::Stale => return Ok(None),
        _ => return Err(Failure::new("the supervisor answered something else")),
    };
    submitted(version, &hash, changed)?;
    told_later(&postponed);
    if wait.told {
        // A supervisor answers only when the policy is in force.
        loaded(version)?;
    }
    Ok(Some(version))
}

fn too_long(seconds: u64) -> Failure {
    Failure::new(format!("it took longer than {seconds} s")).with_code(TIMED_OUT)
}

fn submitted(version: u64, hash: &str, changed: bool) -> Result<(), Failure> {
    if changed {
        output::line(&format!("✓ Policy version {version} submitted (hash: {hash})"))
    } else {
        output::line(&format!("· Policy unchanged (version {version}, hash: {hash})"))
    }
}

fn told_later(postponed: &[String]) {
    for what in postponed {
        output::complain(&format!("! {what} takes effect when the sandbox starts next"));
    }
}

fn loaded(version: u64) -> Result<(), Failure> {
    output::line(&format!("✓ Policy version {version} loaded (active version: {version})"))
}

fn own(revision: &Revision, policies: &Policies) -> Known {
    Known {
        version: revision.version,
        hash: revision.hash.clone(),
        status: revision.status.as_str(),
        active: policies.active().is_some_and(|active| active.version == revision.version),
        created: point(revision.created),
        loaded: revision.loaded.map(point),
        error: revision.error.clone(),
    }
}

fn kept_one(revision: PolicyRevision) -> Known {
    let point = |at: jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    Known {
        version: revision.version,
        hash: revision.hash,
        status: revision.status.as_str(),
        active: revision.status == RevisionStatus::Loaded,
        created: point(revision.created),
        loaded: revision.loaded.map(point),
        error: revision.error,
    }
}
