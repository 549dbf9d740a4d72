//! Sandboxes from the command line: made, used, found again, and gone without a trace. Each story as root and as somebody
//! without rights.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
};

use openshell_tests::{
    echo::{self, Cut},
    process::{Running, run},
    processes,
    sandboxes::Person,
    wait::{self, LONG},
    world::{Backend, Config},
};
use rustix::process::{Signal, kill_process, test_kill_process};
use serde_json::Value;

fn for_everybody(story: impl Fn(&Person)) {
    for person in Person::all() {
        story(&person);
    }
}

/// A sandbox without a main command.
fn plain(person: &Person, name: &str) {
    drop(person.run(&["sandbox", "create", "--name", name, "--detach"]).expect(0));
}

fn shell(person: &Person, sandbox: &str, script: &str) -> String {
    person.run(&["sandbox", "exec", "-n", sandbox, "--", "sh", "-c", script]).expect(0).stdout
}

fn get(person: &Person, sandbox: &str) -> Value {
    let text = person.run(&["sandbox", "get", sandbox, "-o", "json"]).expect(0).stdout;
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn a_command_runs_inside_and_its_exit_code_is_ours() {
    for_everybody(|person| {
        let script = "pwd; echo $OPENAI_BASE_URL $GREETING; echo oops >&2; touch here; exit 7";
        let ended = person
            .run(&[
                "sandbox",
                "create",
                "--name",
                "one",
                "--env",
                "GREETING=hi",
                "--",
                "sh",
                "-c",
                script,
            ])
            .expect(7);
        assert_eq!(ended.stdout, "/sandbox\nhttps://inference.local/v1 hi\n", "{}", person.name());
        assert!(ended.stderr.contains("oops") && ended.stderr.contains("✓ Created sandbox one"));
        let shown = get(person, "one");
        assert_eq!((&shown["phase"], &shown["exit_code"]), (&"Ready".into(), &7.into()), "{shown}");
        assert_eq!(shell(person, "one", "ls"), "here\n", "its files stay");
        let again = person.run(&["sandbox", "create", "--name", "one", "--detach"]).expect(1);
        assert!(again.stderr.contains("sandbox one exists already"), "{}", again.stderr);
    });
}

#[test]
fn a_sandbox_that_is_not_kept_is_gone_with_its_command() {
    for_everybody(|person| {
        let args =
            ["sandbox", "create", "--name", "brief", "--no-keep", "--", "sh", "-c", "exit 3"];
        drop(person.run(&args).expect(3));
        let list = person.run(&["sandbox", "list"]).expect(0).stdout;
        assert_eq!(list, "No sandboxes found.\n");
    });
}

#[test]
fn programs_have_their_own_streams_codes_and_signals() {
    for_everybody(|person| {
        plain(person, "p");
        let exec = |input: &[u8], words: &[&str]| {
            person.run_with(input, &[&["sandbox", "exec", "-n", "p"], words].concat())
        };
        let large = vec![b'x'; 3 << 20];
        let echoed = exec(&large, &["--", "sh", "-c", "tee /dev/stderr"]).expect(0);
        assert_eq!((echoed.stdout.len(), echoed.stderr.len()), (large.len(), large.len()));
        assert_eq!(exec(b"", &["--", "sh", "-c", "kill -9 $$"]).code, Some(137));
        assert_eq!(exec(b"", &["--", "/etc/passwd"]).code, Some(126));
        let missing = exec(b"", &["--", "no-such-program"]).expect(127);
        assert!(missing.stderr.contains("no-such-program"), "{}", missing.stderr);
        assert_eq!(
            exec(b"", &["--workdir", "/tmp", "--env", "A=b", "--", "sh", "-c", "pwd; echo $A"])
                .stdout,
            "/tmp\nb\n"
        );
        let late = exec(b"", &["--timeout", "1", "--", "sleep", "100"]).expect(124);
        assert!(late.stderr.contains("longer than 1 s"), "{}", late.stderr);
        wait::until("the sleeper to end", LONG, || {
            (!shell(person, "p", "cat /proc/[0-9]*/comm 2>/dev/null; true").contains("sleep"))
                .then_some(())
        });
        // Who leaves a program takes it along.
        let watcher = person.start(&["sandbox", "exec", "-n", "p", "--", "sleep", "1000"]);
        wait::until("the sleeper", LONG, || {
            shell(person, "p", "cat /proc/[0-9]*/comm 2>/dev/null; true")
                .contains("sleep")
                .then_some(())
        });
        drop(watcher);
        wait::until("the sleeper to end", LONG, || {
            (!shell(person, "p", "cat /proc/[0-9]*/comm 2>/dev/null; true").contains("sleep"))
                .then_some(())
        });
    });
}

#[test]
fn input_that_a_program_does_not_read_is_in_nobodys_way() {
    for_everybody(|person| {
        plain(person, "p");
        let sleepers = || shell(person, "p", "cat /proc/[0-9]*/comm 2>/dev/null; true");
        let none = || (!sleepers().contains("sleep")).then_some(());
        // More than every buffer on the way takes.
        let large = vec![b'x'; 16 << 20];
        let args = ["sandbox", "exec", "-n", "p", "--timeout", "1", "--", "sleep", "1000"];
        let late = person.run_with(&large, &args).expect(124);
        assert!(late.stderr.contains("longer than 1 s"), "{}", late.stderr);
        wait::until("the sleeper to end", LONG, none);

        let start = |script: &str| {
            let exec = format!("exec {} sandbox exec -n p -- {script}", person.binary().display());
            let fed = person.write("fed", "");
            fs::write(&fed, &large).unwrap();
            person.own(&fed);
            let mut command = person.program("sh");
            command.args(["-c", &format!("{exec} < {}", fed.display())]);
            let watcher = Running::start("exec", &mut command);
            wait::until("the sleeper", LONG, || sleepers().contains("sleep").then_some(()));
            watcher
        };
        // A signal is heard.
        let mut watcher = start("sh -c \"trap 'exit 7' INT; sleep 1000 & wait\"");
        watcher.signal(Signal::INT);
        assert_eq!(watcher.wait(LONG).code, Some(7));
        wait::until("the sleeper to end", LONG, || {
            drop(person.run(&["sandbox", "exec", "-n", "p", "--", "sh", "-c", "kill -9 -1"]));
            none()
        });
        // That whoever gave it has left is noticed.
        let watcher = start("sleep 1000");
        watcher.signal(Signal::KILL);
        wait::until("the sleeper to end", LONG, none);
    });
}

#[test]
fn what_could_not_be_created_is_not_there() {
    for_everybody(|person| {
        let missing = person.run(&["sandbox", "create", "--detach", "--", "no-such-program"]);
        assert_eq!(missing.code, Some(127), "{}", missing.stderr);
        let pipe = person.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        let pipe = pipe.display().to_string();
        let unfit = ["sandbox", "create", "--detach", "--upload", &pipe];
        assert_eq!(person.run(&unfit).code, Some(1));
        assert_eq!(person.run(&["sandbox", "list"]).expect(0).stdout, "No sandboxes found.\n");
    });
}

#[test]
fn a_terminal_is_the_sandboxes_own() {
    for_everybody(|person| {
        plain(person, "t");
        let args = [
            "sandbox",
            "exec",
            "-n",
            "t",
            "--tty",
            "--",
            "sh",
            "-c",
            "tty; stty size; read x; echo got $x",
        ];
        let ended = person.run_with(b"word\n", &args).expect(0);
        // What is typed is echoed whenever the terminal gets to it.
        assert!(ended.stdout.contains("/dev/pts/0\r\n"), "{:?}", ended.stdout);
        assert!(ended.stdout.contains("24 80\r\n"), "{:?}", ended.stdout);
        assert!(ended.stdout.ends_with("got word\r\n"), "{:?}", ended.stdout);
    });
}

#[test]
fn a_person_at_a_terminal_finds_a_shell_and_can_leave_a_program_running() {
    for_everybody(|person| {
        let steps = [
            "expect:desk:",
            "send:stty size\\r",
            "expect:30 100",
            "expect:desk:",
            "size:40x120",
            "send:sleep 0.2; stty size\\r",
            "expect:40 120",
            "expect:desk:",
            // Said by the program itself, so that it is what the interrupt meets.
            "send:sh -c 'echo up$((8+1)); exec sleep 1000'\\r",
            "expect:up9",
            // An interrupt drops what was typed before it is heard of, so nothing is until the prompt is back.
            "send:\\x03",
            "expect:desk:",
            "send:echo ab$((1+1))\\r",
            "expect:ab2",
            "send:exit 4\\r",
        ];
        drop(person.at_a_terminal(&steps, &["sandbox", "create", "--name", "desk"]).expect(4));
        let steps = [
            "expect:ready:",
            "send:echo ab$((1+1))\\r",
            "expect:ab2",
            "expect:ready:",
            "send:\\x10\\x11",
            "expect:Left it running",
        ];
        let create =
            ["sandbox", "create", "--name", "left", "--env", "PS1=ready:", "--", "/bin/sh"];
        drop(person.at_a_terminal(&steps, &create).expect(0));
        let steps = ["expect:ab2", "send:echo cd$((1+1))\\r", "expect:cd2", "send:exit 6\\r"];
        drop(person.at_a_terminal(&steps, &["sandbox", "attach", "left"]).expect(6));
    });
}

#[test]
fn signals_that_the_caller_ignores_or_the_first_process_blocks_are_heard_inside() {
    for_everybody(|person| {
        // As a shell does for what it runs in the background.
        let mut command = person.program("sh");
        command.args(["-c", "trap '' INT QUIT HUP; exec \"$0\" \"$@\""]).arg(person.binary());
        command.args(["sandbox", "create", "--name", "bold", "--"]);
        command.args(["grep", "SigIgn", "/proc/self/status"]);
        let ended = run("openshell", &mut command, LONG).expect(0);
        let ignored = ended.stdout.trim().rsplit('\t').next().expect("a mask");
        let ignored = u64::from_str_radix(ignored, 16).expect("a mask in hexadecimal");
        // Two of the real-time signals belong to the C library, which lets nobody change them.
        assert_eq!(ignored & 0x7fff_ffff, 0, "{}: {ignored:x}", person.name());
        let exec = ["sandbox", "exec", "-n", "bold", "--"];
        let blocked = [&exec[..], &["grep", "SigBlk", "/proc/self/status"]].concat();
        assert_eq!(person.run(&blocked).expect(0).stdout, "SigBlk:\t0000000000000000\n");
        // A shell hears of its children that end while it waits for them.
        let wait = [&exec[..], &["sh", "-c", "sleep 0.1 & sleep 0.2 & wait; echo waited"]].concat();
        assert_eq!(person.run(&wait).expect(0).stdout, "waited\n");
    });
}

#[test]
fn a_main_command_lives_on_and_is_attached_to_again() {
    for_everybody(|person| {
        let script = "echo begun; while ! [ -e go ]; do sleep 0.05; done; echo going; exit 5";
        let create = ["sandbox", "create", "--name", "m", "--detach", "--", "sh", "-c", script];
        drop(person.run(&create).expect(0));
        let watcher = person.start(&["sandbox", "attach", "m"]);
        wait::until("what was said before", LONG, || {
            watcher.stdout().contains("begun").then_some(())
        });
        drop(watcher);
        assert_eq!(get(person, "m")["running"], true, "nobody who leaves takes it along");
        let mut watcher = person.start(&["sandbox", "attach", "m"]);
        wait::until("what was said before", LONG, || {
            watcher.stdout().contains("begun").then_some(())
        });
        shell(person, "m", "touch go");
        let ended = watcher.wait(LONG).expect(5);
        assert_eq!(ended.stdout, "begun\ngoing\n");
        assert_eq!(get(person, "m")["exit_code"], 5);
    });
}

#[test]
fn files_go_in_and_come_out_and_never_elsewhere() {
    for_everybody(|person| {
        for (name, text) in
            [("tree/.gitignore", "*.log\n"), ("tree/a/kept", "kept"), ("tree/x.log", "ignored")]
        {
            person.write(name, text);
        }
        symlink("/etc/passwd", person.path().join("tree/out")).unwrap();
        let create = ["sandbox", "create", "--name", "f", "--detach", "--upload", "tree"];
        let created = person.run(&create).expect(0);
        assert!(created.stderr.contains("out is a link that leads out"), "{}", created.stderr);
        assert_eq!(shell(person, "f", "find . -type f | sort"), "./.gitignore\n./a/kept\n");
        drop(person.run(&["sandbox", "upload", "f", "tree/x.log", "logs/"]).expect(0));
        assert_eq!(shell(person, "f", "cat logs/x.log"), "ignored");
        // A link of the agent's leads the upload nowhere, and the download neither.
        shell(person, "f", "ln -s /tmp bent; ln -s ../../../state secret; echo new > a/new");
        let bent = person.run(&["sandbox", "upload", "f", "tree/a", "bent/a"]).expect(0);
        assert_eq!(
            shell(person, "f", "ls /tmp/a"),
            "kept\n",
            "inside, links are the agent's own: {}",
            bent.stderr
        );
        let over = person.run(&["sandbox", "upload", "f", "tree/x.log", "/usr/x.log"]).expect(1);
        assert!(over.stderr.contains("Read-only file system"), "{}", over.stderr);
        let got = person.run(&["sandbox", "download", "f", ".", "got"]).expect(0);
        assert!(got.stderr.contains("secret is a link that leads out"), "{}", got.stderr);
        let at = |name: &str| person.path().join("got").join(name);
        assert_eq!(fs::read_to_string(at("a/new")).unwrap(), "new\n");
        assert!(
            fs::symlink_metadata(at("secret")).is_err()
                && fs::symlink_metadata(at("bent")).is_err()
        );
        drop(person.run(&["sandbox", "download", "f", "a/new", "single"]).expect(0));
        assert_eq!(fs::read_to_string(person.path().join("single")).unwrap(), "new\n");
        let missing = person.run(&["sandbox", "download", "f", "/nope", "x"]).expect(1);
        assert!(missing.stderr.contains("cannot find /nope"), "{}", missing.stderr);
    });
}

#[test]
fn a_stopped_sandbox_starts_again_with_its_files_and_its_command() {
    for_everybody(|person| {
        let script = "echo x >> runs; trap 'exit 9' TERM; while :; do sleep 0.05; done";
        drop(
            person
                .run(&["sandbox", "create", "--name", "s", "--detach", "--", "sh", "-c", script])
                .expect(0),
        );
        wait::until("the first run", LONG, || {
            (shell(person, "s", "cat runs 2>/dev/null; true") == "x\n").then_some(())
        });
        drop(person.run(&["sandbox", "stop", "s"]).expect(0));
        let shown = get(person, "s");
        assert_eq!(
            (&shown["phase"], &shown["exit_code"]),
            (&"Stopped".into(), &9.into()),
            "{shown}"
        );
        let refused = person.run(&["sandbox", "exec", "-n", "s", "--", "true"]).expect(1);
        assert!(refused.stderr.contains("sandbox s is not running"), "{}", refused.stderr);
        drop(person.run(&["sandbox", "start", "s"]).expect(0));
        wait::until("the second run", LONG, || {
            (shell(person, "s", "cat runs") == "x\nx\n").then_some(())
        });
        assert!(person.run(&["sandbox", "start", "s"]).expect(0).stdout.contains("is running"));
        drop(person.run(&["sandbox", "delete", "s"]).expect(0));
        assert!(!person.home().join("sandboxes/s").exists());
        let unknown = person.run(&["sandbox", "get", "s"]).expect(1);
        assert!(unknown.stderr.contains("there is no sandbox s"), "{}", unknown.stderr);
    });
}

#[test]
fn a_supervisor_outlives_whoever_started_it_and_is_found_again() {
    for_everybody(|person| {
        // The shell and everything in its group is killed as soon as the sandbox stands.
        let script =
            format!("{} sandbox create --name orphan -- sleep 1000", person.binary().display());
        let mut command = person.program("sh");
        command.args(["-c", &script]);
        let creator = Running::start("creator", &mut command);
        wait::until("the main command", LONG, || {
            let shown = person.run(&["sandbox", "get", "orphan", "-o", "json"]).stdout;
            shown.contains("\"running\": true").then_some(())
        });
        drop(creator);
        assert_eq!(shell(person, "orphan", "echo there"), "there\n");
        assert_eq!(get(person, "orphan")["running"], true);
    });
}

#[test]
fn deleting_a_sandbox_does_not_use_it() {
    for_everybody(|person| {
        plain(person, "one");
        plain(person, "two");
        drop(person.run(&["sandbox", "exec", "-n", "one", "--", "true"]).expect(0));
        drop(person.run(&["sandbox", "delete", "two"]).expect(0));
        drop(person.run(&["sandbox", "delete", "none"]).expect(1));
        let last = person.run(&["sandbox", "exec", "--", "hostname"]).expect(0).stdout;
        assert_eq!(last, "one\n");
    });
}

#[test]
fn a_pipe_that_breaks_is_told_by_the_exit_code_unless_only_the_reader_went() {
    for_everybody(|person| {
        plain(person, "p");
        let piped = |line: &str| {
            let mut shell = person.program("bash");
            shell.args(["-c", line]).env("O", person.binary());
            run(line, &mut shell, LONG).expect(0).stdout
        };
        // As of a program that SIGPIPE ends: nobody knows how the one in the sandbox would have ended.
        let left = piped("$O sandbox exec -n p -- yes | head -n 1; echo ${PIPESTATUS[0]}");
        assert_eq!(left, "y\n141\n");
        assert_eq!(piped("$O sandbox list | true; echo ${PIPESTATUS[0]}"), "0\n");
        // A supervisor that goes away in the middle of an upload leaves it undone.
        let large = fs::File::create(person.path().join("large")).unwrap();
        large.set_len(1 << 32).unwrap();
        let mut upload = person.start(&["sandbox", "upload", "p", "large", "large"]);
        wait::until("the upload to be under way", LONG, || {
            upload.assert_alive();
            let state = processes::told(upload.pid(), "io");
            let read = state.lines().find_map(|line| line.strip_prefix("rchar: "))?;
            (read.parse::<u64>().unwrap() > 4 << 20).then_some(())
        });
        kill_process(person.supervisor("p").unwrap(), Signal::KILL).unwrap();
        let ended = upload.wait(LONG);
        assert_eq!(ended.code, Some(1), "{}", ended.said());
        assert!(ended.stderr.contains("error: "), "{}", ended.stderr);
    });
}

#[test]
fn killing_the_supervisor_leaves_nothing_behind() {
    for_everybody(|person| {
        let create = ["sandbox", "create", "--name", "k", "--detach", "--", "sleep", "1000"];
        drop(person.run(&create).expect(0));
        let supervisor = person.supervisor("k").unwrap();
        let init = *processes::children(supervisor).first().unwrap();
        let network = processes::namespace(init, "net").unwrap();
        kill_process(supervisor, Signal::KILL).unwrap();
        wait::until("everything to end", LONG, || {
            let left = processes::within("net", &network);
            (left.is_empty() && test_kill_process(init).is_err()).then_some(())
        });
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&person.home().display().to_string()), "{mounts}");
        let shown = get(person, "k");
        assert_eq!(shown["phase"], "Error", "{shown}");
        drop(person.run(&["sandbox", "start", "k"]).expect(0));
        assert_eq!(get(person, "k")["running"], true);
    });
}

