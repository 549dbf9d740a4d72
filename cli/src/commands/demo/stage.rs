//! The stage of the demonstration: two models, the router between them and the caller, and what each of them saw.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use proxy::server::{Environment, ListenAddr, Options, Running};
use serde_json::{Value, json};

use crate::{
    args::DemoArgs,
    commands::{
        demo::{
            agent::Agent,
            models::{Model, last_message},
            real::RealModel,
        },
        events,
    },
    failure::Failure,
    output,
};

/// The router's socket for sandboxes, below the folder of the demonstration.
const ROUTER: &str = "router.sock";
/// The key that it knows sandboxes by.
const KEY: &str = "sandbox.key";

/// Everything that runs during the demonstration; dropping it ends it.
pub(super) struct Stage {
    folder: PathBuf,
    cloud: Model,
    /// Kept for its drop: the local model ends with the stage.
    _laptop: Laptop,
    router: Running,
    url: String,
    client: reqwest::Client,
    introduction: String,
}

/// The local model.
enum Laptop {
    Scripted { _model: Model },
    Real { _model: RealModel },
}

/// What the caller got.
pub(super) struct Reply {
    pub(super) question: String,
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) route: String,
    pub(super) sensitivity: String,
    pub(super) reason: String,
    pub(super) cost: String,
}

impl Stage {
    /// Starts the models and the router.
    pub(super) async fn set(args: &DemoArgs, folder: &Path) -> Result<Self, Failure> {
        let cloud = Model::start("demonstration-cloud").await?;
        let (laptop, address, provider, model) = if args.real_model {
            let model = RealModel::start(args.model_dir.as_deref()).await?;
            let address = model.address;
            (Laptop::Real { _model: model }, address, "llamacpp", "smollm2")
        } else {
            let model = Model::start("demonstration-laptop").await?;
            let address = model.address;
            (
                Laptop::Scripted { _model: model },
                address,
                "openai-compatible",
                "demonstration-laptop",
            )
        };
        let file = folder.join("router.yaml");
        let audit = folder.join("audit.jsonl");
        let text =
            router_file((cloud.address, address), (provider, model), &audit.display().to_string());
        std::fs::write(&file, text)?;
        let mut options =
            Options::new(&file, ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
        options.threads = 2;
        options.listen.push(ListenAddr::Unix(folder.join(ROUTER)));
        options.sandbox_key = Some(folder.join(KEY));
        options.environment = Environment::new(|name| {
            (name == "DEMO_CLOUD_KEY").then(|| "demonstration-key-of-the-backend".to_owned())
        });
        let router = Running::start(&options)?;
        let address = router.addr().ok_or_else(|| Failure::new("the router does not listen"))?;
        let url = format!("http://{address}/v1/chat/completions");
        let introduction = format!(
            "OpenShell demonstration. A router on http://{address} in front of two models:\n  \
             laptop/{model}  zone local,  0.50 USD per million tokens (what the machine's time is worth)\n  \
             cloud/demonstration-cloud  zone public, 0.05 USD per million tokens"
        );
        // A proxy of this person's is for other networks.
        let client = reqwest::Client::builder().no_proxy().build()?;
        let folder = folder.to_owned();
        Ok(Self { folder, cloud, _laptop: laptop, router, url, client, introduction })
    }

    /// Who plays.
    pub(super) fn introduction(&self) -> String {
        self.introduction.clone()
    }

    /// Makes a sandbox whose model calls come here.
    pub(super) async fn sandbox(&self) -> Result<Agent, Failure> {
        Agent::create(&self.folder, &self.folder.join(ROUTER), &self.folder.join(KEY)).await
    }

    /// Asks and waits for the whole answer.
    pub(super) async fn ask(&self, question: &str) -> Result<Reply, Failure> {
        let (mut reply, response) = self.send(question, false).await?;
        let answer: Value = response.json().await?;
        let text =
            answer.pointer("/choices/0/message/content").or(answer.pointer("/error/message"));
        text.and_then(Value::as_str).unwrap_or_default().clone_into(&mut reply.text);
        Ok(reply)
    }

    /// Asks for a stream and puts its pieces together.
    pub(super) async fn ask_streamed(&self, question: &str) -> Result<Reply, Failure> {
        let (mut reply, response) = self.send(question, true).await?;
        let body = response.text().await?;
        for data in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let chunk: Value = serde_json::from_str(data).unwrap_or_default();
            let piece = chunk.pointer("/choices/0/delta/content").and_then(Value::as_str);
            reply.text.push_str(piece.unwrap_or_default());
        }
        Ok(reply)
    }

