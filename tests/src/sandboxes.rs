//! People with sandboxes: root where the tests run as root, and somebody without rights. Each has a home and a binary of its
//! own; all of its sandboxes are gone with it.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::{
    clients, environment,
    process::{Finished, Running, run},
    wait,
};

/// Somebody who owns nothing.
const NOBODY: u32 = 65_534;

/// One person.
#[derive(Debug)]
pub struct Person {
    name: &'static str,
    folder: TempDir,
    binary: PathBuf,
    uid: Option<u32>,
    /// Whether its commands work with its active gateway.
    with_gateways: bool,
}

impl Person {
    /// Everybody who can have sandboxes on this machine.
    pub fn all() -> Vec<Self> {
        if !geteuid().is_root() {
            return vec![Self::new("user", None)];
        }
        let nobody = Self::new("user", Some(NOBODY));
        let mut all = vec![Self::new("root", None)];
        // Asked of the system, not of what is tested.
        let mut ask = Command::new("unshare");
        ask.uid(NOBODY).gid(NOBODY).args(["--user", "--map-root-user", "--net", "true"]);
        match ask.stderr(Stdio::null()).status() {
            Ok(status) if !status.success() => clients::skip("only root may make namespaces here"),
            _ => all.push(nobody),
        }
        all
    }

    /// Whoever runs the tests.
    pub fn root() -> Self {
        Self::new("root", None)
    }

    /// Whoever is called so, if that one can have sandboxes on this machine.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|person| person.name == name)
    }

    fn new(name: &'static str, uid: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut binary = environment::openshell().to_owned();
        if let Some(uid) = uid {
            // The folders of the build may be closed to others.
            let copy = folder.path().join("openshell");
            fs::copy(&binary, &copy).expect("the binary can be copied");
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
            std::os::unix::fs::chown(folder.path(), Some(uid), Some(uid)).expect("ours to give");
            binary = copy;
        }
        Self { name, folder, binary, uid, with_gateways: false }
    }

    /// The same, whose commands work with its active gateway; those of others work without any.
    #[must_use]
    pub fn with_gateways(mut self) -> Self {
        self.with_gateways = true;
        self
    }

    /// Who it is, for messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The user that it is, where that is not who runs the tests.
    pub fn user(&self) -> Option<u32> {
        self.uid
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file there.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Makes a file in its folder its own.
    pub fn own(&self, path: &Path) {
        std::os::unix::fs::chown(path, self.uid, self.uid).expect("ours to give");
    }

    /// A copy of a file in its folder that is its own.
    pub fn adopt(&self, path: &Path) -> PathBuf {
        let name = path.file_name().expect("a file has a name");
        let copy = self.path().join(name);
        fs::copy(path, &copy).expect("a file can be copied");
        self.own(&copy);
        copy
    }

    /// Runs `openshell` at a terminal, with the steps of `tests/clients/terminal.py`.
    pub fn at_a_terminal(&self, steps: &[&str], args: &[&str]) -> Finished {
        let mut command = self.terminal(steps, args);
        run(&format!("{}: openshell {args:?}", self.name), &mut command, wait::LONG)
    }

    /// The same, not yet begun.
    pub fn terminal(&self, steps: &[&str], args: &[&str]) -> Command {
        let script = environment::repository().join("tests/clients/terminal.py");
        let script = self.adopt(&script);
        let mut command = self.program("python3");
        command.arg(script).args(steps).arg("--").arg(&self.binary).args(args);
        command
    }

    /// Where its sandboxes are kept.
    pub fn home(&self) -> PathBuf {
        self.path().join("state")
    }

    /// A program, to be run by this person in its folder.
    pub fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", self.path()).env("OPENSHELL_HOME", self.home());
        command.env("RUST_BACKTRACE", "1").current_dir(self.path());
        if !self.with_gateways {
            command.env("OPENSHELL_GATEWAY", "none");
        }
        if let Some(path) = environment::inherited("PATH") {
            command.env("PATH", path);
        }
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// The binary.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// `openshell` with these arguments.
    pub fn openshell(&self, args: &[&str]) -> Command {
        let mut command = self.program(&self.binary);
        command.args(args);
        command
    }

    /// Runs `openshell` to its end, with nothing on its standard input.
    pub fn run(&self, args: &[&str]) -> Finished {
        run(&format!("{}: openshell {args:?}", self.name), &mut self.openshell(args), wait::LONG)
    }

    /// Runs `openshell` to its end with this on its standard input.
    pub fn run_with(&self, input: &[u8], args: &[&str]) -> Finished {
        let mut command = self.openshell(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openshell starts");
        let mut pipe = child.stdin.take().expect("it is piped");
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(pipe.write_all(&input)));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("it writes");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Finished {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Starts `openshell` with its output captured.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&format!("{}: openshell {args:?}", self.name), &mut self.openshell(args))
    }

    /// The process of the supervisor of a sandbox.
    pub fn supervisor(&self, sandbox: &str) -> Option<Pid> {
        let lock = self.home().join("sandboxes").join(sandbox).join("lock");
        Pid::from_raw(fs::read_to_string(lock).ok()?.trim().parse().ok()?)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // Where none runs, nothing happens.
        drop(self.openshell(&["--gateway", "none", "inference", "stop"]).output());
        if self.home().join("pool").exists() {
            drop(self.openshell(&["--gateway", "none", "sandbox", "pool", "0"]).output());
        }
        let deleted = self.openshell(&["--gateway", "none", "sandbox", "delete", "--all"]).output();
        if deleted.is_ok_and(|output| output.status.success()) {
            return;
        }
        // What a failed test left behind ends by force.
        for entry in fs::read_dir(self.home().join("sandboxes")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(pid) = self.supervisor(&name) {
                let _gone = kill_process(pid, Signal::KILL);
            }
        }
    }
}
