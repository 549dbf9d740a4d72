//! The small internet that sandboxes are tested in is one: names lead to servers that nothing outside reaches.

use std::{path::Path, time::Duration};

use openshell_tests::{
    clients::bare,
    http::Ask,
    lab::{Lab, SERVER},
    process::run,
    script::Script,
    upstream::ScriptedUpstream,
};

#[test]
fn a_name_leads_to_a_server_inside_and_nowhere_outside() {
    let Some(lab) = Lab::start(&[("allowed.test", "198.18.0.10")]) else { return };
    let listener = lab.listen((SERVER, 80));
    let server =
        ScriptedUpstream::on(listener, |_, _| Script::json(200, &serde_json::json!("hello")));
    let mut curl = bare(Path::new("curl"));
    curl.args(["--silent", "--max-time", "5", "http://allowed.test/x"]);
    let ended = run("curl", &mut lab.inside(&curl), Duration::from_secs(20)).expect(0);
    assert_eq!(ended.stdout, "\"hello\"");
    assert_eq!(server.only().target, "/x");
    // Whoever answers at that address out here, if anybody does, is somebody else.
    drop(Ask::get("/outside").try_send((SERVER, 80).into()));
    assert_eq!(server.count(), 1);
}
