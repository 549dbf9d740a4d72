//! Child processes: started in a group of their own, read while they run, gone with their value.

use std::{
    fmt,
    io::Read,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait;

/// Most bytes that are kept of one output; a test that needs more is wrong.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A process that runs.
pub struct Running {
    name: String,
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

/// How a process ended and what it said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Running {
    /// Starts a process with no input and its output captured.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let spawned = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let stdout = Captured::of(child.stdout.take());
        let stderr = Captured::of(child.stderr.take());
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Both outputs so far.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout(), self.stderr())
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal)
            .unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Fails the test when the process has ended.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.child.try_wait().expect("a child can be asked") {
            panic!("{} ended with {status}:\n{}", self.name, self.said());
        }
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self, limit: Duration) -> Finished {
        let name = self.name.clone();
        let status =
            wait::until(&format!("{name} to end"), limit, || self.child.try_wait().ok().flatten());
        self.finished(status)
    }

    /// Waits until it ends by itself, and kills it when it does not.
    ///
    /// # Errors
    /// What it said until then, when it took too long.
    pub fn wait_or_kill(mut self, limit: Duration) -> Result<Finished, String> {
        let begun = std::time::Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().expect("a child can be asked") {
                return Ok(self.finished(status));
            }
            thread::park_timeout(Duration::from_millis(20));
        }
        Err(format!("{} took longer than {limit:?}:\n{}", self.name, self.said()))
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        self.stdout.wait_for_end();
        self.stderr.wait_for_end();
        Finished { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }
}

/// Runs a command to its end.
pub fn run(name: &str, command: &mut Command, limit: Duration) -> Finished {
    Running::start(name, command).wait_or_kill(limit).unwrap_or_else(|late| panic!("{late}"))
}

/// Makes `folder` a repository with one commit: agents tell the model its hash, its state and its authors.
pub fn repository(folder: &Path) {
    let author = ["-c", "user.name=build", "-c", "user.email=build@ci.invalid"];
    for args in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "Begin"]] {
        let mut git = Command::new("git");
        git.current_dir(folder).env("HOME", folder).args(author).args(args);
        drop(run("git", &mut git, Duration::from_secs(20)).expect(0));
    }
}

impl Finished {
    /// Fails the test unless it ended with `code`; says what it printed instead.
    #[must_use]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Both outputs.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

impl Captured {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let captured = Self::default();
        let mut pipe = pipe.expect("the output is piped");
        let kept = captured.clone();
        thread::spawn(move || {
            let mut piece = [0; 8192];
            while let Ok(read @ 1..) = pipe.read(&mut piece) {
                let mut all = kept.0.lock();
                if all.len() < OUTPUT_BYTES_MAX {
                    all.extend_from_slice(piece.get(..read).unwrap_or_default());
                }
            }
        });
        captured
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }

    /// After the process ended: gives the reader a moment to take what is in the pipe. A grandchild may hold it open.
    fn wait_for_end(&self) {
        let begun = std::time::Instant::now();
        while Arc::strong_count(&self.0) > 1 && begun.elapsed() < Duration::from_secs(1) {
            thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is what we want.
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).finish_non_exhaustive()
    }
}
