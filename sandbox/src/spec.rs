//! What a sandbox is asked to be: the static half of a policy, limits, and what the agent finds in its environment.
//!
//! A plain value, read from JSON or converted from a policy. Here it is only checked for what can be told without
//! looking at the system. Not here: what of it exists on this host (`plan`).

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use crate::error::{StartError, Step};

/// The most paths of each kind; a rule of Landlock and a mount each.
pub(crate) const PATHS_MAX: usize = 256;
/// The longest path, as the reference of the policy format has it, in bytes.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// Processes and threads of a sandbox when nobody says how many.
const PROCESSES_MAX: u32 = 1024;

/// A sandbox as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Spec {
    /// The host name inside, and the last part of the home folder's name. Default `sandbox`.
    pub name: Option<String>,
    /// Folders and files of the host that may be read and executed, absolute.
    pub read_only: Vec<PathBuf>,
    /// Folders and files of the host that may be read, executed and written, absolute.
    pub read_write: Vec<PathBuf>,
    /// Whether the working folder may be written without being listed.
    pub include_workdir: bool,
    /// Where programs start; absolute. Default: the home folder, private and in memory.
    pub workdir: Option<PathBuf>,
    /// Name or number of the user that programs run as; never root. Started by an ordinary user, that user, under this name.
    pub run_as_user: Option<String>,
    /// Name or number of its group. Default: the user's own.
    pub run_as_group: Option<String>,
    /// What happens where this kernel or this host lacks something of what Landlock is asked for.
    pub landlock: Compatibility,
    /// Which TCP connections may be begun.
    pub tcp: Tcp,
    /// How well whoever opens a connection must be known.
    pub callers: CallerCheck,
    /// What programs may use up.
    pub limits: Limits,
    /// Certificate authority of the proxy, in PEM; programs inside trust it beside those of the host.
    pub ca_pem: Option<String>,
    /// Further environment variables; they win over those that the sandbox sets.
    pub environment: BTreeMap<String, String>,
    /// The sandbox's own files, kept over restarts; also the home folder. Default: none, and a home in memory.
    pub workspace: Option<Workspace>,
    /// Further folders of the sandbox's own, empty and in memory, absolute.
    pub scratch: Vec<PathBuf>,
    /// Folders of the host that stay out of reach even where a listed folder holds them, absolute.
    pub hidden: Vec<PathBuf>,
}

/// A folder of the host that has another place inside. Listed paths at and below that place are paths in this folder, and
/// it may be written unless it is listed as read-only.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workspace {
    /// The folder of the host, absolute.
    pub folder: PathBuf,
    /// Its place inside, absolute.
    pub at: PathBuf,
}

/// How strictly Landlock is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compatibility {
    /// What the kernel and the host have, and a note on what they lack. Paths that do not exist are left out.
    #[default]
    BestEffort,
    /// Everything, or no sandbox: files with devices, TCP, scoped signals and abstract sockets (ABI 6), every listed path.
    HardRequirement,
}

/// Which TCP connections programs may begin, as Landlock sees it. Whatever they begin lands in the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tcp {
    /// To any port: programs that know nothing of a proxy are captured, and servers of their own can be spoken to.
    #[default]
    Captured,
    /// To the explicit proxy and to name resolution alone; nothing may listen.
    ProxyOnly,
}

/// How well a supervisor must know who opens a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallerCheck {
    /// Not at all: nobody is asked, and `connect()` waits for nobody.
    #[default]
    Off,
    /// By their executables, at `connect()`. Until [`crate::Callers`] serve what [`crate::Sandbox::take_watch`] gives, every
    /// `connect()` waits; when it is dropped, every one fails.
    Executable,
    /// And by all other code they run: none of it may come from where the sandbox can write.
    Code,
}

impl CallerCheck {
    /// Whether anybody is asked at `connect()`.
    pub(crate) fn are_known(self) -> bool {
        self != Self::Off
    }
}

/// What the programs of a sandbox may use up together or each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Processes and threads in all; 1024 if not given. Given, by a control group where one is granted, else by the limit of
    /// the user.
    pub processes: Option<u32>,
    /// Open descriptors of one process.
    pub open_files: u32,
    /// Memory in all, in bytes; without a control group, of each process.
    pub memory_bytes: Option<u64>,
    /// Processor time in percent of one core; needs a control group.
    pub cpu_percent: Option<u32>,
    /// Size of `/tmp`, of `/dev/shm` and of the home folder, each, in bytes; they live in memory.
    pub scratch_bytes: u64,
    /// What to do where the system grants no control group for `memory_bytes` and `cpu_percent`.
    pub cgroup: Grant,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            processes: None,
            open_files: 8192,
            memory_bytes: None,
            cpu_percent: None,
            scratch_bytes: 1 << 30,
            cgroup: Grant::IfGranted,
        }
    }
}

impl Limits {
    /// Processes and threads in all, whether somebody asked or not.
    pub fn processes_max(&self) -> u32 {
        self.processes.unwrap_or(PROCESSES_MAX)
    }

