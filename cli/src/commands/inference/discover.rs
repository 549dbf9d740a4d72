//! `openshell inference discover`: model servers on this machine, offered as local backends.
//!
//! Only this machine is asked, at the ports that these servers have by themselves, each for a bounded time and a bounded answer. What
//! does not answer as such a server does is none.

use std::{process::ExitCode, time::Duration};

use api::inference::{ModelPrice, NewBackend, NewModel};
use serde::Serialize;
use serde_json::Value;

use super::{asked_at, backend};
use crate::{
    args::provider::InferenceDiscoverArgs,
    commands::{gateway::Registry, probe, sandbox::block_on},
    failure::Failure,
    output::{self, columns},
};

/// The longest that a server is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// The largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The most models of one server, and the longest name of one, bytes.
const MODELS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 200;

/// A kind of server.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// Its name, and that of its backend.
    name: &'static str,
    /// Its word in a router file.
    provider: &'static str,
    /// The port that it has by itself.
    port: u16,
    /// Where it lists its models.
    path: &'static str,
    /// The list in the answer, and the name in an entry of it.
    list: (&'static str, &'static str),
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "ollama",
        provider: "ollama",
        port: 11434,
        path: "/api/tags",
        list: ("models", "name"),
    },
    Kind { name: "vllm", provider: "vllm", port: 8000, path: "/v1/models", list: ("data", "id") },
    Kind {
        name: "lm-studio",
        provider: "openai-compatible",
        port: 1234,
        path: "/v1/models",
        list: ("data", "id"),
    },
    Kind {
        name: "llamacpp",
        provider: "llamacpp",
        port: 8080,
        path: "/v1/models",
        list: ("data", "id"),
    },
];

/// A server that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Found {
    name: &'static str,
    provider: &'static str,
    base_url: String,
    zone: &'static str,
    models: Vec<String>,
}

/// Looks for servers, and adds them as backends where that was asked for.
pub(super) fn run(args: &InferenceDiscoverArgs) -> Result<ExitCode, Failure> {
    let found = block_on(look(&args.port))?;
    output::emit(args.output.output, &found, |found| table(found))?;
    if !args.add {
        if !found.is_empty() {
            output::complain(
                "• Add them as local backends with: openshell inference discover --add",
            );
        }
        return Ok(ExitCode::SUCCESS);
    }
    if asked_at(&args.at)?.is_some() {
        let known = Registry::open()?.chosen(args.at.gateway.gateway.as_deref())?;
        if known.metadata.is_remote {
            return Err(Failure::new(
                "that gateway runs elsewhere, where these servers are not local",
            )
            .hint("add what it can reach with `openshell inference backend add`"));
        }
    }
    for one in &found {
        let model = |id: &String| NewModel {
            id: id.clone(),
            context: None,
            quality: None,
            price: Some(ModelPrice { input: 0.0, output: 0.0 }),
        };
        let new = NewBackend {
            name: one.name.to_owned(),
            provider: one.provider.to_owned(),
            base_url: Some(one.base_url.clone()),
            zone: Some(one.zone.to_owned()),
            credential_of: None,
            models: one.models.iter().map(model).collect(),
            // What is there under that name is what this was found to be.
            replace: true,
            base: None,
        };
        backend::put(&new, &args.at, args.yes)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn look(ports: &[(String, u16)]) -> Result<Vec<Found>, Failure> {
    let tls = probe::trusting(rustls::RootCertStore::empty())?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_MAX)
        .use_preconfigured_tls(tls)
        .build()?;
    let at = |kind: Kind| {
        let port =
            ports.iter().rfind(|(name, _)| name == kind.name).map_or(kind.port, |(_, port)| *port);
        (kind, port)
    };
    let [a, b, c, d] = KINDS.map(at);
    let found = tokio::join!(ask(&client, a), ask(&client, b), ask(&client, c), ask(&client, d));
    Ok([found.0, found.1, found.2, found.3].into_iter().flatten().collect())
}

/// What a server says of itself; nothing where none answers as one.
async fn ask(client: &reqwest::Client, (kind, port): (Kind, u16)) -> Option<Found> {
    let base_url = format!("http://127.0.0.1:{port}");
    let mut answer = client.get(format!("{base_url}{}", kind.path)).send().await.ok()?;
    if !answer.status().is_success() {
        return None;
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        if body.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend(piece);
    }
    let models = models(kind, &serde_json::from_slice(&body).ok()?)?;
    let Kind { name, provider, .. } = kind;
    (!models.is_empty()).then_some(Found { name, provider, base_url, zone: "local", models })
}

fn models(kind: Kind, answer: &Value) -> Option<Vec<String>> {
    let (list, name) = kind.list;
    let entries = answer.get(list)?.as_array()?;
    let fits = |name: &&str| {
        !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
    };
    let names = entries.iter().filter_map(|entry| entry.get(name)?.as_str()).filter(fits);
    Some(names.take(MODELS_MAX).map(str::to_owned).collect())
}

fn table(found: &[Found]) -> String {
    if found.is_empty() {
        return "No model server answers on this machine.".to_owned();
    }
    let row = |one: &Found| {
        vec![
            one.name.to_owned(),
            one.provider.to_owned(),
            one.base_url.clone(),
            one.models.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = found.iter().map(row).collect();
    columns(&["NAME", "TYPE", "URL", "MODELS"], &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_answer_as_a_model_server_is_none() {
        let [ollama, vllm, ..] = KINDS;
        let tags = json!({"models": [{"name": "qwen3:8b"}, {"name": 5}, {"name": "a\u{1b}b"}, {}]});
        assert_eq!(models(ollama, &tags), Some(vec!["qwen3:8b".to_owned()]));
        assert_eq!(models(vllm, &tags), None);
        assert_eq!(models(vllm, &json!({"data": "x"})), None);
        assert_eq!(models(vllm, &json!([])), None);
        let many: Vec<Value> = (0..1000).map(|at| json!({"id": at.to_string()})).collect();
        assert_eq!(models(vllm, &json!({"data": many})).unwrap().len(), MODELS_MAX);
    }
}
