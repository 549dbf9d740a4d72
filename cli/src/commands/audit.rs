//! `openshell audit`: the record of decisions, about model calls and about the network of sandboxes.
//!
//! Here: files. Below: the audit of a gateway (`remote`), events that only it has (`own`), and the form of OpenTelemetry (`otlp`).

mod otlp;
mod own;
mod remote;

use std::{
    fs::File,
    io::{BufReader, Seek as _, SeekFrom},
    process::ExitCode,
    time::Duration,
};

use api::audit::AuditEvent;

use crate::{
    args::audit::AuditArgs,
    commands::{
        events::{self, Event},
        gateway::chosen,
        network_events as network,
    },
    failure::Failure,
    output::{self, Format, columns},
    settings,
};

/// How often `--tail` looks for new events.
const POLL: Duration = Duration::from_millis(200);

/// Shows events, and new ones as they come.
pub(crate) fn run(args: &AuditArgs) -> Result<ExitCode, Failure> {
    if let Some(command) = &args.command {
        return remote::command(command);
    }
    let is_of_file = args.audit.file.is_some() || args.audit.config.is_named();
    if !is_of_file && let Some(asked) = chosen(&args.gateway)? {
        return remote::list(args, &asked);
    }
    let since = args.since.as_deref().map(events::since_ms).transpose()?.unwrap_or(0);
    let path = settings::audit_path(&args.audit)?;
    let mut kept = Vec::new();
    let seen = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
    events::each(&path, |event| {
        if wanted(args, &event) && event.time_ms() >= since {
            kept.push(event);
        }
    })?;
    let surplus = args.n.map_or(0, |most| kept.len().saturating_sub(most));
    kept.drain(..surplus);
    if args.short {
        kept.iter().try_for_each(|event| output::line(&network::short(event)))?;
    } else {
        show(args.output, &kept)?;
    }
    if args.tail {
        follow(args, &path, seen)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(args: &AuditArgs, event: &Event) -> bool {
    let is_of = |sandbox: &String| event.is_of(sandbox) || event.own("sandbox") == sandbox;
    args.sandbox.as_ref().is_none_or(is_of) && is_kind(args, event)
}

fn is_kind(args: &AuditArgs, event: &Event) -> bool {
    let action = event.text("/action").to_ascii_lowercase();
    let is_kind = |kind: &String| {
        [event.text("/status_detail"), network::class(event), &action].contains(&kind.as_str())
    };
    args.kind.as_ref().is_none_or(is_kind)
}

/// One line, also for what only a gateway has.
fn shown_short(event: &AuditEvent) -> String {
    if own::is_own(event) {
        return own::row(event).join("  ");
    }
    network::short(&Event { json: event.event.clone() })
}

fn show(format: Format, events: &[Event]) -> Result<(), Failure> {
    match format {
        Format::Table => {
            let (about_network, calls): (Vec<&Event>, Vec<&Event>) =
                events.iter().partition(|event| network::is_network(event));
            let rows: Vec<Vec<String>> = calls.into_iter().map(row).collect();
            if about_network.is_empty() {
                return output::line(&columns(&HEAD, &rows));
            }
            if !rows.is_empty() {
                output::line(&format!("{}\n", columns(&HEAD, &rows)))?;
            }
            let rows: Vec<Vec<String>> = about_network.into_iter().map(row).collect();
            output::line(&columns(&network::HEAD, &rows))
        }
        Format::Json => {
            for event in events {
                output::line(&event.json.to_string())?;
            }
            Ok(())
        }
        Format::Yaml => {
            let events: Vec<_> = events.iter().map(|event| &event.json).collect();
            output::emit(format, &events, |_| String::new())
        }
    }
}

const HEAD: [&str; 8] =
    ["TIME", "REQUEST", "CALLER", "STATUS", "LEVEL", "ROUTE", "LABELS", "ENDED"];

fn row(event: &Event) -> Vec<String> {
    let time = time(event);
    if network::is_network(event) {
        return network::row(event, time);
    }
    let route = match (event.own("backend"), event.own("model")) {
        ("", _) => "-".to_owned(),
        (backend, model) => format!("{backend}/{model}"),
    };
    let labels = event.json.pointer("/unmapped/openshell/labels");
    let labels = labels.and_then(serde_json::Value::as_array).map_or_else(String::new, |labels| {
        let label = |value: &serde_json::Value| {
            let text = |name| value.get(name).and_then(serde_json::Value::as_str).unwrap_or("?");
            format!("{}:{}", text("label"), text("action"))
        };
        labels.iter().map(label).collect::<Vec<_>>().join(" ")
    });
    vec![
        time,
        event.own("request_id").to_owned(),
        event.tenant().to_owned(),
        event.text("/status_code").to_owned(),
        event.own("sensitivity").to_owned(),
        route,
        labels,
        event.text("/status_detail").to_owned(),
    ]
}

fn time(event: &Event) -> String {
    i64::try_from(event.time_ms())
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(String::new, |time| time.strftime("%F %T").to_string())
}

/// Reads what is appended, for ever; a file that was rotated away is opened anew.
fn follow(args: &AuditArgs, path: &std::path::Path, mut at: u64) -> Result<(), Failure> {
    loop {
        wait();
        let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if length == at {
            continue;
        }
        if length < at {
            at = 0;
        }
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(at))?;
        let mut reader = BufReader::new(file);
        let mut fresh = Vec::new();
        events::read(&mut reader, &mut |event| {
            if wanted(args, &event) {
                fresh.push(event);
            }
        })?;
        at = length;
        for event in fresh {
            match args.output {
                _ if args.short => output::line(&network::short(&event))?,
                Format::Table => output::line(&row(&event).join("  "))?,
                Format::Json => output::line(&event.json.to_string())?,
                // JSON is YAML, and one more entry of the list before.
                Format::Yaml => output::line(&format!("- {}", event.json))?,
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the main thread of a command without a runtime")]
fn wait() {
    std::thread::sleep(POLL);
}
