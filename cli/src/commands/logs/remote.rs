//! The logs of a gateway's sandbox.

use std::process::ExitCode;

use api::{
    client::ClientError,
    logs::{LogLine, Logs},
};
use tracing_subscriber::filter::LevelFilter;

use super::then;
use crate::{
    args::sandbox::{LogSource, LogsArgs},
    commands::{
        gateway::{Asked, refused},
        sandbox::block_on,
    },
    failure::Failure,
    output,
};

/// How often a broken stream is taken up again without a line between.
const TRIES_MAX: usize = 5;

/// Shows the last lines, and goes on with new ones if so asked.
pub(super) fn run(args: &LogsArgs, asked: &Asked) -> Result<ExitCode, Failure> {
    let sandbox = asked.sandbox(args.sandbox.name.as_deref())?;
    let mut query = vec![("source", source(&args.source).to_owned())];
    if let Some(level) = args.level {
        query.push(("level", level_word(level).to_owned()));
    }
    if let Some(span) = &args.since {
        query.push(("since", then(span)?.to_string()));
    }
    let lines = [&query[..], &[("lines", args.n.min(10_000).to_string())]].concat();
    let path = asked.path(&sandbox, "logs", &lines);
    block_on(async {
        let logs: Logs = asked.client.get(&path).await.map_err(refused)?;
        logs.lines.iter().try_for_each(|line| output::line(&line.text))?;
        if args.tail {
            query.push(("follow", "true".to_owned()));
            follow(asked, &asked.path(&sandbox, "logs", &query), logs.next).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows new lines until the sandbox is deleted. What breaks is taken up where it was.
async fn follow(asked: &Asked, path: &str, mut last: String) -> Result<(), Failure> {
    let mut tries = 0;
    loop {
        let broken = match asked.client.follow(path, Some(&last)).await {
            Ok(mut events) => loop {
                match events.next().await {
                    Ok(Some(event)) => {
                        tries = 0;
                        if event.kind == "deleted" {
                            return Ok(());
                        }
                        if event.kind == "lost" {
                            output::complain(&format!("! {}", event.data));
                        } else {
                            let line: LogLine = serde_json::from_str(&event.data)?;
                            output::line(&line.text)?;
                        }
                        if !event.id.is_empty() {
                            last = event.id;
                        }
                    }
                    // A gateway that stops ends its streams; the next one goes on with them.
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                }
            },
            Err(error) => Some(error),
        };
        tries += 1;
        match broken {
            None | Some(ClientError::Unreachable { .. } | ClientError::Silent { .. })
                if tries <= TRIES_MAX => {}
            None => return Err(Failure::new("the gateway ends the log again and again")),
            Some(error) => return Err(refused(error)),
        }
        tokio::time::sleep(super::LOOK).await;
    }
}

fn source(sources: &[LogSource]) -> &'static str {
    match sources {
        [LogSource::Gateway] => "gateway",
        [LogSource::Sandbox] => "sandbox",
        _ => "all",
    }
}

fn level_word(level: LevelFilter) -> &'static str {
    match level {
        LevelFilter::OFF | LevelFilter::ERROR => "error",
        LevelFilter::WARN => "warn",
        LevelFilter::INFO => "info",
        LevelFilter::DEBUG => "debug",
        LevelFilter::TRACE => "trace",
    }
}
