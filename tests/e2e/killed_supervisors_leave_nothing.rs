//! A supervisor that is killed, at whatever moment, takes all of its sandbox along: no process, mount or path to the
//! network stays, and the sandbox starts again.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use openshell_tests::{
    lab::SERVER,
    process::Running,
    processes,
    sandboxes::Person,
    site::Site,
    wait::{self, LONG},
};
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

/// Moments that are tried for each person, in either half of a sandbox's life.
const MOMENTS: u64 = 12;

/// What opens connections all the time, in a process and in children of it.
const BUSY: &str = "while :; do curl -s -m 5 http://denied.test/ >/dev/null & \
                    curl -s -m 5 --noproxy '*' http://10.0.0.1/ >/dev/null & wait; done";

/// Every process of this person's sandboxes: those whose mounts or command are theirs.
fn processes_of(person: &Person) -> Vec<String> {
    let home = person.path().display().to_string();
    let mut found = Vec::new();
    for process in processes::all() {
        let command = processes::told(process, "cmdline");
        if command.contains(&home) || processes::told(process, "mountinfo").contains(&home) {
            found.push(format!("{process} {command}"));
        }
    }
    found
}

/// Network namespaces of a supervisor's children.
fn networks_of(supervisor: Pid) -> BTreeSet<PathBuf> {
    let network = |process: Pid| processes::namespace(process, "net");
    let own = network(rustix::process::getpid());
    let of_children = processes::children(supervisor).into_iter().filter_map(network);
    of_children.filter(|network| Some(network) != own.as_ref()).collect()
}

fn is_clean(person: &Person, networks: &BTreeSet<PathBuf>) {
    let begun = Instant::now();
    loop {
        let mut left = processes_of(person);
        let within = networks.iter().flat_map(|network| processes::within("net", network));
        left.extend(within.map(|process| process.to_string()));
        if left.is_empty() {
            break;
        }
        assert!(begun.elapsed() < LONG, "{}: left: {left:#?}", person.name());
        thread::park_timeout(Duration::from_millis(10));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&person.path().display().to_string()), "{mounts}");
}

/// The supervisor that has the sandbox now, once there is one.
fn wait_for_supervisor(person: &Person, before: Option<Pid>) -> Pid {
    wait::until("a supervisor", LONG, || {
        person.supervisor("k").filter(|found| Some(*found) != before)
    })
}

#[test]
fn at_any_moment_of_its_life_or_of_its_start() {
    for person in Person::all() {
        let create = ["sandbox", "create", "--name", "k", "--detach", "--", "sh", "-c", BUSY];
        drop(person.run(&create).expect(0));
        let mut supervisor = person.supervisor("k").unwrap();
        for moment in 0..MOMENTS {
            // Spread over the time of a start and of a few connections; not the same twice.
            let pause = Duration::from_micros(moment * moment * 900);
            thread::park_timeout(pause);
            let networks = networks_of(supervisor);
            assert!(
                !networks.is_empty() && !processes_of(&person).is_empty(),
                "it lives until now"
            );
            kill_process(supervisor, Signal::KILL).unwrap();
            is_clean(&person, &networks);

            // Killed while it starts, as early as it can be seen.
            let mut command = person.openshell(&["sandbox", "start", "k"]);
            let mut start = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let early = wait_for_supervisor(&person, Some(supervisor));
            thread::park_timeout(pause / 4);
            let networks = networks_of(early);
            // It may have failed by itself, where nothing is left either.
            let _ = kill_process(early, Signal::KILL);
            let _ = start.wait().unwrap();
            is_clean(&person, &networks);

            drop(person.run(&["sandbox", "start", "k"]).expect(0));
            supervisor = wait_for_supervisor(&person, Some(early));
            let said = person.run(&["sandbox", "exec", "-n", "k", "--", "echo", "there"]);
            assert_eq!(said.expect(0).stdout, "there\n", "{}", person.name());
        }
    }
}

/// What is tried in the network of a sandbox after its supervisor was killed: the proxy, the permitted server by its
/// address, others, a name. `None` where nothing comes of it.
fn reaches(to: SocketAddr, words: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    let mut answer = [0; 100];
    let sent: io::Result<usize> = stream.write_all(words).and_then(|()| stream.read(&mut answer));
    // Even a connection that says nothing was taken by somebody.
    Some(format!("{to}: {sent:?} {}", String::from_utf8_lossy(&answer)))
}

fn resolves() -> Option<String> {
    // A question for the address of allowed.test.
    let question =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07allowed\x04test\x00\x00\x01\x00\x01";
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
    socket.send_to(question, "127.0.0.1:53").ok()?;
    let mut answer = [0; 512];
    socket.recv(&mut answer).ok().map(|length| format!("{length} bytes about a name"))
}

/// In the network of a sandbox; what of it led anywhere.
fn try_everything() -> Vec<String> {
    let get = b"GET http://allowed.test/late HTTP/1.1\r\nhost: allowed.test\r\n\r\n";
    let tries = [
        "127.0.0.1:3128",
        "198.18.0.10:80",
        "198.18.0.11:80",
        "127.0.0.1:3129",
        "127.0.0.1:80",
        "[2001:db8:1::10]:80",
    ];
    let tries = tries.map(|to| to.parse::<SocketAddr>().unwrap());
    let mut led: Vec<String> = tries.iter().filter_map(|to| reaches(*to, get)).collect();
    led.extend(resolves());
    led
}

/// The same, from a thread that goes there.
fn try_within(network: &File) -> Vec<String> {
    let network = network.try_clone().unwrap();
    let there = thread::spawn(move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        try_everything()
    });
    there.join().unwrap()
}

#[test]
fn its_network_leads_nowhere_even_for_who_is_in_it() {
    for site in Site::all() {
        let server = site.server((SERVER, 80));
        site.create("version: 1\nfilesystem_policy: {read_only: [/usr, /lib, /etc], read_write: [/tmp]}\nnetwork_policies:\n  one: \
                     {endpoints: [{host: allowed.test, port: 80, allowed_ips: [\"198.18.0.0/24\"]}], binaries: [{path: /usr/bin/curl}]}\n");
        let busy = "while :; do curl -s -m 5 http://allowed.test/busy & curl -s -m 5 --noproxy '*' http://allowed.test/busy & wait; done";
        let mut busy =
            site.command(&["sandbox", "exec", "-n", "s", "--no-tty", "--", "sh", "-c", busy]);
        let mut busy = Running::start("busy", &mut busy);
        let _ = server.wait_for(4);
        let supervisor = site.person().supervisor("s").unwrap();
        let init = *processes::children(supervisor).first().unwrap();
        // Held, it outlives all that was in it.
        let network = File::open(format!("/proc/{init}/ns/net")).unwrap();
        let led = try_within(&network);
        assert!(
            led.iter().any(|one| one.starts_with("127.0.0.1:3128")),
            "the proxy answers until then: {led:?}"
        );
        assert!(
            led.iter().any(|one| one.contains("about a name")),
            "and so does the resolver: {led:?}"
        );

        kill_process(supervisor, Signal::KILL).unwrap();
        wait::until("everything in it to end", LONG, || {
            let inside = processes::namespace(init, "pid").is_none();
            (inside && processes::namespace(supervisor, "pid").is_none()).then_some(())
        });
        let _ = busy.wait(LONG);
        let before = server.count();
        assert_eq!(try_within(&network), [""; 0], "{}", site.person().name());
        assert_eq!(server.count(), before);
        assert!(server.seen().iter().all(|seen| seen.target == "/busy"));
    }
}
