//! The file tree of a sandbox: a folder in memory with the listed paths of the host in it, private `/etc`, `/proc`, `/dev`
//! and scratch folders. The host's tree is left for good.
//!
//! Every path of the host is taken hold of before anything is covered, and put in place through descriptors that follow no
//! symbolic link, so that nothing a former agent left behind can bend a mount.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use libc::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2, statat,
        symlinkat, unlinkat,
    },
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount,
        mount_change, move_mount, open_tree, unmount,
    },
    process::{chdir, fchdir, pivot_root},
};

use crate::{
    error::{At, StartError, Step},
    plan::{Access, DEVICES, Place, Plan},
    sys::{Depth, restrict_mount},
};

/// Folders of which one can be covered while the tree is built.
const SITES: [&str; 2] = ["/tmp", "/mnt"];
/// The tree itself holds folders, links and empty files only.
const TREE_OPTIONS: &str = "mode=755,size=4m";
/// The private files of `/etc`, a bundle of certificates several times among them.
const ETC_OPTIONS: &str = "mode=755,size=32m";
/// The most files in a scratch folder; each takes about a kilobyte of the kernel's own memory.
const SCRATCH_FILES_MAX: u32 = 500_000;
const LAYER: &str = ".layer";

/// Builds the tree and makes it the root of this process, in a mount namespace of its own.
///
/// # Errors
/// The step and the path that failed.
pub(crate) fn enter(plan: &Plan) -> Result<(), StartError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .on(Step::Mounts, "making mounts private")?;
    let held = hold(plan)?;
    let devices = hold_devices()?;

    let site = SITES.into_iter().find(|site| Path::new(site).is_dir()).unwrap_or("/proc");
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    memory(site, plain, TREE_OPTIONS).on(Step::Mounts, site)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(site, flags, Mode::empty()).on(Step::Mounts, site)?;
    fchdir(&root).on(Step::Mounts, site)?;

    etc(plan, site)?;
    let mut held = held.into_iter();
    for (path, place) in &plan.places {
        match place {
            Place::Host(_) => {
                let Some(held) = held.next() else { break };
                put(&root, path, &held).on(Step::Mounts, path.display())?;
            }
            Place::Scratch(mode) => {
                scratch(&root, path, *mode, plan).on(Step::Mounts, path.display())?;
            }
        }
    }
    for (link, target) in &plan.links {
        let path = below(link);
        parent(&root, &path)
            .and_then(|parent| Ok(symlinkat(target, parent, name(&path)?)?))
            .on(Step::Mounts, link.display())?;
    }
    dev(plan, devices)?;
    for path in &plan.covered {
        cover(&root, path).on(Step::Mounts, path.display())?;
    }
    proc(&root)?;
    restrict_mount(&root, MOUNT_ATTR_RDONLY, Depth::Alone).on(Step::Mounts, "/")?;

    pivot_root(".", ".").at(Step::Pivot)?;
    unmount(".", UnmountFlags::DETACH).at(Step::Pivot)?;
    chdir("/").at(Step::Pivot)
}

/// A mount that is nowhere yet.
struct Held {
    tree: OwnedFd,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Folder,
    File,
}

/// Clones every path of the host, restricted, in the order of the places.
fn hold(plan: &Plan) -> Result<Vec<Held>, StartError> {
    let mut held = Vec::new();
    for (path, place) in &plan.places {
        let Place::Host(access) = place else { continue };
        let attributes = match access {
            Access::List | Access::Read => MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            Access::Write => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
            Access::Device => MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
        };
        held.push(clone(plan.source(path), attributes).on(Step::Paths, path.display())?);
    }
    Ok(held)
}

fn hold_devices() -> Result<Vec<(&'static str, Held)>, StartError> {
    let hold = |device: &'static str| {
        let path = Path::new("/dev").join(device);
        let held = clone(&path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
        held.map(|held| (device, held)).on(Step::Dev, path.display())
    };
    DEVICES.into_iter().map(hold).collect()
}

/// Takes hold of a path through no symbolic link at all: those that the plan followed are gone from it, and one that came
/// since leads elsewhere.
fn clone(path: &Path, attributes: u64) -> io::Result<Held> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let at = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let kind = match FileType::from_raw_mode(fstat(&at)?.st_mode) {
        FileType::Directory => Kind::Folder,
        FileType::RegularFile | FileType::CharacterDevice => Kind::File,
        // It was none of these when the plan was made.
        _ => return Err(rustix::io::Errno::INVAL.into()),
    };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(&at, "", flags)?;
    restrict_mount(&tree, attributes, Depth::WithAllBelow)?;
    Ok(Held { tree, kind })
}

