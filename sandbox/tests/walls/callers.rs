//! Who opened a connection: every way to look like another program, tried from inside.

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    net::TcpStream,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
};

use proxy::egress::{Connection, Identify as _, Identity, Unidentified};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{CallerCheck, Callers, Ending, Sandbox, Sockets, Spec, Stdio};

use crate::{
    calls,
    life::{children, everybody, is_in, same_namespace},
    network::{accept, destination},
    support::{Check, World, eventually, explain, output, start},
};

pub(crate) const CHECKS: &[Check] = &[
    ("a_caller_is_its_executable_with_its_ancestors", honest),
    ("a_copy_a_link_and_a_disguise_are_seen_through", names),
    ("a_loader_and_an_interpreter_are_what_they_are", loaders),
    ("what_is_no_file_any_more_is_refused", no_file),
    ("another_content_under_a_used_path_is_refused", replaced),
    ("connecting_and_becoming_another_program_helps_nothing", then_exec),
    ("a_socket_on_which_two_programs_call_connect_is_neithers", handed_on),
    ("a_connection_that_another_program_holds_too_is_refused", shared),
    ("a_crowd_hides_nobody", crowd),
    ("strict_refuses_code_from_where_the_sandbox_can_write", strict),
    ("two_hundred_threads_connect_at_once", many),
    ("a_caller_killed_while_it_waits_disturbs_nobody", killed_caller),
    ("killing_the_supervisor_leaves_nobody_waiting", killed_supervisor),
    ("without_callers_every_connection_fails_at_once", unserved),
    ("other_sockets_go_on_as_before", others),
    ("without_a_watch_whoever_holds_the_connection_is_found", unwatched),
    ("a_system_without_listeners_is_told_of", no_listener),
];

const TO: &str = "192.0.2.1:80";

/// A sandbox whose callers are known.
struct Watched {
    sandbox: Sandbox,
    sockets: Sockets,
    callers: Callers,
    runtime: tokio::runtime::Runtime,
}

impl Watched {
    fn new(spec: &Spec) -> Self {
        let mut sandbox = start(spec);
        let sockets = sandbox.take_sockets().unwrap();
        let watch = sandbox.take_watch();
        assert_eq!(watch.is_some(), spec.callers != CallerCheck::Off, "{:?}", sandbox.notes());
        let diagnosis = sockets.diagnosis.try_clone().unwrap();
        let callers = Callers::new(diagnosis, watch, sandbox.process(), spec.callers).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { sandbox, sockets, callers, runtime }
    }

    fn usual(world: &World) -> Self {
        Self::new(&Spec { callers: CallerCheck::Executable, ..world.spec() })
    }

    fn identify(&self, stream: &TcpStream) -> Result<Arc<Identity>, Unidentified> {
        let connection = Connection { from: stream.peer_addr().unwrap(), to: destination(stream) };
        self.runtime.block_on(self.callers.identify(&connection))
    }

    /// Runs a program that connects to [`TO`], and gives what `judge` says of its connection.
    fn judge<T>(&mut self, words: &[&str], judge: impl FnOnce(&Self, &TcpStream) -> T) -> T {
        let program = self.sandbox.program(words.iter().map(Into::into).collect());
        let null = fs::File::open("/dev/null").unwrap();
        let started = self.sandbox.run(program, Stdio::Descriptors([null.as_fd(); 3]));
        let started = started.unwrap_or_else(|error| panic!("{}", explain(&error)));
        let mut stream = accept(&self.sockets.captured);
        let judged = judge(self, &stream);
        stream.write_all(b"ours").unwrap();
        drop(stream);
        self.sandbox.signal(started.id, Signal::KILL).unwrap();
        while self.sandbox.next_ending().unwrap().expect("the sandbox is there").0 != started.id {}
        judged
    }

    fn who(&mut self, words: &[&str]) -> Result<Arc<Identity>, Unidentified> {
        self.judge(words, Self::identify)
    }