#[test]
fn a_port_of_the_sandbox_is_reached_from_here() {
    const SERVER: &str = "import socket\ns = socket.create_server(('127.0.0.1', int(__import__('sys').argv[1])))\nprint('up', flush=True)\nwhile True:\n c, _ = s.accept()\n c.sendall(c.recv(100).upper())\n c.close()\n";
    for_everybody(|person| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = port.to_string();
        drop(
            person
                .run(&[
                    "sandbox", "create", "--name", "w", "--detach", "--", "python3", "-c", SERVER,
                    &number,
                ])
                .expect(0),
        );
        let watcher = person.start(&["sandbox", "attach", "w"]);
        wait::until("the server", LONG, || watcher.stdout().contains("up").then_some(()));
        let started = person.run(&["forward", "start", "-d", &number, "w"]).expect(0);
        assert!(started.stdout.contains("✓ Forwarding"), "{}", started.said());
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        let list = person.run(&["forward", "list", "-o", "json"]).expect(0).stdout;
        assert!(list.contains(&number) && list.contains("\"w\""), "{list}");
        drop(person.run(&["forward", "stop", &number]).expect(0));
        wait::until("the forward to end", LONG, || {
            TcpStream::connect(("127.0.0.1", port)).is_err().then_some(())
        });
        assert_eq!(person.run(&["forward", "list"]).expect(0).stdout, "No active forwards.\n");
        let none = person.run(&["forward", "stop", "8080"]).expect(0).stdout;
        assert_eq!(none, "! No active forward found for port 8080\n");
    });
}

