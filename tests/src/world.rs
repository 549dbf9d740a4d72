//! One router process with its configuration, its folder and its ports.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    dialect::Dialect,
    environment,
    http::{Ask, Reply},
    process::{Finished, Running, run},
    processes, wait,
};

/// A file `router.yaml` in the making, with the variables that it needs.
#[derive(Clone, Debug, Default)]
pub struct Config {
    backends: Vec<String>,
    sections: Vec<String>,
    variables: BTreeMap<String, String>,
    flags: Vec<String>,
}

/// A backend in the making.
#[derive(Clone, Debug)]
pub struct Backend {
    name: String,
    provider: String,
    base_url: String,
    zone: String,
    credential: Option<String>,
    dialects: Option<String>,
    ca_file: Option<PathBuf>,
    models: Vec<String>,
}

/// A router that runs.
#[derive(Debug)]
pub struct World {
    folder: TempDir,
    router: Running,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Backend {
    /// A backend that speaks the chat dialect, in the zone `local`, without a credential and models.
    pub fn new(name: &str, base_url: &str) -> Self {
        Self {
            name: name.to_owned(),
            provider: "openai-compatible".to_owned(),
            base_url: base_url.to_owned(),
            zone: "local".to_owned(),
            credential: None,
            dialects: None,
            ca_file: None,
            models: Vec::new(),
        }
    }

    /// Sets the provider.
    #[must_use]
    pub fn provider(mut self, provider: &str) -> Self {
        provider.clone_into(&mut self.provider);
        self
    }

    /// Lets it speak one dialect only, with the provider that speaks it.
    #[must_use]
    pub fn speaks(mut self, dialect: Dialect) -> Self {
        self.dialects = Some(dialect.word().to_owned());
        self.provider(dialect.provider())
    }

    /// Lets only the authorities in this file vouch for it.
    #[must_use]
    pub fn ca_file(mut self, file: &Path) -> Self {
        self.ca_file = Some(file.to_owned());
        self
    }

    /// Sets the zone.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        zone.clone_into(&mut self.zone);
        self
    }

    /// Gives it a credential; the router finds it in its environment.
    #[must_use]
    pub fn credential(mut self, secret: &str) -> Self {
        self.credential = Some(secret.to_owned());
        self
    }

    /// Adds a model that costs nothing, can do everything and holds a long conversation.
    #[must_use]
    pub fn model(self, id: &str) -> Self {
        self.model_with(id, "quality: 50, price: {input: 0, cached_input: 0, output: 0}")
    }

    /// Adds a model with its price in USD per million tokens of input and output.
    #[must_use]
    pub fn priced(self, id: &str, input: f64, output: f64) -> Self {
        let cached = input / 10.0;
        let fields = format!(
            "quality: 50, price: {{input: {input}, cached_input: {cached}, output: {output}}}"
        );
        self.model_with(id, &fields)
    }

    /// Adds a model with these fields beside `id` and `context`.
    #[must_use]
    pub fn model_with(mut self, id: &str, fields: &str) -> Self {
        self.models.push(format!("{{id: {id:?}, context: 128000, {fields}}}"));
        self
    }

    fn secret_name(&self) -> String {
        format!("KEY_OF_{}", self.name.to_uppercase().replace('-', "_"))
    }
}