    async fn send(
        &self,
        question: &str,
        stream: bool,
    ) -> Result<(Reply, reqwest::Response), Failure> {
        let body = json!({
            "model": "auto", "stream": stream, "max_tokens": 60,
            "messages": [{"role": "user", "content": question}],
        });
        let request = self.client.post(&self.url).bearer_auth("the-callers-own-key");
        let request = request.header("content-type", "application/json").body(body.to_string());
        let response = request.send().await?;
        let header = |name: &str| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let reply = Reply {
            question: question.to_owned(),
            status: response.status().as_u16(),
            text: String::new(),
            route: header("x-openshell-route"),
            sensitivity: header("x-openshell-sensitivity"),
            reason: header("x-openshell-reason"),
            cost: header("x-openshell-cost-usd"),
        };
        Ok((reply, response))
    }

    /// Whether the public model ever received this text.
    pub(super) fn cloud_saw(&self, text: &str) -> bool {
        self.cloud.seen().iter().any(|body| body.contains(text))
    }

    /// The last prompt that the public model received.
    pub(super) fn cloud_prompt(&self) -> String {
        let seen = self.cloud.seen();
        let body = seen.last().map(String::as_str).unwrap_or_default();
        last_message(&serde_json::from_str(body).unwrap_or_default())
    }

    /// Stops the public model.
    pub(super) async fn stop_cloud(&self) {
        self.cloud.stop().await;
    }

    /// Stops the router, so that its record is whole, and sums it up, with what a sandbox has on record.
    pub(super) fn close(self, decisions: Option<usize>) -> Result<(), Failure> {
        let Self { folder, router, .. } = self;
        tokio::task::block_in_place(|| router.stop());
        let (mut events, mut cost, mut saved) = (0_u32, 0.0, 0.0);
        events::each(&folder.join("audit.jsonl"), |event| {
            events += 1;
            cost += event.number("/unmapped/openshell/cost_usd");
            saved += event.number("/unmapped/openshell/saved_usd");
        })?;
        let network = decisions.map_or_else(String::new, |count| {
            format!("{count} decisions about the sandbox's network and ")
        });
        output::line(&format!(
            "\n{network}{events} decisions on record, none with content; spent {cost:.6} USD, routing saved {saved:.6} USD."
        ))?;
        output::line("Next: write a router.yaml (docs/router.md), then `openshell router run`.")?;
        if decisions.is_some() {
            output::line(
                "Then an agent: `openshell sandbox create --router ADDR --policy POLICY -- claude` (docs/sandbox.md).",
            )?;
        }
        Ok(())
    }
}

/// The router file of the demonstration.
fn router_file(
    (cloud, laptop): (SocketAddr, SocketAddr),
    (provider, model): (&str, &str),
    audit: &str,
) -> String {
    format!(
        r#"version: 1
backends:
  - name: laptop
    provider: {provider}
    base_url: http://{laptop}
    zone: local
    models:
      - {{id: {model}, context: 8192, quality: 40, price: {{input: 0.5, cached_input: 0.5, output: 0.5}}}}
  - name: cloud
    provider: openai-compatible
    base_url: http://{cloud}
    zone: public
    credential: {{env: DEMO_CLOUD_KEY}}
    models:
      - {{id: demonstration-cloud, context: 8192, quality: 50, price: {{input: 0.05, cached_input: 0.01, output: 0.05}}}}
aliases:
  auto: {{}}
sensitivity:
  labels:
    "credential/*": {{level: restricted, action: route}}
    "pii/*": {{level: confidential, action: redact}}
    "term/falcon": {{level: restricted, action: block}}
  terms:
    falcon: {{any: ["Project Falcon"]}}
audit: {{file: "{audit}"}}
"#
    )
}
