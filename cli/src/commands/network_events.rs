//! Events about the network of a sandbox, for people: as rows of a table, and in the short form that logs have.
//!
//! Invariant: what a sandbox chose (paths, hosts) reaches no terminal as a control character.

use crate::commands::events::Event;

/// Columns of [`row`].
pub(crate) const HEAD: [&str; 8] =
    ["TIME", "SANDBOX", "EVENT", "ACTION", "PROCESS", "DESTINATION", "POLICY", "REASON"];

/// Short names of classes, as `--kind` takes them.
const CLASSES: [(u64, &str); 5] =
    [(4001, "net"), (4002, "http"), (4003, "dns"), (2004, "finding"), (6003, "api")];

/// The short name of an event's class.
pub(crate) fn class(event: &Event) -> &'static str {
    let class = event.integer("/class_uid");
    CLASSES.iter().find(|(number, _)| *number == class).map_or("other", |(_, name)| name)
}

/// Whether an event is about the network of a sandbox.
pub(crate) fn is_network(event: &Event) -> bool {
    matches!(class(event), "net" | "http" | "dns" | "finding")
}

/// The cells of an event that [`is_network`].
pub(crate) fn row(event: &Event, time: String) -> Vec<String> {
    let what = match class(event) {
        "http" => format!("{} {}", event.text("/http_request/http_method"), url(event)),
        "dns" => query(event),
        _ => destination(event),
    };
    let cells = [
        event.own("sandbox").to_owned(),
        kind(event),
        action(event),
        process(event),
        what,
        event.text("/firewall_rule/name").to_owned(),
        reason(event).to_owned(),
    ];
    std::iter::once(time).chain(cells.iter().map(|cell| printable(cell))).collect()
}

/// One line, such as
/// `OCSF NET:OPEN [MED] DENIED /usr/bin/curl(64) -> httpbin.org:443 [policy:- engine:policy] [reason:no matching policy]`.
pub(crate) fn short(event: &Event) -> String {
    let what = match class(event) {
        "net" => format!("{} -> {}", process(event), destination(event)),
        "http" => format!("{} {}", event.text("/http_request/http_method"), url(event)),
        "dns" => query(event),
        "finding" => {
            let title = event.text("/finding_info/title");
            format!("{title}: {} -> {}", process(event), destination(event))
        }
        _ => {
            let (backend, model) = (event.own("backend"), event.own("model"));
            format!("{} -> {backend}/{model}", event.tenant())
        }
    };
    let by = match (event.text("/firewall_rule/name"), event.text("/firewall_rule/type")) {
        ("", _) => String::new(),
        (policy, engine) => format!(" [policy:{policy} engine:{engine}]"),
    };
    let why = match reason(event) {
        "" => String::new(),
        reason => format!(" [reason:{reason}]"),
    };
    let (kind, severity, action) = (kind(event), severity(event), action(event));
    printable(&format!("OCSF {kind} [{severity}] {action} {what}{by}{why}"))
}

/// A decision in plain words: what was decided about whom, and why.
pub(crate) fn plain(event: &Event) -> [String; 2] {
    let what = match class(event) {
        "http" => format!("{} {}", event.text("/http_request/http_method"), url(event)),
        "dns" => format!("the name {}", event.text("/query/hostname")),
        _ => format!("a connection to {}", destination(event)),
    };
    let by = match event.text("/actor/process/file/path") {
        "" => String::new(),
        path => format!(" by {path}"),
    };
    let decision = match event.json.pointer("/unmapped/openshell/inference") {
        Some(_) => "ROUTED for inference".to_owned(),
        None => action(event),
    };
    let why = match (reason(event), event.text("/firewall_rule/name")) {
        ("", "" | "-") => "it is inference".to_owned(),
        ("", policy) => format!("the policy block {policy} allows it"),
        ("ssrf_denied", _) => "it leads to an internal address, which no policy opens".to_owned(),
        // What follows the first sentence is advice.
        (reason, _) => reason.split(". ").next().unwrap_or_default().to_owned(),
    };
    [
        printable(&format!("on record:             {decision}: {what}{by}")),
        printable(&format!("because:               {why}")),
    ]
}

/// `NET:OPEN`.
fn kind(event: &Event) -> String {
    let activity = match class(event) {
        "http" => event.text("/http_request/http_method"),
        _ => event.text("/activity_name"),
    };
    format!("{}:{}", class(event), activity).to_uppercase()
}

/// `DENIED`; what was let pass although no rule allows it is `AUDITED`.
fn action(event: &Event) -> String {
    match (event.text("/action"), event.text("/disposition")) {
        ("", _) => event.text("/status").to_uppercase(),
        ("Observed", _) => "AUDITED".to_owned(),
        (_, "Error") => "FAILED".to_owned(),
        (action, _) => action.to_uppercase(),
    }
}

