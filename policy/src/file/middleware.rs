//! The section `network_middlewares`: what looks at requests after the policy allowed them.

use std::collections::{BTreeMap, BTreeSet};

use document::{Key, Kind, Report, Spot, Table};
use serde_json::{Number, Value};

use super::optional;
use crate::{
    host_pattern::HostPattern,
    model::{Middleware, Scope},
};

/// Most entries of the section: each costs every request that it sees.
const MIDDLEWARES_MAX: usize = 10;
/// Most patterns of one list.
const PATTERNS_MAX: usize = 32;

/// All entries, by key.
pub(super) fn read(table: &Table<'_>, report: &mut Report) -> BTreeMap<String, Middleware> {
    let Some(section) = table.take("network_middlewares") else { return BTreeMap::new() };
    let entries = section.entries(report);
    if entries.len() > MIDDLEWARES_MAX {
        section.fault(report, format!("at most {MIDDLEWARES_MAX} middlewares are possible"), None);
    }
    let mut orders = BTreeSet::new();
    let mut all = BTreeMap::new();
    for (key, spot) in entries.iter().take(MIDDLEWARES_MAX) {
        let Some(middleware) = middleware(spot, report) else { continue };
        if !orders.insert(middleware.order) {
            let message = format!("the order {} is taken by another middleware", middleware.order);
            report.fault(key.mark, &spot.path, message, Some("give each its own `order`"));
        }
        all.insert(key.text.clone(), middleware);
    }
    all
}

fn middleware(spot: &Spot<'_>, report: &mut Report) -> Option<Middleware> {
    let known = ["name", "middleware", "order", "config", "on_error", "endpoints"];
    let fields = spot.table(&known, report)?;
    let name = optional(&fields, "name").and_then(|spot| spot.text(report)).map(str::to_owned);
    let help = "what runs, as `middleware: openshell/regex`";
    let middleware = fields.need("middleware", help, report);
    let middleware = middleware.and_then(|spot| spot.text(report));
    let order = fields.take("order").and_then(|spot| spot.integer(0..=1_000_000, report));
    let words = [("fail_closed", false), ("fail_open", true)];
    let on_error = optional(&fields, "on_error").and_then(|spot| spot.word(&words, report));
    let endpoints = fields.take("endpoints");
    let endpoints = endpoints.and_then(|spot| spot.table(&["include", "exclude"], report));
    let mut patterns = |name: &str| {
        let spot = endpoints.as_ref().and_then(|fields| fields.take(name));
        spot.map(|spot| hosts(&spot, report)).unwrap_or_default()
    };
    Some(Middleware {
        name,
        include: patterns("include"),
        exclude: patterns("exclude"),
        middleware: middleware?.to_owned(),
        order: order.and_then(|order| i64::try_from(order).ok()).unwrap_or_default(),
        config: fields.take("config").map(|spot| value(&spot, report)).unwrap_or_default(),
        fail_open: on_error.unwrap_or_default(),
    })
}

fn hosts(spot: &Spot<'_>, report: &mut Report) -> Vec<Scope> {
    let items = spot.list(report);
    if items.len() > PATTERNS_MAX {
        spot.fault(report, format!("at most {PATTERNS_MAX} patterns are possible"), None);
    }
    let mut scopes = Vec::new();
    for item in items.iter().take(PATTERNS_MAX) {
        match item.text(report) {
            Some("*") => scopes.push(Scope::All),
            Some(_) => scopes.extend(item.parsed::<HostPattern>(report).map(Scope::Hosts)),
            None => {}
        }
    }
    scopes
}

/// A value without a fixed form, as JSON.
fn value(spot: &Spot<'_>, report: &mut Report) -> Value {
    match spot.kind() {
        Kind::Null => Value::Null,
        Kind::Scalar { text, plain: true } => plain(text),
        Kind::Scalar { text, .. } => Value::String(text.to_owned()),
        Kind::List => spot.list(report).iter().map(|item| value(item, report)).collect(),
        Kind::Map => {
            let entries = spot.entries(report);
            let member = |(key, spot): &(&Key, Spot<'_>)| (key.text.clone(), value(spot, report));
            Value::Object(entries.iter().map(member).collect())
        }
    }
}

/// A word without quotes: a number or a boolean if it reads as one.
fn plain(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let integer = text.parse::<i64>().ok().map(Number::from);
            let decimal = || {
                let numeric = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
                if numeric { text.parse::<f64>().ok().and_then(Number::from_f64) } else { None }
            };
            integer.or_else(decimal).map_or_else(|| Value::String(text.to_owned()), Value::Number)
        }
    }
}
