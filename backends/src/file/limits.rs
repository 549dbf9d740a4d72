//! The sections `budgets`, `timeouts`, `server` and `audit`.

use document::{Report, Spot, Table};
use domain::Cost;
use router::ledger::{Budget, OnExceed, Period, Scope};

use crate::configuration::{AuditSettings, Backend, ServerLimits, Timeouts};

/// Most budgets of one file: each request is held against all of them.
const BUDGETS_MAX: usize = 256;

/// The budgets; none where the file is silent.
pub(super) fn budgets(table: &Table<'_>, backends: &[Backend], report: &mut Report) -> Vec<Budget> {
    let Some(section) = table.take("budgets") else {
        return Vec::new();
    };
    let spots = section.list(report);
    if spots.len() > BUDGETS_MAX {
        section.fault(report, format!("at most {BUDGETS_MAX} budgets are possible"), None);
    }
    spots.iter().take(BUDGETS_MAX).filter_map(|spot| budget(spot, backends, report)).collect()
}

fn budget(spot: &Spot<'_>, backends: &[Backend], report: &mut Report) -> Option<Budget> {
    let fields = spot.table(&["scope", "name", "limit_usd", "per", "on_exceed"], report)?;
    let scopes = [
        ("sandbox", Scope::Sandbox),
        ("workspace", Scope::Workspace),
        ("backend", Scope::Backend),
        ("total", Scope::Total),
    ];
    let scope = fields.need("scope", "sandbox, workspace, backend or total", report);
    let scope = scope.and_then(|spot| spot.word(&scopes, report));
    let limit = fields
        .need("limit_usd", "as `limit_usd: 5`", report)
        .and_then(|spot| spot.number("an amount in USD, 0 or more", Cost::from_usd, report));
    let per = fields
        .need("per", "day or month", report)
        .and_then(|spot| spot.word(&[("day", Period::Day), ("month", Period::Month)], report));
    let actions = [("downgrade", OnExceed::Downgrade), ("block", OnExceed::Block)];
    let on_exceed = fields.need("on_exceed", "downgrade or block", report);
    let on_exceed = on_exceed.and_then(|spot| spot.word(&actions, report));
    let name = fields.take("name").and_then(|spot| name(&spot, scope, backends, report));
    Some(Budget { scope: scope?, name, limit: limit?, period: per?, on_exceed: on_exceed? })
}

fn name(
    spot: &Spot<'_>,
    scope: Option<Scope>,
    backends: &[Backend],
    report: &mut Report,
) -> Option<String> {
    let text = spot.text(report)?;
    match scope {
        Some(Scope::Total) => spot.fault(report, "a total has no name", Some("remove it")),
        Some(Scope::Backend) if backends.iter().all(|backend| backend.name.as_str() != text) => {
            spot.fault(report, "there is no backend of this name", None);
        }
        _ => {}
    }
    Some(text.to_owned())
}

/// The time limits.
pub(super) fn timeouts(table: &Table<'_>, report: &mut Report) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let known = ["connect", "first_byte", "answer", "idle", "total"];
    let Some(fields) = table.take("timeouts").and_then(|spot| spot.table(&known, report)) else {
        return timeouts;
    };
    let mut set = |name: &str, value: &mut std::time::Duration| {
        let given = fields.take(name).and_then(|spot| spot.duration(report));
        *value = given.unwrap_or(*value);
        given.is_some()
    };
    set("connect", &mut timeouts.connect);
    // Whoever sets one limit for the beginning of an answer means every answer.
    if set("first_byte", &mut timeouts.first_byte) {
        timeouts.answer = timeouts.first_byte;
    }
    set("answer", &mut timeouts.answer);
    set("idle", &mut timeouts.idle);
    set("total", &mut timeouts.total);
    timeouts.answer = timeouts.answer.min(timeouts.total);
    let longest = timeouts.connect.max(timeouts.first_byte).max(timeouts.idle);
    if longest > timeouts.total {
        let message = "`total` is shorter than another limit, which then never acts";
        report.notice(fields.mark, &fields.path, message);
    }
    timeouts
}

/// The limits towards callers.
pub(super) fn server(table: &Table<'_>, report: &mut Report) -> ServerLimits {
    let mut server = ServerLimits::default();
    let known = ["body_bytes_max", "connections_max", "head_timeout", "body_timeout", "grace"];
    let Some(fields) = table.take("server").and_then(|spot| spot.table(&known, report)) else {
        return server;
    };
    let number = |name: &str, high: u64, value: &mut usize, report: &mut Report| {
        let given = fields.take(name).and_then(|spot| spot.integer(1..=high, report));
        if let Some(given) = given.and_then(|given| usize::try_from(given).ok()) {
            *value = given;
        }
    };
    number("body_bytes_max", 1 << 30, &mut server.body_bytes_max, report);
    number("connections_max", 1 << 20, &mut server.connections_max, report);
    let time = |name: &str, value: &mut std::time::Duration, report: &mut Report| {
        if let Some(given) = fields.take(name).and_then(|spot| spot.duration(report)) {
            *value = given;
        }
    };
    time("head_timeout", &mut server.head_timeout, report);
    time("body_timeout", &mut server.body_timeout, report);
    time("grace", &mut server.grace, report);
    server
}

/// Where audit events go.
pub(super) fn audit(table: &Table<'_>, report: &mut Report) -> AuditSettings {
    let mut audit = AuditSettings::default();
    let known = ["file", "rotate_bytes", "keep", "stdout"];
    let Some(fields) = table.take("audit").and_then(|spot| spot.table(&known, report)) else {
        return audit;
    };
    audit.file = fields.take("file").and_then(|spot| spot.text(report)).map(str::to_owned);
    if let Some(bytes) =
        fields.take("rotate_bytes").and_then(|spot| spot.integer(4096..=(1 << 40), report))
    {
        audit.rotate_bytes = bytes;
    }
    let keep = fields.take("keep").and_then(|spot| spot.integer(0..=10_000, report));
    if let Some(keep) = keep.and_then(|keep| u32::try_from(keep).ok()) {
        audit.keep = keep;
    }
    if let Some(stdout) = fields.take("stdout").and_then(|spot| spot.boolean(report)) {
        audit.stdout = stdout;
    }
    audit
}