    /// Refuses what no program could live with. A scratch folder of no size would have none of the limits.
    fn check(&self) -> Result<(), StartError> {
        let too_small = [
            (u64::from(self.processes_max()), 8, "processes"),
            (u64::from(self.open_files), 16, "open_files"),
            (self.scratch_bytes, 1 << 20, "scratch_bytes"),
            (self.memory_bytes.unwrap_or(u64::MAX), 16 << 20, "memory_bytes"),
            (u64::from(self.cpu_percent.unwrap_or(u32::MAX)), 1, "cpu_percent"),
        ];
        match too_small.iter().find(|(asked, least, _)| asked < least) {
            None => Ok(()),
            Some((asked, least, name)) => {
                wrong(format!("limits.{name} of {asked} is too small; {least} is the least"))
            }
        }
    }
}

/// Whether a limit may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Go on with a note.
    #[default]
    IfGranted,
    /// No sandbox without it.
    Required,
}

impl Spec {
    /// Reads a spec from JSON and checks it.
    ///
    /// # Errors
    /// [`Step::Spec`] with what is wrong where.
    pub fn from_json(text: &[u8]) -> Result<Self, StartError> {
        let spec: Self = serde_json::from_slice(text)
            .map_err(|error| StartError::new(Step::Spec, error.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    /// Checks what can be told without looking at the system.
    ///
    /// # Errors
    /// [`Step::Spec`] with the first field that is wrong.
    pub fn check(&self) -> Result<(), StartError> {
        for (field, paths) in [
            ("read_only", &self.read_only),
            ("read_write", &self.read_write),
            ("scratch", &self.scratch),
            ("hidden", &self.hidden),
        ] {
            if paths.len() > PATHS_MAX {
                return wrong(format!(
                    "{field} has {} paths; {PATHS_MAX} is the limit",
                    paths.len()
                ));
            }
            for path in paths {
                check_path(field, path)?;
            }
        }
        if let Some(path) = self.read_write.iter().find(|path| is_kernel_tree(path)) {
            return wrong(format!(
                "read_write must not open {}; the kernel answers there",
                path.display()
            ));
        }
        if let Some(workdir) = &self.workdir {
            check_path("workdir", workdir)?;
            if self.include_workdir && is_kernel_tree(workdir) {
                return wrong(format!("workdir must not be {}", workdir.display()));
            }
        }
        if self.include_workdir && self.workdir.is_none() {
            return wrong("include_workdir needs workdir");
        }
        if let Some(workspace) = &self.workspace {
            check_path("workspace.folder", &workspace.folder)?;
            check_path("workspace.at", &workspace.at)?;
            if is_kernel_tree(&workspace.at) {
                return wrong("workspace.at must not be a tree of the kernel");
            }
        }
        if !is_host_name(self.name()) {
            return wrong(format!(
                "name {:?} is no host name: lower-case letters, digits and hyphens, at most 63",
                self.name()
            ));
        }
        for (field, name) in
            [("run_as_user", &self.run_as_user), ("run_as_group", &self.run_as_group)]
        {
            if let Some(name) = name {
                check_account(field, name)?;
            }
        }
        self.check_environment()?;
        self.limits.check()
    }

    /// The host name inside.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("sandbox")
    }

    fn check_environment(&self) -> Result<(), StartError> {
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains('=') || name.contains('\0') || value.contains('\0')
            {
                return wrong(format!("environment variable {name:?} cannot be set"));
            }
        }
        Ok(())
    }
}

fn wrong<T>(what: impl Into<String>) -> Result<T, StartError> {
    Err(StartError::new(Step::Spec, what))
}

/// Absolute, without `..`, not the whole host.
fn check_path(field: &str, path: &Path) -> Result<(), StartError> {
    let shown = path.display();
    if !path.is_absolute() {
        return wrong(format!("{field} {shown} is not absolute"));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return wrong(format!("{field} {shown} has `..` in it"));
    }
    if path.parent().is_none() {
        return wrong(format!(
            "{field} must not open /, the whole host; list the folders that are needed"
        ));
    }
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.len() > PATH_BYTES_MAX || bytes.contains(&0) {
        return wrong(format!("{field} has a path that no system accepts"));
    }
    Ok(())
}

/// Trees in which a write changes the kernel, not a file.
fn is_kernel_tree(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys")
}

pub(crate) fn is_host_name(name: &str) -> bool {
    let inner = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    inner && !name.is_empty() && name.len() <= 63 && !name.starts_with('-') && !name.ends_with('-')
}

/// A name or a number, and not root's.
fn check_account(field: &str, name: &str) -> Result<(), StartError> {
    if name == "root" || name.parse() == Ok(0_u32) {
        return wrong(format!("{field} must not be root"));
    }
    let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    if name.is_empty() || name.len() > 32 || !known || name.starts_with('-') {
        return wrong(format!("{field} {name:?} is no user name"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.parse().is_ok_and(is_plain_id) {
        return wrong(format!("{field} {name} is out of range"));
    }
    Ok(())
}

/// Neither root nor one of the two numbers that stand for nobody in particular.
pub(crate) fn is_plain_id(id: u32) -> bool {
    !matches!(id, 0 | 65535 | u32::MAX)
}

#[cfg(test)]
mod tests;
