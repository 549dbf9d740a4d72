//! Installs the outside programs that the end-to-end tests drive: `tests/clients.json` says which and in which version.
//!
//! Each goes to a folder of its own below `TARGET/clients`, with a stamp that says what was installed, so that a second
//! run costs nothing. The tests only look; they never install. Package managers find their registries themselves.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{repo::Repo, say};

/// An install that takes longer has failed.
const INSTALL_TIME_MAX: Duration = Duration::from_mins(7);
/// How often a long install says that it is alive.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// One outside program with the packages that make it up.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    name: String,
    tool: Tool,
    flags: Vec<String>,
    packages: Vec<String>,
    tests: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    Pip,
    Npm,
}

/// A program that is not there, and why.
#[derive(Clone, Debug)]
pub(crate) struct Missing {
    /// Its name in the table.
    pub(crate) name: String,
    /// What went wrong.
    pub(crate) why: String,
}

/// Installs the named programs, or all.
///
/// # Errors
/// When a name is unknown or an install fails.
pub(crate) fn install_named(repo: &Repo, names: &[String]) -> anyhow::Result<()> {
    let table = table(repo)?;
    for name in names {
        ensure!(
            table.iter().any(|client| client.name == *name),
            "no client {name:?} in tests/clients.json"
        );
    }
    let wanted =
        table.into_iter().filter(|client| names.is_empty() || names.contains(&client.name));
    let missing = install(repo, wanted.collect());
    if let Some(first) = missing.first() {
        bail!("{} could not be installed: {}", first.name, first.why);
    }
    Ok(())
}

/// Installs what the tests whose file name contains `filter` need; gives what could not be installed.
///
/// # Errors
/// When the table cannot be read.
pub(crate) fn install_for(repo: &Repo, filter: Option<&str>) -> anyhow::Result<Vec<Missing>> {
    let wanted = table(repo)?.into_iter().filter(|client| client.serves(filter));
    Ok(install(repo, wanted.collect()))
}

/// The path of a program that pip installs as part of the client `name`, installed if it is not there yet.
///
/// # Errors
/// When it is not there and cannot be installed.
pub(crate) fn program(repo: &Repo, name: &str, program: &str) -> anyhow::Result<PathBuf> {
    install_named(repo, &[name.to_owned()])?;
    Ok(folder(repo).join(name).join("venv/bin").join(program))
}

/// Where the programs are installed.
pub(crate) fn folder(repo: &Repo) -> PathBuf {
    repo.target().join("clients")
}

impl Client {
    fn serves(&self, filter: Option<&str>) -> bool {
        let Some(filter) = filter else { return !self.tests.is_empty() };
        let file = filter.split("::").next().unwrap_or(filter);
        self.tests.iter().any(|test| test.contains(file))
    }

    /// What the stamp of a finished install says.
    fn stamp(&self) -> String {
        format!("{:?} {} {}\n", self.tool, self.flags.join(" "), self.packages.join(" "))
    }
}

fn table(repo: &Repo) -> anyhow::Result<Vec<Client>> {
    let text = repo.text("tests/clients.json").context("cannot read tests/clients.json")?;
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<Vec<Client>> {
    let table: Value = serde_json::from_str(text).context("tests/clients.json is no JSON")?;
    let clients = table.get("clients").and_then(Value::as_array).context("no list `clients`")?;
    clients.iter().map(client).collect()
}

fn client(value: &Value) -> anyhow::Result<Client> {
    let name = value.get("name").and_then(Value::as_str).context("a client without a name")?;
    let tool = match value.get("tool").and_then(Value::as_str) {
        Some("pip") => Tool::Pip,
        Some("npm") => Tool::Npm,
        other => bail!("{name}: tool must be pip or npm, not {other:?}"),
    };
    let client = Client {
        name: name.to_owned(),
        tool,
        flags: words(value, "flags"),
        packages: words(value, "packages"),
        tests: words(value, "tests"),
    };
    ensure!(!client.packages.is_empty(), "{name}: no packages");
    Ok(client)
}

fn words(value: &Value, key: &str) -> Vec<String> {
    let list = value.get(key).and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn install(repo: &Repo, clients: Vec<Client>) -> Vec<Missing> {
    let mut missing = Vec::new();
    for client in clients {
        let folder = folder(repo).join(&client.name);
        if let Err(error) = install_one(&folder, &client) {
            let why = format!("{error:#}");
            say::line(&format!("{}: not installed: {why}", client.name));
            // The tests that need it repeat this reason; a note that cannot be written only costs that.
            drop(fs::write(folder.join("failed.txt"), &why));
            missing.push(Missing { name: client.name, why });
        }
    }
    missing
}

fn install_one(folder: &Path, client: &Client) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("cannot create the lock")?;
    lock.lock().context("cannot take the lock")?;
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == client.stamp()) {
        return Ok(());
    }
    remove(&stamp)?;
    say::line(&format!("{}: installing {}", client.name, client.packages.join(" ")));
    let begun = Instant::now();
    match client.tool {
        Tool::Pip => pip(folder, client)?,
        Tool::Npm => npm(folder, client)?,
    }
    remove(&folder.join("failed.txt"))?;
    fs::write(&stamp, client.stamp()).context("cannot write the stamp")?;
    say::line(&format!("{}: ready after {:.0} s", client.name, begun.elapsed().as_secs_f64()));
    Ok(())
}

