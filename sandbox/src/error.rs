//! What can go wrong on the way into a sandbox. Every step has a name, every failure says which step it was, what the
//! system answered, and what a person can do about it. Nothing goes on after a failure.

use std::{fmt, io};

/// A step on the way from nothing to a running agent, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Step {
    /// Reading and checking the spec.
    Spec,
    /// Proving that the process has a single thread.
    SingleThread,
    /// Finding the user that the agent runs as.
    User,
    /// Limits on memory, processes and processor time by a control group.
    Cgroup,
    /// New user, mount, pid, IPC, host name, network namespaces.
    Namespaces,
    /// Mapping the user into the user namespace.
    UserMap,
    /// The host name.
    HostName,
    /// The loopback device and the routes that make every address local.
    Routes,
    /// The listening sockets of the proxy and of name resolution.
    Sockets,
    /// The nftables rules that hand every connection to them.
    Capture,
    /// Taking hold of a path of the host.
    Paths,
    /// The private file tree.
    Mounts,
    /// The private `/etc`.
    Etc,
    /// The private `/proc`.
    Proc,
    /// The private `/dev`.
    Dev,
    /// Leaving the host's file tree.
    Pivot,
    /// Resource limits of the process.
    Limits,
    /// Becoming the agent's user for good.
    Identity,
    /// Landlock.
    Landlock,
    /// The filter on system calls.
    Seccomp,
    /// Dying with the supervisor.
    Leash,
    /// The line between the supervisor and the first process of the sandbox.
    Control,
    /// A terminal of the sandbox's own.
    Terminal,
    /// Starting a program.
    Program,
}

/// Every step with what one does in it, in order of their numbers.
const STEPS: [(Step, &str); 24] = [
    (Step::Spec, "read the sandbox spec"),
    (Step::SingleThread, "start from a process with one thread"),
    (Step::User, "find the user to run as"),
    (Step::Cgroup, "set up the control group"),
    (Step::Namespaces, "create the namespaces"),
    (Step::UserMap, "map the user"),
    (Step::HostName, "set the host name"),
    (Step::Routes, "set up the loopback network"),
    (Step::Sockets, "open the sockets of the proxy"),
    (Step::Capture, "install the capture rules"),
    (Step::Paths, "take hold of a path"),
    (Step::Mounts, "build the file tree"),
    (Step::Etc, "build /etc"),
    (Step::Proc, "mount /proc"),
    (Step::Dev, "build /dev"),
    (Step::Pivot, "leave the file tree of the host"),
    (Step::Limits, "set the resource limits"),
    (Step::Identity, "become the user of the agent"),
    (Step::Landlock, "restrict file access with Landlock"),
    (Step::Seccomp, "install the filter on system calls"),
    (Step::Leash, "tie the sandbox to its supervisor"),
    (Step::Control, "speak with the sandbox"),
    (Step::Terminal, "open a terminal"),
    (Step::Program, "start the program"),
];

impl Step {
    /// The step of that number, as it crosses from the sandbox to its supervisor.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        STEPS.get(usize::from(number)).map(|(step, _)| *step)
    }

    pub(crate) fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = STEPS.get(usize::from(self.number())).map_or("", |(_, what)| what);
        out.write_str(what)
    }
}

/// A step that failed. There is no sandbox then.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step}{}{detail}", if detail.is_empty() { "" } else { ": " })]
pub struct StartError {
    /// Which one.
    pub step: Step,
    /// On what: a path, a rule, a limit. May be empty.
    pub detail: String,
    /// What the system answered; absent when it was not asked.
    #[source]
    pub source: Option<io::Error>,
}