impl Config {
    /// A configuration with these backends.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        backends.into_iter().fold(Self::default(), Self::backend)
    }

    /// Adds a backend.
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        let mut lines = format!(
            "  - name: {}\n    provider: {}\n    base_url: {}\n    zone: {}\n",
            backend.name, backend.provider, backend.base_url, backend.zone
        );
        if let Some(secret) = &backend.credential {
            lines.push_str(&format!("    credential: {{env: {}}}\n", backend.secret_name()));
            self.variables.insert(backend.secret_name(), secret.clone());
        }
        if let Some(dialect) = &backend.dialects {
            lines.push_str(&format!("    dialects: [{dialect}]\n"));
        }
        if let Some(file) = &backend.ca_file {
            lines.push_str(&format!("    tls: {{ca_file: {:?}}}\n", file.display().to_string()));
        }
        lines.push_str("    models:\n");
        for model in backend.models {
            lines.push_str(&format!("      - {model}\n"));
        }
        self.backends.push(lines);
        self
    }

    /// Adds a top-level section, as YAML.
    #[must_use]
    pub fn section(mut self, yaml: &str) -> Self {
        self.sections.push(yaml.trim_end().to_owned());
        self
    }

    /// Adds words to the command line of the router.
    #[must_use]
    pub fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Sets a variable in the environment of the router.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets the ceilings in the order public, internal, confidential, restricted, and the action for labels.
    #[must_use]
    pub fn sensitivity(self, ceilings: [&str; 4], labels: &[(&str, &str, &str)]) -> Self {
        let [public, internal, confidential, restricted] = ceilings;
        let mut yaml = format!(
            "sensitivity:\n  ceilings: {{public: {public}, internal: {internal}, confidential: {confidential}, restricted: {restricted}}}\n"
        );
        if !labels.is_empty() {
            yaml.push_str("  labels:\n");
        }
        for (label, level, action) in labels {
            yaml.push_str(&format!("    {label:?}: {{level: {level}, action: {action}}}\n"));
        }
        self.section(&yaml)
    }

    /// The file.
    pub fn yaml(&self) -> String {
        let mut yaml = format!("version: 1\nbackends:\n{}", self.backends.concat());
        for section in &self.sections {
            yaml.push_str(section);
            yaml.push('\n');
        }
        yaml
    }

    fn yaml_with_audit(&self, audit: &Path) -> String {
        format!("{}audit: {{file: \"{}\"}}\n", self.yaml(), audit.display())
    }

    /// Starts a router with it and waits until it is ready.
    pub fn start(&self) -> World {
        World::start(self)
    }
}

impl World {
    fn start(config: &Config) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("router.yaml");
        let audit = folder.path().join("audit.jsonl");
        fs::write(&file, config.yaml_with_audit(&audit)).expect("a file can be written");
        let mut command = openshell(&folder.path().join("home"));
        command.args(["router", "run", "--config"]).arg(&file);
        // The system picks the ports, so that tests beside each other never take the same one.
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        command.args(&config.flags);
        command.envs(&config.variables).current_dir(folder.path());
        let mut router = Running::start("openshell router", &mut command);
        let listen = announced(&mut router, "listening on http");
        let admin = announced(&mut router, "metrics and health on http");
        let mut world = Self { folder, router, listen, admin };
        world.wait_until_ready();
        world
    }

    fn wait_until_ready(&mut self) {
        let admin = self.admin;
        wait::until("the router to be ready", wait::LONG, || {
            self.router.assert_alive();
            let reply = Ask::get("/readyz").try_send(admin).ok()?;
            (reply.status == 200).then_some(())
        });
    }

    /// Where callers connect.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Where operators connect.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Asks in the chat dialect for the model `auto` and reads the whole answer.
    pub fn chat(&self, prompt: &str) -> Reply {
        let body = json!({"model": "auto", "messages": [{"role": "user", "content": prompt}]});
        self.post("/v1/chat/completions", &body)
    }

    /// Sends a JSON document and reads the whole answer.
    pub fn post(&self, target: &str, body: &Value) -> Reply {
        Ask::post(target, body).send(self.listen)
    }

    /// Every event of the audit so far.
    pub fn audit(&self) -> Vec<Value> {
        let lines = self.audit_text();
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        lines.lines().filter(|line| !line.trim().is_empty()).map(parse).collect()
    }

    /// Fails the test unless all requests that were answered so far, at least one, were taken for public.
    pub fn assert_public(&self) {
        for event in self.wait_for_audit(1, |event| event["status_id"] == 1) {
            let own = &event["unmapped"]["openshell"];
            assert_eq!(own["sensitivity"], "public", "{}", own["labels"]);
        }
    }

    /// The audit file as it is.
    pub fn audit_text(&self) -> String {
        fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default()
    }

    /// Waits until the audit holds `count` events that `wanted` accepts.
    pub fn wait_for_audit(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        wait::until(&format!("{count} events in the audit"), wait::LONG, || {
            let found: Vec<Value> = self.audit().into_iter().filter(&wanted).collect();
            (found.len() >= count).then_some(found)
        })
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        Ask::get("/metrics").send(self.admin).expect(200).text()
    }

    /// The sum of the samples of a metric whose labels contain all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let metrics = self.metrics();
        let samples = metrics.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Puts another configuration in the place of the old one.
    pub fn write_config(&self, config: &Config) {
        self.write_file(&config.yaml_with_audit(&self.folder.path().join("audit.jsonl")));
    }

    /// Puts any text in the place of the file, whole or not at all.
    pub fn write_file(&self, yaml: &str) {
        let new = self.folder.path().join("router.yaml.new");
        fs::write(&new, yaml).expect("a file can be written");
        fs::rename(&new, self.config_path()).expect("a file can be moved");
    }

    /// Asks the router to read its file again.
    pub fn hang_up(&self) {
        self.router.signal(Signal::HUP);
    }

    /// Asks the router to end; gives how it ended.
    pub fn terminate(&mut self) -> Finished {
        self.router.signal(Signal::TERM);
        self.router.wait(Duration::from_secs(30))
    }

    /// The path of the file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("router.yaml")
    }

    /// A folder of its own.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The router as a process.
    pub fn router(&mut self) -> &mut Running {
        &mut self.router
    }

    /// What the router wrote to its log.
    pub fn log(&self) -> String {
        self.router.said()
    }

    /// Resident memory of the router in bytes.
    pub fn memory_bytes(&self) -> u64 {
        processes::number(self.router.pid(), "VmRSS") * 1024
    }

    /// The most that it ever was.
    pub fn memory_peak_bytes(&self) -> u64 {
        processes::number(self.router.pid(), "VmHWM") * 1024
    }

    /// Everything that the router wrote anywhere but to the caller: log, audit, metrics, files in its home.
    pub fn traces(&self) -> Vec<u8> {
        let mut all = self.log();
        all.push_str(&self.audit_text());
        all.push_str(&self.metrics());
        let mut all = all.into_bytes();
        let mut folders = vec![self.folder.path().join("home")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    all.extend(fs::read(entry.path()).unwrap_or_default());
                }
            }
        }
        all
    }
}

