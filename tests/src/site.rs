//! A sandbox in a small internet: a server at `allowed.test`, others beside it, and what a person types about it.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Command,
};

use serde_json::{Value, json};

use crate::{
    lab::{Lab, SERVER},
    process::{Finished, run},
    sandboxes::Person,
    script::Script,
    tls::{Authority, TlsFront},
    upstream::{ScriptedUpstream, Seen},
    wait,
};

/// The names that lead somewhere here.
const NAMES: [(&str, &str); 11] = [
    ("allowed.test", "198.18.0.10"),
    ("api.allowed.test", "198.18.0.10"),
    ("a.b.allowed.test", "198.18.0.10"),
    ("other.test", "198.18.0.11"),
    ("git.test", "198.18.0.12"),
    // What the world knows as a model API, and a policy may open all the same.
    ("api.openai.com", "198.18.0.10"),
    ("private.test", "10.77.0.10"),
    ("metadata.test", "169.254.169.254"),
    ("loopback.test", "127.0.0.1"),
    ("mixed.test", "198.18.0.10"),
    ("mixed.test", "127.0.0.1"),
];

/// The name of the sandbox.
const NAME: &str = "s";

/// A person with one sandbox and its internet.
#[derive(Debug)]
pub struct Site {
    // Its sandbox ends before its internet.
    person: Person,
    lab: Lab,
    authority: Authority,
    /// The authority's certificate, where the person may read it.
    vouchers: PathBuf,
}

impl Site {
    /// An internet without servers, and no sandbox yet. `None`, noted as skipped, where this user may not make one.
    pub fn start() -> Option<Self> {
        Self::of(Person::root())
    }

    /// One for root and one for an ordinary user; less, noted as skipped, where somebody cannot have one.
    pub fn all() -> impl Iterator<Item = Self> {
        Person::all().into_iter().filter_map(Self::of)
    }

    fn of(person: Person) -> Option<Self> {
        let lab = Lab::start(&NAMES)?;
        let authority = Authority::new();
        let vouchers = person.adopt(&authority.file());
        Some(Self { person, lab, authority, vouchers })
    }

    /// A server that says what it was asked: method, path and query as JSON.
    pub fn server(&self, address: impl Into<SocketAddr>) -> ScriptedUpstream {
        ScriptedUpstream::on(self.lab.listen(address), |seen, _| echo(seen))
    }

    /// A server that answers as `respond` says.
    pub fn scripted(
        &self,
        address: impl Into<SocketAddr>,
        respond: impl Fn(&Seen, usize) -> Script + Send + Sync + 'static,
    ) -> ScriptedUpstream {
        ScriptedUpstream::on(self.lab.listen(address), respond)
    }

    /// The network.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// TLS in front of a server, under the name `name`, at port 443 of the usual address.
    pub fn tls(&self, name: &str, inner: &ScriptedUpstream) -> TlsFront {
        let listener = self.lab.listen((SERVER, 443));
        // The front passes on from outside, so what is inside must be reachable there.
        TlsFront::on(listener, &self.authority, name, inner.address())
    }

    /// A listener in this internet.
    pub fn listen(&self, address: impl Into<SocketAddr>) -> TcpListener {
        self.lab.listen(address)
    }

    /// Creates the sandbox with this policy.
    pub fn create(&self, policy: &str) {
        drop(self.try_create(policy, &[]).expect(0));
    }

    /// The same with further flags; how it ended.
    pub fn try_create(&self, policy: &str, flags: &[&str]) -> Finished {
        let file = self.policy(policy);
        let file = file.to_str().expect("a plain path");
        let create = ["sandbox", "create", "--name", NAME, "--policy", file, "--detach"];
        self.openshell(&[&create[..], flags].concat())
    }

    /// Puts a policy into a file.
    pub fn policy(&self, policy: &str) -> PathBuf {
        self.person.write("policy.yaml", policy)
    }

    /// The person.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// Runs `openshell` in this internet.
    pub fn openshell(&self, args: &[&str]) -> Finished {
        run(&format!("openshell {args:?}"), &mut self.command(args), wait::LONG)
    }

    /// `openshell` as it runs in this internet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.person.openshell(args);
        command.env("OPENSHELL_UPSTREAM_CA", &self.vouchers);
        self.lab.inside_as(&command, self.person.user())
    }

    /// Runs a script in the sandbox.
    pub fn shell(&self, script: &str) -> Finished {
        self.openshell(&["sandbox", "exec", "-n", NAME, "--no-tty", "--", "sh", "-c", script])
    }

    /// The status that curl gets in the sandbox, after the flags and the URL in `words`; 0 for none.
    pub fn status(&self, words: &str) -> u16 {
        self.curl("%{http_code}", words)
    }

    /// The status that curl gets from the proxy for its `CONNECT`; 0 for none.
    pub fn connect(&self, words: &str) -> u16 {
        self.curl("%{http_connect}", words)
    }

    fn curl(&self, what: &str, words: &str) -> u16 {
        let script = format!("curl -s -o /dev/null -w '{what}' --max-time 20 {words}");
        let ended = self.shell(&script);
        let said = ended.stdout.trim();
        said.parse().unwrap_or_else(|_| panic!("{words}: {said:?} {}", ended.stderr))
    }

    /// What curl in the sandbox is told, as JSON.
    pub fn json(&self, words: &str) -> Value {
        let ended = self.shell(&format!("curl -s --max-time 20 {words}")).expect(0);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{words}: {}", ended.stdout))
    }

    /// The audit of the sandbox so far.
    pub fn audit(&self) -> Vec<Value> {
        let file = self.person.home().join("sandboxes").join(NAME).join("audit.jsonl");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for an event that `wanted` accepts.
    pub fn wait_for_event(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until("an event in the audit", wait::LONG, || {
            self.audit().into_iter().find(|event| wanted(event))
        })
    }
}

fn echo(seen: &Seen) -> Script {
    let body = String::from_utf8_lossy(&seen.body);
    Script::json(200, &json!({"method": seen.method, "target": seen.target, "body": body}))
}
