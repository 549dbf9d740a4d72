//! What an agent tries. Runs inside; exit code 0 when it was contained, 1 with the reason when it was not.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddress, UnixStream},
    },
    process::{Command, ExitCode, Stdio},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::calls::call;

mod callers;

type Outcome = Result<String, String>;

pub(crate) fn run(name: &str, words: &[&str]) -> ExitCode {
    let outcome = match (name, words) {
        ("connect", [to]) => connect(to),
        ("refused", addresses) => fails(addresses, io::ErrorKind::ConnectionRefused),
        ("forbidden", addresses) => fails(addresses, io::ErrorKind::PermissionDenied),
        ("no-server", []) => no_server(),
        ("ask-udp", [to]) => ask_udp(to),
        ("ask-tcp", [to]) => ask_tcp(to),
        ("udp-fails", addresses) => udp_fails(addresses),
        ("own-server", []) => own_server(),
        ("sockets", []) => sockets(),
        ("one-device", []) => one_device(),
        ("calls", []) => calls(),
        ("x32", []) => foreign_numbers(),
        #[cfg(target_arch = "x86_64")]
        ("i386", []) => Err(format!("answered {}", crate::calls::call_32_bit())),
        ("status", []) => status(),
        ("descriptors", []) => descriptors(),
        ("processes", [host]) => processes(host),
        ("abstract", [name]) => abstract_socket(name),
        ("no-socket", [path]) => {
            let ways = [libc::ECONNREFUSED, libc::EACCES];
            refused(UnixStream::connect(path), &ways, path).map(|()| String::new())
        }
        ("no-such-socket", [path]) => {
            refused(UnixStream::connect(path), &[libc::ENOENT], path).map(|()| String::new())
        }
        ("unwritable", paths) => unwritable(paths),
        ("writable", paths) => paths.iter().map(|path| writable(path)).collect(),
        ("unreadable", paths) => unreadable(paths),
        ("detours", [secret, folder]) => detours(secret, folder),
        ("landlocked", []) => landlocked(),
        ("environment", []) => {
            Ok(std::env::vars().map(|(name, value)| name + "=" + &value + "\n").collect())
        }
        ("fork-bomb", []) => fork_bomb(),
        ("hold", [megabytes]) => hold(megabytes),
        ("hog", [megabytes]) => hog(megabytes),
        ("spin", []) => spin(),
        ("unanswered", addresses) => fails(addresses, io::ErrorKind::Unsupported),
        _ => callers::run(name, words),
    };
    let (code, text) = match outcome {
        Ok(text) => (0, text),
        Err(text) => (1, text),
    };
    super::say(&text);
    ExitCode::from(code)
}

/// Fails unless something was refused in one of these ways.
fn refused<T: std::fmt::Debug>(
    tried: io::Result<T>,
    errnos: &[i32],
    what: &str,
) -> Result<(), String> {
    match tried {
        Err(error) if error.raw_os_error().is_some_and(|errno| errnos.contains(&errno)) => Ok(()),
        other => Err(format!("{what}: {other:?}")),
    }
}

/// Connects and gives what the other end says first.
fn connect(to: &str) -> Outcome {
    let mut stream = TcpStream::connect(to).map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Connections that must fail, and how.
fn fails(addresses: &[&str], kind: io::ErrorKind) -> Outcome {
    for to in addresses {
        match TcpStream::connect(to) {
            Err(error) if error.kind() == kind => {}
            other => return Err(format!("{to}: {other:?}")),
        }
    }
    Ok(String::new())
}

fn no_server() -> Outcome {
    match TcpListener::bind("127.0.0.1:0").map(|bound| bound.local_addr()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(String::new()),
        other => Err(format!("{other:?}")),
    }
}

fn ask_udp(to: &str) -> Outcome {
    let ask = || {
        let to: SocketAddr = to.parse().map_err(io::Error::other)?;
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
        socket.connect(to)?;
        socket.send(b"question")?;
        let mut answer = [0; 64];
        let length = socket.recv(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    };
    ask().map_err(|error: io::Error| error.to_string())
}

fn ask_tcp(to: &str) -> Outcome {
    connect(to)
}

fn udp_fails(addresses: &[&str]) -> Outcome {
    for to in addresses {
        let bind = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(bind).map_err(|error| error.to_string())?;
        match socket.send_to(b"hello", to) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            other => return Err(format!("{to}: {other:?}")),
        }
    }
    Ok(String::new())
}

fn own_server() -> Outcome {
    let serve = || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        listener.accept()?.0.write_all(b"mine")?;
        let mut text = String::new();
        client.read_to_string(&mut text)?;
        Ok(text)
    };
    serve().map_err(|error: io::Error| error.to_string())
}