impl StartError {
    pub(crate) fn new(step: Step, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into(), source: None }
    }

    pub(crate) fn system(
        step: Step,
        detail: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self { step, detail: detail.into(), source: Some(source.into()) }
    }

    /// What a person can do about it, as one or more sentences.
    pub fn advice(&self) -> &'static str {
        let errno = self.source.as_ref().and_then(io::Error::raw_os_error);
        let refused = matches!(errno, Some(libc::EPERM | libc::EACCES));
        match self.step {
            Step::Spec => "Correct the spec; docs/sandbox.md describes each field.",
            Step::SingleThread => {
                "Start the sandbox before any thread, or run `openshell-sandbox` as a process."
            }
            Step::User => {
                "Name a user that exists on this host and is not root, or leave `run_as_user` out."
            }
            Step::Cgroup => {
                "Only root, or a user to whom a control group is delegated (`systemd-run --user --scope -p Delegate=yes …`), \
                 may limit memory and processor time; or leave these limits out."
            }
            Step::Namespaces if errno == Some(libc::ENOSPC) => {
                "Raise the limits under /proc/sys/user/max_*_namespaces."
            }
            Step::Namespaces | Step::UserMap if refused => NO_NAMESPACES,
            Step::Namespaces => {
                "The kernel needs user, mount, pid, IPC, UTS and network namespaces (Linux 5.13 or newer)."
            }
            Step::Routes | Step::Sockets | Step::Capture | Step::Mounts | Step::HostName
                if refused =>
            {
                NO_NAMESPACES
            }
            Step::Capture => {
                "The kernel needs nf_tables with inet NAT, redirect, reject and connection tracking."
            }
            Step::Paths => {
                "Every path must exist and be readable by the user who starts the sandbox."
            }
            Step::Etc => {
                "Every entry of /etc must be there to be mounted, and the bundle of certificates readable."
            }
            Step::Proc => {
                "In a container, unmask /proc (Docker: --security-opt systempaths=unconfined)."
            }
            Step::Landlock => {
                "Boot a kernel with Landlock (Linux 5.13, `lsm=landlock,…`), or set `landlock: best_effort`."
            }
            Step::Seccomp => "The kernel needs CONFIG_SECCOMP_FILTER.",
            Step::Limits => {
                "Ask for limits below the hard limits of the user who starts the sandbox."
            }
            Step::Program => {
                "Check the program's name, that the policy lets its path be read, and its execute bit."
            }
            Step::Terminal => "The kernel needs devpts with several instances.",
            Step::Control | Step::Leash => {
                "The sandbox ended before it was ready; see its supervisor's log."
            }
            Step::UserMap
            | Step::HostName
            | Step::Routes
            | Step::Sockets
            | Step::Mounts
            | Step::Dev
            | Step::Pivot
            | Step::Identity => {
                "Run with the same command under `strace -f` and report what failed."
            }
        }
    }
}

const NO_NAMESPACES: &str = "This system does not let an ordinary user make namespaces with rights of their own. On Ubuntu: \
    sysctl kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for openshell-sandbox that grants `userns`. \
    On Debian: sysctl kernel.unprivileged_userns_clone=1. In a container: grant SYS_ADMIN and NET_ADMIN, or seccomp=unconfined.";

/// Puts the step in front of what the system answered.
pub(crate) trait At<T> {
    /// Names the step.
    fn at(self, step: Step) -> Result<T, StartError>;
    /// Names the step and what it was working on.
    fn on(self, step: Step, what: impl fmt::Display) -> Result<T, StartError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, step: Step) -> Result<T, StartError> {
        self.map_err(|source| StartError::system(step, "", source))
    }

    fn on(self, step: Step, what: impl fmt::Display) -> Result<T, StartError> {
        self.map_err(|source| StartError::system(step, what.to_string(), source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_keeps_its_number_and_has_a_text() {
        for (number, (step, text)) in STEPS.iter().enumerate() {
            assert_eq!(usize::from(step.number()), number, "{step:?} is out of order");
            assert_eq!(Step::from_number(step.number()), Some(*step));
            assert_eq!(step.to_string(), *text);
        }
        let after = u8::try_from(STEPS.len()).unwrap();
        assert_eq!(Step::from_number(after), None);
    }

    #[test]
    fn an_error_names_step_subject_and_answer() {
        let error = StartError::system(Step::Paths, "/a", io::Error::from_raw_os_error(2));
        assert_eq!(error.to_string(), "cannot take hold of a path: /a");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("No such file"), "{source}");
    }

    #[test]
    fn a_refused_namespace_comes_with_the_switch_to_turn() {
        let error =
            StartError::system(Step::Namespaces, "", io::Error::from_raw_os_error(libc::EPERM));
        assert!(error.advice().contains("apparmor_restrict_unprivileged_userns"));
    }
}
