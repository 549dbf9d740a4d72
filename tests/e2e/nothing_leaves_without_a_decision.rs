//! Promise 5: nothing leaves a sandbox except through a decision that is in the audit, and what was tried and denied is there
//! as well.

use std::io::ErrorKind;

use openshell_tests::{lab::SERVER, site::Site, wait};
use serde_json::Value;

/// Only reading, only here, only by curl.
const POLICY: &str = "version: 1\n\
    filesystem_policy: {include_workdir: true, read_only: [/usr, /lib, /etc], read_write: [/tmp]}\n\
    network_policies:\n  one:\n    endpoints: [{host: allowed.test, port: 80, protocol: rest, enforcement: enforce, \
    access: read-only, allowed_ips: [\"198.18.0.0/24\"]}]\n    binaries: [{path: /usr/bin/curl}]\n";

/// Ways out, each to a port of its own. None may work.
const TRIES: [(u16, &str); 7] = [
    (7001, "curl -s --max-time 9 http://allowed.test:7001/"),
    (7002, "curl -s --max-time 9 --noproxy '*' http://198.18.0.10:7002/"),
    (7003, "curl -s --max-time 9 --noproxy '*' http://allowed.test:7003/"),
    (7004, "curl -s --max-time 9 -p http://allowed.test:7004/"),
    (
        7005,
        "python3 -c \"import socket as s; c = s.create_connection(('198.18.0.10', 7005), 9); c.send(b'raw'); c.recv(9)\"",
    ),
    (
        7006,
        "python3 -c \"import socket as s; c = s.socket(); c.bind(('0.0.0.0', 5000)); c.connect(('198.18.0.10', 7006)); c.send(b'GET / HTTP/1.0\\r\\n\\r\\n'); c.recv(9)\"",
    ),
    (7007, "curl -s --max-time 9 http://198.18.0.10:7007/"),
];

/// Datagrams, which nothing carries.
const DATAGRAMS: &str = "python3 -c \"import socket as s\nfor port in (53, 443, 7100):\n for _ in range(3):\n  try: \
    s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'out', ('198.18.0.10', port))\n  except OSError as e: print(e)\"";

fn is_at(event: &Value, port: u16) -> bool {
    event["dst_endpoint"]["port"] == port
}

#[test]
fn whatever_reached_a_server_was_allowed_on_record_and_whatever_was_tried_is_there() {
    for site in Site::all() {
        let open = site.server((SERVER, 80));
        let closed: Vec<_> = TRIES.iter().map(|(port, _)| site.server((SERVER, *port))).collect();
        let sockets = [53, 443, 7100].map(|port| site.lab().listen_udp((SERVER, port)));
        site.create(POLICY);

        for path in ["/a", "/b?q=1", "/c"] {
            assert_eq!(site.status(&format!("'http://allowed.test{path}'")), 200);
        }
        assert_eq!(site.status("-d x http://allowed.test/written"), 403);
        for (_, script) in TRIES {
            // How it fails is its own affair.
            let _ = site.shell(script);
        }
        let _ = site.shell(DATAGRAMS);

        for ((port, script), server) in TRIES.iter().zip(&closed) {
            assert_eq!(server.count(), 0, "{script}");
            let event = site.wait_for_event(|event| is_at(event, *port));
            assert_eq!(event["action"], "Denied", "{script}: {event}");
        }
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            let got = socket.recv(&mut [0; 9]).map_err(|error| error.kind());
            assert_eq!(got, Err(ErrorKind::WouldBlock), "a datagram came");
        }
        // What came, and nothing else, is on record as allowed.
        let came: Vec<String> = open.seen().iter().map(|seen| seen.target.clone()).collect();
        assert_eq!(came, ["/a", "/b?q=1", "/c"]);
        wait::until("as many decisions as requests", wait::LONG, || {
            let allowed = site.audit().into_iter().filter(|event| {
                event["class_uid"] == 4002 && event["action"] == "Allowed" && is_at(event, 80)
            });
            let mut paths: Vec<String> = allowed
                .filter_map(|event| Some(event["http_request"]["url"]["path"].as_str()?.to_owned()))
                .collect();
            paths.sort();
            (paths == ["/a", "/b", "/c"]).then_some(())
        });
        let written = |event: &Value| event["http_request"]["url"]["path"] == "/written";
        assert_eq!(site.wait_for_event(written)["action"], "Denied");
    }
}
