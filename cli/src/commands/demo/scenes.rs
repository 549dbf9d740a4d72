//! The scenes: what is done, what came of it, and that it is what the demonstration promises.

use serde_json::{Value, json};

use super::{
    agent::{Access, Agent, Answer},
    island::{DOCS, METADATA},
    models::Model,
    stage::{Reply, Stage},
};
use crate::{
    commands::{events::Event, network_events},
    failure::Failure,
    output,
};

/// A key in the format of AWS that belongs to nobody.
const AWS_KEY: &str = "AKIAQ3EGRZV7SDWPT5XN";
/// An address at a domain that is reserved for such purposes would be known as an example; this one is made up.
const EMAIL: &str = "maria.schmidt@nordlicht-verlag.de";
/// Where the program in the sandbox is copied to.
const STRANGER: &str = "/sandbox/stranger";

/// How the sandbox's part went.
pub(super) struct Decisions {
    /// How many scenes it had.
    pub(super) scenes: u8,
    /// How many decisions about its network are on record.
    pub(super) events: usize,
}

/// The router's part; gives the number of the next scene.
pub(super) async fn play_router(stage: &Stage) -> Result<u8, Failure> {
    harmless(stage).await?;
    key(stage).await?;
    email(stage).await?;
    blocked(stage).await?;
    Ok(5)
}

/// The sandbox's part, beginning with the scene of this number.
///
/// `None` where no sandbox can be made; the reason is told.
pub(super) async fn play_sandbox(stage: &Stage, number: u8) -> Result<Option<Decisions>, Failure> {
    let docs = Model::start_at("docs.demo.test", (DOCS, 80)).await?;
    let metadata = Model::start_at("metadata", (METADATA, 80)).await?;
    let mut agent = match stage.sandbox().await {
        Ok(agent) => agent,
        Err(failure) => {
            output::complain(&format!("\nnote: no sandbox can be shown here\n{failure}"));
            return Ok(None);
        }
    };
    output::line(
        "\nNow a sandbox. It has no network but its own proxy, no key, and a policy: one program may read docs.demo.test.",
    )?;
    let scenes = inside(&mut agent, stage, (&docs, &metadata), number).await?;
    Ok(Some(Decisions { scenes, events: agent.record()?.len() }))
}

async fn inside(
    agent: &mut Agent,
    stage: &Stage,
    (docs, metadata): (&Model, &Model),
    number: u8,
) -> Result<u8, Failure> {
    scene(
        number,
        "A model call from inside, to inference.local and without a key, goes to the router.",
    )?;
    let answer = ask(agent, "What is the capital of France?").await?;
    expect(answer.route.starts_with("cloud/"), "the public model should have answered")?;

    scene(
        number + 1,
        "The same with a secret that the agent has found: it stays on this machine.",
    )?;
    let answer = ask(agent, &format!("Is {AWS_KEY} a valid key?")).await?;
    expect(answer.route.starts_with("laptop/"), "the local model should have answered")?;
    expect(!stage.cloud_saw(AWS_KEY), "the key should not have left")?;

    scene(number + 2, "It reads what the policy opens.")?;
    let answer = agent.request(&["GET", "http://docs.demo.test/guide"]).await?;
    told(agent, "GET http://docs.demo.test/guide", &answer, |event| is(event, "http", "Allowed"))
        .await?;
    expect(answer.status == 200, "reading should be allowed")?;

    scene(number + 3, "It may not write there.")?;
    let write = ["POST", "http://docs.demo.test/guide", "--body", "{}"];
    let answer = agent.request(&write).await?;
    told(agent, "POST http://docs.demo.test/guide", &answer, |event| is(event, "http", "Denied"))
        .await?;
    expect(answer.status == 403, "writing should be denied")?;

    scene(
        number + 4,
        "Another program may not even read: here a copy of the same under another name.",
    )?;
    drop(agent.exec(&["cp", &agent.program(), STRANGER]).await?);
    let answer = agent.request_as(STRANGER, &["GET", "http://docs.demo.test/guide"]).await?;
    told(agent, "GET http://docs.demo.test/guide", &answer, denied).await?;
    expect(answer.status == 403, "another program should be denied")?;

    scene(
        number + 5,
        "A name that the policy opens leads to the metadata address, where clouds hand out credentials.",
    )?;
    let answer = agent.request(&["GET", "http://metadata.demo.test/latest/meta-data/"]).await?;
    told(agent, "GET http://metadata.demo.test/latest/meta-data/", &answer, denied).await?;
    expect(answer.status != 200, "the metadata address should be denied")?;
    expect(metadata.seen().is_empty(), "nothing should have reached it")?;

    scene(number + 6, "It goes around the proxy, straight to an address.")?;
    let url = format!("http://{DOCS}/guide");
    let answer = agent.request(&["GET", &url, "--direct"]).await?;
    told(agent, &format!("GET {url}, without the proxy"), &answer, denied).await?;
    expect(answer.status != 200, "there should be no way around")?;
    expect(docs.seen().len() == 1, "only one request should have reached the server")?;

    scene(number + 7, "The policy changes while the sandbox runs, and writing is allowed.")?;
    agent.set_policy(Access::ReadWrite).await?;
    let answer = agent.request(&write).await?;
    told(agent, "POST http://docs.demo.test/guide", &answer, |event| is(event, "http", "Allowed"))
        .await?;
    expect(answer.status == 200, "writing should be allowed now")?;
    Ok(8)
}

