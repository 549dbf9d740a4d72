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
    fs::{Access, access},
    process::Pid,
};

use crate::{
    error::{At, StartError, Step},
    plan::Plan,
    spec::{Grant, Limits},
    state,
};

/// The folders of one sandbox; removed when it ends.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folders: Vec<PathBuf>,
}

const PREFIX: &str = "openshell-";
/// How many names are tried for one; each that is there already is somebody else's.
const NAMES_MAX: u32 = 64;
/// How often a folder that is still busy is tried again, a millisecond apart.
const REMOVALS_MAX: u32 = 50;

impl Cgroup {
    /// Makes one where limits ask for it. Entering one takes the kernel up to some ten milliseconds, so nothing else does:
    /// the usual number of processes is held by a limit of the user.
    ///
    /// # Errors
    /// [`Step::Cgroup`] when it is required and not granted.
    pub(crate) fn make(plan: &mut Plan) -> Result<Option<Self>, StartError> {
        let limits = plan.limits;
        let asked = asked(&limits);
        if asked.is_empty() {
            return Ok(None);
        }
        let system = System::read().on(Step::Cgroup, "/proc/self")?;
        let parent = system.parent(&asked);
        let mut cgroup = Self { folders: Vec::new() };
        for one in &asked {
            let made = match system.hierarchy(one.controller) {
                Some((folder, Version::One)) => cgroup.limit(&folder, &one.first),
                Some((_, Version::Two)) => match &parent {
                    Ok(parent) => enable(parent, one.controller)
                        .and_then(|()| cgroup.limit(parent, &one.second)),
                    Err(error) => Err(again(error)),
                },
                None => Err(io::ErrorKind::Unsupported.into()),
            };
            match made {
                Ok(()) => plan.grouped.add(one.controller),
                // The limit of the user on processes remains.
                Err(_) if one.controller == PIDS => {}
                Err(error) if limits.cgroup == Grant::Required => {
                    return Err(error).on(Step::Cgroup, one.controller);
                }
                Err(error) => {
                    let controller = one.controller;
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

    /// Where it is; what is left there when the supervisor was killed is for [`remove_left`].
    pub(crate) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    fn limit(&mut self, parent: &Path, values: &[Value]) -> io::Result<()> {
        let made = self.folders.iter().find(|folder| folder.parent() == Some(parent));
        let folder = if let Some(folder) = made {
            folder.clone()
        } else {
            sweep(parent);
            let folder = create(parent, &Owner::own()?)?;
            self.folders.push(folder.clone());
            folder
        };
        for value in values {
            match OpenOptions::new().write(true).open(folder.join(value.file)) {
                Ok(mut file) => file.write_all(value.text.as_bytes())?,
                // A kernel that keeps no account of swap has no file for it.
                Err(error) if value.may_lack && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..REMOVALS_MAX {
                match fs::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                        state::pause();
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Removes the groups that a supervisor which was killed has left, if they are such. The kernel keeps what is in use.
pub(crate) fn remove_left(folders: &[PathBuf]) {
    for folder in folders {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) {
            fs::remove_dir(folder).ok();
        }
    }
}

/// Why this system grants no group for what `sandbox create` can limit, a line for each controller.
pub fn not_granted() -> Vec<String> {
    let all =
        Limits { memory_bytes: Some(u64::MAX), cpu_percent: Some(u32::MAX), ..Limits::default() };
    let system = match System::read() {
        Ok(system) => system,
        Err(error) => return vec![format!("control groups: {error}")],
    };
    let mut missing = Vec::new();
    for one in asked(&all).iter().filter(|one| one.controller != PIDS) {
        let granted = match system.hierarchy(one.controller) {
            Some((folder, Version::One)) => may_write(&folder),
            Some((_, Version::Two)) => system.parent(std::slice::from_ref(one)).map(drop),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        if let Err(error) = granted {
            missing.push(format!("no control group limits {}: {error}", one.controller));
        }
    }
    missing
}

const MEMORY: &str = "memory";
const CPU: &str = "cpu";
const PIDS: &str = "pids";

/// What one controller is told, by version.
struct Asked {
    controller: &'static str,
    first: Vec<Value>,
    second: Vec<Value>,
}

/// A file of a group, and what is written there.
struct Value {
    file: &'static str,
    text: String,
    may_lack: bool,
}

fn value(file: &'static str, text: &impl ToString) -> Value {
    Value { file, text: text.to_string(), may_lack: false }
}

/// What is asked of groups. Processes come along with anything else, which costs nothing more then.
fn asked(limits: &Limits) -> Vec<Asked> {
    const PERIOD_US: u64 = 100_000;
    let mut all = Vec::new();
    if let Some(bytes) = limits.memory_bytes {
        // What is swapped out would be beyond the limit.
        let swap = |file, text: u64| Value { may_lack: true, ..value(file, &text) };
        all.push(Asked {
            controller: MEMORY,
            first: vec![
                value("memory.limit_in_bytes", &bytes),
                swap("memory.memsw.limit_in_bytes", bytes),
            ],
            second: vec![value("memory.max", &bytes), swap("memory.swap.max", 0)],
        });
    }
    if let Some(percent) = limits.cpu_percent {
        let quota = u64::from(percent) * PERIOD_US / 100;
        all.push(Asked {
            controller: CPU,
            first: vec![value("cpu.cfs_period_us", &PERIOD_US), value("cpu.cfs_quota_us", &quota)],
            second: vec![value("cpu.max", &format!("{quota} {PERIOD_US}"))],
        });
    }
    if !all.is_empty() || limits.processes.is_some() {
        let most = || vec![value("pids.max", &limits.processes_max())];
        all.push(Asked { controller: PIDS, first: most(), second: most() });
    }
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The groups that this process is in, and where their hierarchies are mounted.
struct System {
    groups: String,
    mounts: String,
}

impl System {
    fn read() -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Self { groups, mounts: fs::read_to_string("/proc/self/mountinfo")? })
    }

    /// The group that this process is in, for that controller, and which version it is of.
    fn hierarchy(&self, controller: &str) -> Option<(PathBuf, Version)> {
        if let (Some(path), Some((root, at))) =
            (self.group(controller), self.mount("cgroup", Some(controller)))
        {
            return below(&path, &root, &at).map(|folder| (folder, Version::One));
        }
        let (root, at) = self.mount("cgroup2", None)?;
        below(&self.group("")?, &root, &at).map(|folder| (folder, Version::Two))
    }

    fn group(&self, wanted: &str) -> Option<PathBuf> {
        self.groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == wanted).then(|| PathBuf::from(path))
        })
    }

    /// Which group is the root of a mounted hierarchy, and where it is mounted.
    fn mount(&self, kind: &str, option: Option<&str>) -> Option<(PathBuf, PathBuf)> {
        self.mounts.lines().find_map(|line| {
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
    }

    /// The nearest group of version 2 at or above our own that may have children with all of these controllers. Our own
    /// holds processes, and then the kernel lets it have none; above it, only what was delegated can be written.
    fn parent(&self, asked: &[Asked]) -> io::Result<PathBuf> {
        let needed: Vec<&str> = asked
            .iter()
            .map(|one| one.controller)
            .filter(|one| *one != PIDS || asked.len() == 1)
            .filter(|one| self.hierarchy(one).is_some_and(|(_, version)| version == Version::Two))
            .collect();
        let nowhere = || io::Error::from(io::ErrorKind::Unsupported);
        let (_, top) = self.mount("cgroup2", None).ok_or_else(nowhere)?;
        let (own, _) = self.hierarchy("").ok_or_else(nowhere)?;
        let mut failure = nowhere();
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&top)) {
            let usable = needed.iter().try_for_each(|controller| enable(folder, controller));
            match usable.and_then(|()| may_write(folder)) {
                Ok(()) => return Ok(folder.to_owned()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn below(path: &Path, root: &Path, at: &Path) -> Option<PathBuf> {
    path.strip_prefix(root).ok().map(|rest| at.join(rest))
}

/// Lets the children of a group of version 2 have a controller.
fn enable(parent: &Path, controller: &str) -> io::Result<()> {
    let has = |file: &str| {
        fs::read_to_string(parent.join(file))
            .map(|text| text.split_ascii_whitespace().any(|one| one == controller))
    };
    if has("cgroup.subtree_control")? {
        return Ok(());
    }
    if !has("cgroup.controllers")? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut file = OpenOptions::new().write(true).open(parent.join("cgroup.subtree_control"))?;
    file.write_all(format!("+{controller}").as_bytes())
}

fn may_write(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK)?)
}

fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error)
}

/// A process that has groups: its number, and when it began, which tells it from a later one with that number.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    process: u32,
    /// Ticks since the system started (`proc_pid_stat(5)`, field 22).
    since: u64,
}

impl Owner {
    fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }

    fn of(process: u32) -> io::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name of the program comes before, in parentheses, and may hold anything.
        let fields = text.rsplit_once(')').map(|(_, fields)| fields.split_ascii_whitespace());
        let since = fields.and_then(|mut fields| fields.nth(19)?.parse().ok());
        since.map(|since| Self { process, since }).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Who has the group of that name, if it is one of ours.
    fn of_group(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('-');
        let process = parts.next()?.parse().ok()?;
        Some(Self { process, since: parts.next()?.parse().ok()? })
    }

    fn is_gone(&self) -> bool {
        match Self::of(self.process) {
            Ok(found) => found != *self,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}

/// A new group whose name says whose it is, so that what a killed supervisor left can be told from what is in use. Whoever makes
/// several gets a name of its own for each, and so does who has the number of somebody elsewhere that shares these groups.
fn create(parent: &Path, owner: &Owner) -> io::Result<PathBuf> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let mut last = io::ErrorKind::AlreadyExists.into();
    for _ in 0..NAMES_MAX {
        let serial = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{PREFIX}{}-{}-{serial}", owner.process, owner.since));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Removes what supervisors that are no more have left; the kernel refuses to remove what is in use.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(Owner::of_group);
        if owner.is_some_and(|owner| owner.is_gone()) {
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

    fn system(groups: &str, mounts: &str) -> System {
        System { groups: groups.to_owned(), mounts: mounts.to_owned() }
    }

    #[test]
    fn each_controller_is_found_in_its_hierarchy() {
        let system = system(GROUPS, MOUNTS);
        let found = |controller| system.hierarchy(controller);
        assert_eq!(found("memory"), Some(("/sys/fs/cgroup/memory/a/b".into(), Version::One)));
        assert_eq!(found("cpu"), Some(("/sys/fs/cgroup/cpu/c".into(), Version::One)));
        assert_eq!(found("pids"), Some(("/sys/fs/cgroup/unified/d".into(), Version::Two)));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_none() {
        assert_eq!(system("3:cpu:/other\n", MOUNTS).hierarchy("cpu"), None);
        assert_eq!(system("", MOUNTS).hierarchy("pids"), None);
        assert_eq!(system("garbage\n::\n", "garbage - \n").hierarchy("pids"), None);
    }

    /// Folders that look like groups of version 2, each with the controllers that it has and that its children have.
    fn tree(groups: &[(&str, &str, &str)]) -> (tempfile::TempDir, System) {
        let top = tempfile::tempdir().unwrap();
        for (path, has, gives) in groups {
            let folder = top.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup.controllers"), has).unwrap();
            fs::write(folder.join("cgroup.subtree_control"), gives).unwrap();
        }
        let mounts = format!("32 23 0:28 / {} rw - cgroup2 cgroup2 rw\n", top.path().display());
        let (own, ..) = groups.last().unwrap();
        let system = system(&format!("0::/{own}\n"), &mounts);
        (top, system)
    }

    #[test]
    fn the_nearest_group_that_can_give_every_controller_is_the_parent() {
        let limits =
            Limits { memory_bytes: Some(1 << 30), cpu_percent: Some(50), ..Limits::default() };
        let asked = asked(&limits);
        let (top, system) = tree(&[
            ("", "cpu memory pids", "memory pids"),
            ("user", "memory pids", "memory pids"),
            ("user/app", "memory pids", "memory"),
        ]);
        assert_eq!(system.parent(&asked).unwrap(), top.path());
        let enabled = fs::read_to_string(top.path().join("cgroup.subtree_control")).unwrap();
        assert!(enabled.contains("+cpu"), "it is told to give what it has: {enabled}");
        let memory = asked.iter().take(1).map(|one| Asked {
            controller: one.controller,
            first: Vec::new(),
            second: Vec::new(),
        });
        let memory: Vec<Asked> = memory.collect();
        assert_eq!(system.parent(&memory).unwrap(), top.path().join("user/app"));
        let (_top, system) = tree(&[("", "pids", "pids")]);
        let error = system.parent(&asked).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn memory_is_limited_without_swap_and_processes_come_along() {
        let limits = Limits { memory_bytes: Some(7), ..Limits::default() };
        let all = asked(&limits);
        let written: Vec<(&str, &str)> = all
            .iter()
            .flat_map(|one| &one.second)
            .map(|value| (value.file, value.text.as_str()))
            .collect();
        assert_eq!(written, [("memory.max", "7"), ("memory.swap.max", "0"), ("pids.max", "1024")]);
        assert!(asked(&Limits::default()).is_empty(), "nothing is grouped unasked");
    }

    #[test]
    fn a_name_that_is_there_is_passed_over_and_what_a_killed_one_left_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let own = Owner::own().unwrap();
        let first = create(parent.path(), &own).unwrap();
        let (_, serial) = first.to_str().unwrap().rsplit_once('-').unwrap();
        let serial: u32 = serial.parse().unwrap();
        let group = |process: u32, since: u64, serial: u32| {
            let name = format!("{PREFIX}{process}-{since}-{serial}");
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        // More than other tests make meanwhile.
        let there: Vec<_> =
            (1..40).map(|more| group(own.process, own.since, serial + more)).collect();
        let next = create(parent.path(), &own).unwrap();
        assert!(next != first && !there.contains(&next));

        // One of a process before us that had our number, one of nobody, and what is not ours.
        let before = group(own.process, own.since - 1, 0);
        let nobody = group(u32::MAX, 7, 0);
        let other = parent.path().join("openshell-other");
        fs::create_dir(&other).unwrap();
        sweep(parent.path());
        assert!(!before.exists() && !nobody.exists());
        assert!(first.exists() && next.exists() && other.exists());
    }
}
