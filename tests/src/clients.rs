//! Outside programs that drive the router. `cargo xtask clients` installs them; here they are only looked for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::environment;

/// An installed program.
#[derive(Clone, Debug)]
pub struct Client {
    folder: PathBuf,
}

/// Finds installed programs by their names in `clients.json`; `None` when one is missing, after saying so.
///
/// The reason is printed and noted for the summary of `cargo xtask`. On CI a missing program fails the test.
pub fn installed<const N: usize>(names: [&str; N]) -> Option<[Client; N]> {
    let mut reasons = Vec::new();
    let clients = names.map(|name| {
        let folder = environment::clients().join(name);
        if !folder.join("installed.txt").is_file() {
            let why = fs::read_to_string(folder.join("failed.txt"));
            let why = why.unwrap_or_else(|_| format!("run `cargo xtask clients {name}`"));
            reasons.push(format!("{name} is not installed: {}", why.trim()));
        }
        Client { folder }
    });
    if reasons.is_empty() {
        return Some(clients);
    }
    skip(&reasons.join("; "));
    None
}

/// Notes that the running test skips something, and why. On CI that fails the test.
pub fn skip(why: &str) {
    assert!(!environment::on_ci(), "on CI nothing may be skipped: {why}");
    let test = thread::current().name().unwrap_or("a test").to_owned();
    if let Some(notes) = environment::skipped_notes() {
        fs::create_dir_all(&notes).expect("a folder can be made");
        fs::write(notes.join(test.replace("::", ".")), why).expect("a note can be written");
    }
    print_line(&format!("SKIPPED {test}: {why}"));
}

#[expect(clippy::print_stderr, reason = "whoever runs the test must see that it checked nothing")]
fn print_line(line: &str) {
    eprintln!("{line}");
}

impl Client {
    /// Where it is installed.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A program that pip put there.
    pub fn python_program(&self, name: &str) -> PathBuf {
        self.folder.join("venv/bin").join(name)
    }

    /// A program that npm put there.
    pub fn node_program(&self, name: &str) -> PathBuf {
        self.folder.join("node_modules/.bin").join(name)
    }

    /// A file below the Python packages.
    pub fn python_file(&self, below: &str) -> PathBuf {
        let lib = self.folder.join("venv/lib");
        let version = fs::read_dir(&lib)
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .expect("a venv has a version");
        version.path().join("site-packages").join(below)
    }

    /// Python with the installed packages, and one of our scripts.
    pub fn python(&self, script: &str) -> Command {
        let mut command = bare(&self.python_program("python"));
        command.arg(script_path(script)).env("PYTHONUNBUFFERED", "1");
        command
    }

    /// Node with one of our scripts, which finds the installed packages.
    pub fn node(&self, script: &str) -> Command {
        // Modules are looked for beside the script, so the script lies beside them.
        let copy = self.folder.join(script);
        fs::copy(script_path(script), &copy).expect("a script can be copied");
        let mut command = bare(Path::new("node"));
        command.arg(copy);
        command
    }
}

/// A program with an empty environment but `PATH`: no key and no proxy of the developer leaks in.
pub fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("TERM", "dumb").env("NO_COLOR", "1").env("LANG", "C.UTF-8");
    if let Some(path) = environment::inherited("PATH") {
        command.env("PATH", path);
    }
    command
}

fn script_path(script: &str) -> PathBuf {
    environment::repository().join("tests/clients").join(script)
}