/// Puts a held mount at `path`, making what leads there.
fn put(root: &OwnedFd, path: &Path, held: &Held) -> io::Result<()> {
    let path = below(path);
    let parent = parent(root, &path)?;
    let name = name(&path)?;
    match held.kind {
        Kind::Folder => folder(&parent, name)?,
        Kind::File => file(&parent, name)?,
    }
    let at = open(&parent, Path::new(name), OFlags::empty())?;
    attach(&held.tree, &at)
}

/// Lays the null device over a path of the host, if it is still there.
fn cover(root: &OwnedFd, path: &Path) -> io::Result<()> {
    let held = clone(Path::new("dev/null"), MOUNT_ATTR_RDONLY)?;
    match open(root, &below(path), OFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        at => attach(&held.tree, &at?),
    }
}

fn attach(tree: &OwnedFd, at: &OwnedFd) -> io::Result<()> {
    let by_descriptor =
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    Ok(move_mount(tree, "", at, "", by_descriptor)?)
}

/// An empty folder in memory that belongs to the agent.
fn scratch(root: &OwnedFd, path: &Path, mode: u32, plan: &Plan) -> io::Result<()> {
    let path = below(path);
    let parent = parent(root, &path)?;
    folder(&parent, name(&path)?)?;
    let (uid, gid) = (plan.identity.uid, plan.identity.gid);
    let options = format!(
        "mode={mode:o},size={},nr_inodes={SCRATCH_FILES_MAX},uid={uid},gid={gid}",
        plan.limits.scratch_bytes
    );
    memory(&path, MountFlags::NOSUID | MountFlags::NODEV, &options)
}

/// The host's `/etc` with the private files laid over it; read-only.
fn etc(plan: &Plan, site: &str) -> Result<(), StartError> {
    let step = Step::Etc;
    mkdirat(CWD, LAYER, Mode::from_raw_mode(0o700)).at(step)?;
    mkdirat(CWD, "etc", Mode::from_raw_mode(0o755)).at(step)?;
    memory(LAYER, MountFlags::NOSUID | MountFlags::NODEV, ETC_OPTIONS).at(step)?;
    for (path, text) in &plan.etc {
        let path = Path::new(LAYER).join(path);
        let folder = path.parent().unwrap_or(&path);
        std::fs::create_dir_all(folder).on(step, path.display())?;
        std::fs::write(&path, text).on(step, path.display())?;
    }
    let plain = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    let layers = format!("lowerdir={site}/{LAYER}:/etc");
    let layers = std::ffi::CString::new(layers).map_err(io::Error::other).at(step)?;
    // A container has mounts of its own in there, which an ordinary user may not hide below an overlay.
    if mount("overlay", "etc", "overlay", plain, layers.as_c_str()).is_err() {
        etc_by_entries(plan)?;
    }
    unmount(LAYER, UnmountFlags::DETACH).at(step)?;
    unlinkat(CWD, LAYER, AtFlags::REMOVEDIR).at(step)
}

/// The same, entry by entry: slower, and possible everywhere.
fn etc_by_entries(plan: &Plan) -> Result<(), StartError> {
    let step = Step::Etc;
    memory("etc", MountFlags::NOSUID | MountFlags::NODEV, ETC_OPTIONS).at(step)?;
    let root = open_folder("etc").at(step)?;
    let read_only = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    for entry in std::fs::read_dir("/etc").into_iter().flatten() {
        let entry = entry.on(step, "/etc")?;
        let (path, kind) = (entry.path(), entry.file_type().on(step, "/etc")?);
        if plan.etc.contains_key(Path::new(&entry.file_name())) {
            continue;
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(&path).on(step, path.display())?;
            symlinkat(target, &root, entry.file_name()).on(step, path.display())?;
        } else if kind.is_dir() || kind.is_file() {
            let held = clone(&path, read_only).on(step, path.display())?;
            put(&root, Path::new(&entry.file_name()), &held).on(step, path.display())?;
        }
    }
    for path in plan.etc.keys() {
        let held = clone(&Path::new(LAYER).join(path), read_only).on(step, path.display())?;
        put(&root, path, &held).on(step, path.display())?;
    }
    restrict_mount(&root, MOUNT_ATTR_RDONLY, Depth::Alone).at(step)
}

