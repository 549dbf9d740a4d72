//! The file tree: what is not listed is not there, what is read-only stays so, and no way leads around it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use sandbox::{Ending, Spec};

use crate::support::{Check, World, shell, start};

pub(crate) const CHECKS: &[Check] = &[
    ("what_is_not_listed_is_not_there", not_there),
    ("system_files_cannot_be_written", system_files),
    ("listed_folders_can_be_used_as_listed", as_listed),
    ("a_read_only_folder_inside_a_writable_one_stays_read_only", narrowed),
    ("links_and_detours_lead_nowhere", detours),
    ("scratch_folders_are_private", scratch),
    ("landlock_is_in_force_behind_the_mounts", landlocked),
    (crate::CHECK_OF_ETC, etc),
];

/// A folder that both root and the agent's user may enter.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn open_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

fn not_there(world: &World) -> Result<(), String> {
    let host = folder();
    let secret = host.path().join("secret");
    fs::write(&secret, "s").unwrap();
    let mut sandbox = world.sandbox();
    let secret = secret.to_str().unwrap();
    world.contained(
        &mut sandbox,
        &[
            "unreadable",
            secret,
            "/root",
            "/var",
            "/run",
            "/sys",
            "/mnt",
            "/boot",
            "/etc/shadow",
            "/proc/kcore",
            "/dev/kmsg",
            "/dev/mem",
        ],
    );
    Ok(())
}

fn system_files(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    world.contained(
        &mut sandbox,
        &[
            "unwritable",
            "/",
            "/usr",
            "/usr/bin",
            "/lib",
            "/etc",
            "/dev",
            "/home",
            "/etc/resolv.conf",
            "/etc/hosts",
            "/etc/passwd",
            "/etc/ld.so.preload",
            "/proc/sys/kernel/core_pattern",
            "/proc/sysrq-trigger",
            "/proc/sys/kernel/hostname",
            "/proc/self/uid_map",
        ],
    );
    Ok(())
}

fn as_listed(world: &World) -> Result<(), String> {
    let host = folder();
    let (read, write) = (host.path().join("read"), host.path().join("write"));
    open_folder(&read);
    open_folder(&write);
    fs::write(read.join("file"), "text").unwrap();
    let mut spec = world.spec();
    spec.read_only.push(read.clone());
    spec.workdir = Some(write.clone());
    spec.include_workdir = true;
    let mut sandbox = start(&spec);
    world.contained(
        &mut sandbox,
        &["unwritable", read.to_str().unwrap(), read.join("file").to_str().unwrap()],
    );
    world.contained(&mut sandbox, &["writable", write.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(write.join("probe")).unwrap(), "x");
    let (ending, text) = shell(&mut sandbox, &format!("pwd; cat {}/file", read.display()));
    assert_eq!((ending, text), (Ending::Code(0), format!("{}\ntext", write.display())));
    Ok(())
}

fn narrowed(world: &World) -> Result<(), String> {
    let host = folder();
    let (outer, inner) = (host.path().join("outer"), host.path().join("outer/inner"));
    open_folder(&outer);
    open_folder(&inner);
    let mut spec = world.spec();
    spec.read_write.push(outer.clone());
    spec.read_only.push(inner.clone());
    let mut sandbox = start(&spec);
    world.contained(&mut sandbox, &["writable", outer.to_str().unwrap()]);
    world.contained(&mut sandbox, &["unwritable", inner.to_str().unwrap()]);
    Ok(())
}

fn detours(world: &World) -> Result<(), String> {
    let host = folder();
    let (secret, open) = (host.path().join("secret"), host.path().join("open"));
    fs::write(&secret, "s").unwrap();
    open_folder(&open);
    let mut spec = world.spec();
    spec.read_write.push(open.clone());
    let mut sandbox = start(&spec);
    world.contained(&mut sandbox, &["detours", secret.to_str().unwrap(), open.to_str().unwrap()]);
    // A link that an agent left behind must not bend the mounts of the next sandbox.
    std::os::unix::fs::symlink(&secret, open.join("later")).unwrap();
    let mut spec = world.spec();
    spec.read_write.extend([open.clone(), open.join("later")]);
    let mut sandbox = start(&spec);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o666)).unwrap();
    // The operator listed it, so it is what it leads to; nothing beside that is.
    let beside = host.path().join("beside");
    fs::write(&beside, "b").unwrap();
    let script = format!("echo changed > {}/later; cat {}", open.display(), secret.display());
    assert_eq!(shell(&mut sandbox, &script), (Ending::Code(0), "changed\n".to_owned()));
    assert_eq!(fs::read_to_string(&secret).unwrap(), "changed\n");
    world.contained(&mut sandbox, &["unreadable", beside.to_str().unwrap()]);
    Ok(())
}

fn scratch(world: &World) -> Result<(), String> {
    let name = format!("openshell-scratch-{}", std::process::id());
    let outside = Path::new("/tmp").join(&name);
    fs::write(&outside, "host").unwrap();
    let mut sandbox = world.sandbox();
    let (_, text) = shell(
        &mut sandbox,
        &format!("cat /tmp/{name}; echo x > /tmp/inside-{name} && echo y > $HOME/f && ls -A /tmp"),
    );
    fs::remove_file(&outside).unwrap();
    assert!(text.contains("No such file") && text.ends_with(&format!("inside-{name}\n")), "{text}");
    assert!(!Path::new(&format!("/tmp/inside-{name}")).exists());
    Ok(())
}

fn landlocked(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    if let Some(note) = sandbox.notes().iter().find(|note| note.contains("Landlock")) {
        return Err(note.clone());
    }
    world.contained(&mut sandbox, &["landlocked"]);
    Ok(())
}

fn etc(world: &World) -> Result<(), String> {
    let spec = Spec {
        ca_pem: Some("-----OURS-----\n".to_owned()),
        name: Some("box-1".to_owned()),
        ..world.spec()
    };
    let mut sandbox = start(&spec);
    let (ending, text) = shell(
        &mut sandbox,
        "cat /etc/resolv.conf; hostname 2>/dev/null || cat /etc/hostname; tail -1 $SSL_CERT_FILE; cat $NODE_EXTRA_CA_CERTS; grep :/home /etc/passwd; \
         test ! -e /etc/ssl/certs/ca-certificates.crt || tail -1 /etc/ssl/certs/ca-certificates.crt",
    );
    assert_eq!(ending, Ending::Code(0), "{text}");
    assert!(text.starts_with("nameserver 127.0.0.1\n"), "{text}");
    assert!(text.contains("\nbox-1\n-----OURS-----\n-----OURS-----\n"), "{text}");
    assert!(text.contains(":/home/box-1:/bin/"), "{text}");
    if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
        assert!(text.ends_with("-----OURS-----\n"), "{text}");
    }
    Ok(())
}