#[test]
fn a_policy_is_set_while_the_sandbox_runs_and_a_bad_one_changes_nothing() {
    for_everybody(|person| {
        plain(person, "pol");
        let policy = |host: &str| {
            format!(
                "version: 1\nfilesystem_policy: {{include_workdir: true, read_only: [/usr, /lib, /proc, /dev/urandom, /app, /etc, /var/log], read_write: [/sandbox, /tmp, /dev/null]}}\nnetwork_policies:\n  a: {{endpoints: [{{host: {host}, port: 443}}], binaries: [{{path: /usr/bin/curl}}]}}\n"
            )
        };
        person.write("good.yaml", &policy("a.example.com"));
        let set = person
            .run(&["policy", "set", "pol", "--policy", "good.yaml", "--wait"])
            .expect(0)
            .stdout;
        assert!(set.contains("✓ Policy version 2 submitted (hash: "), "{set}");
        assert!(set.ends_with("✓ Policy version 2 loaded (active version: 2)\n"), "{set}");
        let again = person.run(&["policy", "set", "--policy", "good.yaml"]).expect(0).stdout;
        assert!(again.starts_with("· Policy unchanged (version 2, hash: "), "{again}");
        person.write("bad.yaml", "version: 1\nnetwork: {}\n");
        drop(person.run(&["policy", "set", "pol", "--policy", "bad.yaml"]).expect(1));
        person.write(
            "fixed.yaml",
            &format!("{}landlock: {{compatibility: hard_requirement}}\n", policy("b.example.com")),
        );
        let fixed =
            person.run(&["policy", "set", "pol", "--policy", "fixed.yaml"]).expect(1).stderr;
        assert!(fixed.contains("landlock policy cannot be changed on a live sandbox"), "{fixed}");
        let list = person.run(&["policy", "list", "pol"]).expect(0).stdout;
        let lines: Vec<&str> = list.lines().collect();
        assert_eq!(lines.len(), 3, "{list}");
        assert!(lines[1].starts_with("2 ") && lines[1].contains("loaded"), "{list}");
        assert!(lines[2].starts_with("1 ") && lines[2].contains("superseded"), "{list}");
        let got = person.run(&["policy", "get", "pol", "--full"]).expect(0).stdout;
        assert!(got.contains("Active: true") && got.contains("a.example.com"), "{got}");
        let log = person.run(&["logs", "pol"]).expect(0).stdout;
        assert!(log.contains("[INFO ]") && log.contains("policy loaded version=2"), "{log}");
    });
}

