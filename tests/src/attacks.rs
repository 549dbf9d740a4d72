//! A sandbox under attack: a person's, in a small internet whose servers write down whatever reaches them.
//!
//! Here: the ground (servers, secrets of the host, policy, sandbox), one case run in it, and what it left. Which cases there
//! are is data in `tests/attacks/`; what runs inside is beside it. Not here: which cases run together (`e2e/attacks.rs`).
//! Invariant: a case that cannot be tried counts as failed, and every case says so by its name.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use regex::{Captures, Regex, RegexBuilder};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::{
    environment,
    lab::Lab,
    process::{Finished, Running, run},
    processes,
    sandboxes::Person,
    wait,
};

/// What the sandbox is called.
const NAME: &str = "s";
/// A secret of the host, which nothing inside may get to see.
const CANARY: &str = "canary7f3a";
/// Longest run of one case.
const LIMIT: Duration = Duration::from_secs(500);
/// How the shell of the tests tells that it took longer.
const TOO_LONG: i32 = 124;

/// Variables of the cases, the same for everybody.
const WORDS: [(&str, &str); 17] = [
    ("ALLOWED", "allowed.test"),
    ("DENIED", "denied.test"),
    ("CANARY", CANARY),
    ("PLACEHOLDER", "openshell:resolve:env:API_KEY"),
    ("ATTACKS", "/sandbox/attacks"),
    ("WORKSPACE", "/sandbox"),
    ("LAB_IP", "198.18.0.10"),
    ("LAB_IP6", "2001:db8:1::10"),
    ("LAB_GW", "198.18.0.1"),
    ("NODE_IP", "198.18.0.1"),
    ("HOST_IP", "198.18.0.1"),
    ("HOST_PORT", "8080"),
    ("OTHER_SANDBOX_IP", "198.18.0.11"),
    ("GATEWAY_PORT", "8080"),
    ("QUOTA_MB", "1024"),
    ("PROXY", "127.0.0.1:3128"),
    ("IN_SANDBOX", "1"),
];

/// One attack.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub id: String,
    layer: String,
    command: String,
    expect: String,
    why: String,
    open: Option<String>,
}

impl Case {
    /// Whether its expectations would notice that nothing was tried at all.
    pub fn notices_that_nothing_was_tried(&self) -> bool {
        let would = |one: &str| {
            ["exit", "out~", "host:", "log!~"].iter().any(|kind| one.starts_with(kind))
                || one.ends_with(")>0")
        };
        self.expect.split(';').any(would)
    }

    /// Whether nothing can be tried in the same sandbox after it.
    pub fn ends_the_sandbox(&self) -> bool {
        ["kill -9 proxy", "reload policy", "after delete"]
            .iter()
            .any(|word| self.command.contains(word) || self.expect.contains(word))
    }
}

/// All cases of a layer.
pub fn cases(layer: &str) -> Vec<Case> {
    let folder = environment::repository().join("tests/attacks");
    let all = ["attacks.jsonl", "more.jsonl"].map(|file| {
        fs::read_to_string(folder.join(file)).expect("the cases lie in the repository")
    });
    let cases = all.iter().flat_map(|text| text.lines()).map(|line| {
        let case: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        let word = |name: &str| case[name].as_str().map(str::to_owned);
        let known = |name: &str| word(name).unwrap_or_else(|| panic!("no {name}: {line}"));
        Case {
            id: known("id"),
            layer: known("layer"),
            command: known("command"),
            expect: known("expect"),
            why: known("why"),
            open: word("open"),
        }
    });
    cases.filter(|case| case.layer == layer).collect()
}

/// Who may reach the permitted name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callers {
    /// Only curl, and only as it is, so that everybody else is an impostor.
    Curl,
    /// Python too, so that an attack is not refused for who makes it.
    Python,
}

/// A person with a sandbox to be attacked.
#[derive(Debug)]
pub struct Ground {
    // The order is the order in which they end.
    person: Person,
    _sinks: Running,
    _desk: UnixListener,
    lab: Lab,
    words: Vec<(&'static str, String)>,
}

impl Ground {
    /// Servers, a policy and a sandbox with the attackers' programs in it. `None`, noted as skipped, where it cannot be had.
    pub fn start(person: &str, callers: Callers) -> Option<Self> {
        let lab = Lab::start(&[])?;
        let person = Person::named(person)?;
        let sinks = sinks(&lab);
        let desk = UnixListener::bind(person.path().join("hs-host.sock")).expect("a socket");
        person.own(&person.path().join("hs-host.sock"));
        let secret = person.write("hs-secret", &format!("root:{CANARY}\n"));
        person.own(&secret);
        let mut words: Vec<_> = WORDS.map(|(name, value)| (name, value.to_owned())).to_vec();
        let path = |name: &str| person.path().join(name).display().to_string();
        words.extend([("HOST_SECRET", path("hs-secret")), ("HOST_SOCK", path("hs-host.sock"))]);
        words.push(("SUP_DIR", person.home().display().to_string()));
        let control = person.home().join("sandboxes").join(NAME).join("control.sock");
        words.push(("SUP_SOCK", control.display().to_string()));
        let ground = Self { person, _sinks: sinks, _desk: desk, lab, words };
        ground.build(callers);
        Some(ground)
    }