/// Families, kinds and protocols beside plain TCP and UDP.
fn sockets() -> Outcome {
    let (family, protocol) = (libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT);
    let kinds = [
        (libc::AF_INET, libc::SOCK_RAW, 255, libc::EPERM),
        (libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP, libc::EPERM),
        (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP, protocol),
        (libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6, libc::EPERM),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP, protocol),
        (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP, protocol),
        (libc::AF_PACKET, libc::SOCK_RAW, 0x300, family),
        (libc::AF_VSOCK, libc::SOCK_STREAM, 0, family),
        (libc::AF_ALG, libc::SOCK_SEQPACKET, 0, family),
        (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER, protocol),
        (libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT, protocol),
        (libc::AF_BLUETOOTH, libc::SOCK_RAW, 1, family),
        (libc::AF_TIPC, libc::SOCK_RDM, 0, family),
        (libc::AF_XDP, libc::SOCK_RAW, 0, family),
    ];
    let word = |number: i32| u64::from(number.cast_unsigned());
    for (family, kind, protocol, errno) in kinds {
        let made = call(libc::SYS_socket, [word(family), word(kind), word(protocol), 0, 0, 0]);
        refused(made, &[errno], &format!("family {family} kind {kind} protocol {protocol}"))?;
    }
    Ok(String::new())
}

fn one_device() -> Outcome {
    let read = |path| fs::read_to_string(path).map_err(|error| error.to_string());
    let devices: Vec<String> = read("/proc/net/dev")?
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    let routes = read("/proc/net/route")?.lines().count();
    if devices == ["lo"] && routes <= 1 {
        Ok(String::new())
    } else {
        Err(format!("{devices:?}, {routes} routes"))
    }
}

/// Calls that must fail with the filter's own answer.
fn calls() -> Outcome {
    let buffer = [0_u64; 64];
    let at = buffer.as_ptr().addr() as u64;
    let parent = u64::from(
        rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().cast_unsigned()),
    );
    let flag = |flag: i32| [u64::from(flag.cast_unsigned()), 0, 0, 0, 0, 0];
    let mut tries: Vec<(&str, i64, [u64; 6], i32)> = vec![
        ("clone3", libc::SYS_clone3, [at, 64, 0, 0, 0, 0], libc::ENOSYS),
        (
            "clone into a user namespace",
            libc::SYS_clone,
            flag(libc::CLONE_NEWUSER | libc::SIGCHLD),
            libc::EPERM,
        ),
        ("ptrace", libc::SYS_ptrace, [16, parent, 0, 0, 0, 0], libc::EPERM),
        ("ptrace of the first process", libc::SYS_ptrace, [16, 1, 0, 0, 0, 0], libc::EPERM),
        ("bpf", libc::SYS_bpf, [0, at, 72, 0, 0, 0], libc::EPERM),
        ("io_uring_setup", libc::SYS_io_uring_setup, [8, at, 0, 0, 0, 0], libc::EPERM),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0, 0], libc::EPERM),
        (
            "perf_event_open",
            libc::SYS_perf_event_open,
            [at, 0, u64::MAX, u64::MAX, 0, 0],
            libc::EPERM,
        ),
        ("keyctl", libc::SYS_keyctl, [0, 0, 0, 0, 0, 0], libc::EPERM),
        ("add_key", libc::SYS_add_key, [at, at, at, 1, 0, 0], libc::EPERM),
        ("mount", libc::SYS_mount, [at, at, at, 0, 0, 0], libc::EPERM),
        ("umount2", libc::SYS_umount2, [at, 2, 0, 0, 0, 0], libc::EPERM),
        ("fsopen", libc::SYS_fsopen, [at, 0, 0, 0, 0, 0], libc::EPERM),
        ("open_tree", libc::SYS_open_tree, [u64::MAX, at, 0, 0, 0, 0], libc::EPERM),
        ("pivot_root", libc::SYS_pivot_root, [at, at, 0, 0, 0, 0], libc::EPERM),
        ("chroot", libc::SYS_chroot, [at, 0, 0, 0, 0, 0], libc::EPERM),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0, 0], libc::EPERM),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, [0, at, 0, 0, 0, 0], libc::EPERM),
        ("process_vm_readv", libc::SYS_process_vm_readv, [1, at, 1, at, 1, 0], libc::EPERM),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0, 0], libc::EPERM),
        ("seccomp with a listener", libc::SYS_seccomp, [1, 8, at, 0, 0, 0], libc::EPERM),
        ("typing into a terminal", libc::SYS_ioctl, [0, 0x5412, at, 0, 0, 0], libc::EPERM),
        (
            "sendto with a first packet",
            libc::SYS_sendto,
            [0, at, 1, 0x2000_0000, 0, 0],
            libc::EPERM,
        ),
        ("clock_settime", libc::SYS_clock_settime, [0, at, 0, 0, 0, 0], libc::EPERM),
        ("sethostname", libc::SYS_sethostname, [at, 1, 0, 0, 0, 0], libc::EPERM),
    ];
    for kind in [
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWCGROUP,
    ] {
        tries.push(("unshare", libc::SYS_unshare, flag(kind), libc::EPERM));
    }
    for (name, number, arguments, expected) in tries {
        let answer = call(number, arguments);
        let errno = answer.as_ref().err().and_then(io::Error::raw_os_error);
        if errno != Some(expected) {
            return Err(format!("{name}: {answer:?}"));
        }
    }
    Ok(String::new())
}