/// A model call of the program in the sandbox.
async fn ask(agent: &mut Agent, question: &str) -> Result<Answer, Failure> {
    let body = json!({
        "model": "auto", "max_tokens": 60, "messages": [{"role": "user", "content": question}],
    });
    let url = "https://inference.local/v1/chat/completions";
    let mut answer = agent.request(&["POST", url, "--body", &body.to_string()]).await?;
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    if let Some(text) = json.pointer("/choices/0/message/content").and_then(Value::as_str) {
        text.clone_into(&mut answer.body);
    }
    let is_inference =
        |event: &Event| event.json.pointer("/unmapped/openshell/inference").is_some();
    told(agent, question, &answer, is_inference).await?;
    output::line(&format!("  route:                 {}", or_none(&answer.route)))?;
    Ok(answer)
}

fn is(event: &Event, class: &str, action: &str) -> bool {
    network_events::class(event) == class && event.text("/action") == action
}

fn denied(event: &Event) -> bool {
    event.text("/action") == "Denied"
}

/// Tells what the program asked, what it got, and what went on record about it.
async fn told(
    agent: &mut Agent,
    asked: &str,
    answer: &Answer,
    is_it: impl Fn(&Event) -> bool,
) -> Result<(), Failure> {
    output::line(&format!("  the agent:             {asked}"))?;
    let status = if answer.status == 0 { "none".to_owned() } else { answer.status.to_string() };
    output::line(&format!("  answer ({status}):          {}", said(&answer.body)))?;
    let event = agent.decision(is_it).await?;
    for line in network_events::plain(&event) {
        output::line(&format!("  {line}"))?;
    }
    Ok(())
}

/// What an answer says: of a refusal, the sentence for people; of anything else, its beginning.
fn said(body: &str) -> String {
    const CHARACTERS_MAX: usize = 160;
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let text = json.get("detail").and_then(Value::as_str).unwrap_or(body);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(CHARACTERS_MAX).collect::<String>().trim().to_owned()
}

async fn harmless(stage: &Stage) -> Result<(), Failure> {
    scene(1, "A harmless question goes to the cheapest model that may see it.")?;
    let reply = stage.ask("What is the capital of France?").await?;
    tell(&reply)?;
    expect(reply.route.starts_with("cloud/"), "the public model should have answered")
}

async fn key(stage: &Stage) -> Result<(), Failure> {
    scene(2, "A pasted AWS key stays on this machine.")?;
    let reply = stage.ask(&format!("Why is my key {AWS_KEY} refused?")).await?;
    tell(&reply)?;
    expect(reply.route.starts_with("laptop/"), "the local model should have answered")?;
    expect(!stage.cloud_saw(AWS_KEY), "the key should not have left")
}

async fn email(stage: &Stage) -> Result<(), Failure> {
    scene(3, "An e-mail address goes out as a placeholder and comes back whole, in a stream.")?;
    let reply = stage.ask_streamed(&format!("Write a greeting to {EMAIL}.")).await?;
    let seen = stage.cloud_prompt();
    output::line(&format!("  the public model saw:  {seen}"))?;
    tell(&reply)?;
    expect(reply.route.starts_with("cloud/"), "the public model should have answered")?;
    expect(!stage.cloud_saw(EMAIL) && seen.contains("<EMAIL_1_"), "the address should be hidden")?;
    expect(reply.text.contains(EMAIL), "the address should have come back")
}

async fn blocked(stage: &Stage) -> Result<(), Failure> {
    scene(4, "A term that the operator blocks is refused, with the reason.")?;
    let reply = stage.ask("When does Project Falcon launch?").await?;
    tell(&reply)?;
    expect(
        reply.status == 403 && reply.text.contains("term/falcon"),
        "it should be refused by label",
    )
}

/// The public model is stopped.
pub(super) async fn failover(stage: &mut Stage, number: u8) -> Result<(), Failure> {
    scene(number, "The public backend is stopped; the next one that may see it answers.")?;
    stage.stop_cloud().await;
    let reply = stage.ask("What is the capital of Italy?").await?;
    tell(&reply)?;
    expect(
        reply.status == 200 && reply.route.starts_with("laptop/"),
        "the local model should answer",
    )
}

fn scene(number: u8, title: &str) -> Result<(), Failure> {
    output::line(&format!("\n{number}. {title}"))
}

fn tell(reply: &Reply) -> Result<(), Failure> {
    output::line(&format!("  you asked:             {}", reply.question))?;
    output::line(&format!("  answer ({}):          {}", reply.status, reply.text.trim()))?;
    let cost =
        if reply.cost.is_empty() { String::new() } else { format!(", cost {} USD", reply.cost) };
    output::line(&format!(
        "  decision:              route {}, sensitivity {}{cost}",
        or_none(&reply.route),
        or_none(&reply.sensitivity)
    ))?;
    if !reply.reason.is_empty() {
        output::line(&format!("  because:               {}", reply.reason))?;
    }
    Ok(())
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

fn expect(held: bool, what: &str) -> Result<(), Failure> {
    if held {
        return Ok(());
    }
    Err(Failure::new(format!("the demonstration went wrong: {what}")))
}