    fn build(&self, callers: Callers) {
        let policy = self.policy("policy.yaml", callers);
        let attackers = attackers(&self.person);
        let upload = format!("{}:/sandbox/attacks", attackers.display());
        // Its value is the secret in the environment of whoever makes it.
        let provider = ["provider", "create", "--name", "lab", "--type", "generic"];
        drop(self.openshell(&[&provider[..], &["--credential", "API_KEY"]].concat()).expect(0));
        let create = ["sandbox", "create", "--name", NAME, "--detach", "--no-git-ignore"];
        let with = ["--policy", text(&policy), "--upload", &upload, "--provider", "lab"];
        let strict: &[&str] = if callers == Callers::Curl { &["--strict-callers"] } else { &[] };
        drop(self.openshell(&[&create[..], &with, strict].concat()).expect(0));
    }

    fn policy(&self, name: &str, callers: Callers) -> PathBuf {
        let file = environment::repository().join("tests/attacks/policy.yaml");
        let policy = fs::read_to_string(file).expect("the policy lies in the repository");
        let curl = "{path: /usr/bin/curl}";
        assert!(policy.contains(curl), "the policy opens nothing to curl");
        let both = format!("{curl}, {{path: \"/usr/bin/python3*\"}}");
        let policy = match callers {
            Callers::Curl => policy,
            Callers::Python => policy.replace(curl, &both),
        };
        self.person.write(name, &policy)
    }

    /// Runs one case.
    ///
    /// # Errors
    /// What was wrong with how it ended, and what it said.
    pub fn attack(&self, case: &Case) -> Result<(), String> {
        let before = self.sunk().len();
        let ended = self.run(case);
        let mut wrong = Vec::new();
        if ended.code == Some(2) && ended.stdout.contains("\"n/a\"") {
            wrong.push("it could not be tried".to_owned());
        }
        if ended.code == Some(TOO_LONG) {
            wrong.push(format!("it took longer than {LIMIT:?}"));
        }
        for expectation in case.expect.split(';') {
            if !self.holds(case, expectation, &ended, before) {
                wrong.push(expectation.to_owned());
            }
        }
        match (&case.open, wrong.is_empty()) {
            (None, true) => Ok(()),
            (Some(why), false) => {
                tell(&format!("OPEN {}: {why}", case.id));
                Ok(())
            }
            (Some(_), true) => {
                tell(&format!("CONTAINED {}, which is noted as open", case.id));
                Ok(())
            }
            (None, false) => {
                let said: String = ended.said().chars().take(600).collect();
                Err(format!("{} ({}): {}\n{said}", case.id, case.why, wrong.join("; ")))
            }
        }
    }

    fn run(&self, case: &Case) -> Finished {
        let Some((before, rest)) = case.command.split_once("host:") else {
            return self.inside(case, &case.command);
        };
        let (action, after) = rest.split_once(';').unwrap_or((rest, "true"));
        if action.trim() == "kill -9 proxy" {
            return self.without_supervisor(case, after);
        }
        let first = self.inside(case, if before.is_empty() { "true" } else { before });
        assert!(action.trim() == "reload policy without $ALLOWED", "unknown action: {action}");
        let open = fs::read_to_string(self.person.path().join("policy.yaml")).expect("it is there");
        let (what_stays, _) = open.split_once("network_policies:").expect("it opens something");
        let closed = format!("{what_stays}network_policies: {{}}\n");
        let policy = self.person.write("closed.yaml", &closed);
        let set = ["policy", "set", NAME, "--policy", text(&policy), "--wait"];
        drop(self.openshell(&set).expect(0));
        let second = self.inside(case, after);
        assert!(first.stdout.contains("SINK-OK"), "nothing was open before: {}", first.said());
        second
    }

