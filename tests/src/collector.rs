//! A receiver of OpenTelemetry spans that decodes with the classes of the OpenTelemetry project.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{clients::Client, process::Running, wait, world::free_address};

/// A receiver that runs.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    folder: TempDir,
    _server: Running,
}

impl Collector {
    /// Starts it.
    pub fn start(client: &Client) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let address = free_address();
        let mut command = client.python("otlp_receiver.py");
        command.arg(address.port().to_string()).arg(folder.path());
        let mut server = Running::start("a receiver of spans", &mut command);
        wait::until("the receiver to listen", wait::LONG, || {
            server.assert_alive();
            TcpStream::connect(address).ok().map(drop)
        });
        Self { address, folder, _server: server }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every export so far: `{path, headers, spans}`.
    pub fn exports(&self) -> Vec<Value> {
        let parse = |text: Vec<u8>| serde_json::from_slice(&text).expect("it writes JSON");
        self.files("json").into_iter().map(parse).collect()
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Value> {
        let exports = self.exports().into_iter();
        exports.flat_map(|export| export["spans"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// Waits until there are `count` spans.
    pub fn wait_for(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} spans"), wait::LONG, || {
            let spans = self.spans();
            (spans.len() >= count).then_some(spans)
        })
    }

    /// All bytes that were posted, heads included.
    pub fn everything(&self) -> Vec<u8> {
        self.files("bin").concat()
    }

    fn files(&self, kind: &str) -> Vec<Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder can be listed");
        let paths = entries.flatten().map(|entry| entry.path());
        let wanted = paths.filter(|path| path.extension().is_some_and(|found| found == kind));
        wanted.map(|path| fs::read(path).expect("a file can be read")).collect()
    }
}