    fn shell(&mut self, command: &str) {
        let (ending, text) =
            output(&mut self.sandbox, ["/bin/sh", "-c", command].map(Into::into).to_vec());
        assert_eq!(ending, Ending::Code(0), "{command}: {text}");
    }
}

/// Runs a check and waits until its threads are gone: the next one needs a process with one thread.
fn alone(check: impl FnOnce()) -> Result<(), String> {
    check();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    assert!(eventually(|| threads() == 1), "a thread is left");
    Ok(())
}

fn real(path: &str) -> String {
    fs::canonicalize(path).unwrap().to_str().unwrap().to_owned()
}

fn agent(world: &World) -> String {
    real(world.agent.to_str().unwrap())
}

fn honest(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        let direct = watched.who(&[&agent, "probe", "connect", TO]).unwrap();
        assert_eq!((direct.binary.as_str(), direct.ancestors.len()), (agent.as_str(), 0));
        let own = sha256(&world.agent);
        assert_eq!(direct.sha256, Some(own));
        let command = format!("{agent} probe connect {TO}; true");
        let below = watched.who(&["/bin/sh", "-c", &command]).unwrap();
        assert_eq!(below.binary, agent);
        assert_eq!(below.ancestors, [real("/bin/sh")]);
        assert!(below.process > 1 && below.process != direct.process);
    })
}

fn sha256(path: &Path) -> [u8; 32] {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap();
    std::array::from_fn(|byte| digit(2 * byte))
}

fn names(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.shell(&format!(
            "cp {agent} /tmp/curl && ln /tmp/curl /tmp/hard && ln -s {agent} /tmp/soft"
        ));
        for (called, is) in [
            ("/tmp/curl", "/tmp/curl"),
            ("/tmp/hard", "/tmp/hard"),
            ("/tmp/soft", agent.as_str()),
            (&format!("/proc/self/root{agent}"), agent.as_str()),
        ] {
            let found = watched.who(&[called, "probe", "connect", TO]).unwrap();
            assert_eq!(found.binary, is, "{called}");
        }
        let found = watched.who(&[&agent, "probe", "disguised", TO]).unwrap();
        assert_eq!(found.binary, agent);
    })
}

fn loaders(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.shell(&format!(
            "printf '#!/usr/bin/env -S %s probe script\\n' {agent} > /tmp/script && chmod +x /tmp/script"
        ));
        let found = watched.who(&["/tmp/script"]).unwrap();
        assert_eq!(found.binary, agent);
        if let Some(loader) = mapped("/ld-linux") {
            let found = watched.who(&[&loader, &agent, "probe", "connect", TO]).unwrap();
            assert_eq!(found.binary, real(&loader));
        }
    })
}

/// A file that this program has mapped.
fn mapped(name: &str) -> Option<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths = maps.lines().filter_map(|line| line.get(line.find('/')?..));
    paths.find(|path| path.contains(name)).map(str::to_owned)
}

fn no_file(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        let found = watched.who(&[&agent, "probe", "from-memory", TO]);
        assert!(
            matches!(&found, Err(Unidentified::NoFile(path)) if path.contains("memfd")),
            "{found:?}"
        );
        watched.shell(&format!("cp {agent} /tmp/gone && cp {agent} /tmp/other"));
        let found = watched.who(&["/tmp/gone", "probe", "without-a-file", TO]);
        assert_eq!(found, Err(Unidentified::NoFile("/tmp/gone".to_owned())));
        let found = watched.who(&["/tmp/other", "probe", "under-another-file", TO]);
        assert_eq!(found, Err(Unidentified::Changed("/tmp/other".to_owned())));
        // An ancestor is held to the same.
        watched.shell("cp /bin/sh /tmp/sh");
        let command = format!("rm /tmp/sh; {agent} probe connect {TO}; true");
        let found = watched.who(&["/tmp/sh", "-c", &command]);
        assert_eq!(found, Err(Unidentified::NoFile("/tmp/sh".to_owned())));
    })
}

