//! The logs of a gateway's sandbox.

use std::{ops::ControlFlow, process::ExitCode};

use api::{
    client::Event,
    logs::{LogLine, Logs},
};
use tracing_subscriber::filter::LevelFilter;

use super::then;
use crate::{
    args::sandbox::{LogSource, LogsArgs},
    commands::{
        gateway::{Chosen, follow, refused},
        sandbox::block_on,
    },
    failure::Failure,
    output,
};

/// Shows the last lines, and goes on with new ones if so asked.
pub(super) fn run(args: &LogsArgs, asked: &Chosen) -> Result<ExitCode, Failure> {
    let sandbox = asked.sandbox(args.sandbox.name.as_deref())?;
    let mut query = vec![("source", source(&args.source).to_owned())];
    if let Some(level) = args.level {
        query.push(("level", level_word(level).to_owned()));
    }
    if let Some(span) = &args.since {
        query.push(("since", then(span)?.to_string()));
    }
    let lines = [&query[..], &[("lines", args.n.min(10_000).to_string())]].concat();
    let path = asked.below(&sandbox, "logs", &lines);
    block_on(async {
        let logs: Logs = asked.client().get(&path).await.map_err(refused)?;
        logs.lines.iter().try_for_each(|line| output::line(&line.text))?;
        if args.tail {
            query.push(("follow", "true".to_owned()));
            let path = asked.below(&sandbox, "logs", &query);
            follow(asked, &path, logs.next, show).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Shows a line, or what is told instead of one.
fn show(event: &Event) -> Result<ControlFlow<()>, Failure> {
    match event.kind.as_str() {
        "deleted" => return Ok(ControlFlow::Break(())),
        "lost" => output::complain(&format!("! {}", event.data)),
        _ => {
            let line: LogLine = serde_json::from_str(&event.data)?;
            output::line(&line.text)?;
        }
    }
    Ok(ControlFlow::Continue(()))
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
