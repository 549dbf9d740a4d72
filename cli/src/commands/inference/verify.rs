//! One real call through a router of its own, which reads a router file before that is put in force.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{file, service::Service};
use crate::{
    commands::{probe, sandbox::block_on},
    failure::Failure,
};

/// Besides the time limit of the calls themselves.
const SLACK: Duration = Duration::from_secs(5);
/// Tokens of the answer; more than a model that thinks first needs for a word.
const TOKENS_MAX: u32 = 32;

/// A router that ends with its value.
struct Trial(Child);

impl Drop for Trial {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Asks a model for a word through a router with this file, `auto` or the first one that it has for none; the place that
/// answered. Nothing of it is on record.
pub(super) fn call(
    service: Service<'_>,
    text: &str,
    model: Option<&str>,
    limit: Duration,
) -> Result<String, Failure> {
    let path = service.folder()?.join(format!("trial-{}.yaml", std::process::id()));
    file::write(&path, text)?;
    let answered = start(service, &path).and_then(|(trial, url)| {
        let asked = async { ask_at(At::Url(url), model, limit).await.map_err(|why| failed(&why)) };
        let answered = block_on(asked);
        drop(trial);
        answered
    });
    std::fs::remove_file(path)?;
    answered
}

fn start(service: Service<'_>, path: &std::path::Path) -> Result<(Trial, String), Failure> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("openshell")
        .args(["router", "run", "--trial", "--listen", "127.0.0.1:0", "--config"])
        .arg(path)
        // Where the router itself runs, so that names of files mean the same.
        .current_dir(service.home());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut trial = Trial(command.spawn().context("cannot start a router")?);
    let mut said = Vec::new();
    if let Some(lines) = trial.0.stderr.take() {
        for line in BufReader::new(lines).lines() {
            let line = line?;
            let url = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
            if let Some(url) = url {
                return Ok((trial, url.to_owned()));
            }
            said.push(line);
        }
    }
    Err(Failure::new(format!("a router cannot be started with it: {}", said.join("; "))))
}

/// Where a router listens that is only tried.
#[derive(Debug)]
pub(super) enum At {
    /// On a port of this machine.
    Url(String),
    /// On a socket.
    Socket(PathBuf),
}

/// Asks a model for a word, `auto` or the first one that there is for none; the place that answered, or why none did.
pub(super) async fn ask_at(at: At, model: Option<&str>, limit: Duration) -> Result<String, String> {
    // The trial listens on this machine in clear, so nobody has to be trusted.
    let tls = probe::trusting(rustls::RootCertStore::empty()).map_err(|error| error.message())?;
    let client = reqwest::Client::builder().no_proxy().timeout(limit.saturating_add(SLACK));
    let (client, url) = match at {
        At::Url(url) => (client, url),
        At::Socket(path) => (client.unix_socket(path), "http://localhost".to_owned()),
    };
    let client = client.use_preconfigured_tls(tls).build().map_err(|error| error.to_string())?;
    let model = match model {
        Some(model) => model.to_owned(),
        None => first(&client, &url).await?,
    };
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": "ping"}],
        "max_completion_tokens": TOKENS_MAX,
    });
    let answer = client.post(format!("{url}/v1/chat/completions")).json(&body).send().await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let by = answer.headers().get("x-openshell-route").and_then(|value| value.to_str().ok());
    let by = by.unwrap_or(&model).to_owned();
    if status.is_success() {
        return Ok(format!("{by} (openai_chat_completions)"));
    }
    let told: Value = answer.json().await.unwrap_or_default();
    let told = told.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    Err(format!("{told} ({status})"))
}

/// The model to ask where nobody named one.
async fn first(client: &reqwest::Client, url: &str) -> Result<String, String> {
    let answer = client.get(format!("{url}/v1/models")).send().await;
    let list: Value = match answer {
        Ok(answer) => answer.json().await.unwrap_or_default(),
        Err(error) => return Err(error.to_string()),
    };
    let all = list.get("data").and_then(Value::as_array).into_iter().flatten();
    let mut names = all.filter_map(|one| one.get("id")?.as_str());
    let first = names.clone().next();
    let name = names.find(|name| *name == "auto").or(first);
    name.map(str::to_owned).ok_or_else(|| "it offers no model".to_owned())
}

fn failed(why: &str) -> Failure {
    Failure::new(format!("failed to verify inference endpoint: {why}"))
        .hint("correct the provider, the model or the file, or skip this with --no-verify")
}
