//! One real call through a router of its own, which reads a router file before that is put in force.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use sandbox::state::Home;
use serde_json::{Value, json};

use super::{
    file::{self, Wanted},
    service,
};
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

/// Asks the model for a word; the place that answered.
pub(super) fn call(home: &Home, text: &str, wanted: &Wanted) -> Result<String, Failure> {
    let path = service::folder(home)?.join(format!("trial-{}.yaml", std::process::id()));
    // What is tried is not on record.
    let quiet: Vec<&str> = text.lines().filter(|line| !line.starts_with("audit:")).collect();
    file::write_to(&path, &quiet.join("\n"))?;
    let answered = start(&path).and_then(|(trial, url)| {
        let answered = block_on(ask(&url, wanted));
        drop(trial);
        answered
    });
    std::fs::remove_file(path)?;
    answered
}

fn start(path: &std::path::Path) -> Result<(Trial, String), Failure> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("openshell")
        .args(["router", "run", "--listen", "127.0.0.1:0", "--config"])
        .arg(path);
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

async fn ask(url: &str, wanted: &Wanted) -> Result<String, Failure> {
    let limit = wanted.timeout().saturating_add(SLACK);
    // The trial listens on this machine in clear, so nobody has to be trusted.
    let tls = probe::trusting(rustls::RootCertStore::empty())?;
    let client = reqwest::Client::builder().no_proxy().timeout(limit);
    let client = client.use_preconfigured_tls(tls).build()?;
    let body = json!({
        "model": wanted.model,
        "messages": [{"role": "user", "content": "ping"}],
        "max_completion_tokens": TOKENS_MAX,
    });
    let answer = client.post(format!("{url}/v1/chat/completions")).json(&body).send().await;
    let failed = |why: String| {
        Failure::new(format!("failed to verify inference endpoint: {why}"))
            .hint("correct the provider or the model, or skip this with --no-verify")
    };
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    let status = answer.status();
    let by = answer.headers().get("x-openshell-route").and_then(|value| value.to_str().ok());
    let by = by.unwrap_or(&wanted.provider).to_owned();
    if status.is_success() {
        return Ok(format!("{by} (openai_chat_completions)"));
    }
    let told: Value = answer.json().await.unwrap_or_default();
    let told = told.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    Err(failed(format!("{told} ({status})")))
}
