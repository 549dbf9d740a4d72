//! Rules about requests: `rules` and `deny_rules`.

use document::{Kind, Report, Spot, Table, nearest, shown};

use super::optional;
use crate::{
    glob::{Glob, GlobError},
    model::Protocol,
    path,
    rule::{Matcher, Rule, Sense},
};

const FIELDS: &[&str] = &[
    "method",
    "path",
    "command",
    "query",
    "operation_type",
    "operation_name",
    "fields",
    "tool",
    "params",
];

/// Most rules of one list, and most matchers of one rule.
const LIST_MAX: usize = 1024;

/// Methods of HTTP (RFC 9110, 5789) and of its extension for files (RFC 4918), and the frame of a WebSocket.
const METHODS: [&str; 18] = [
    "GET",
    "HEAD",
    "OPTIONS",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "CONNECT",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "WEBSOCKET_TEXT",
];

/// The field `rules`.
pub(super) fn allow(
    fields: &Table<'_>,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> Vec<Rule> {
    let Some(section) = fields.take("rules") else { return Vec::new() };
    let spots = section.list(report);
    if spots.is_empty() && is_list(&section) {
        let message = "rules list cannot be empty (would deny all traffic). Use `access: full` or remove rules.";
        report.fault(section.mark(), &fields.path, message, None);
    }
    too_many(&section, spots.len(), report);
    let mut rules = Vec::new();
    for spot in spots.iter().take(LIST_MAX) {
        let Some(entry) = spot.table(&["allow"], report) else { continue };
        let help = "as `- allow: {method: GET, path: /**}`";
        let Some(inner) = entry.need("allow", help, report) else { continue };
        rules.extend(rule(&inner, Sense::Allow, protocol, report));
    }
    rules
}

/// The field `deny_rules`.
pub(super) fn deny(
    fields: &Table<'_>,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> Vec<Rule> {
    let Some(section) = fields.take("deny_rules") else { return Vec::new() };
    let spots = section.list(report);
    if spots.is_empty() && is_list(&section) {
        let message = "deny_rules list cannot be empty (would have no effect). Remove it if no denials are needed.";
        report.fault(section.mark(), &fields.path, message, None);
    }
    too_many(&section, spots.len(), report);
    let spots = spots.iter().take(LIST_MAX);
    spots.filter_map(|spot| rule(spot, Sense::Deny, protocol, report)).collect()
}

fn is_list(spot: &Spot<'_>) -> bool {
    spot.kind() == Kind::List
}

fn too_many(section: &Spot<'_>, count: usize, report: &mut Report) {
    if count > LIST_MAX {
        section.fault(report, format!("at most {LIST_MAX} rules are possible"), None);
    }
}

fn rule(
    spot: &Spot<'_>,
    sense: Sense,
    protocol: Option<Protocol>,
    report: &mut Report,
) -> Option<Rule> {
    let fields = spot.table(FIELDS, report)?;
    let mut globs = Globs { sense, broken: false };
    let list = fields.take("fields").map(|spot| spot.list(report)).unwrap_or_default();
    let params = fields.take("params").and_then(|spot| spot.table(&["name"], report));
    let name = params.and_then(|params| params.take("name"));
    let mut rule = Rule {
        method: method(&fields, protocol, report),
        path: optional(&fields, "path").and_then(|spot| path_glob(&spot, &mut globs, report)),
        command: optional(&fields, "command").and_then(|spot| globs.word(&spot, report)),
        query: query(&fields, &mut globs, report),
        operation_type: operation_type(&fields, report),
        operation_name: optional(&fields, "operation_name")
            .and_then(|spot| globs.word(&spot, report)),
        fields: list.iter().filter_map(|spot| globs.word(spot, report)).collect(),
        tool: fields.take("tool").and_then(|spot| matcher(&spot, &mut globs, report)),
        params_name: name.and_then(|spot| matcher(&spot, &mut globs, report)),
        broken: false,
    };
    rule.broken = globs.broken;
    in_protocol(&fields, &rule, protocol, report);
    Some(rule)
}

