//! The sandbox of the demonstration: made, asked and changed by the same commands that a person types, and what went on its
//! record. Gone with its value.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    commands::{events, events::Event, network_events},
    failure::Failure,
};

/// Where its sandboxes are kept, below the folder of the demonstration.
pub(super) const STATE: &str = "state";
/// Its name.
const NAME: &str = "demo";
/// How long a decision may take to be on record.
const RECORD_TIME_MAX: Duration = Duration::from_secs(10);
/// How often the record is looked at.
const POLL: Duration = Duration::from_millis(20);

/// A sandbox with a program in it that makes requests: this very binary.
pub(super) struct Agent {
    folder: PathBuf,
    program: PathBuf,
    told: usize,
}

/// What the program in the sandbox got.
pub(super) struct Answer {
    /// The status; 0 where no answer came.
    pub(super) status: u64,
    /// The answer in JSON, or the text of what went wrong.
    pub(super) body: String,
    /// The backend and the model that answered.
    pub(super) route: String,
}

/// What the policy of the demonstration lets the program do at the one server that it opens.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Read.
    ReadOnly,
    /// Read and write.
    ReadWrite,
}

impl Agent {
    /// Creates the sandbox; its model calls go to the router at `router`.
    pub(super) async fn create(folder: &Path, router: &Path, key: &Path) -> Result<Self, Failure> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let agent = Self { folder: folder.to_owned(), program, told: 0 };
        let policy = agent.write_policy(Access::ReadOnly)?;
        let router = format!("unix:{}", router.display());
        let mut create = agent.openshell(&["sandbox", "create", "--name", NAME, "--detach"]);
        create.arg("--policy").arg(policy).args(["--router", &router]);
        create.arg("--sandbox-key").arg(key);
        finish(&mut create, "create the sandbox").await?;
        Ok(agent)
    }

    /// Where the program is, inside as outside.
    pub(super) fn program(&self) -> String {
        self.program.display().to_string()
    }

    /// Has the program in the sandbox make a request.
    pub(super) async fn request(&self, words: &[&str]) -> Result<Answer, Failure> {
        self.request_as(&self.program(), words).await
    }

    /// The same with the program at another path.
    pub(super) async fn request_as(
        &self,
        program: &str,
        words: &[&str],
    ) -> Result<Answer, Failure> {
        let said = self.exec(&[&[program, "probe"], words].concat()).await?;
        let said: Value = serde_json::from_slice(&said).context("the program in the sandbox")?;
        let text =
            |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Answer {
            status: said.get("status").and_then(Value::as_u64).unwrap_or_default(),
            body: text("body"),
            route: text("route"),
        })
    }

    /// Runs a program in the sandbox.
    pub(super) async fn exec(&self, words: &[&str]) -> Result<Vec<u8>, Failure> {
        let mut exec = self.openshell(&["sandbox", "exec", "-n", NAME, "--no-tty", "--"]);
        finish(exec.args(words), "run a program in the sandbox").await
    }

    /// Puts a policy in force while the sandbox runs.
    pub(super) async fn set_policy(&self, access: Access) -> Result<(), Failure> {
        let policy = self.write_policy(access)?;
        let mut set = self.openshell(&["policy", "set", NAME, "--wait", "--policy"]);
        finish(set.arg(policy), "change the policy").await.map(drop)
    }

    /// Waits until a decision is on record, after those that were told, that `is_it` accepts.
    pub(super) async fn decision(
        &mut self,
        is_it: impl Fn(&Event) -> bool,
    ) -> Result<Event, Failure> {
        let deadline = Instant::now() + RECORD_TIME_MAX;
        loop {
            let all = self.record()?;
            let found = all.iter().enumerate().skip(self.told).find(|(_, event)| is_it(event));
            if let Some((at, event)) = found {
                let event = event.clone();
                self.told = at.saturating_add(1);
                return Ok(event);
            }
            if Instant::now() > deadline {
                let seen: Vec<String> =
                    all.iter().skip(self.told).map(network_events::short).collect();
                return Err(Failure::new(
                    "the demonstration went wrong: a decision is not on record",
                )
                .hint(format!("on record since the last one: {seen:?}")));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Everything that was decided so far.
    pub(super) fn record(&self) -> Result<Vec<Event>, Failure> {
        let file = self.folder.join(STATE).join("sandboxes").join(NAME).join("audit.jsonl");
        let mut all = Vec::new();
        if file.exists() {
            events::each(&file, |event| all.push(event))?;
        }
        Ok(all)
    }

    fn write_policy(&self, access: Access) -> Result<PathBuf, Failure> {
        let file = self.folder.join("policy.yaml");
        fs::write(&file, policy(&self.program(), access))?;
        Ok(file)
    }

    /// The command line, in this demonstration's own home, with no setting of the person's own.
    fn openshell(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("OPENSHELL_") {
                command.env_remove(name);
            }
        }
        command
            .env("OPENSHELL_HOME", self.folder.join(STATE))
            .env("OPENSHELL_GATEWAY", "none")
            .args(words)
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let mut delete = self.openshell(&["sandbox", "delete", NAME]);
        // What is left is ended by the first process.
        drop(delete.as_std_mut().stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

/// What a command said on its standard output.
async fn finish(command: &mut Command, what: &str) -> Result<Vec<u8>, Failure> {
    let done =
        command.kill_on_drop(true).output().await.with_context(|| format!("cannot {what}"))?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(Failure::new(format!("cannot {what}: {}", said.trim().trim_start_matches("error: "))))
}

/// The policy: this program may use one server; a name in it leads where no policy leads.
fn policy(program: &str, access: Access) -> String {
    let access = match access {
        Access::ReadOnly => "read-only",
        Access::ReadWrite => "read-write",
    };
    let program = Value::from(program);
    format!(
        r#"version: 1
filesystem_policy:
  include_workdir: true
  read_only: [/usr, /lib, /etc, {program}]
  read_write: [/sandbox, /tmp, /dev/null]
network_policies:
  docs:
    endpoints:
      - {{host: docs.demo.test, port: 80, protocol: rest, enforcement: enforce, access: {access}, allowed_ips: ["198.18.0.0/24"]}}
      - {{host: metadata.demo.test, port: 80}}
    binaries: [{{path: {program}}}]
"#
    )
}
