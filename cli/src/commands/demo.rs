//! `openshell demo`: the story of the router on one machine, in a few seconds, without network or root.
//!
//! Two demonstration models answer: scripted servers that say what they are. The router between them and the
//! caller is the real one, and each scene checks what it tells.

mod models;
mod real;
mod stage;

use std::process::ExitCode;

use crate::{
    args::DemoArgs,
    commands::demo::stage::{Reply, Stage},
    failure::Failure,
    output,
};

/// A key in the format of AWS that belongs to nobody.
const AWS_KEY: &str = "AKIAQ3EGRZV7SDWPT5XN";
/// An address at a domain that is reserved for such purposes would be known as an example; this one is made up.
const EMAIL: &str = "maria.schmidt@nordlicht-verlag.de";

/// Plays all scenes; a scene that does not go as told is a failure.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(play(args))?;
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

async fn play(args: &DemoArgs) -> Result<(), Failure> {
    let mut stage = Stage::set(args).await?;
    output::line(&stage.introduction())?;
    harmless(&stage).await?;
    key(&stage).await?;
    email(&stage).await?;
    blocked(&stage).await?;
    failover(&mut stage).await?;
    stage.close()
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

async fn failover(stage: &mut Stage) -> Result<(), Failure> {
    scene(5, "The public backend is stopped; the next one that may see it answers.")?;
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