fn severity(event: &Event) -> &'static str {
    match event.integer("/severity_id") {
        1 => "INFO",
        2 => "LOW",
        3 => "MED",
        4 => "HIGH",
        _ => "CRIT",
    }
}

/// `/usr/bin/curl(64)`, or `-`.
fn process(event: &Event) -> String {
    match event.text("/actor/process/file/path") {
        "" => "-".to_owned(),
        path => format!("{path}({})", event.integer("/actor/process/pid")),
    }
}

/// `httpbin.org:443`, or the address where there is no name.
fn destination(event: &Event) -> String {
    let host = match event.text("/dst_endpoint/hostname") {
        "" => event.text("/dst_endpoint/ip"),
        host => host,
    };
    match (host, event.integer("/dst_endpoint/port")) {
        ("", _) => "-".to_owned(),
        (host, 0) => host.to_owned(),
        (host, port) if host.contains(':') => format!("[{host}]:{port}"),
        (host, port) => format!("{host}:{port}"),
    }
}

fn query(event: &Event) -> String {
    format!("{} {}", event.text("/query/hostname"), event.text("/query/type"))
}

/// The address of a request, without a port that its scheme implies.
fn url(event: &Event) -> String {
    let scheme = event.text("/http_request/url/scheme");
    let implied = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => "",
    };
    let place = destination(event);
    let place = place.strip_suffix(implied).unwrap_or(&place);
    format!("{scheme}://{place}{}", event.text("/http_request/url/path"))
}

/// Why, in words where there are some; nothing for what was simply allowed.
fn reason(event: &Event) -> &str {
    let detail = event.text("/status_detail");
    match event.text("/message") {
        words if is_network(event) && !words.is_empty() => words,
        _ => detail,
    }
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(json: &Value) -> Event {
        Event::parse(&json.to_string()).unwrap()
    }

    fn denied() -> Value {
        json!({
            "class_uid": 4001, "activity_name": "Open", "severity_id": 3, "action": "Denied",
            "disposition": "Blocked", "status": "Failure", "status_detail": "endpoint_not_allowed",
            "message": "no matching policy",
            "actor": {"process": {"pid": 64, "file": {"path": "/usr/bin/curl"}}},
            "dst_endpoint": {"hostname": "httpbin.org", "port": 443},
            "firewall_rule": {"name": "-", "type": "policy"},
            "unmapped": {"openshell": {"sandbox": "dev"}},
        })
    }

    #[test]
    fn each_class_has_its_short_form() {
        let request = json!({
            "class_uid": 4002, "activity_name": "Get", "severity_id": 1, "action": "Allowed",
            "http_request": {"http_method": "GET", "url": {"scheme": "http", "path": "/zen"}},
            "dst_endpoint": {"hostname": "api.github.com", "port": 80},
            "firewall_rule": {"name": "github_api", "type": "l7"},
        });
        let name = json!({
            "class_uid": 4003, "activity_name": "Query", "severity_id": 3, "action": "Denied",
            "query": {"hostname": "a.example", "type": "A"}, "status_detail": "name_not_allowed",
            "firewall_rule": {"name": "-", "type": "policy"},
        });
        let call = json!({
            "class_uid": 6003, "activity_name": "Create", "severity_id": 1, "status": "Success",
            "status_detail": "done", "message": "cheapest", "actor": {"user": {"uid": "key-1"}},
            "unmapped": {"openshell": {"backend": "b", "model": "m"}},
        });
        let cases = [
            (
                denied(),
                "OCSF NET:OPEN [MED] DENIED /usr/bin/curl(64) -> httpbin.org:443 [policy:- engine:policy] [reason:no matching policy]",
            ),
            (
                request,
                "OCSF HTTP:GET [INFO] ALLOWED GET http://api.github.com/zen [policy:github_api engine:l7]",
            ),
            (
                name,
                "OCSF DNS:QUERY [MED] DENIED a.example A [policy:- engine:policy] [reason:name_not_allowed]",
            ),
            (call, "OCSF API:CREATE [INFO] SUCCESS key-1 -> b/m [reason:done]"),
        ];
        for (json, expected) in cases {
            assert_eq!(short(&event(&json)), expected);
        }
    }

    #[test]
    fn a_row_has_a_cell_for_each_column_and_nothing_that_moves_a_cursor() {
        let mut json = denied();
        json["actor"]["process"]["file"]["path"] = "/tmp/\u{1b}[2Jx\n".into();
        let event = event(&json);
        let row = row(&event, "now".to_owned());
        assert_eq!(row.len(), HEAD.len());
        assert_eq!(row[1..4], ["dev", "NET:OPEN", "DENIED"]);
        assert_eq!(row[4], "/tmp/\u{fffd}[2Jx\u{fffd}(64)");
        assert!(!short(&event).contains(char::is_control));
    }
}