fn replaced(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.shell(&format!("cp {agent} /tmp/tool"));
        let words = ["/tmp/tool", "probe", "connect", TO];
        let first = watched.who(&words).unwrap();
        watched.shell(&format!("rm /tmp/tool && cp {agent} /tmp/tool"));
        assert_eq!(watched.who(&words).unwrap().sha256, first.sha256, "the same content again");
        watched.shell("echo >> /tmp/tool");
        let found = watched.who(&words);
        assert_eq!(found, Err(Unidentified::Changed("/tmp/tool".to_owned())));
        watched.shell(&format!("cp {agent} /tmp/tool"));
        assert_eq!(watched.who(&words).unwrap().sha256, first.sha256, "the first is trusted still");
    })
}

fn then_exec(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.judge(&[&agent, "probe", "then-exec", TO], |watched, stream| {
            let is_seen = || match watched.identify(stream) {
                Ok(found) => {
                    assert_eq!(found.binary, agent, "it is taken for what it became");
                    false
                }
                Err(Unidentified::Ambiguous(both)) => both.contains("sleep"),
                Err(error) => panic!("{error}"),
            };
            assert!(eventually(is_seen), "it never became another program");
        });
    })
}

fn handed_on(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.shell(&format!("cp {agent} /tmp/evil"));
        for (first, second) in [("/tmp/evil", agent.as_str()), (&agent, "/tmp/evil")] {
            let found = watched.who(&[first, "probe", "hand-on", TO, second]);
            assert!(matches!(found, Err(Unidentified::Ambiguous(_))), "{found:?}");
        }
        let found = watched.who(&[&agent, "probe", "hand-on", TO, &agent]).unwrap();
        assert_eq!(found.binary, agent);
    })
}

fn shared(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        watched.judge(&[&agent, "probe", "hand-down", TO, "/bin/sleep", "100"], |watched, stream| {
            let is_seen = || {
                matches!(watched.identify(stream), Err(Unidentified::Ambiguous(both)) if both.contains("sleep"))
            };
            assert!(eventually(is_seen), "the other holder is not seen");
        });
        // The same program may hold it several times, as servers with workers do.
        let words = [&agent, "probe", "hand-down", TO, &agent, "probe", "wait"];
        watched.judge(&words, |watched, stream| {
            let init = watched.sandbox.process().as_raw_nonzero().get();
            let heir =
                || children(init).first().and_then(|first| children(*first).first().copied());
            let waits = || heir().is_some_and(|heir| cmdline(heir).contains("wait"));
            assert!(eventually(waits), "there is no heir");
            assert_eq!(watched.identify(stream).unwrap().binary, agent);
        });
    })
}

/// More processes than are kept open from one look to the next.
fn crowd(world: &World) -> Result<(), String> {
    const CROWD: usize = 150;
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        let command = format!("for i in $(seq {CROWD}); do sleep 100 & done; wait");
        let program = watched.sandbox.program(["/bin/sh", "-c", &command].map(Into::into).to_vec());
        let null = fs::File::open("/dev/null").unwrap();
        watched.sandbox.run(program, Stdio::Descriptors([null.as_fd(); 3])).unwrap();
        let init = watched.sandbox.process().as_raw_nonzero().get();
        let size = || children(init).first().map_or(0, |first| children(*first).len());
        assert!(eventually(|| size() == CROWD), "{} are there", size());
        for _ in 0..3 {
            let found = watched.who(&[&agent, "probe", "connect", TO]).unwrap();
            assert_eq!(found.binary, agent);
        }
        let words = [&agent, "probe", "hand-down", TO, "/bin/sleep", "100"];
        watched.judge(&words, |watched, stream| {
            let is_seen = || matches!(watched.identify(stream), Err(Unidentified::Ambiguous(_)));
            assert!(eventually(is_seen), "the other holder is not seen");
        });
    })
}

fn cmdline(process: i32) -> String {
    fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default()
}