/// The command line with an environment of its own: nothing of the developer's leaks in.
pub fn openshell(home: &Path) -> Command {
    fs::create_dir_all(home).expect("a folder can be made");
    let mut command = Command::new(environment::openshell());
    command.env_clear().env("HOME", home).env("RUST_LOG", "debug").env("NO_COLOR", "1");
    command.env("RUST_BACKTRACE", "1");
    for name in ["PATH", "LLVM_PROFILE_FILE"] {
        if let Some(value) = environment::inherited(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs a command of `openshell` to its end in a fresh home.
pub fn command(args: &[&str]) -> Finished {
    let home = tempfile::tempdir().expect("a folder can be made");
    run("openshell", openshell(home.path()).args(args), wait::LONG)
}

/// The address in the line of standard error that begins with `words`.
fn announced(router: &mut Running, words: &str) -> SocketAddr {
    wait::until(&format!("the router to say {words:?}"), wait::LONG, || {
        router.assert_alive();
        let said = router.stderr();
        let line = said.lines().find(|line| line.starts_with(words))?;
        let url = line.split("://").nth(1)?;
        url.split([' ', '/']).next()?.parse().ok()
    })
}

/// First port that [`free_address`] gives; below those that the system gives to others by itself.
const PORTS_FROM: u16 = 18_000;
/// How many there are.
const PORTS: u32 = 14_000;

/// An address that nobody listens on, for programs that cannot pick one themselves.
///
/// Each test process begins at another port, so that those beside each other rarely try the same.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (0..PORTS)
        .find_map(|_| {
            let turn = NEXT.fetch_add(1, Ordering::Relaxed);
            let port = process::id().wrapping_mul(37).wrapping_add(turn) % PORTS;
            let port = PORTS_FROM + u16::try_from(port).expect("it is below the number of ports");
            TcpListener::bind(("127.0.0.1", port)).ok()?.local_addr().ok()
        })
        .expect("some port is free")
}
