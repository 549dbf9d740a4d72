use serde_json::{Value, json};

use super::*;

fn line(event: &Event) -> Value {
    let mut line = Vec::new();
    event.render_into(&Number::default(), &mut line);
    assert!(!line.contains(&b'\n'));
    serde_json::from_slice(&line).unwrap()
}

fn event(activity: Activity, outcome: Outcome) -> Event {
    let caller = Identity {
        binary: "/usr/bin/curl".to_owned(),
        ancestors: vec!["/usr/bin/bash".to_owned()],
        process: 64,
        sha256: Some([0xab; 32]),
    };
    Event {
        caller: Some(Arc::new(caller)),
        from: Some(([127, 0, 0, 1], 40_000).into()),
        to: "httpbin.org:443".to_owned(),
        ..Event::new("dev".into(), 7, activity, outcome)
    }
}

fn check(line: &Value, fields: &[(&str, Value)]) {
    for (path, expected) in fields {
        assert_eq!(line.pointer(path).unwrap_or(&Value::Null), expected, "{path}: {line}");
    }
}

#[test]
fn a_refused_connection_is_network_activity_with_its_caller() {
    let event = Event {
        reason: Some("endpoint_not_allowed"),
        detail: Some("no matching policy".to_owned()),
        ..event(Activity::Open, Outcome::Denied)
    };
    assert!(event.matters());
    let fields = [
        ("/metadata/version", json!("1.6.0")),
        ("/class_uid", json!(4001)),
        ("/category_uid", json!(4)),
        ("/type_uid", json!(400_101)),
        ("/severity", json!("Medium")),
        ("/action_id", json!(2)),
        ("/disposition_id", json!(2)),
        ("/status_id", json!(2)),
        ("/status_detail", json!("endpoint_not_allowed")),
        ("/message", json!("no matching policy")),
        ("/actor/process/pid", json!(64)),
        ("/actor/process/name", json!("curl")),
        ("/actor/process/file/path", json!("/usr/bin/curl")),
        ("/actor/process/file/hashes/0/value", json!("ab".repeat(32))),
        ("/actor/process/ancestry/0/path", json!("/usr/bin/bash")),
        ("/src_endpoint/port", json!(40_000)),
        ("/dst_endpoint/hostname", json!("httpbin.org")),
        ("/dst_endpoint/port", json!(443)),
        ("/firewall_rule/name", json!("-")),
        ("/firewall_rule/type", json!("policy")),
        ("/unmapped/openshell/sandbox", json!("dev")),
        ("/unmapped/openshell/revision", json!(7)),
    ];
    check(&line(&event), &fields);
}

#[test]
fn an_allowed_connection_names_the_policy_and_the_address_that_was_dialled() {
    let event = Event {
        policy: Some("web".to_owned()),
        dialled: Some([192, 0, 2, 1].into()),
        ..event(Activity::Open, Outcome::Allowed)
    };
    assert!(!event.matters());
    let fields = [
        ("/severity_id", json!(1)),
        ("/status", json!("Success")),
        ("/dst_endpoint/ip", json!("192.0.2.1")),
        ("/firewall_rule/name", json!("web")),
    ];
    check(&line(&event), &fields);
    let close = Activity::Close { sent: 5, received: 6, open: Duration::from_millis(1_500) };
    let closed = Event { activity: close, to: "10.0.0.1:80".to_owned(), ..event };
    let fields = [
        ("/type_uid", json!(400_102)),
        ("/duration", json!(1_500)),
        ("/traffic/bytes_out", json!(5)),
        ("/dst_endpoint/hostname", Value::Null),
    ];
    check(&line(&closed), &fields);
}

#[test]
fn requests_and_names_have_classes_of_their_own() {
    let request = Activity::Request {
        scheme: "https",
        method: "PATCH".to_owned(),
        path: "/v1/x".to_owned(),
        status: Some(403),
        count: 7,
    };
    let fields = [
        ("/type_uid", json!(400_209)),
        ("/http_request/http_method", json!("PATCH")),
        ("/http_request/url/path", json!("/v1/x")),
        ("/http_response/code", json!(403)),
        ("/count", json!(7)),
        ("/disposition", json!("Logged")),
    ];
    check(&line(&event(request, Outcome::Audited)), &fields);
    let name = Activity::Name { kind: "AAAA".to_owned(), unlisted: 3 };
    let refused = Event { to: "evil.example".to_owned(), ..event(name, Outcome::Denied) };
    let fields = [
        ("/type_uid", json!(400_301)),
        ("/query/hostname", json!("evil.example")),
        ("/query/type", json!("AAAA")),
        ("/rcode_id", json!(3)),
        ("/unmapped/openshell/unlisted", json!(3)),
    ];
    check(&line(&refused), &fields);
}

#[test]
fn texts_that_a_sandbox_chooses_do_not_fill_the_record() {
    let long = "/ä".repeat(100_000);
    let caller = Identity {
        binary: long.clone(),
        ancestors: vec![long.clone(); 64],
        process: 1,
        sha256: None,
    };
    let event = Event {
        caller: Some(Arc::new(caller)),
        to: long.clone(),
        detail: Some(long.clone()),
        policy: Some(long.clone()),
        rule: Some(long),
        ..event(Activity::Open, Outcome::Denied)
    };
    let mut line = Vec::new();
    event.render_into(&Number::default(), &mut line);
    assert!(line.len() < 64 << 10, "{}", line.len());
}