#[test]
fn the_state_of_sandboxes_is_out_of_their_reach() {
    for_everybody(|person| {
        let home = person.path().display().to_string();
        person.write(
            "wide.yaml",
            &format!("version: 1\nfilesystem_policy: {{read_only: [/usr, {home}]}}\n"),
        );
        person.write("note", "readable");
        let create = ["sandbox", "create", "--name", "wide", "--detach", "--policy", "wide.yaml"];
        drop(person.run(&create).expect(0));
        let seen = shell(person, "wide", &format!("cat {home}/note; ls -A {home}/state"));
        assert_eq!(seen, "readable");
        let inner = format!(
            "version: 1\nfilesystem_policy: {{read_only: [/usr, {home}/state/sandboxes]}}\n"
        );
        person.write("inner.yaml", &inner);
        let refused =
            person.run(&["sandbox", "create", "--detach", "--policy", "inner.yaml"]).expect(1);
        assert!(refused.stderr.contains("is not for sandboxes"), "{}", refused.stderr);
        assert_eq!(person.run(&["sandbox", "list", "--names"]).expect(0).stdout, "wide\n");
    });
}

#[test]
fn what_a_sandbox_opens_is_decided_and_on_record() {
    for_everybody(|person| {
        plain(person, "net");
        let asked = shell(
            person,
            "net",
            "curl -s -o body -w '%{http_connect} %{http_code}' https://denied.example.com/; true; echo; curl -s http://denied.example.com/",
        );
        assert!(asked.starts_with("403 000\n"), "{}: {asked}", person.name());
        assert!(asked.contains("policy_denied"), "{asked}");
        let audit = person.home().join("sandboxes/net/audit.jsonl");
        let line = wait::until("the record", LONG, || {
            let text = fs::read_to_string(&audit).ok()?;
            text.lines().find(|line| line.contains("denied.example.com")).map(str::to_owned)
        });
        assert!(line.contains("curl"), "{line}");
    });
}

