//! The static binary in an image that holds nothing else. Checked where `OPENSHELL_STATIC` names one, as `cargo xtask static`
//! does; the other checks are about the binary that cargo builds for tests.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use rustix::{
    mount::{
        MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
        mount_change, unmount,
    },
    process::{chdir, pivot_root},
    thread::clear_ambient_capability_set,
};

use crate::support::{Check, World};

pub(crate) const CHECKS: &[Check] = &[
    ("a_static_binary_names_no_loader_and_no_library", headers),
    ("a_static_binary_makes_sandboxes_in_an_empty_image", empty_image),
];

/// Where the binary is; these checks are none without it.
pub(crate) fn binary() -> Option<PathBuf> {
    env::var_os("OPENSHELL_STATIC").map(PathBuf::from)
}

fn headers(_: &World) -> Result<(), String> {
    const INTERPRETER: u32 = 3;
    const DYNAMIC: u32 = 2;
    const NEEDED: u64 = 1;
    let bytes = fs::read(binary().unwrap()).unwrap();
    assert_eq!(bytes[..5], *b"\x7fELF\x02", "an ELF file of 64 bits");
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let half = |at: usize| u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap());
    let (table, size, count) = (index(word(32)), half(54), half(56));
    for number in 0..usize::from(count) {
        let entry = table + number * usize::from(size);
        let kind = u32::from_le_bytes(bytes[entry..entry + 4].try_into().unwrap());
        assert_ne!(kind, INTERPRETER, "it asks for a loader");
        if kind == DYNAMIC {
            let (from, length) = (index(word(entry + 8)), index(word(entry + 32)));
            let needed = (from..from + length).step_by(16).find(|at| word(*at) == NEEDED);
            assert_eq!(needed, None, "it asks for a library");
        }
    }
    Ok(())
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

/// Runs the binary where it is the only file.
fn in_image(world: &World, words: &[&str]) -> Output {
    let mut unshare = Command::new("unshare");
    if !world.is_root() {
        unshare.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    unshare.arg("--mount").arg(&world.agent).arg("in-empty-image");
    let folder = tempfile::tempdir().unwrap();
    // An ordinary user cannot reach the folders of the build.
    let copy = folder.path().join("openshell-sandbox");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(binary().unwrap(), &copy).unwrap();
    unshare.arg(folder.path()).args(words).output().unwrap()
}

fn empty_image(world: &World) -> Result<(), String> {
    let text = |output: &Output| {
        let all = [&output.stdout[..], &output.stderr].concat();
        String::from_utf8_lossy(&all).into_owned()
    };
    let version = in_image(world, &["--version"]);
    assert!(version.status.success(), "{}", text(&version));
    assert!(text(&version).starts_with("openshell-sandbox "), "{}", text(&version));
    // A sandbox in there, whose only program is this one again.
    let words = ["run", "--spec", "/spec.json", "--", "/openshell-sandbox", "--version"];
    let inside = in_image(world, &words);
    assert_eq!(text(&inside), text(&version), "{:?}", inside.status);
    let missing = in_image(world, &["run", "--spec", "/spec.json", "--", "/bin/sh"]);
    assert_eq!(missing.status.code(), Some(127), "{}", text(&missing));
    Ok(())
}

/// Makes that folder the root of this process, which has a mount namespace of its own, with what every container has: its
/// `/proc` and devices. Then becomes the binary.
pub(crate) fn enter_image(folder: &str, words: &[&str]) -> ExitCode {
    let root = Path::new(folder);
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    let binary = fs::read(root.join("openshell-sandbox")).unwrap();
    mount("image", root, "tmpfs", MountFlags::empty(), c"mode=755,size=512m").unwrap();
    chdir(root).unwrap();
    fs::write("openshell-sandbox", binary).unwrap();
    fs::set_permissions("openshell-sandbox", fs::Permissions::from_mode(0o755)).unwrap();
    fs::write("spec.json", r#"{"read_only":["/openshell-sandbox"]}"#).unwrap();
    for name in ["proc", "dev", "tmp"] {
        fs::create_dir(name).unwrap();
    }
    mount_bind_recursive("/proc", "proc").unwrap();
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let inside = Path::new("dev").join(name);
        fs::write(&inside, "").unwrap();
        mount_bind(Path::new("/dev").join(name), &inside).unwrap();
    }
    pivot_root(".", ".").unwrap();
    unmount(".", UnmountFlags::DETACH).unwrap();
    chdir("/").unwrap();
    clear_ambient_capability_set().unwrap();
    let error = Command::new("/openshell-sandbox").args(words).env_clear().exec();
    super::say(&error.to_string());
    ExitCode::FAILURE
}
