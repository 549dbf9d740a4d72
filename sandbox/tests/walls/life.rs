//! Lives and deaths: programs, endings, signals, terminals, and that nothing outlives its supervisor.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    io::{self, BufRead as _},
    net::TcpListener,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
    process::{Child, Command, ExitCode},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcgetattr, tcsetwinsize},
};
use sandbox::{Compatibility, Ending, Grant, Limits, Sandbox, Size, Spec, Stdio, Step};

use crate::{
    calls,
    support::{Check, World, eventually, explain, shell},
};

pub(crate) const CHECKS: &[Check] = &[
    ("a_program_ends_as_it_ends", endings),
    ("a_program_finds_its_environment_and_nothing_of_ours", environment),
    ("standard_descriptors_can_be_opened_by_name", by_name),
    ("a_program_that_cannot_start_says_why", cannot_start),
    ("a_terminal_is_the_sandboxes_own", terminal),
    ("descriptors_that_lead_out_are_refused", ways_out),
    ("orphans_are_reaped", orphans),
    ("dropping_a_sandbox_ends_everything_in_it", dropped),
    ("killing_the_supervisor_leaves_nothing", killed),
    ("the_binary_passes_codes_and_signals_on", binary),
    ("the_binary_relays_a_terminal_and_follows_its_size", relayed_terminal),
    ("a_process_with_threads_is_refused", threads),
    ("a_hard_requirement_really_fails", hard_requirement),
    ("every_step_that_fails_is_fatal_and_names_itself", failing_steps),
];

fn endings(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    assert_eq!(shell(&mut sandbox, "exit 7").0, Ending::Code(7));
    assert_eq!(shell(&mut sandbox, "kill -9 $$").0, Ending::Signal(9));
    // The first process is out of reach, even for a signal to everybody.
    assert_eq!(shell(&mut sandbox, "kill -9 1; kill -9 -1; exit 3").0, Ending::Code(3));
    assert_eq!(shell(&mut sandbox, "echo again").1, "again\n");
    Ok(())
}

fn environment(world: &World) -> Result<(), String> {
    let text = world.contained(&mut world.sandbox(), &["environment"]);
    for line in [
        "OPENSHELL_SANDBOX=1",
        "HTTPS_PROXY=http://127.0.0.1:3128",
        "OPENAI_BASE_URL=https://inference.local/v1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
    }
    assert!(!text.contains("CARGO"), "{text}");
    Ok(())
}

fn by_name(world: &World) -> Result<(), String> {
    let command = "echo out > /dev/stdout && echo err > /dev/stderr && cat < /dev/stdin";
    let (ending, text) = shell(&mut world.sandbox(), command);
    assert_eq!((ending, text.as_str()), (Ending::Code(0), "out\nerr\n"));
    Ok(())
}

fn cannot_start(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    for (command, errno) in [
        ("no-such-program", libc::ENOENT),
        ("/etc/passwd", libc::EACCES),
        ("/root/x", libc::ENOENT),
    ] {
        let program = sandbox.program(vec![command.into()]);
        let null = fs::File::open("/dev/null").unwrap();
        let stdio = Stdio::Descriptors([null.as_fd(); 3]);
        let error = sandbox.run(program, stdio).unwrap_err();
        let found = error.source.as_ref().and_then(io::Error::raw_os_error);
        assert_eq!((error.step, found), (Step::Program, Some(errno)), "{command}");
    }
    assert_eq!(shell(&mut sandbox, "exit 0").0, Ending::Code(0));
    Ok(())
}

fn terminal(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let program = sandbox.program(vec![
        "/bin/sh".into(),
        "-c".into(),
        "tty; stty size; read x; echo got $x".into(),
    ]);
    let size = Size { rows: 33, columns: 111 };
    let started = sandbox
        .run(program, Stdio::Terminal(size))
        .unwrap_or_else(|error| panic!("{}", explain(&error)));
    let master = started.terminal.unwrap();
    let mut seen = String::new();
    read_until(&master, &mut seen, "/dev/pts/0\r\n33 111\r\n");
    rustix::io::write(&master, b"word\n").unwrap();
    read_until(&master, &mut seen, "got word\r\n");
    assert_eq!(sandbox.next_ending().unwrap().unwrap().1, Ending::Code(0));
    Ok(())
}

