//! Many connections at once out of one sandbox: none fails, none is left behind, and every decision is on record.
//!
//! `OPENSHELL_LOAD_SECONDS` says for how long; the figures of `BUDGETS.md` are those of a minute.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

use openshell_tests::{
    environment,
    lab::SERVER,
    processes,
    script::Script,
    site::Site,
    upstream::ScriptedUpstream,
    wait::{self, LONG},
};
use rustix::process::Pid;
use serde_json::{Value, json};

const TUNNELS: u64 = 500;
const KEPT: u64 = 200;
/// Memory that one connection may hold while it carries nothing, KiB.
const IDLE_KIB_MAX: u64 = 80;
/// How often the load is put on again to see that it grows no more.
const AGAIN_MAX: usize = 6;
/// Threads of a supervisor, whatever comes at once.
const THREADS_MAX: u64 = 110;
/// How much more memory may be left after the same load once more, KiB: noise of an allocator.
const AGAIN_KIB_MAX: u64 = 3 << 10;
/// What a supervisor holds after many such loads, KiB. Each of its threads keeps what it once had.
const LOADED_KIB_MAX: u64 = 160 << 10;

const POLICY: &str = "\
version: 1
filesystem_policy: {include_workdir: true, read_only: [/usr, /lib, /etc], read_write: [/tmp]}
network_policies:
  load:
    endpoints:
      - {host: allowed.test, port: 7000, allowed_ips: [\"198.18.0.0/24\"]}
      - {host: allowed.test, port: 443, allowed_ips: [\"198.18.0.0/24\"], protocol: rest, enforcement: enforce, access: read-only}
    binaries: [{path: \"/usr/bin/python3*\"}]
";

/// Sends back what it gets, on every connection.
fn echo(listener: TcpListener) {
    fn carry(mut from: TcpStream) {
        let Ok(mut to) = from.try_clone() else { return };
        let mut piece = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut piece) {
            if to.write_all(&piece[..count]).is_err() {
                return;
            }
        }
    }
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || carry(stream));
        }
    });
}

/// What a process has open, and what it holds in memory, KiB. Not counted: the few processes of the sandbox that the
/// identity of callers keeps open in `/proc`.
fn holds(process: Pid) -> (usize, u64) {
    let links = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    let links = links.filter_map(|entry| fs::read_link(entry.path()).ok());
    let open = links.filter(|link| !link.starts_with("/proc")).count();
    (open, processes::number(process, "VmRSS"))
}

/// Processes in the network of this one, which only those of its sandbox are in.
fn beside(process: Pid) -> usize {
    let first = *processes::children(process).first().unwrap();
    processes::within("net", &processes::namespace(first, "net").unwrap()).len()
}

/// All connections at once for so long; what the client says, and what the supervisor holds while they are open and idle.
fn load(site: &Site, supervisor: Pid, seconds: u64) -> (Value, (usize, u64)) {
    let script = include_str!("../clients/egress_load.py");
    let [tunnels, kept, time] = [TUNNELS, KEPT, seconds].map(|number| number.to_string());
    let exec = ["sandbox", "exec", "-n", "s", "--no-tty", "--", "python3", "-c", script];
    let mut command = site.command(&[&exec[..], &[&tunnels, &kept, &time]].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut client = command.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "open");
    let open = holds(supervisor);
    client.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(client.wait().unwrap().success());
    assert_eq!(said["errors"], json!({}), "{said}");
    assert_eq!((&said["tunnels"], &said["kept"]), (&TUNNELS.into(), &KEPT.into()), "{said}");
    (said, open)
}

/// What the supervisor holds once nothing of the load is left.
fn settled(supervisor: Pid, descriptors: usize) -> (usize, u64) {
    wait::until("descriptors to be closed", LONG, || {
        (holds(supervisor).0 <= descriptors).then_some(())
    });
    wait::until("programs to end", LONG, || (beside(supervisor) == 1).then_some(()));
    holds(supervisor)
}

#[test]
fn hundreds_of_connections_at_once_lose_and_leak_nothing() {
    let Some(site) = Site::start() else { return };
    echo(site.listen((SERVER, 7000)));
    let server = ScriptedUpstream::start(|seen, _| Script::json(200, &json!({"at": seen.target})));
    let _front = site.tls("allowed.test", &server);
    site.create(POLICY);
    let supervisor = site.person().supervisor("s").unwrap();
    // What is made at the first use stays.
    drop(
        site.shell("python3 -c 'import ssl, asyncio'; curl -s https://allowed.test/; true")
            .expect(0),
    );
    wait::until("the sandbox to be still", LONG, || (beside(supervisor) == 1).then_some(()));
    let before = holds(supervisor);

    let seconds = environment::inherited("OPENSHELL_LOAD_SECONDS");
    let seconds = seconds.map_or(8, |text| text.parse().expect("a number of seconds"));
    let (said, open) = load(&site, supervisor, seconds);
    let threads = processes::number(supervisor, "Threads");
    assert!(threads <= THREADS_MAX, "{threads} threads");
    let each_kib = open.1.saturating_sub(before.1) / (TUNNELS + KEPT);
    assert!(each_kib <= IDLE_KIB_MAX, "{before:?} {open:?}");
    let after = settled(supervisor, before.0);
    // An allocator keeps what it once had, more or less. The same load once more needs no more than that at least once; what
    // leaks is more each time.
    let mut rounds = vec![said];
    let (mut last, mut more) = (after, u64::MAX);
    while more > AGAIN_KIB_MAX && rounds.len() <= AGAIN_MAX {
        rounds.push(load(&site, supervisor, 2).0);
        let now = settled(supervisor, before.0);
        more = now.1.saturating_sub(last.1);
        last = now;
    }
    let line = format!(
        "{}; descriptors and KiB: {before:?} before, {open:?} while all are open, {after:?} after, {last:?} after as many again; {each_kib} KiB for each idle connection\n",
        rounds[0]
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(more <= AGAIN_KIB_MAX, "{more} KiB more with each load: {line}");
    assert!(last.1 <= LOADED_KIB_MAX, "{line}");

    // The supervisor writes what waits before it ends.
    drop(site.openshell(&["sandbox", "stop", "s"]).expect(0));
    let audit = site.audit();
    let python = |event: &&Value| {
        let path = &event["actor"]["process"]["file"]["path"];
        path.as_str().is_some_and(|path| path.contains("python3")) && event["action"] == "Allowed"
    };
    let count = |class: &str, port: u16| {
        let of =
            |event: &&Value| event["class_name"] == class && event["dst_endpoint"]["port"] == port;
        let opened = |event: &&Value| event["activity_name"] != "Close";
        u64::try_from(audit.iter().filter(python).filter(of).filter(opened).count()).unwrap()
    };
    let loads = u64::try_from(rounds.len()).unwrap();
    assert_eq!(count("Network Activity", 7000), loads * TUNNELS);
    assert_eq!(count("Network Activity", 443), loads * KEPT);
    let requests = rounds.iter().map(|said| said["requests"].as_u64().unwrap());
    assert_eq!(count("HTTP Activity", 443), requests.sum::<u64>());
}