/// Fields of other protocols would silently do nothing.
fn in_protocol(fields: &Table<'_>, rule: &Rule, protocol: Option<Protocol>, report: &mut Report) {
    let Some(protocol) = protocol else { return };
    let homes: [(&str, &[Protocol]); 6] = [
        ("query", &[Protocol::Rest, Protocol::Websocket]),
        ("operation_type", &[Protocol::Graphql]),
        ("operation_name", &[Protocol::Graphql]),
        ("fields", &[Protocol::Graphql]),
        ("tool", &[Protocol::Mcp]),
        ("params", &[Protocol::Mcp]),
    ];
    for (name, home) in homes {
        if let Some(spot) = fields.take(name).filter(|_| !home.contains(&protocol)) {
            let words: Vec<&str> = home.iter().map(|protocol| protocol.as_str()).collect();
            let message = format!("only rules of protocol {} have this field", words.join(" and "));
            spot.fault(report, message, None);
        }
    }
    let lacks = match protocol {
        Protocol::Rest | Protocol::Websocket if rule.method.is_none() => "method",
        Protocol::Rest | Protocol::Websocket if rule.path.is_none() => "path",
        Protocol::Graphql if rule.operation_type.is_none() => "operation_type",
        Protocol::JsonRpc if rule.method.is_none() => "method",
        Protocol::Mcp if rule.method.is_none() && rule.tool.is_none() => "method",
        _ => return,
    };
    if fields.take(lacks).is_none() {
        let message = format!("a rule without `{lacks}` never matches");
        report.notice(fields.mark, &fields.path, message);
    }
}

fn method(fields: &Table<'_>, protocol: Option<Protocol>, report: &mut Report) -> Option<String> {
    let spot = optional(fields, "method")?;
    let text = spot.text(report)?;
    let http = matches!(protocol, None | Some(Protocol::Rest | Protocol::Websocket));
    let known = text == "*" || METHODS.iter().any(|known| known.eq_ignore_ascii_case(text));
    if http && !known {
        let lower = METHODS.map(str::to_ascii_lowercase);
        let instead = nearest(text, lower.iter().map(String::as_str))
            .map(|word| format!("; did you mean `{}`?", word.to_ascii_uppercase()))
            .unwrap_or_default();
        spot.notice(report, format!("`{}` is no known HTTP method{instead}", shown(text)));
    }
    Some(text.to_owned())
}

fn operation_type(fields: &Table<'_>, report: &mut Report) -> Option<String> {
    let words = ["query", "mutation", "subscription", "*"].map(|word| (word, word));
    optional(fields, "operation_type")?.word(&words, report).map(str::to_owned)
}

/// A rule's path. What no canonical path can match is worth a word.
fn path_glob(spot: &Spot<'_>, globs: &mut Globs, report: &mut Report) -> Option<Glob> {
    let text = spot.text(report)?;
    if text == "*" {
        let message =
            "`*` stays within one segment, so this matches no path; write `**` for every path";
        spot.notice(report, message);
    } else if !text.starts_with(['/', '*', '{', '[', '?', '\\']) {
        spot.notice(report, "paths begin with `/`, so this matches none");
    } else if text.contains("//")
        || text.contains(';')
        || text.split('/').any(|part| matches!(part, "." | ".."))
    {
        spot.notice(
            report,
            "paths are matched without dots, doubled slashes and parameters, so this matches none",
        );
    }
    globs.check(Glob::path(&spelled(text)), spot, report).map(|glob| glob.written_as(text))
}

/// The pattern as canonical paths spell it, so that one that is written with other escapes means the same.
pub(super) fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped.filter(|_| *byte == b'%') {
            Some(value) => {
                rest = after.get(2..).unwrap_or_default();
                if path::is_plain(value) && value != b'/' {
                    // Escaped, it was no wildcard.
                    out.extend((b"*!,".contains(&value)).then_some('\\'));
                    out.push(char::from(value));
                } else {
                    path::push(&mut out, value, false);
                }
            }
            None if path::is_plain(*byte) || b"%?[]{}\\^;".contains(byte) => {
                out.push(char::from(*byte));
            }
            None => path::push(&mut out, *byte, false),
        }
    }
    out
}

