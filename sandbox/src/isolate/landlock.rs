//! Landlock: what may be done with which path, which TCP ports, and that signals and abstract sockets stay inside.
//!
//! A second fence behind the mounts and the network namespace, at the newest version that kernel and library share.

use std::io;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    NetPort, PathBeneath, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use super::sockets::{DNS_PORT, PROXY_PORT};
use crate::{
    error::{At, StartError, Step},
    plan::{Access, Plan},
    spec::{Compatibility, Tcp},
};

/// What a hard requirement asks for; also what every rule is written in.
const REQUIRED: ABI = ABI::V6;
/// The newest version that is known here.
const NEWEST: ABI = ABI::V9;

/// The rules for the tree that this process is in, while it may still open all of it.
///
/// # Errors
/// [`Step::Landlock`] when a rule is refused, or under a hard requirement when the kernel lacks something.
pub(crate) fn prepare(plan: &Plan) -> Result<RulesetCreated, StartError> {
    let mut rules = ruleset(plan).map_err(|error| refused(&error))?;
    for (path, access) in &plan.rules {
        // A link that came since the plan was made is no file of the tree, and ends this.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match open(path, flags, Mode::empty()) {
            Ok(opened) => opened,
            // A part of /dev or /lib* that this host lacks.
            Err(rustix::io::Errno::NOENT) => continue,
            Err(error) => return Err(error).on(Step::Landlock, path.display()),
        };
        let is_folder = FileType::from_raw_mode(fstat(&opened).at(Step::Landlock)?.st_mode)
            == FileType::Directory;
        let allowed =
            if is_folder { rights(*access) } else { rights(*access) & AccessFs::from_file(NEWEST) };
        if allowed.is_empty() {
            continue;
        }
        rules =
            rules.add_rule(PathBeneath::new(opened, allowed)).map_err(|error| refused(&error))?;
    }
    Ok(rules)
}

/// Restricts this process and all that it starts. Gives a note when the kernel lacks something.
///
/// # Errors
/// [`Step::Landlock`] when the kernel refuses, or under a hard requirement when it lacks something.
pub(crate) fn restrict(
    rules: RulesetCreated,
    asked: Compatibility,
) -> Result<Option<String>, StartError> {
    let status = rules.restrict_self().map_err(|error| refused(&error))?;
    judge(asked, &status)
}

fn ruleset(plan: &Plan) -> Result<RulesetCreated, RulesetError> {
    let level = match plan.landlock {
        Compatibility::BestEffort => CompatLevel::BestEffort,
        Compatibility::HardRequirement => CompatLevel::HardRequirement,
    };
    let mut ruleset = Ruleset::default()
        .set_compatibility(level)
        .handle_access(AccessFs::from_all(REQUIRED))?
        .scope(Scope::from_all(REQUIRED))?;
    if plan.tcp == Tcp::ProxyOnly {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    // Newer than what is required: taken where it is to be had.
    ruleset = ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?;
    let mut created = ruleset.create()?;
    if plan.tcp == Tcp::ProxyOnly {
        for port in [PROXY_PORT, DNS_PORT] {
            created = created.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
    }
    Ok(created)
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = AccessFs::Execute | AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev;
    match access {
        Access::List => AccessFs::ReadDir.into(),
        Access::Read => read,
        Access::Write => AccessFs::from_all(NEWEST) & !devices,
        Access::Device => {
            AccessFs::ReadFile
                | AccessFs::WriteFile
                | AccessFs::ReadDir
                | AccessFs::IoctlDev
                | AccessFs::Truncate
        }
    }
}

fn judge(asked: Compatibility, status: &RestrictionStatus) -> Result<Option<String>, StartError> {
    let kernel = match status.landlock {
        LandlockStatus::NotEnabled => "Landlock is not enabled".to_owned(),
        LandlockStatus::NotImplemented => "this kernel has no Landlock".to_owned(),
        LandlockStatus::Available { effective_abi, .. } => {
            format!("this kernel has Landlock {effective_abi:?}")
        }
    };
    let complete = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi >= REQUIRED,
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => false,
    };
    let enforced = complete && status.ruleset != RulesetStatus::NotEnforced && status.no_new_privs;
    match (enforced, asked) {
        (true, _) => Ok(None),
        (false, Compatibility::BestEffort) => Ok(Some(format!(
            "{kernel}; files, signals and abstract sockets are fenced by namespaces alone where it lacks rules"
        ))),
        (false, Compatibility::HardRequirement) => Err(StartError::new(Step::Landlock, kernel)),
    }
}

fn refused(error: &RulesetError) -> StartError {
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(error);
    let mut system = None;
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<io::Error>() {
            system = found.raw_os_error();
        }
        detail = inner.to_string();
        cause = inner.source();
    }
    StartError { step: Step::Landlock, detail, source: system.map(io::Error::from_raw_os_error) }
}