fn strict(world: &World) -> Result<(), String> {
    alone(|| {
        let agent = agent(world);
        let mut watched = Watched::new(&Spec { callers: CallerCheck::Code, ..world.spec() });
        watched.shell(&format!("cp {agent} /tmp/copy"));
        assert_eq!(watched.who(&[&agent, "probe", "connect", TO]).unwrap().binary, agent);
        assert_eq!(watched.who(&[&agent, "probe", "own-code", TO]).unwrap().binary, agent);
        let mut refused = |words: &[&str], code: &str| {
            let found = watched.who(words);
            let is_it =
                matches!(&found, Err(Unidentified::Writable(path)) if path.starts_with(code));
            assert!(is_it, "{words:?}: {found:?}");
        };
        refused(&["/tmp/copy", "probe", "connect", TO], "/tmp/copy");
        refused(&[&agent, "probe", "mapped-code", TO, "/tmp/copy"], "/tmp/copy");
        refused(&[&agent, "probe", "from-memory", TO], "/memfd:curl");
        if let (Some(loader), Some(library)) = (mapped("/ld-linux"), mapped("/libgcc_s")) {
            refused(&[&loader, "/tmp/copy", "probe", "connect", TO], "/tmp/copy");
            watched.shell(&format!("cp {library} /tmp/preload.so"));
            let found = watched.who(&[
                "/usr/bin/env",
                "LD_PRELOAD=/tmp/preload.so",
                &agent,
                "probe",
                "connect",
                TO,
            ]);
            assert_eq!(found, Err(Unidentified::Writable("/tmp/preload.so".to_owned())));
        }
    })
}

fn many(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::usual(world), agent(world));
        let program = watched.sandbox.program(world.probe(&["many", TO, "200"]));
        let null = fs::File::open("/dev/null").unwrap();
        watched.sandbox.run(program, Stdio::Descriptors([null.as_fd(); 3])).unwrap();
        let streams: Vec<TcpStream> = (0..200).map(|_| accept(&watched.sockets.captured)).collect();
        let asked = streams.iter().map(|stream| async {
            let connection =
                Connection { from: stream.peer_addr().unwrap(), to: destination(stream) };
            watched.callers.identify(&connection).await
        });
        let found = watched.runtime.block_on(async {
            let mut found = Vec::new();
            for one in asked {
                found.push(one.await);
            }
            found
        });
        let process = found[0].as_ref().unwrap().process;
        for one in found {
            let one = one.unwrap();
            assert_eq!((one.binary.as_str(), one.process), (agent.as_str(), process));
        }
        drop(streams);
        assert_eq!(watched.sandbox.next_ending().unwrap().unwrap().1, Ending::Code(0));
    })
}

/// Whether a process waits in `connect()`.
fn waits_in_connect(process: i32) -> bool {
    fs::read_to_string(format!("/proc/{process}/syscall"))
        .is_ok_and(|text| text.starts_with(&format!("{} ", libc::SYS_connect)))
}

fn killed_caller(world: &World) -> Result<(), String> {
    alone(|| {
        let agent = agent(world);
        let mut sandbox = start(&Spec { callers: CallerCheck::Executable, ..world.spec() });
        let sockets = sandbox.take_sockets().unwrap();
        let null = fs::File::open("/dev/null").unwrap();
        let mut waiting = || {
            let program = sandbox.program(world.probe(&["connect", TO]));
            sandbox.run(program, Stdio::Descriptors([null.as_fd(); 3])).unwrap().id
        };
        let (first, second) = (waiting(), waiting());
        let init = sandbox.process();
        let all = || children(init.as_raw_nonzero().get());
        assert!(eventually(|| all().len() == 2 && all().into_iter().all(waits_in_connect)));
        sandbox.signal(first, Signal::KILL).unwrap();
        assert_eq!(sandbox.next_ending().unwrap(), Some((first, Ending::Signal(9))));
        let (watch, diagnosis) = (sandbox.take_watch(), sockets.diagnosis.try_clone().unwrap());
        let callers = Callers::new(diagnosis, watch, init, CallerCheck::Executable).unwrap();
        let stream = accept(&sockets.captured);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let connection = Connection { from: stream.peer_addr().unwrap(), to: destination(&stream) };
        let found = runtime.block_on(callers.identify(&connection)).unwrap();
        assert_eq!(found.binary, agent);
        drop(stream);
        assert_eq!(sandbox.next_ending().unwrap(), Some((second, Ending::Code(0))));
    })
}

