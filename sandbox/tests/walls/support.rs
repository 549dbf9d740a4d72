//! What the checks share: a sandbox with this program in it, and what came of a probe.

use std::{
    env,
    ffi::OsString,
    io::{self, Read as _},
    os::fd::AsFd as _,
    path::PathBuf,
    process::Command,
};

use sandbox::{Ending, Sandbox, Spec, StartError, Stdio};

/// A name and what must hold. `Err` is a reason why this system cannot tell.
pub(crate) type Check = (&'static str, fn(&World) -> Result<(), String>);

/// This machine as the checks see it.
pub(crate) struct World {
    pub(crate) who: String,
    /// This program, which is the agent too.
    pub(crate) agent: PathBuf,
    /// The binary `openshell-sandbox`.
    pub(crate) binary: PathBuf,
}

impl World {
    pub(crate) fn new(who: &str) -> Self {
        let agent = env::current_exe().unwrap();
        let beside = agent.with_file_name("openshell-sandbox");
        let built = PathBuf::from(env!("CARGO_BIN_EXE_openshell-sandbox"));
        let binary = if beside.exists() { beside } else { built };
        Self { who: who.to_owned(), agent, binary }
    }

    pub(crate) fn is_root(&self) -> bool {
        self.who == "root"
    }

    /// Why this system lets nobody make namespaces, asked of the system and not of the code under test.
    pub(crate) fn cannot_isolate(&self) -> Option<String> {
        let kind = if self.is_root() { "root" } else { "user" };
        let output = Command::new(&self.agent).args(["namespaces", kind]).output().unwrap();
        let reason = String::from_utf8_lossy(&output.stdout).into_owned();
        (!output.status.success()).then(|| format!("this system grants no namespaces: {reason}"))
    }

    /// A spec that lets the agent be read.
    pub(crate) fn spec(&self) -> Spec {
        Spec { read_only: vec![self.agent.clone()], ..Spec::default() }
    }

    pub(crate) fn sandbox(&self) -> Sandbox {
        start(&self.spec())
    }

    /// The command for a probe.
    pub(crate) fn probe(&self, words: &[&str]) -> Vec<OsString> {
        let mut command = vec![self.agent.clone().into_os_string(), "probe".into()];
        command.extend(words.iter().map(OsString::from));
        command
    }

    /// Runs a probe in a sandbox and fails unless it says that it was contained. Gives what it printed.
    pub(crate) fn contained(&self, sandbox: &mut Sandbox, words: &[&str]) -> String {
        let (ending, text) = output(sandbox, self.probe(words));
        assert_eq!(ending, Ending::Code(0), "{words:?}: {text}");
        text
    }
}

pub(crate) fn start(spec: &Spec) -> Sandbox {
    Sandbox::start(spec).unwrap_or_else(|error| panic!("{}", explain(&error)))
}

pub(crate) fn explain(error: &StartError) -> String {
    format!("{error}: {:?}; {}", error.source, error.advice())
}

/// Runs a command in a sandbox to its end, and gives what it wrote.
pub(crate) fn output(sandbox: &mut Sandbox, command: Vec<OsString>) -> (Ending, String) {
    let program = sandbox.program(command);
    let (mut out, into) = io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio::Descriptors([null.as_fd(), into.as_fd(), into.as_fd()]);
    let started = sandbox.run(program, stdio).unwrap_or_else(|error| panic!("{}", explain(&error)));
    drop(into);
    let mut text = Vec::new();
    out.read_to_end(&mut text).unwrap();
    loop {
        let (id, ending) = sandbox.next_ending().unwrap().expect("the sandbox is there");
        if id == started.id {
            return (ending, String::from_utf8_lossy(&text).into_owned());
        }
    }
}

/// A shell command in a sandbox.
pub(crate) fn shell(sandbox: &mut Sandbox, command: &str) -> (Ending, String) {
    output(sandbox, vec!["/bin/sh".into(), "-c".into(), command.into()])
}

/// Looks until something holds, for five seconds at most; for what the kernel does on its own time.
pub(crate) fn eventually(mut holds: impl FnMut() -> bool) -> bool {
    let pause = rustix::fs::Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
    for _ in 0..1000 {
        if holds() {
            return true;
        }
        rustix::event::poll(&mut [], Some(&pause)).unwrap();
    }
    false
}