    /// What a program that tries all the time gets once the supervisor is gone.
    fn without_supervisor(&self, case: &Case, attack: &str) -> Finished {
        let script = format!("touch begun; while :; do ( {attack} ); done");
        let mut command = self.command(&self.arguments(case, &script));
        let attacker = Running::start(&case.id, &mut command);
        let begun = self.files().join("begun");
        wait::until("the attack to begin", wait::LONG, || begun.exists().then_some(()));
        let supervisor = self.person.supervisor(NAME).expect("it runs");
        let members = members(supervisor);
        kill_process(supervisor, Signal::KILL).expect("it is ours");
        wait::until("the sandbox to end with its supervisor", wait::LONG, || {
            members.iter().all(|pid| test_kill_process(*pid).is_err()).then_some(())
        });
        // What it did while there was a supervisor is no matter here.
        drop(attacker);
        let begun = self.sunk().len();
        let late = self.inside(case, attack);
        assert_eq!(self.sunk().len(), begun, "something came through");
        late
    }

    fn holds(&self, case: &Case, wanted: &str, ended: &Finished, before: usize) -> bool {
        let matches = |pattern: &str, text: &str| self.pattern(pattern).is_match(text);
        let said = ended.said();
        if let Some(code) = wanted.strip_prefix("exit!=") {
            ended.code != Some(number(code))
        } else if let Some(code) = wanted.strip_prefix("exit=") {
            ended.code == Some(number(code))
        } else if let Some(pattern) = wanted.strip_prefix("out!~") {
            !matches(pattern, &said)
        } else if let Some(pattern) = wanted.strip_prefix("out~") {
            matches(pattern, &said)
        } else if let Some(pattern) = wanted.strip_prefix("log!~") {
            !matches(pattern, &self.logs())
        } else if let Some(sink) = wanted.strip_prefix("sink(") {
            let (sink, some) = match sink.strip_suffix(")=0") {
                Some(sink) => (sink, false),
                None => (sink.strip_suffix(")>0").expect("it is =0 or >0"), true),
            };
            let (kind, text) = sink.split_once(':').unwrap_or((sink, ""));
            let kind = format!("\"sink\": \"{kind}\"");
            let text = text.replace("$CANARY", CANARY);
            let all = self.sunk();
            let mut new = all.get(before..).unwrap_or_default().iter();
            new.any(|line| line.contains(&kind) && line.contains(&text)) == some
        } else if let Some(state) = wanted.strip_prefix("host:") {
            self.host_is(case, state)
        } else {
            panic!("{}: unknown expectation {wanted}", case.id)
        }
    }

    fn host_is(&self, case: &Case, state: &str) -> bool {
        match state {
            "supervisor alive" => {
                let lives =
                    self.person.supervisor(NAME).is_some_and(|p| test_kill_process(p).is_ok());
                lives && self.inside(case, "echo here").stdout == "here\n"
            }
            "no core file" => {
                let cores = |folder: &Path| {
                    let names = fs::read_dir(folder).into_iter().flatten().flatten();
                    names
                        .filter(|entry| entry.file_name().to_string_lossy().starts_with("core"))
                        .count()
                };
                let pattern =
                    fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
                let there = Path::new(pattern.trim())
                    .parent()
                    .map_or(0, |folder| if folder.is_absolute() { cores(folder) } else { 0 });
                (cores(&self.files()), cores(self.person.path()), there) == (0, 0, 0)
            }
            "other sandboxes answer within 1 s" => self.neighbour_answers(case),
            "no process of the sandbox after delete" => {
                let members = members(self.person.supervisor(NAME).expect("it runs"));
                assert!(members.len() >= 4, "what the case started does not run: {members:?}");
                drop(self.openshell(&["sandbox", "delete", NAME]).expect(0));
                members.iter().all(|pid| test_kill_process(*pid).is_err())
            }
            _ => panic!("{}: unknown state {state}", case.id),
        }
    }

    /// Whether another sandbox answers while this one burns time: at its best, as machines of tests have other work too.
    fn neighbour_answers(&self, case: &Case) -> bool {
        let create = ["sandbox", "create", "--name", "other", "--detach"];
        drop(self.openshell(&create).expect(0));
        let mut command = self.command(&self.arguments(case, &case.command));
        let _burner = Running::start(&case.id, &mut command);
        (0..8).any(|_| {
            let begun = Instant::now();
            let exec = ["sandbox", "exec", "-n", "other", "--no-tty", "--", "true"];
            drop(self.openshell(&exec).expect(0));
            begun.elapsed() < Duration::from_secs(1)
        })
    }

    /// Runs a script in the sandbox.
    fn inside(&self, case: &Case, script: &str) -> Finished {
        let mut command = self.command(&self.arguments(case, script));
        Running::start(&case.id, &mut command).wait_or_kill(LIMIT).unwrap_or_else(|late| Finished {
            code: Some(TOO_LONG),
            stdout: String::new(),
            stderr: late,
        })
    }

