//! The processes of a run, seen from outside: how they are started, what they have used, how they end.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

/// A process of this program in another role; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: std::process::Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Child {
    /// The model server.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn model() -> anyhow::Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).arg("serve-model"))
    }

    /// A bare proxy in front of `upstream`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn bare(upstream: SocketAddr, threads: u32) -> anyhow::Result<Self> {
        let upstream = upstream.to_string();
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.args(["serve-bare", &upstream, &threads.to_string()]))
    }

    /// A router with the configuration in `config`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn router(config: &Path, threads: u32) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.arg("serve-router").arg(config).arg(threads.to_string()))
    }

    /// A model server behind TLS, whose certificate goes into `folder`.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn secure_model(folder: &Path) -> anyhow::Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).arg("serve-secure-model").arg(folder))
    }

    /// A proxy that does nothing but TLS, in front of a model server behind TLS and a server that gives bytes.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn bare_tunnel(
        (secure, bytes): (SocketAddr, SocketAddr),
        folder: &Path,
        threads: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-bare-tunnel", &secure.to_string(), &bytes.to_string()]);
        Self::start(command.arg(folder).arg(threads.to_string()))
    }

    /// An egress proxy in front of a model server, one behind TLS, and a server that gives bytes.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn egress(
        (plain, secure, bytes): (SocketAddr, SocketAddr, SocketAddr),
        folder: &Path,
        threads: u32,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let to = [plain, secure, bytes].map(|address| address.to_string());
        Self::start(command.arg("serve-egress").args(to).arg(folder).arg(threads.to_string()))
    }

    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let out = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        let read = BufReader::new(out).read_line(&mut line);
        let address = read.map_err(anyhow::Error::from).and_then(|_| Ok(line.trim().parse()?));
        match address {
            Ok(address) => Ok(Self { process, address }),
            Err(error) => {
                process.kill()?;
                process.wait()?;
                Err(error.context("a process of this run did not start"))
            }
        }
    }

    /// Gives the process an order, in one word.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn order(&mut self, word: &str) -> anyhow::Result<()> {
        let input = self.process.stdin.as_mut().context("no standard input")?;
        Ok(writeln!(input, "{word}")?)
    }

    /// What each of its threads has used so far.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn used(&self) -> anyhow::Result<Used> {
        let mut threads = HashMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let path = entry?.path();
            // A thread may end while it is looked at.
            let Ok(text) = fs::read_to_string(path.join("schedstat")) else { continue };
            let ran = text.split(' ').next().unwrap_or_default().parse()?;
            threads.insert(path.to_string_lossy().into_owned(), ran);
        }
        Ok(Used { threads })
    }

    /// Memory that is resident now, KiB: all of it, and the part that no file backs.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn resident(&self) -> anyhow::Result<Resident> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let field = |name: &str| -> anyhow::Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let text = line.with_context(|| format!("no {name} in /proc"))?;
            Ok(text.trim().trim_end_matches(" kB").parse()?)
        };
        Ok(Resident { all_kib: field("VmRSS:")?, own_kib: field("RssAnon:")? })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about it then.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// CPU time of a process, thread by thread.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    threads: HashMap<String, u64>,
}

impl Used {
    /// What was used since `before`.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let used = self.threads.iter().map(|(thread, now)| {
            now.saturating_sub(before.threads.get(thread).copied().unwrap_or(0))
        });
        Duration::from_nanos(used.sum())
    }
}

/// Memory of a process.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Resident {
    /// Everything, the program's own pages included, KiB.
    pub(crate) all_kib: u64,
    /// Without pages of files, KiB.
    pub(crate) own_kib: u64,
}