#[test]
fn model_calls_reach_the_router_as_calls_of_that_sandbox() {
    for_everybody(|person| {
        let upstream = echo::upstream(Cut::NONE);
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("sandbox.key");
        let world = Config::new([Backend::new("only", &upstream.url()).model("m")])
            .flags(&["--sandbox-key", key.to_str().unwrap()])
            .start();
        let key = person.adopt(&key);
        let script = "curl -s $OPENAI_BASE_URL/chat/completions -H \"authorization: Bearer $OPENAI_API_KEY\" \
            -H 'content-type: application/json' -d '{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'";
        let address = world.address().to_string();
        let create =
            ["sandbox", "create", "--name", "asker", "--router", &address, "--sandbox-key"];
        let create = [&create[..], &[key.to_str().unwrap(), "--", "sh", "-c", script]].concat();
        let answer = person.run(&create).expect(0).stdout;
        assert!(answer.contains("\"choices\""), "{}: {answer}", person.name());
        let of_it = |event: &Value| event["actor"]["user"]["uid"] == "sandbox/asker";
        assert_eq!(world.wait_for_audit(1, of_it).len(), 1);
        for seen in upstream.seen() {
            assert!(!seen.text().contains("openshell:resolve"), "{}", seen.text());
        }
    });
}

#[test]
fn names_and_questions_that_make_no_sense_are_told() {
    let person = Person::all().remove(0);
    let none = person.run(&["sandbox", "exec", "--", "true"]).expect(1).stderr;
    assert!(none.contains("no sandbox is named") && none.contains("hint: "), "{none}");
    for name in ["Upper", "../x", "a b", "-a", ""] {
        let argument = format!("--name={name}");
        let refused = person.run(&["sandbox", "create", &argument, "--detach"]).expect(2);
        assert!(refused.stderr.contains("cannot be called"), "{}", refused.stderr);
    }
    let path = person.run(&["sandbox", "get", "../../etc"]).expect(2).stderr;
    assert!(path.contains("is no name of a sandbox"), "{path}");
    let missing = person.run(&["sandbox", "create", "--upload", "nowhere"]).expect(1).stderr;
    assert!(missing.contains("nowhere does not exist"), "{missing}");
    drop(person.run(&["sandbox", "create", "--env", "novalue"]).expect(2));
    let key = ["sandbox", "create", "--sandbox-key", "some.key", "--detach"];
    let unused = person.run(&key).expect(2).stderr;
    assert!(unused.contains("of no use without --router") && unused.contains("hint: "), "{unused}");
    assert_eq!(person.run(&["sandbox", "list", "-o", "json"]).expect(0).stdout, "[]\n");
}