/// Reads from the master of a terminal until `needle` has come.
fn read_until(master: &OwnedFd, seen: &mut String, needle: &str) {
    while !seen.contains(needle) {
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        let mut ends = [PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        assert_eq!(poll(&mut ends, Some(&limit)).unwrap(), 1, "{needle:?} did not come: {seen:?}");
        let mut chunk = [0; 512];
        let length = rustix::io::read(master, &mut chunk).unwrap();
        seen.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
}

fn ways_out(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let folder = fs::File::open("/").unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    for (descriptor, needle) in [(folder.as_fd(), "folder"), (socket.as_fd(), "socket")] {
        let program = sandbox.program(vec!["/bin/true".into()]);
        let error = sandbox.run(program, Stdio::Descriptors([descriptor; 3])).unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
    }
    Ok(())
}

fn orphans(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    // The inner shell ends before its child, which then belongs to the first process.
    assert_eq!(
        shell(&mut sandbox, "for i in 1 2 3 4; do sh -c 'sleep 0.01 &' ; done; true").0,
        Ending::Code(0)
    );
    let none = || {
        let (_, text) = shell(&mut sandbox, "cat /proc/[0-9]*/stat | grep -c ') Z ' ; true");
        text.trim() == "0"
    };
    assert!(eventually(none), "a zombie stays");
    Ok(())
}

/// Every process of this host that is in the same namespace of that kind as `pid`.
pub(crate) fn same_namespace(pid: i32, kind: &str) -> (PathBuf, BTreeSet<i32>) {
    let of = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let wanted = of(pid).unwrap_or_else(|| panic!("process {pid} is gone"));
    let all = everybody().into_iter().filter(|pid| of(*pid).as_ref() == Some(&wanted)).collect();
    (wanted, all)
}

pub(crate) fn everybody() -> Vec<i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

pub(crate) fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

const DAEMONS: &str =
    "sleep 1000 & setsid sleep 1000 & (nohup sleep 1000 >/dev/null 2>&1 &); echo up; wait";

fn dropped(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let program = sandbox.program(["/bin/sh", "-c", DAEMONS].map(OsString::from).to_vec());
    let (out, into) = io::pipe().unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    sandbox.run(program, Stdio::Descriptors([null.as_fd(), into.as_fd(), null.as_fd()])).unwrap();
    drop(into);
    io::BufReader::new(out).read_line(&mut String::new()).unwrap();
    let init = sandbox.process().as_raw_nonzero().get();
    let shell = *children(init).first().expect("the shell runs");
    let (namespace, inside) = same_namespace(shell, "pid");
    assert!(inside.len() >= 4, "{inside:?}");
    drop(sandbox);
    assert!(eventually(|| everybody().iter().all(|pid| !is_in(*pid, "pid", &namespace))));
    Ok(())
}

pub(crate) fn is_in(pid: i32, kind: &str, namespace: &PathBuf) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/{kind}")).is_ok_and(|found| found == *namespace)
}

/// The binary with a shell command in it, its output piped.
fn shell_of(world: &World, command: &str) -> Child {
    let mut run = Command::new(&world.binary);
    spawn(run.args(["run", "--", "/bin/sh", "-c", command]))
}

/// Starts a program with nothing to read, its output piped.
pub(crate) fn spawn(run: &mut Command) -> Child {
    let null = std::process::Stdio::null();
    run.current_dir("/").stdin(null).stdout(std::process::Stdio::piped()).spawn().unwrap()
}

/// The first line that it writes.
pub(crate) fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    io::BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn killed(world: &World) -> Result<(), String> {
    let mut supervisor = shell_of(world, DAEMONS);
    let mut output = io::BufReader::new(supervisor.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let init = *children(pid(&supervisor)).first().expect("the first process");
    let shell = *children(init).first().expect("the shell");
    let namespaces =
        ["pid", "net", "mnt", "ipc", "uts"].map(|kind| (kind, same_namespace(shell, kind).0));
    assert!(namespaces.iter().all(|(kind, namespace)| !is_in(pid(&supervisor), kind, namespace)));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("/home/sandbox"), "a mount of the sandbox shows on the host");

    kill_process(Pid::from_raw(pid(&supervisor)).unwrap(), Signal::KILL).unwrap();
    supervisor.wait().unwrap();
    let nobody = || {
        everybody()
            .iter()
            .all(|pid| namespaces.iter().all(|(kind, namespace)| !is_in(*pid, kind, namespace)))
    };
    assert!(eventually(nobody), "somebody is left");
    assert!(eventually(|| !everybody().contains(&init)), "the first process is left");
    Ok(())
}

fn binary(world: &World) -> Result<(), String> {
    assert_eq!(shell_of(world, "exit 9").wait().unwrap().code(), Some(9));
    assert_eq!(shell_of(world, "kill -KILL $$").wait().unwrap().code(), Some(137));
    let mut caught = shell_of(world, "trap 'exit 5' TERM; echo up; sleep 1000 & wait");
    let mut output = io::BufReader::new(caught.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    kill_process(Pid::from_raw(pid(&caught)).unwrap(), Signal::TERM).unwrap();
    assert_eq!(caught.wait().unwrap().code(), Some(5));

    let missing =
        Command::new(&world.binary).args(["run", "--", "no-such-program"]).output().unwrap();
    let text = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(127), "{text}");
    assert!(
        text.contains("cannot start the program: no-such-program: No such file")
            && text.contains("\nhint: "),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("spec.json");
    fs::write(&spec, r#"{"landlock":"hard_requirement","read_only":["/no/such/folder"]}"#).unwrap();
    let wrong = Command::new(&world.binary)
        .arg("run")
        .arg("--spec")
        .arg(&spec)
        .args(["--", "true"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(125), "{text}");
    assert!(text.contains("cannot take hold of a path: /no/such/folder"), "{text}");
    Ok(())
}

fn relayed_terminal(world: &World) -> Result<(), String> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    unlockpt(&master).unwrap();
    let end = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    let resize = |rows| {
        let size = Winsize { ws_row: rows, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
    };
    resize(25);
    let before = tcgetattr(&end).unwrap();
    let mut run = Command::new(&world.binary);
    // The shell goes on only when it has read a word, and when its terminal has followed the outer one.
    let script = "tty; stty size; read x; echo got $x; until stty size | grep -q '^40 '; do sleep 0.01; done; echo followed; exit 6";
    run.args(["run", "--", "/bin/sh", "-c", script]).current_dir("/");
    let stdio = || std::process::Stdio::from(end.try_clone().unwrap());
    let mut child = run.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
    let mut seen = String::new();
    read_until(&master, &mut seen, "/dev/pts/0\r\n25 90\r\n");
    rustix::io::write(&master, b"word\r").unwrap();
    read_until(&master, &mut seen, "got word");
    resize(40);
    kill_process(Pid::from_raw(pid(&child)).unwrap(), Signal::WINCH).unwrap();
    read_until(&master, &mut seen, "followed");
    assert_eq!(child.wait().unwrap().code(), Some(6));
    let after = tcgetattr(&end).unwrap();
    assert_eq!(after.local_modes, before.local_modes, "the terminal is left as it was");
    Ok(())
}

fn threads(world: &World) -> Result<(), String> {
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || stopped.recv().is_err());
    let error = Sandbox::start(&world.spec()).unwrap_err();
    assert_eq!(error.step, Step::SingleThread);
    drop(stop);
    assert!(other.join().unwrap());
    // The kernel takes the thread off the list a moment after it was joined.
    assert!(eventually(|| fs::read_dir("/proc/self/task").unwrap().count() == 1));
    Ok(())
}

/// Starts a sandbox in a process of its own, in which one system call fails. Gives its exit code and what it said.
pub(crate) fn without(world: &World, call: i64, errno: i32, kind: &str) -> (Option<i32>, String) {
    let words = ["without", &call.to_string(), &errno.to_string(), kind];
    let output = Command::new(&world.agent).args(words).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What that process does. The pretence cannot be taken back.
pub(crate) fn start_without(call: &str, errno: &str, kind: &str) -> ExitCode {
    calls::refuse(call.parse().unwrap(), errno.parse().unwrap());
    let landlock = match kind {
        "hard" => Compatibility::HardRequirement,
        _ => Compatibility::BestEffort,
    };
    let memory_bytes = (kind == "limited").then_some(64 << 20);
    let limits = Limits { memory_bytes, cgroup: Grant::Required, ..Limits::default() };
    match Sandbox::start(&Spec { landlock, limits, ..Spec::default() }) {
        Ok(sandbox) => {
            super::say(&format!("{:?}", sandbox.notes()));
            ExitCode::SUCCESS
        }
        Err(error) => {
            super::say(&format!("{:?}: {}", error.step, explain(&error)));
            let left = children(rustix::process::getpid().as_raw_nonzero().get());
            ExitCode::from(if left.is_empty() { 1 } else { 2 })
        }
    }
}

fn hard_requirement(world: &World) -> Result<(), String> {
    let call = libc::SYS_landlock_create_ruleset;
    let (code, text) = without(world, call, libc::ENOSYS, "hard");
    assert!(code == Some(1) && text.starts_with("Landlock: "), "{text}");
    let (code, text) = without(world, call, libc::ENOSYS, "best");
    assert!(code == Some(0) && text.contains("no Landlock"), "{text}");
    Ok(())
}

fn failing_steps(world: &World) -> Result<(), String> {
    for (call, errno, step) in [
        (libc::SYS_clone, libc::EPERM, Step::Namespaces),
        (libc::SYS_sethostname, libc::EPERM, Step::HostName),
        (libc::SYS_listen, libc::EADDRINUSE, Step::Sockets),
        (libc::SYS_mount_setattr, libc::ENOSYS, Step::Paths),
        (libc::SYS_openat2, libc::ENOSYS, Step::Paths),
        (libc::SYS_mount, libc::ENODEV, Step::Mounts),
        (libc::SYS_symlinkat, libc::ENOSPC, Step::Mounts),
        (libc::SYS_pivot_root, libc::EINVAL, Step::Pivot),
        (libc::SYS_unshare, libc::EPERM, Step::Namespaces),
        (libc::SYS_capset, libc::EINVAL, Step::Identity),
        (libc::SYS_signalfd4, libc::EMFILE, Step::Leash),
        (libc::SYS_landlock_restrict_self, libc::E2BIG, Step::Landlock),
        (libc::SYS_seccomp, libc::EINVAL, Step::Seccomp),
    ] {
        let (code, text) = without(world, call, errno, "best");
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(code, Some(1), "{step:?}: {text}");
        assert!(text.starts_with(&format!("{step:?}: cannot {step}")), "{step:?}: {text}");
        assert!(text.contains(&format!("code: {errno}")), "{step:?}: {error} is missing in {text}");
    }
    Ok(())
}
