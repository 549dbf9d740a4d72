//! From the static half of a policy to a [`Spec`], as policies mean it that were written for an image of their own.
//!
//! The workspace stands for the image's `/sandbox`, an empty folder for its `/var/log`; logs of the host are nobody's
//! business in there. Not here: what of it this host has (`plan`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use policy::{
    PolicyFile,
    model::{Filesystem, Landlock},
};

use crate::spec::{CallerCheck, Compatibility, Limits, Spec, Workspace};

/// Where the sandbox's own files are inside: working folder and home.
pub const WORKSPACE: &str = "/sandbox";
/// The name that policies have for the agent's user.
const AGENT: &str = "sandbox";
/// Where an image keeps its logs.
const LOGS: &str = "/var/log";
/// What every policy may read without listing it, where the host has it.
const BASELINE: [&str; 3] = ["/usr", "/lib", "/app"];

/// The numbers for sandboxes of root: <https://systemd.io/UIDS-GIDS/> gives 1,879,048,192 to 2,147,483,647 to nobody.
const FIRST_NUMBER: u32 = 1_879_048_192;
const NUMBERS: u32 = (1 << 28) - 1;

/// What a sandbox has beside its policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// What tells it from every other sandbox, of the same name too.
    pub id: String,
    /// Its name, which is also its host name.
    pub name: String,
    /// The folder of the host that holds its files.
    pub workspace: PathBuf,
    /// Folders of the host that no sandbox may see.
    pub hidden: Vec<PathBuf>,
    /// Certificate authority of its proxy, in PEM.
    pub ca_pem: Option<String>,
    /// Further environment variables.
    pub environment: BTreeMap<String, String>,
    /// How its callers are known.
    pub callers: CallerCheck,
    /// What it may use up.
    pub limits: Limits,
}

impl Spec {
    /// The spec of a sandbox under this policy.
    pub fn of_policy(policy: &PolicyFile, setting: Setting) -> Self {
        let listed = policy.filesystem.clone().unwrap_or_default();
        let process = policy.process.clone().unwrap_or_default();
        let (read_only, read_write) = paths(&listed);
        Self {
            name: Some(setting.name),
            read_only,
            read_write,
            include_workdir: false,
            workdir: Some(WORKSPACE.into()),
            run_as_user: Some(own(&process.run_as_user, &setting.id)),
            run_as_group: Some(own(&process.run_as_group, &setting.id)),
            landlock: match policy.landlock.unwrap_or_default() {
                Landlock::BestEffort => Compatibility::BestEffort,
                Landlock::HardRequirement => Compatibility::HardRequirement,
            },
            ca_pem: setting.ca_pem,
            environment: setting.environment,
            workspace: Some(Workspace { folder: setting.workspace, at: WORKSPACE.into() }),
            scratch: vec![LOGS.into()],
            hidden: setting.hidden,
            callers: setting.callers,
            limits: setting.limits,
            ..Self::default()
        }
    }
}

/// What is listed and what goes without saying. A path that is listed as read-only is never widened.
fn paths(listed: &Filesystem) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let keep = |paths: &[String]| -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).filter(|path| path != Path::new(LOGS)).collect()
    };
    let (mut read_only, mut read_write) = (keep(&listed.read_only), keep(&listed.read_write));
    for path in BASELINE.map(PathBuf::from) {
        if !read_only.contains(&path) && !read_write.contains(&path) && path.exists() {
            read_only.push(path);
        }
    }
    // The image's own program folder; a host that has none misses nothing, not even under a hard requirement.
    read_only.retain(|path| path != Path::new("/app") || path.exists());
    let workspace = PathBuf::from(WORKSPACE);
    if !read_only.contains(&workspace) && !read_write.contains(&workspace) {
        read_write.push(workspace);
    }
    (read_only, read_write)
}

/// `sandbox` names nobody of the host: root takes a number that owns nothing, an ordinary user stays itself under that name.
fn own(name: &str, sandbox: &str) -> String {
    let is_roots = name == AGENT && rustix::process::geteuid().is_root();
    if is_roots { number_of(sandbox).to_string() } else { name.to_owned() }
}

/// The user and group that a sandbox of root runs as: the kernel counts processes and the like by user, so one number for all
/// would let each sandbox starve the others. The same for the same sandbox, which keeps its files; two sandboxes share
/// one as rarely as 28 bits allow, and then they share no more than those counts.
fn number_of(sandbox: &str) -> u32 {
    let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    let hash = sandbox.bytes().fold(2_166_136_261, mix);
    // From the range that systemd leaves to others, without its last.
    FIRST_NUMBER.saturating_add(hash % NUMBERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(policy: &str) -> Spec {
        let text = format!("version: 1\n{policy}");
        let (policy, _) = PolicyFile::parse(&text).unwrap();
        let setting =
            Setting { name: "calm".to_owned(), workspace: "/w".into(), ..Setting::default() };
        let spec = Spec::of_policy(&policy, setting);
        spec.check().unwrap();
        spec
    }

    fn has(paths: &[PathBuf], path: &str) -> bool {
        paths.contains(&PathBuf::from(path))
    }

    #[test]
    fn the_default_policy_gives_programs_and_a_workspace() {
        let text = PolicyFile::restrictive();
        let spec = Spec::of_policy(&text, Setting { name: "a".into(), ..Setting::default() });
        assert!(has(&spec.read_only, "/usr") && has(&spec.read_write, "/sandbox"));
        assert!(!has(&spec.read_only, "/var/log"), "logs of the host stay outside");
        assert!(has(&spec.scratch, "/var/log"));
        assert_eq!(spec.workdir.as_deref(), Some(Path::new("/sandbox")));
        assert_eq!(spec.landlock, Compatibility::BestEffort);
    }

    #[test]
    fn sandboxes_of_root_are_different_users_and_stay_who_they_are() {
        let all = ["a", "b", "aa", "ab", "", "0f3c"].map(number_of);
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert!(all.iter().all(|number| (FIRST_NUMBER..i32::MAX.unsigned_abs()).contains(number)));
        assert_eq!(number_of("a"), number_of("a"));
        assert_eq!(own("1234", "a"), "1234", "whoever is named is meant");
    }

    #[test]
    fn an_empty_policy_gets_the_baseline() {
        let spec = spec("");
        assert!(has(&spec.read_only, "/usr") && has(&spec.read_write, "/sandbox"));
    }

    #[test]
    fn what_is_listed_as_read_only_is_not_widened() {
        let spec = spec("filesystem_policy: {read_only: [/sandbox]}");
        assert!(has(&spec.read_only, "/sandbox") && !has(&spec.read_write, "/sandbox"));
    }

    #[test]
    fn a_hard_requirement_and_numbers_are_carried_over() {
        let spec = spec(
            "landlock: {compatibility: hard_requirement}\nprocess: {run_as_user: \"1234\", run_as_group: \"77\"}",
        );
        assert_eq!(spec.landlock, Compatibility::HardRequirement);
        assert_eq!(spec.run_as_user.as_deref(), Some("1234"));
        assert_eq!(spec.run_as_group.as_deref(), Some("77"));
    }
}
