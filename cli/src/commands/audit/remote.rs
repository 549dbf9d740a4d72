//! The audit of a gateway: shown, exported, verified.

use std::{ops::ControlFlow, process::ExitCode, sync::Arc};

use api::{
    audit::{AuditEvent, AuditReport, AuditRestart},
    client::Event as Told,
    page::Page,
};
use reqwest::Method;

use super::{otlp, own, show, shown_short};
use crate::{
    args::audit::{AuditArgs, AuditCommand, AuditExportArgs, ExportFormat},
    commands::{
        events::{self, Event},
        gateway::{Chosen, chosen, follow, refused},
        sandbox::block_on,
    },
    failure::Failure,
    output::{self, Format},
};

/// Events that are shown when nobody says how many.
const EVENTS: usize = 1000;
/// Events of one page.
const PAGE: usize = 1000;
/// Events of one request of an export.
const EXPORT_PAGE: usize = 500;
/// Kinds that a gateway knows; others are chosen here.
const KINDS: [&str; 9] =
    ["net", "http", "dns", "finding", "api", "change", "access", "gap", "restart"];

/// Runs what was typed after `openshell audit`.
pub(super) fn command(command: &AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::Export(args) => export(args, &*needed(chosen(&args.gateway)?)?),
        AuditCommand::Verify { gateway, output } => verify(&*needed(chosen(gateway)?)?, *output),
        AuditCommand::Restart { gateway, reason } => {
            let asked = needed(chosen(gateway)?)?;
            let restart = AuditRestart { reason: reason.clone() };
            block_on(async {
                let done = asked.client().send_order(Method::POST, "/v1/audit/restart", &restart);
                done.await.map_err(refused)
            })?;
            output::line("✓ The audit begins anew; what was there stays")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn needed(asked: Option<Arc<Chosen>>) -> Result<Arc<Chosen>, Failure> {
    asked.ok_or_else(|| {
        Failure::new("No active gateway.").hint(
            "set one with `openshell gateway select NAME`, or start one with `openshell gateway start`",
        )
    })
}

/// Shows the newest events, and new ones as they come.
pub(super) fn list(args: &AuditArgs, asked: &Chosen) -> Result<ExitCode, Failure> {
    let is_known = |kind: &&String| KINDS.contains(&kind.as_str());
    let known = args.kind.as_ref().filter(is_known);
    let query = query(args.sandbox.as_ref(), known, args.since.as_deref())?;
    // What the gateway has chosen needs no choice here.
    let wanted = |event: &AuditEvent| {
        known.is_some() || args.kind.is_none() || super::is_kind(args, &read(event))
    };
    block_on(async {
        // From here on nothing is missed, whatever comes while the rest is shown.
        let (events, newest) = newest(asked, &query, args.n.unwrap_or(EVENTS), &wanted).await?;
        if args.short {
            events.iter().try_for_each(|event| output::line(&shown_short(event)))?;
        } else {
            emit(args.output, &events)?;
        }
        if args.tail {
            let path = [&query[..], &[("follow", "true".to_owned())]].concat();
            let path = asked.query("/v1/audit", &path);
            let show = |event: &Told| {
                let event: AuditEvent = serde_json::from_str(&event.data)?;
                if wanted(&event) {
                    tell(args, &event)?;
                }
                Ok(ControlFlow::Continue(()))
            };
            follow(asked, &path, newest.to_string(), show).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn emit(format: Format, events: &[AuditEvent]) -> Result<(), Failure> {
    let of_users = events.iter().filter(|event| own::is_own(event));
    let rows: Vec<Vec<String>> = of_users.map(own::row).collect();
    let others: Vec<Event> = match format {
        Format::Table => events.iter().filter(|event| !own::is_own(event)).map(read).collect(),
        Format::Json | Format::Yaml => events.iter().map(read).collect(),
    };
    if format != Format::Table || rows.is_empty() {
        return show(format, &others);
    }
    if !others.is_empty() {
        show(format, &others)?;
        output::line("")?;
    }
    output::line(&output::columns(&own::HEAD, &rows))
}

/// The newest events that are wanted, the oldest of them first, and the position of the last one there is.
async fn newest(
    asked: &Chosen,
    query: &[(&'static str, String)],
    count: usize,
    wanted: &impl Fn(&AuditEvent) -> bool,
) -> Result<(Vec<AuditEvent>, u64), Failure> {
    let (mut events, mut after, mut last) = (Vec::new(), None::<String>, None);
    loop {
        let mut query = query.to_vec();
        query.push(("newest", "true".to_owned()));
        query.push(("limit", PAGE.to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let path = asked.query("/v1/audit", &query);
        let page: Page<AuditEvent> = asked.client().get(&path).await.map_err(refused)?;
        last = last.or(page.items.first().map(|event| event.position));
        let room = count.saturating_sub(events.len());
        events.extend(page.items.into_iter().filter(|event| wanted(event)).take(room));
        after = page.next;
        if after.is_none() || events.len() >= count {
            events.reverse();
            return Ok((events, last.unwrap_or(0)));
        }
    }
}

fn tell(args: &AuditArgs, event: &AuditEvent) -> Result<(), Failure> {
    match args.output {
        _ if args.short => output::line(&shown_short(event)),
        Format::Table if own::is_own(event) => output::line(&own::row(event).join("  ")),
        Format::Table => output::line(&super::row(&read(event)).join("  ")),
        Format::Json => output::line(&event.event.to_string()),
        // JSON is YAML, and one more entry of the list before.
        Format::Yaml => output::line(&format!("- {}", event.event)),
    }
}

fn query(
    sandbox: Option<&String>,
    kind: Option<&String>,
    since: Option<&str>,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let since = since.map(events::since_ms).transpose()?.map(|ms| {
        let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        at.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
    });
    let all = [("sandbox", sandbox.cloned()), ("kind", kind.cloned()), ("since", since)];
    Ok(all.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect())
}

fn read(event: &AuditEvent) -> Event {
    Event { json: event.event.clone() }
}

fn export(args: &AuditExportArgs, asked: &Chosen) -> Result<ExitCode, Failure> {
    let query = query(args.sandbox.as_ref(), args.kind.as_ref(), args.since.as_deref())?;
    block_on(async {
        let mut after = None::<String>;
        loop {
            let mut query = query.clone();
            query.push(("limit", EXPORT_PAGE.to_string()));
            query.extend(after.take().map(|after| ("after", after)));
            let path = asked.query("/v1/audit", &query);
            let page: Page<AuditEvent> = asked.client().get(&path).await.map_err(refused)?;
            // The oldest first, there is always a next page: it is the end when it is empty.
            if page.items.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            match args.format {
                ExportFormat::Ocsf => {
                    for event in &page.items {
                        output::line(&own::ocsf(event).to_string())?;
                    }
                }
                ExportFormat::Otlp => output::line(&otlp::request(&page.items).to_string())?,
            }
            after = page.next;
        }
    })
}

fn verify(asked: &Chosen, format: Format) -> Result<ExitCode, Failure> {
    let report: AuditReport =
        block_on(async { asked.client().get("/v1/audit/verify").await.map_err(refused) })?;
    output::emit(format, &report, |report| {
        let range = format!(
            "{} lines, positions {} to {}\n  Last hash: {}",
            report.lines, report.first_position, report.last_position, report.last_hash
        );
        if report.sound {
            format!("✓ The audit is as it was written: {range}")
        } else {
            format!("✗ The audit was changed: {}\n  Read: {range}", report.fault)
        }
    })?;
    Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