    /// The secret is told only to who looks for it, as all else that is found of it came from outside.
    fn arguments(&self, case: &Case, script: &str) -> Vec<String> {
        let looks = [".py", "$CANARY"].iter().any(|word| case.command.contains(word));
        let mut whole = String::from("export");
        for (name, value) in self.words.iter().filter(|(name, _)| looks || *name != "CANARY") {
            whole.push_str(&format!(" {name}='{value}'"));
        }
        whole.push_str("; ");
        whole.push_str(script);
        ["sandbox", "exec", "-n", NAME, "--no-tty", "--", "bash", "-c", &whole]
            .map(str::to_owned)
            .to_vec()
    }

    fn openshell(&self, arguments: &[&str]) -> Finished {
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        run(&format!("openshell {arguments:?}"), &mut self.command(&arguments), wait::LONG)
    }

    /// `openshell` in this internet, by this person, with a secret in its own environment.
    fn command(&self, arguments: &[String]) -> Command {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = self.person.openshell(&arguments);
        command
            .env("OPENSHELL_UPSTREAM_CA", self.lab.folder().join("ca.pem"))
            .env("API_KEY", CANARY);
        self.lab.inside_as(&command, self.person.user())
    }

    /// What reached the servers so far.
    fn sunk(&self) -> Vec<String> {
        let text = fs::read_to_string(self.lab.folder().join("sinks.jsonl")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What the attempt left in the logs, once it is on record.
    fn logs(&self) -> String {
        let folder = self.person.home().join("sandboxes").join(NAME);
        let file = |name: &str| {
            String::from_utf8_lossy(&fs::read(folder.join(name)).unwrap_or_default()).into_owned()
        };
        let audit = wait::until("a denial on record", wait::LONG, || {
            Some(file("audit.jsonl")).filter(|text| text.contains("\"Denied\""))
        });
        format!("{}\n{}\n{audit}", self.openshell(&["logs", NAME]).said(), file("log"))
    }

    fn files(&self) -> PathBuf {
        self.person.home().join("sandboxes").join(NAME).join("files")
    }

    fn pattern(&self, pattern: &str) -> Regex {
        let names = Regex::new(r"\$\{?([A-Z_0-9]+)\}?").expect("it is one");
        let known = |name: &str| self.words.iter().find(|(word, _)| *word == name);
        let filled = names.replace_all(pattern, |found: &Captures<'_>| {
            known(&found[1]).map_or_else(|| found[0].to_owned(), |(_, value)| value.clone())
        });
        let built = RegexBuilder::new(&filled).multi_line(true).build();
        built.unwrap_or_else(|error| panic!("{pattern}: {error}"))
    }
}

/// The servers of the lab; their certificate is in its folder.
fn sinks(lab: &Lab) -> Running {
    let folder = lab.folder();
    let script = environment::repository().join("tests/attacks/lab.py");
    let mut command = Command::new("python3");
    command.arg(script).current_dir(folder).env("LAB_IP", "198.18.0.10");
    command.env("LAB_LOG", folder.join("sinks.jsonl")).env("LAB_CA", folder.join("ca.pem"));
    command.env("PATH", environment::inherited("PATH").unwrap_or_default());
    let sinks = Running::start("the servers of the lab", &mut lab.inside(&command));
    wait::until("the servers of the lab", wait::LONG, || {
        sinks.stdout().contains("lab up").then_some(())
    });
    for (path, mode) in [(folder.to_owned(), 0o755), (folder.join("ca.pem"), 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }
    sinks
}

/// The attackers' programs, in a folder of this person.
fn attackers(person: &Person) -> PathBuf {
    let (from, to) =
        (environment::repository().join("tests/attacks"), person.path().join("attacks"));
    fs::create_dir_all(&to).expect("a folder");
    for name in ["probe.py", "more.py"] {
        fs::copy(from.join(name), to.join(name)).expect("they lie in the repository");
    }
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(to.join("preload.so")).arg(from.join("preload.c"));
    drop(run("cc", &mut compile, LIMIT).expect(0));
    to
}

/// The processes of the sandbox of this supervisor: all in one process namespace that is not ours.
fn members(supervisor: Pid) -> Vec<Pid> {
    let space = |process: Pid, kind: &str| processes::namespace(process, kind);
    let own = space(supervisor, "pid").expect("it runs");
    let mut first = processes::children(supervisor).into_iter().filter_map(|one| space(one, "pid"));
    let inside = first.find(|inside| *inside != own);
    let inside =
        inside.or_else(|| space(supervisor, "pid_for_children")).expect("a sandbox has one");
    assert_ne!(inside, own, "its processes are not in a namespace of their own");
    processes::within("pid", &inside)
}

fn number(text: &str) -> i32 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no exit code"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Says something about a case where whoever runs the tests sees it.
#[expect(clippy::print_stderr, reason = "what ran and what is open must be seen")]
pub fn tell(line: &str) {
    eprintln!("{line}");
}