fn dev(plan: &Plan, devices: Vec<(&'static str, Held)>) -> Result<(), StartError> {
    let step = Step::Dev;
    mkdirat(CWD, "dev", Mode::from_raw_mode(0o755)).or_else(exists).at(step)?;
    let root = open_folder("dev").at(step)?;
    // A device of the host that the spec lists may lie there already; then the tree's own folder serves.
    for (name, held) in devices {
        file(&root, name.as_ref()).on(step, name)?;
        open(&root, Path::new(name), OFlags::empty())
            .and_then(|at| attach(&held.tree, &at))
            .on(step, name)?;
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        symlinkat(target, &root, link).on(step, link)?;
    }
    for name in ["pts", "shm"] {
        mkdirat(&root, name, Mode::from_raw_mode(0o755)).on(step, name)?;
    }
    let terminals = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devpts", "dev/pts", "devpts", terminals, c"newinstance,ptmxmode=0666,mode=0600")
        .on(step, "pts")?;
    let shared =
        format!("mode=1777,size={},nr_inodes={SCRATCH_FILES_MAX}", plan.limits.scratch_bytes);
    memory("dev/shm", MountFlags::NOSUID | MountFlags::NODEV, &shared).on(step, "shm")
}

/// Files of `/proc` that tell about the machine or change it; ordinary permissions close most of them already.
const HIDDEN: [&str; 9] = [
    "kcore",
    "keys",
    "kmsg",
    "latency_stats",
    "sched_debug",
    "sysrq-trigger",
    "timer_list",
    "vmallocinfo",
    "kallsyms",
];
/// Folders of `/proc` that are settings of the kernel.
const SETTINGS: [&str; 5] = ["sys", "bus", "fs", "irq", "acpi"];

fn proc(root: &OwnedFd) -> Result<(), StartError> {
    let step = Step::Proc;
    mkdirat(CWD, "proc", Mode::from_raw_mode(0o555)).at(step)?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Who may not look into a process does not see it: the first one, and what started it, stay unknown.
    mount("proc", "proc", "proc", plain, c"hidepid=2").at(step)?;
    let base = open(root, Path::new("proc"), OFlags::DIRECTORY).at(step)?;
    for name in SETTINGS {
        let path = Path::new("proc").join(name);
        if statat(&base, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            let held = clone(&path, MOUNT_ATTR_RDONLY).on(step, path.display())?;
            let at = open(&base, Path::new(name), OFlags::empty()).on(step, path.display())?;
            attach(&held.tree, &at).on(step, path.display())?;
        }
    }
    for name in HIDDEN {
        if statat(&base, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            let held = clone(Path::new("dev/null"), MOUNT_ATTR_RDONLY).on(step, name)?;
            let at = open(&base, Path::new(name), OFlags::empty()).on(step, name)?;
            attach(&held.tree, &at).on(step, name)?;
        }
    }
    Ok(())
}

fn memory(at: impl AsRef<Path>, flags: MountFlags, options: &str) -> io::Result<()> {
    let options = std::ffi::CString::new(options).map_err(io::Error::other)?;
    Ok(mount("tmpfs", at.as_ref(), "tmpfs", flags, options.as_c_str())?)
}

/// The path without its leading slash, to be resolved below the new root.
fn below(path: &Path) -> PathBuf {
    path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn name(path: &Path) -> io::Result<&std::ffi::OsStr> {
    path.file_name().ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Opens the folder that `path` lies in, making folders where the tree has none.
fn parent(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let mut at = open(root, Path::new("."), OFlags::DIRECTORY)?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        let part = Path::new(part.as_os_str());
        folder(&at, part.as_os_str())?;
        at = open(&at, part, OFlags::DIRECTORY)?;
    }
    Ok(at)
}

fn folder(at: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<()> {
    Ok(mkdirat(at, name, Mode::from_raw_mode(0o755)).or_else(exists)?)
}

fn file(at: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::WRONLY | OFlags::NOFOLLOW;
    Ok(rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o444)).map(drop).or_else(exists)?)
}

/// What is there already serves; a mount over it goes through [`open`], which follows no link. A read-only folder that
/// holds the path answers with that before it looks.
fn exists(error: rustix::io::Errno) -> rustix::io::Result<()> {
    if matches!(
        error,
        rustix::io::Errno::EXIST | rustix::io::Errno::ROFS | rustix::io::Errno::ACCESS
    ) {
        return Ok(());
    }
    Err(error)
}

fn open_folder(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// Opens a path below `at` for naming it, through mounts but through no link.
fn open(at: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(openat2(at, path, flags, Mode::empty(), resolve)?)
}
