//! A control group of the sandbox's own, where the system grants one: memory, processor time and processes of the whole.
//!
//! Knows both versions. An ordinary user has one only where it was delegated; then the limits of the single process remain.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::{
    event::{PollFd, poll},
    fs::Timespec,
    process::Pid,
};

use crate::{
    error::{At, StartError, Step},
    plan::Plan,
    spec::{Grant, Limits},
};

/// The folders of one sandbox; removed when it ends.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folders: Vec<PathBuf>,
    serial: u32,
}

const PREFIX: &str = "openshell-";
/// How often a folder that is still busy is tried again, a millisecond apart.
const REMOVALS_MAX: u32 = 50;

impl Cgroup {
    /// Makes one where limits ask for it. Entering one takes the kernel up to some ten milliseconds, so nothing else does:
    /// processes alone are held by a limit of the user.
    ///
    /// # Errors
    /// [`Step::Cgroup`] when it is required and not granted.
    pub(crate) fn make(plan: &mut Plan) -> Result<Option<Self>, StartError> {
        // A supervisor has one sandbox; whoever makes several at once gets a name of its own for each.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let limits = plan.limits;
        if limits.memory_bytes.is_none() && limits.cpu_percent.is_none() {
            return Ok(None);
        }
        let serial = MADE.fetch_add(1, Ordering::Relaxed);
        let mut cgroup = Self { folders: Vec::new(), serial };
        for (controller, settings) in settings(&limits) {
            match cgroup.limit(controller, &settings) {
                Ok(()) if controller == "pids" => plan.grouped.processes = true,
                Ok(()) if controller == "memory" => plan.grouped.memory = true,
                Ok(()) => {}
                // The limit of the user on processes remains.
                Err(_) if controller == "pids" => {}
                Err(error) if limits.cgroup == Grant::Required => {
                    return Err(error).on(Step::Cgroup, controller);
                }
                Err(error) => {
                    plan.notes.push(format!("no control group limits {controller}: {error}"));
                }
            }
        }
        plan.is_grouped = !cgroup.folders.is_empty();
        Ok(plan.is_grouped.then_some(cgroup))
    }

    /// Moves a process in. One that is gone has told why on its line.
    ///
    /// # Errors
    /// [`Step::Cgroup`] with the folder.
    pub(crate) fn admit(&self, process: Pid) -> Result<(), StartError> {
        for folder in &self.folders {
            match fs::write(folder.join("cgroup.procs"), process.to_string()) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other.on(Step::Cgroup, folder.display())?,
            }
        }
        Ok(())
    }

    fn limit(&mut self, controller: &str, settings: &Settings) -> io::Result<()> {
        let (parent, version) = hierarchy(controller)?;
        sweep(&parent);
        let folder = parent.join(name(self.serial));
        if !self.folders.contains(&folder) {
            fs::create_dir(&folder)?;
            self.folders.push(folder.clone());
        }
        let values = match version {
            Version::One => &settings.one,
            Version::Two => &settings.two,
        };
        values.iter().try_for_each(|(file, value)| {
            let mut file = OpenOptions::new().write(true).open(folder.join(file))?;
            file.write_all(value.as_bytes())
        })
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..REMOVALS_MAX {
                match fs::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        let pause = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
                        poll(&mut [] as &mut [PollFd<'_>], Some(&pause)).ok();
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Files and values by version.
struct Settings {
    one: Vec<(&'static str, String)>,
    two: Vec<(&'static str, String)>,
}

fn settings(limits: &Limits) -> Vec<(&'static str, Settings)> {
    const PERIOD_US: u64 = 100_000;
    let mut all = Vec::new();
    if let Some(bytes) = limits.memory_bytes {
        let (one, two) = ("memory.limit_in_bytes", "memory.max");
        all.push((
            "memory",
            Settings { one: vec![(one, bytes.to_string())], two: vec![(two, bytes.to_string())] },
        ));
    }
    if let Some(percent) = limits.cpu_percent {
        let quota = u64::from(percent) * PERIOD_US / 100;
        let one = vec![
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ];
        all.push(("cpu", Settings { one, two: vec![("cpu.max", format!("{quota} {PERIOD_US}"))] }));
    }
    let processes = || vec![("pids.max", limits.processes.to_string())];
    all.push(("pids", Settings { one: processes(), two: processes() }));
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The group that this process is in, for that controller, and which version it is of.
fn hierarchy(controller: &str) -> io::Result<(PathBuf, Version)> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    find(&groups, &mounts, controller).ok_or_else(|| io::ErrorKind::Unsupported.into())
}

fn find(groups: &str, mounts: &str, controller: &str) -> Option<(PathBuf, Version)> {
    let group = |wanted: &str| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == wanted).then(|| PathBuf::from(path))
        })
    };
    let mount = |kind: &str, option: Option<&str>| {
        mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let mut left = left.split(' ').skip(3);
            let (root, at) = (PathBuf::from(left.next()?), PathBuf::from(left.next()?));
            let fits = right.next()? == kind
                && option.is_none_or(|option| {
                    right.nth(1).is_some_and(|all| all.split(',').any(|one| one == option))
                });
            fits.then_some((root, at))
        })
    };
    let place = |path: PathBuf, (root, at): (PathBuf, PathBuf)| {
        path.strip_prefix(&root).ok().map(|rest| at.join(rest))
    };
    if let (Some(path), Some(mount)) = (group(controller), mount("cgroup", Some(controller))) {
        return place(path, mount).map(|folder| (folder, Version::One));
    }
    place(group("")?, mount("cgroup2", None)?).map(|folder| (folder, Version::Two))
}

/// A name that says whose it is, so that what a killed supervisor left can be told from what is in use.
fn name(serial: u32) -> String {
    format!("{PREFIX}{}-{serial}", std::process::id())
}

/// Removes what supervisors that are no more have left; the kernel refuses to remove what is in use.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Best effort: another supervisor may have been faster.
            drop(fs::remove_dir(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 23 0:26 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 23 0:27 /box /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct
32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";
    const GROUPS: &str = "4:memory:/a/b\n3:cpu,cpuacct:/box/c\n0::/d\n";

    #[test]
    fn each_controller_is_found_in_its_hierarchy() {
        let found = |controller| find(GROUPS, MOUNTS, controller);
        assert_eq!(found("memory"), Some(("/sys/fs/cgroup/memory/a/b".into(), Version::One)));
        assert_eq!(found("cpu"), Some(("/sys/fs/cgroup/cpu/c".into(), Version::One)));
        assert_eq!(found("pids"), Some(("/sys/fs/cgroup/unified/d".into(), Version::Two)));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_none() {
        assert_eq!(find("3:cpu:/other\n", MOUNTS, "cpu"), None);
        assert_eq!(find("", MOUNTS, "pids"), None);
        assert_eq!(find("garbage\n::\n", "garbage - \n", "pids"), None);
    }
}