/// The filter kills whoever does this, so an answer is an escape.
fn foreign_numbers() -> Outcome {
    Err(format!("answered {:?}", call(0x4000_0000 + 39, [0; 6])))
}

/// No capability in any set, no new privileges, a filter, and a limit that keeps cores from pipes.
fn status() -> Outcome {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let value = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned()
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        if value(set) != "0000000000000000" {
            return Err(format!("{set} {}", value(set)));
        }
    }
    // Whoever sets it is told that it was done, and nothing changes.
    let core = getrlimit(Resource::Core);
    for value in [Some(0), None] {
        let told = setrlimit(Resource::Core, Rlimit { current: value, maximum: value });
        if told.is_err() || getrlimit(Resource::Core) != core {
            return Err(format!("{told:?} {:?}", getrlimit(Resource::Core)));
        }
    }
    let ids = (value("Uid:"), value("Gid:"), value("NoNewPrivs:"), value("Seccomp:"));
    if ids.0.split_whitespace().any(|id| id == "0") || ids.2 != "1" || ids.3 != "2" {
        return Err(format!("{ids:?}"));
    }
    match core.maximum {
        Some(0 | 1) => Ok(format!("{ids:?} {core:?}")),
        _ => Err(format!("{core:?}")),
    }
}

fn descriptors() -> Outcome {
    let folder = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    // Only the paths are kept, so that the descriptor which the list was read from is closed by now.
    let listed: Vec<_> = folder.flatten().map(|entry| entry.path()).collect();
    let beyond: Vec<_> = listed
        .iter()
        .filter(|path| !["0", "1", "2"].iter().any(|standard| path.ends_with(standard)))
        .filter_map(|path| fs::read_link(path).ok())
        .collect();
    if beyond.is_empty() { Ok(String::new()) } else { Err(format!("{beyond:?}")) }
}

/// Sees nobody but itself and its own, and reaches neither the first process nor the host's.
fn processes(host: &str) -> Outcome {
    let seen: Vec<i32> = fs::read_dir("/proc")
        .map_err(|error| error.to_string())?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let me = rustix::process::getpid().as_raw_nonzero().get();
    if seen.iter().any(|pid| *pid == 1 || *pid > me) {
        return Err(format!("sees {seen:?}"));
    }
    let host: u64 = host.parse().map_err(|_| "host is a number".to_owned())?;
    if host > 100 && call(libc::SYS_kill, [host, 0, 0, 0, 0, 0]).is_ok() {
        return Err("signals reach the host".to_owned());
    }
    for file in ["environ", "maps", "mem", "root/etc/shadow", "cwd", "fd/0"] {
        let path = format!("/proc/1/{file}");
        refused(File::open(&path), &[libc::ENOENT, libc::EACCES], &path)?;
    }
    Ok(String::new())
}

fn abstract_socket(name: &str) -> Outcome {
    let address = UnixAddress::from_abstract_name(name).map_err(|error| error.to_string())?;
    // Its network has no such name; where it had one, Landlock would refuse it.
    let ways = [libc::ECONNREFUSED, libc::EPERM];
    refused(UnixStream::connect_addr(&address), &ways, name).map(|()| String::new())
}

