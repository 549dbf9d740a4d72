//! The sections that are fixed when the sandbox starts: files, isolation, identity.

use document::{Report, Spot, Table, nearest, shown};

use super::{optional, switch};
use crate::model::{Filesystem, Landlock, Process};

/// Longest path, bytes.
const PATH_BYTES_MAX: usize = 4096;
/// Most paths of both lists together.
const PATHS_MAX: usize = 256;
/// Largest id that a user or group may have; the one above means "nobody was given".
const ID_MAX: u32 = u32::MAX - 1;

/// The section `filesystem_policy`.
pub(super) fn filesystem(table: &Table<'_>, report: &mut Report) -> Option<Filesystem> {
    let section = table.take("filesystem_policy")?;
    let known = ["include_workdir", "read_only", "read_write"];
    let fields = section.table(&known, report)?;
    let read_only = paths(&fields, "read_only", report);
    let read_write = paths(&fields, "read_write", report);
    let count = read_only.len().saturating_add(read_write.len());
    if count > PATHS_MAX {
        let message = format!("too many filesystem paths ({count} > {PATHS_MAX})");
        section.fault(report, message, Some("name folders instead of their contents"));
    }
    let include_workdir = switch(&fields, "include_workdir", report);
    Some(Filesystem { include_workdir, read_only, read_write })
}

fn paths(fields: &Table<'_>, name: &str, report: &mut Report) -> Vec<String> {
    let Some(list) = fields.take(name) else { return Vec::new() };
    let mut paths = Vec::new();
    for spot in list.list(report) {
        let Some(path) = spot.text(report) else { continue };
        check_path(&spot, path, report);
        let root = path.split('/').all(|part| matches!(part, "" | "."));
        if name == "read_write" && path.starts_with('/') && root {
            let help = "name the folders that the agent works in, as /sandbox and /tmp";
            spot.fault(report, "read-write path is overly broad: /", Some(help));
        }
        paths.push(path.to_owned());
    }
    paths
}

fn check_path(spot: &Spot<'_>, path: &str, report: &mut Report) {
    if path.len() > PATH_BYTES_MAX {
        let message = format!(
            "path exceeds maximum length ({} > {PATH_BYTES_MAX}): {}",
            path.len(),
            shown(path)
        );
        spot.fault(report, message, None);
    }
    if path.contains('\0') {
        spot.fault(report, "a path cannot hold a null character", None);
    }
    if !path.starts_with('/') {
        let message = format!("path must be absolute (start with '/'): {}", shown(path));
        spot.fault(report, message, None);
    }
    if path.split('/').any(|part| part == "..") {
        let message = format!("path contains '..' traversal component: {}", shown(path));
        spot.fault(report, message, Some("write the path that it leads to"));
    }
}

/// The section `landlock`.
pub(super) fn landlock(table: &Table<'_>, report: &mut Report) -> Option<Landlock> {
    let fields = table.take("landlock")?.table(&["compatibility"], report)?;
    let Some(spot) = optional(&fields, "compatibility") else { return Some(Landlock::default()) };
    let text = spot.text(report)?;
    let all = [Landlock::BestEffort, Landlock::HardRequirement];
    let found = all.into_iter().find(|one| one.as_str() == text);
    if found.is_none() {
        let instead = nearest(text, all.map(Landlock::as_str));
        let help = instead.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
        let message = format!("`{}` is not known and counts as `best_effort`{help}", shown(text));
        spot.notice(report, message);
    }
    Some(found.unwrap_or_default())
}

/// The section `process`.
pub(super) fn process(table: &Table<'_>, report: &mut Report) -> Option<Process> {
    let fields = table.take("process")?.table(&["run_as_user", "run_as_group"], report)?;
    let mut process = Process::default();
    if let Some(user) = identity(&fields, "run_as_user", report) {
        process.run_as_user = user;
    }
    if let Some(group) = identity(&fields, "run_as_group", report) {
        process.run_as_group = group;
    }
    Some(process)
}

fn identity(fields: &Table<'_>, name: &str, report: &mut Report) -> Option<String> {
    let spot = optional(fields, name)?;
    let text = spot.text(report)?;
    let number = text.bytes().all(|byte| byte.is_ascii_digit());
    let id = if number { text.parse::<u32>().ok() } else { None };
    if text != "sandbox" && !id.is_some_and(|id| (1..=ID_MAX).contains(&id)) {
        let message = format!("{name} must be 'sandbox', got '{}'", shown(text));
        let help = format!("write sandbox, or an id from 1 to {ID_MAX}");
        spot.fault(report, message, Some(&help));
    }
    Some(text.to_owned())
}