fn pip(folder: &Path, client: &Client) -> anyhow::Result<()> {
    let venv = folder.join("venv");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    finish(folder, &client.name, &mut create)?;
    let mut install = Command::new(venv.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    install.args(&client.flags).args(&client.packages);
    finish(folder, &client.name, &mut install)
}

fn npm(folder: &Path, client: &Client) -> anyhow::Result<()> {
    fs::write(folder.join("package.json"), "{\"private\": true}\n")
        .context("cannot write package.json")?;
    let mut install = Command::new("npm");
    install.args(["install", "--silent", "--no-fund", "--no-audit", "--no-save"]);
    install.args(&client.flags).args(&client.packages).current_dir(folder);
    finish(folder, &client.name, &mut install)
}

/// Runs to the end within the time limit, with the output in a log; says now and then that it is alive.
fn finish(folder: &Path, name: &str, command: &mut Command) -> anyhow::Result<()> {
    let log = folder.join("install.log");
    let file = File::create(&log).context("cannot create the log")?;
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(std::process::Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
    let status = wait(&mut child, name)?;
    if !status.success() {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let last =
            text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        bail!("{program} ended with {status}: {last}");
    }
    Ok(())
}

fn wait(child: &mut Child, name: &str) -> anyhow::Result<std::process::ExitStatus> {
    let begun = Instant::now();
    let mut said = begun;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > INSTALL_TIME_MAX {
            child.kill()?;
            child.wait()?;
            bail!("gave up after {} s", INSTALL_TIME_MAX.as_secs());
        }
        if said.elapsed() > PROGRESS_EVERY {
            said = Instant::now();
            say::line(&format!("{name}: still at it after {:.0} s", begun.elapsed().as_secs_f64()));
        }
        thread::park_timeout(Duration::from_millis(100));
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Vec<Client> {
        table(&Repo::find().unwrap()).unwrap()
    }

    #[test]
    fn every_package_is_pinned_to_one_version() {
        for client in shipped() {
            for package in &client.packages {
                let version = match client.tool {
                    Tool::Pip => package.split_once("==").map(|(_, version)| version),
                    Tool::Npm => package.rsplit_once('@').map(|(_, version)| version),
                };
                let version = version.unwrap_or_else(|| panic!("{package} has no version"));
                assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{package}");
            }
        }
    }

    #[test]
    fn every_test_that_is_named_exists() {
        let repo = Repo::find().unwrap();
        for client in shipped() {
            for test in &client.tests {
                let file = format!("tests/e2e/{test}.rs");
                assert!(repo.path(&file).is_file(), "{} names {file}", client.name);
            }
        }
    }

    #[test]
    fn the_demonstration_and_the_tests_install_the_same_model() {
        let repo = Repo::find().unwrap();
        let text = repo.text("cli/src/commands/demo/real_model.txt").unwrap();
        let llama = shipped().into_iter().find(|client| client.name == "llama").unwrap();
        assert_eq!(llama.packages, text.lines().collect::<Vec<_>>());
    }

    #[test]
    fn a_filter_installs_only_what_it_needs() {
        let names = |filter| -> Vec<String> {
            let wanted = shipped().into_iter().filter(|client| client.serves(filter));
            wanted.map(|client| client.name).collect()
        };
        assert_eq!(names(Some("codex")), ["aimock", "codex"]);
        assert_eq!(names(Some("codex::answers")), ["aimock", "codex"]);
        assert_eq!(names(Some("failover")), Vec::<String>::new());
        assert!(!names(None).contains(&"typos".to_owned()));
    }
}
