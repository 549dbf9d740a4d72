//! Upstreams that others wrote: mocks with their own idea of the dialects, and a real model.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    clients::{Client, bare},
    environment,
    http::Ask,
    process::{Finished, Running, run},
    wait,
    world::free_address,
};

/// A model server loads a model and a mock its interpreter; both share the machine with other tests.
const START_TIME_MAX: Duration = Duration::from_mins(1);

/// aimock: many dialects on one port, answers from fixtures, refuses a wrong key.
#[derive(Debug)]
pub struct Aimock {
    address: SocketAddr,
    key: String,
    _server: Running,
    _fixtures: TempDir,
}

impl Aimock {
    /// Starts it; only `key` opens it, and `fixtures` says what it answers to what.
    pub fn start(client: &Client, key: &str, fixtures: &Value) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("answers.json");
        fs::write(&file, json!({"fixtures": fixtures}).to_string()).expect("a file can be written");
        let address = free_address();
        let mut command = bare(&client.node_program("llmock"));
        command
            .args(["-h", "127.0.0.1", "-p", &address.port().to_string(), "-f"])
            .arg(folder.path());
        command.env("AIMOCK_API_KEYS", key).env("HOME", folder.path());
        let server = start("aimock", &mut command, address);
        Self { address, key: key.to_owned(), _server: server, _fixtures: folder }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it received, as it tells it.
    pub fn journal(&self) -> Value {
        let ask =
            Ask::get("/__aimock/journal").header("authorization", &format!("Bearer {}", self.key));
        ask.send(self.address).expect(200).json()
    }
}

/// What the mock answers to the scripts that drive the client libraries.
pub fn sdk_fixtures() -> Value {
    json!([
        {"match": {"userMessage": "weather", "hasToolResult": true}, "response": {"content": "It is sunny."}},
        {"match": {"userMessage": "weather"}, "response": {"toolCalls": [
            {"name": "get_weather", "arguments": {"city": "Paris"}}]}},
        {"match": {"userMessage": "hello"}, "response": {"content": "Good morning to you, too."}},
        {"match": {"inputText": "hello"}, "response": {"embedding": [0.1, 0.2, 0.3]}},
    ])
}

/// llmock: breaks on purpose and judges how its client takes it.
#[derive(Debug)]
pub struct Llmock {
    address: SocketAddr,
    client: Client,
    home: TempDir,
    _server: Running,
}

impl Llmock {
    /// Starts it without faults.
    pub fn start(client: &Client) -> Self {
        let home = tempfile::tempdir().expect("a folder can be made");
        let address = free_address();
        let mut command = bare(&client.python_program("llmock"));
        command.args(["serve", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.env("HOME", home.path()).current_dir(home.path());
        let server = start("llmock", &mut command, address);
        Self { address, client: client.clone(), home, _server: server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Plans what goes wrong with the requests to come: a list of behaviours as its documents describe them.
    pub fn plan(&self, behaviors: &Value) {
        let planned =
            Ask::post("/_llmock/scenario", &json!({"behaviors": behaviors})).send(self.address);
        assert_eq!(planned.status, 201, "{}", planned.text());
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its judgement; exit code 1 when its client did something wrong.
    pub fn report(&self, args: &[&str]) -> Finished {
        let mut command = bare(&self.client.python_program("llmock"));
        command.arg("report").args(args).env("HOME", self.home.path());
        run("llmock report", &mut command, START_TIME_MAX)
    }
}

/// llama-server with a model of 135 million parameters: small, quick, and real. The script of the demonstration starts it.
#[derive(Debug)]
pub struct LlamaServer {
    address: SocketAddr,
    _server: Running,
}

impl LlamaServer {
    /// Starts it; only `key` opens it.
    pub fn start(client: &Client, key: &str) -> Self {
        Self::start_with(client, key, &[])
    }

    /// Starts it with more words on its command line.
    pub fn start_with(client: &Client, key: &str, words: &[&str]) -> Self {
        let address = free_address();
        let mut command = bare(&client.python_program("python"));
        command.arg(environment::repository().join("cli/src/commands/demo/serve_model.py"));
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["-t", "2", "-c", "8192", "--parallel", "2", "--alias", "smollm2"]);
        command.args(["--embeddings", "--pooling", "mean", "--api-key", key]);
        command.args(words);
        let server = start("llama-server", &mut command, address);
        wait::until("the model to be loaded", START_TIME_MAX, || {
            let reply = Ask::get("/health").try_send(address).ok()?;
            (reply.status == 200).then_some(())
        });
        Self { address, _server: server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn start(name: &str, command: &mut std::process::Command, address: SocketAddr) -> Running {
    let mut server = Running::start(name, command);
    wait::until(&format!("{name} to listen"), START_TIME_MAX, || {
        server.assert_alive();
        TcpStream::connect(address).ok().map(drop)
    });
    server
}
