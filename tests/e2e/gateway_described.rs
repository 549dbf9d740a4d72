//! The API of a gateway against its own description, by a program that others wrote: what it allows, what it does not, and
//! without a proof of who is asking.

use std::{path::PathBuf, time::Duration};

use openshell_tests::{
    clients::{Client, bare, installed},
    environment,
    process::{Finished, run},
    sandboxes::Person,
};
use serde_json::json;

use crate::gateway::Gateway;

/// Checks of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,unsupported_method,allow_header_conformance,missing_required_header";
/// Streams, which never end, and conversations, which are no requests.
const STREAMS: &str = "/(watch|exec|attach|upload|download|forward)$";

fn schemathesis(client: &Client, gateway: &Gateway<'_>, args: &[&str]) -> Finished {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let ca: PathBuf =
        gateway.person.path().join(".config/openshell/gateways/openshell/mtls/ca.crt");
    let mut command = bare(&client.python_program("schemathesis"));
    let hooks = environment::repository().join("tests/clients");
    command.env("SCHEMATHESIS_HOOKS", "schemathesis_hooks").env("PYTHONPATH", hooks);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("HOME", folder.path());
    command.current_dir(folder.path()).arg("run");
    command.arg(format!("{}/openapi.json", gateway.endpoint)).arg("--tls-verify").arg(ca);
    command.args(["--exclude-path-regex", STREAMS, "--no-color", "--seed", "1"]);
    // A body that is refused at the door is not read, which costs its caller the connection.
    command.args(["--request-timeout", "20", "--request-retries", "3"]).args(args);
    run("schemathesis", &mut command, Duration::from_mins(4))
}

#[test]
fn every_answer_is_one_that_the_description_knows() {
    let Some([client]) = installed(["schemathesis"]) else { return };
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let token = gateway.ask("POST", "/v1/me/tokens", Some(&json!({})));
    let token = token.body["secret"].as_str().expect("a secret").to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    let args = ["-H", &bearer, "-n", "20", "--phases", "examples,coverage,fuzzing", "-c", CHECKS];
    let ended = schemathesis(&client, &gateway, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    assert!(ended.stdout.contains(" passed"), "{}", ended.said());
    // It still works, and nothing of it was let in by what was thrown at it.
    assert_eq!(gateway.get("/readyz")["ready"], true);
    assert_eq!(gateway.get("/v1/audit/verify")["sound"], true);
}

#[test]
fn strangers_learn_nothing_whatever_they_ask() {
    let Some([client]) = installed(["schemathesis"]) else { return };
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let args = [
        "-n",
        "5",
        "--phases",
        "coverage,fuzzing",
        "-c",
        "not_a_server_error,nothing_for_strangers",
    ];
    let ended = schemathesis(&client, &gateway, &args);
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let changes = gateway.get("/v1/audit?kind=change")["items"].clone();
    let made_by_start = changes.as_array().expect("events").len();
    // The certificate of the person alone.
    assert_eq!(made_by_start, 1, "{changes}");
}