/// A supervisor that answers nobody, until it is killed.
pub(crate) fn leave_unserved(address: &str) -> ExitCode {
    let agent = std::env::current_exe().unwrap();
    let spec = Spec {
        read_only: vec![agent.clone()],
        callers: CallerCheck::Executable,
        ..Spec::default()
    };
    let mut sandbox = start(&spec);
    let program =
        sandbox.program(vec![agent.into(), "probe".into(), "connect".into(), address.into()]);
    let null = fs::File::open("/dev/null").unwrap();
    sandbox.run(program, Stdio::Descriptors([null.as_fd(); 3])).unwrap();
    super::say(&sandbox.process().as_raw_nonzero().to_string());
    drop(sandbox.next_ending());
    ExitCode::FAILURE
}

fn killed_supervisor(world: &World) -> Result<(), String> {
    let mut supervisor = Command::new(&world.agent)
        .args(["unserved", TO])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    io::BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let init: i32 = line.trim().parse().unwrap();
    let caller = || children(init).first().copied().filter(|caller| waits_in_connect(*caller));
    assert!(eventually(|| caller().is_some()), "nobody waits");
    let namespace: PathBuf = same_namespace(caller().unwrap(), "pid").0;
    let own = i32::try_from(supervisor.id()).unwrap();
    kill_process(Pid::from_raw(own).unwrap(), Signal::KILL).unwrap();
    supervisor.wait().unwrap();
    let is_left = |process: &i32| is_in(*process, "pid", &namespace);
    assert!(eventually(|| !everybody().iter().any(is_left)), "somebody waits still");
    Ok(())
}

fn unserved(world: &World) -> Result<(), String> {
    alone(|| {
        let mut sandbox = start(&Spec { callers: CallerCheck::Executable, ..world.spec() });
        drop(sandbox.take_watch());
        world.contained(&mut sandbox, &["unanswered", TO, "127.0.0.1:3128"]);
    })
}

fn others(world: &World) -> Result<(), String> {
    alone(|| {
        let mut watched = Watched::usual(world);
        let text = world.contained(&mut watched.sandbox, &["own-server"]);
        assert_eq!(text.trim_end(), "mine");
        world.contained(&mut watched.sandbox, &["udp-fails", "1.1.1.1:443"]);
        world.contained(&mut watched.sandbox, &["no-such-socket", "/tmp/nothing"]);
        world.contained(&mut watched.sandbox, &["calls"]);
    })
}

fn unwatched(world: &World) -> Result<(), String> {
    alone(|| {
        let (mut watched, agent) = (Watched::new(&world.spec()), agent(world));
        assert!(!watched.callers.are_watched());
        let command = format!("{agent} probe connect {TO}; true");
        let found = watched.who(&["/bin/sh", "-c", &command]).unwrap();
        assert_eq!(
            (found.binary.as_str(), found.ancestors.as_slice()),
            (agent.as_str(), &[real("/bin/sh")][..])
        );
        let words = [&agent, "probe", "hand-down", TO, "/bin/sleep", "100"];
        watched.judge(&words, |watched, stream| {
            let is_seen = || matches!(watched.identify(stream), Err(Unidentified::Ambiguous(_)));
            assert!(eventually(is_seen), "the other holder is not seen");
        });
    })
}

/// A process that has a listener already, as in some containers.
pub(crate) fn start_under_a_listener() -> ExitCode {
    assert!(calls::listen() > 2);
    let spec = Spec { callers: CallerCheck::Executable, ..Spec::default() };
    let mut sandbox = start(&spec);
    super::say(&format!("{} {:?}", sandbox.take_watch().is_some(), sandbox.notes()));
    ExitCode::SUCCESS
}

fn no_listener(world: &World) -> Result<(), String> {
    let output = Command::new(&world.agent).arg("under-a-listener").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("false ") && text.contains("no listener for connect()"), "{text}");
    Ok(())
}