fn unwritable(paths: &[&str]) -> Outcome {
    for path in paths {
        let is_folder = fs::metadata(path).is_ok_and(|found| found.is_dir());
        let at = if is_folder { format!("{path}/probe") } else { (*path).to_owned() };
        let mut ways = vec![libc::EACCES, libc::EPERM, libc::EROFS];
        if path.starts_with("/proc/") {
            // Not every kernel has every file there, and none lets one be made.
            ways.push(libc::ENOENT);
        }
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&at);
        refused(opened, &ways, &at)?;
        if is_folder {
            refused(fs::create_dir(&at), &ways, &at)?;
        }
    }
    Ok(String::new())
}

fn writable(path: &str) -> Outcome {
    let at = format!("{path}/probe");
    fs::write(&at, "x")
        .and_then(|()| fs::read_to_string(&at))
        .map_err(|error| format!("{at}: {error}"))
}

fn unreadable(paths: &[&str]) -> Outcome {
    for path in paths {
        refused(File::open(path), &[libc::ENOENT, libc::EACCES], path)?;
    }
    Ok(String::new())
}

/// Every way to a file of the host that a folder of one's own may offer.
fn detours(secret: &str, folder: &str) -> Outcome {
    let me = std::process::id();
    let ways = [
        secret.to_owned(),
        format!("/proc/self/root{secret}"),
        format!("/proc/{me}/root{secret}"),
        format!("/proc/self/cwd/../../../../../..{secret}"),
        format!("{folder}/../../../../../..{secret}"),
        format!("/dev/fd/../../../../..{secret}"),
    ];
    for (number, way) in ways.iter().enumerate() {
        let link = format!("{folder}/link{number}");
        std::os::unix::fs::symlink(way, &link).map_err(|error| error.to_string())?;
        if File::open(&link).is_ok() || File::open(way).is_ok() {
            return Err(format!("read through {way}"));
        }
    }
    if fs::hard_link("/etc/passwd", format!("{folder}/hard")).is_ok() {
        return Err("hard link of a protected file".to_owned());
    }
    if fs::rename(folder, format!("{folder}-moved")).is_ok() {
        return Err("moved the root of a grant".to_owned());
    }
    Ok(String::new())
}

/// Mounts and owners would allow it; only Landlock does not.
fn landlocked() -> Outcome {
    match OpenOptions::new().write(true).open("/proc/self/oom_score_adj") {
        Err(error) if error.raw_os_error() == Some(libc::EACCES) => Ok(String::new()),
        other => Err(format!("{other:?}")),
    }
}

fn fork_bomb() -> Outcome {
    let mut children = Vec::new();
    for count in 0..4096 {
        let sleeper = Command::new("/bin/sleep").arg("60").spawn();
        match sleeper {
            Ok(child) => children.push(child),
            Err(error) => {
                for child in &mut children {
                    child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                }
                return Ok(format!("{count} then {error}"));
            }
        }
    }
    Err("4096 processes".to_owned())
}

/// Fills so much memory, says so, and keeps it until its input ends.
fn hold(megabytes: &str) -> Outcome {
    let bytes = megabytes.parse::<usize>().map_err(|error| error.to_string())? << 20;
    let held = vec![1_u8; bytes];
    super::say("held");
    io::stdin().read_to_end(&mut Vec::new()).map_err(|error| error.to_string())?;
    Ok(std::hint::black_box(held).len().to_string())
}

/// Starts eight such programs, one after the other. Gives how many still hold theirs then: each may be the one that is ended.
fn hog(megabytes: &str) -> Outcome {
    let mut running = Vec::new();
    for _ in 0..8 {
        let mut next = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        next.args(["probe", "hold", megabytes]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut next = next.spawn().map_err(|error| error.to_string())?;
        // It says that it holds, or ends.
        let mut output = next.stdout.take().ok_or("no output")?;
        output.read(&mut [0; 8]).map_err(|error| error.to_string())?;
        running.push(next);
    }
    let mut held = 0;
    for mut one in running {
        drop(one.stdin.take());
        held += usize::from(one.wait().map_err(|error| error.to_string())?.success());
    }
    Ok(held.to_string())
}

/// Uses a processor for as long as a few periods of its account take.
fn spin() -> Outcome {
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_millis(500) {}
    Ok(String::new())
}