fn query(fields: &Table<'_>, globs: &mut Globs, report: &mut Report) -> Vec<(String, Matcher)> {
    let Some(spot) = fields.take("query") else { return Vec::new() };
    if spot.kind() != Kind::Map {
        spot.fault(report, "expected map of query matchers", Some("as {tag: \"v1*\"}"));
        return Vec::new();
    }
    let mut matchers = Vec::new();
    for (key, spot) in spot.entries(report).into_iter().take(LIST_MAX) {
        if let Some(matcher) = matcher(&spot, globs, report) {
            matchers.push((key.text.clone(), matcher));
        }
    }
    matchers
}

/// `"glob"`, `{glob: "…"}` or `{any: ["…"]}`.
fn matcher(spot: &Spot<'_>, globs: &mut Globs, report: &mut Report) -> Option<Matcher> {
    match spot.kind() {
        Kind::Scalar { text, .. } => globs.check(Glob::word(text), spot, report).map(Matcher::Glob),
        Kind::Map => object(spot, globs, report),
        Kind::Null | Kind::List => {
            spot.fault(report, "expected string glob or object with `any`", None);
            None
        }
    }
}

fn object(spot: &Spot<'_>, globs: &mut Globs, report: &mut Report) -> Option<Matcher> {
    let entries = spot.entries(report);
    let find = |name: &str| entries.iter().find(|(key, _)| key.text == name).map(|(_, spot)| spot);
    let (glob, any) = (find("glob"), find("any"));
    if entries.iter().any(|(key, _)| key.text != "glob" && key.text != "any") {
        spot.fault(report, "unknown matcher keys; only `glob` or `any` are supported", None);
        return None;
    }
    match (glob, any) {
        (Some(_), Some(_)) => {
            spot.fault(report, "matcher cannot specify both `glob` and `any`", None);
            None
        }
        (Some(glob), None) if glob.is_scalar() => matcher(glob, globs, report),
        (None, Some(any)) if is_list(any) => any_of(any, globs, report),
        _ => {
            let message = "object matcher requires `glob` string or non-empty `any` list";
            spot.fault(report, message, None);
            None
        }
    }
}

fn any_of(spot: &Spot<'_>, globs: &mut Globs, report: &mut Report) -> Option<Matcher> {
    let items = spot.list(report);
    if items.is_empty() {
        spot.fault(report, "list must not be empty", None);
        return None;
    }
    let mut any = Vec::new();
    for item in items.iter().take(LIST_MAX) {
        let Kind::Scalar { text, .. } = item.kind() else {
            spot.fault(report, "all values must be strings", None);
            return None;
        };
        any.extend(globs.check(Glob::word(text), item, report));
    }
    Some(Matcher::Any(any))
}

/// Reads globs; one that is malformed never allows, and must not fail to deny.
struct Globs {
    sense: Sense,
    broken: bool,
}

impl Globs {
    fn word(&mut self, spot: &Spot<'_>, report: &mut Report) -> Option<Glob> {
        let text = spot.text(report)?;
        self.check(Glob::word(text), spot, report)
    }

    fn check(
        &mut self,
        glob: Result<Glob, GlobError>,
        spot: &Spot<'_>,
        report: &mut Report,
    ) -> Option<Glob> {
        match glob {
            Ok(glob) => Some(glob),
            Err(error) => {
                self.broken = true;
                if self.sense == Sense::Deny {
                    let message =
                        format!("bad glob syntax, and this rule would deny nothing: {error}");
                    spot.fault(report, message, None);
                    return None;
                }
                spot.notice(
                    report,
                    format!("bad glob syntax, so this rule allows nothing: {error}"),
                );
                let text = spot.text(report).unwrap_or_default();
                Some(Glob::exact(text).never())
            }
        }
    }
}
