//! What users of OpenShell know a sandbox by, case by case, with the clients that agents bring along: curl, python, git, node
//! and openssl.
//!
//! Here: the cases that no other file tells. Which test tells which case is listed in `cases`, and the list is checked.

mod cases;

use std::{
    fs,
    net::{TcpListener, TcpStream},
};

use openshell_tests::{
    clients::skip,
    echo::{self, Cut},
    lab::SERVER,
    sandboxes::Person,
    script::Script,
    site::Site,
    upstream::{ScriptedUpstream, Seen},
    world::{Backend, Config},
};
use serde_json::{Value, json};

/// Where a policy that opens the addresses of the small internet says so.
const OPEN: &str = "allowed_ips: [\"198.18.0.0/24\"]";

/// A policy with one block: this endpoint for these binaries.
fn policy(endpoint: &str, binaries: &str) -> String {
    format!(
        "version: 1\nfilesystem_policy: {{include_workdir: true, read_only: [/usr, /lib, /etc], read_write: [/tmp]}}\n\
         network_policies:\n  only:\n    name: the-only-one\n    endpoints: [{{{endpoint}, {OPEN}}}]\n    binaries: [{{path: \"{binaries}\"}}]\n"
    )
}

const SECURE: &str =
    "host: allowed.test, port: 443, protocol: rest, enforcement: enforce, access: read-only";

/// Clients that agents bring along: how each asks for a page at HOST, and what it says when it has it.
const CLIENTS: [(&str, &str, &str); 5] = [
    ("/usr/bin/curl", "curl -s --max-time 20 https://HOST/page", "\"/page\""),
    (
        "/usr/bin/python3",
        "/usr/bin/python3 -c \"import urllib.request as u; print(u.urlopen('https://HOST/page', timeout=20).read())\"",
        "\"/page\"",
    ),
    (
        "/usr/bin/node",
        "node -e \"require('https').get('https://HOST/page', {timeout: 20000}, a => a.on('data', d => console.log(String(d)))).on('error', e => { console.log(e.message); process.exit(1) })\"",
        "\"/page\"",
    ),
    (
        "/usr/bin/openssl",
        "printf 'GET /page HTTP/1.1\\r\\nhost: HOST\\r\\nconnection: close\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -proxy 127.0.0.1:3128 -connect HOST:443 -servername HOST",
        "\"/page\"",
    ),
    ("git", "git ls-remote https://HOST/repo.git", "refs/heads/main"),
];

/// A server that says what it was asked, and is a repository with one branch for git.
fn serve(seen: &Seen) -> Script {
    let text = |text: &str| Script::whole(200, &[("content-type", "text/plain")], text.as_bytes());
    match seen.target.split('?').next() {
        Some("/repo.git/info/refs") => text(&format!("{}\trefs/heads/main\n", "5".repeat(40))),
        Some("/repo.git/HEAD") => text("ref: refs/heads/main\n"),
        _ => Script::json(200, &json!({"target": seen.target, "method": seen.method})),
    }
}

fn has(site: &Site, program: &str) -> bool {
    let there = site.shell(&format!("command -v {program} >/dev/null")).code == Some(0);
    if !there {
        skip(&format!("{program} is not installed"));
    }
    there
}

#[test]
fn every_usual_client_is_let_through_and_refused_alike() {
    for site in Site::all() {
        let inner = ScriptedUpstream::start(|seen, _| serve(seen));
        let _front = site.tls("allowed.test", &inner);
        site.create(&policy(SECURE, "/**"));
        for (program, script, expected) in CLIENTS {
            if !has(&site, program) {
                continue;
            }
            let through = site.shell(&script.replace("HOST", "allowed.test"));
            assert!(through.stdout.contains(expected), "{program}: {}", through.said());
            let count = inner.count();
            let refused = site.shell(&script.replace("HOST", "other.test"));
            assert!(!refused.stdout.contains(expected), "{program}: {}", refused.said());
            assert_eq!(inner.count(), count, "{program}");
        }
        // Writing is refused to each of them, in words.
        let said = site
            .shell("curl -s -i --suppress-connect-headers --http1.1 --max-time 20 -d x https://allowed.test/w")
            .expect(0)
            .stdout;
        let (head, body) = said.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains("403")
                && head.to_ascii_lowercase().contains("x-openshell-policy: the-only-one"),
            "{head}"
        );
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["error"], &body["policy"], &body["rule"]),
            (&json!("policy_denied"), &json!("the-only-one"), &json!("POST /w")),
            "{body}"
        );
        assert!(body["detail"].as_str().unwrap().contains("POST /w not permitted"), "{body}");
        for (program, script) in [
            (
                "/usr/bin/python3",
                "/usr/bin/python3 -c \"import urllib.request as u; u.urlopen('https://allowed.test/w', b'x')\" 2>&1",
            ),
            (
                "/usr/bin/node",
                "node -e \"require('https').request('https://allowed.test/w', {method: 'POST'}, a => console.log(a.statusCode)).end('x')\"",
            ),
            (
                "/usr/bin/openssl",
                "printf 'POST /w HTTP/1.1\\r\\nhost: allowed.test\\r\\ncontent-length: 1\\r\\n\\r\\nx' | openssl s_client -quiet -proxy 127.0.0.1:3128 -connect allowed.test:443 -servername allowed.test 2>/dev/null",
            ),
        ] {
            if has(&site, program) {
                let said = site.shell(script).stdout;
                assert!(said.contains("403"), "{program}: {said}");
            }
        }
        assert!(inner.seen().iter().all(|seen| seen.method == "GET"));
    }
}

#[test]
fn a_binary_that_is_not_listed_is_refused_by_its_real_path() {
    for site in Site::all() {
        let inner = ScriptedUpstream::start(|seen, _| serve(seen));
        let _front = site.tls("allowed.test", &inner);
        site.create(&policy(SECURE, "/usr/bin/curl"));
        for (program, script, expected) in CLIENTS {
            if program == "/usr/bin/curl" || !has(&site, program) {
                continue;
            }
            let refused = site.shell(&script.replace("HOST", "allowed.test"));
            assert!(!refused.stdout.contains(expected), "{program}: {}", refused.said());
            // git asks through a helper of its own.
            let real = site.shell(&format!("readlink -f $(command -v {program})")).expect(0).stdout;
            let event = site.wait_for_event(|event| {
                let path = event["actor"]["process"]["file"]["path"].as_str().unwrap_or_default();
                path == real.trim() || (program == "git" && path.contains("git-remote-http"))
            });
            assert_eq!(event["action"], "Denied", "{event}");
            assert_eq!(event["dst_endpoint"]["hostname"], "allowed.test", "{event}");
        }
        assert_eq!(inner.count(), 0);
        assert_eq!(site.status("https://allowed.test/page"), 200);
    }
}

/// What the proxy answers to these bytes on one connection, until it says no more.
fn raw(site: &Site, bytes: &str) -> String {
    let script = format!(
        "import socket\nc = socket.create_connection(('127.0.0.1', 3128), 20)\nc.sendall(b'{bytes}')\nc.settimeout(3)\n\
         try:\n while piece := c.recv(4096): print(piece.decode(), end='')\nexcept TimeoutError: pass"
    );
    site.shell(&format!("/usr/bin/python3 -c \"{script}\"")).stdout
}

#[test]
fn a_request_in_absolute_form_is_held_to_port_scheme_and_rules() {
    for site in Site::all() {
        let server = site.server((SERVER, 80));
        let _secure = site.server((SERVER, 443));
        site.create(&policy(SECURE, "/**"));
        // The host is open, at another port.
        let told = site.json("http://allowed.test/x");
        assert_eq!(told["error"], "policy_denied", "{told}");
        let https =
            raw(&site, "GET https://allowed.test/ HTTP/1.1\\r\\nhost: allowed.test\\r\\n\\r\\n");
        assert!(https.starts_with("HTTP/1.1 400 "), "{https}");
        assert_eq!(server.count(), 0);

        let plain = SECURE.replace("port: 443", "port: 80");
        let file = site.policy(&policy(&plain, "/**"));
        let set = ["policy", "set", "s", "--policy", file.to_str().unwrap(), "--wait"];
        drop(site.openshell(&set).expect(0));
        assert_eq!(site.status("http://allowed.test/x"), 200);
        assert_eq!(site.status("-d x http://allowed.test/x"), 403, "no way around the rules");
        // A second request on the same connection is decided like the first.
        let ask = |method: &str, path: &str| {
            format!(
                "{method} http://allowed.test{path} HTTP/1.1\\r\\nhost: allowed.test\\r\\n\\r\\n"
            )
        };
        let both = raw(&site, &(ask("GET", "/one") + &ask("DELETE", "/two")));
        assert!(both.starts_with("HTTP/1.1 200 ") && both.contains("HTTP/1.1 403 "), "{both}");
        let targets: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(targets, ["/x", "/one"]);
    }
}

#[test]
fn what_no_policy_may_say_makes_no_sandbox() {
    for site in Site::all() {
        let good = policy("host: allowed.test, port: 80", "/**");
        for (bad, words) in [
            (good.replace("198.18.0.0/24", "127.0.0.0/8"), "always-blocked"),
            (good.replace("host: allowed.test", "host: \"*\""), "matches all hosts"),
            (good.replace("host: allowed.test", "host: \"*.com\""), "TLD wildcard"),
            (good.replace("[/tmp]", "[/]"), "overly broad"),
            (good.replace("/lib", "/usr/../etc/shadow"), "traversal"),
            (
                good.clone() + "process: {run_as_user: root}\n",
                "run_as_user must be 'sandbox', got 'root'",
            ),
        ] {
            let ended = site.try_create(&bad, &[]).expect(1);
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        assert_eq!(site.openshell(&["sandbox", "list", "--names"]).expect(0).stdout, "");
        site.create(&good);
    }
}

#[test]
fn full_access_over_tls_takes_every_method() {
    for site in Site::all() {
        let inner = ScriptedUpstream::start(|seen, _| serve(seen));
        let _front = site.tls("allowed.test", &inner);
        site.create(&policy(&SECURE.replace("read-only", "full"), "/**"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let told = site.json(&format!("-X {method} https://allowed.test/m"));
            assert_eq!(told["method"], method, "{told}");
        }
        assert_eq!(inner.count(), 5);
    }
}

#[test]
fn what_is_only_audited_is_let_through_and_on_record_as_such() {
    for site in Site::all() {
        let server = site.server((SERVER, 80));
        let audited =
            "host: allowed.test, port: 80, protocol: rest, enforcement: audit, access: read-only";
        site.create(&policy(audited, "/**"));
        assert_eq!(site.status("-d x http://allowed.test/written"), 200);
        assert_eq!(site.status("http://allowed.test/read"), 200);
        assert_eq!(server.count(), 2);
        let at = |path: &str| {
            site.wait_for_event(|event| event["http_request"]["url"]["path"] == *path)["action"]
                .clone()
        };
        assert_eq!((at("/written"), at("/read")), (json!("Observed"), json!("Allowed")));
    }
}

#[test]
fn what_ignores_the_proxy_is_refused_at_once_and_on_record() {
    for site in Site::all() {
        let server = site.server((SERVER, 9000));
        site.create(&policy("host: allowed.test, port: 80", "/**"));
        // Timed inside, where nothing but the refusal takes time. A second is what a client that tries again waits first.
        let script = "import socket, time\nbegun = time.monotonic()\ntry:\n c = socket.create_connection(('198.18.0.10', 9000), 20)\n \
                      c.sendall(b'raw\\n')\n print('got', c.recv(10))\nexcept OSError as error:\n print('refused', error)\n\
                      print('soon' if time.monotonic() - begun < 2 else 'late')";
        let file = site.person().write("around.py", script);
        drop(
            site.openshell(&["sandbox", "upload", "s", file.to_str().unwrap(), "around.py"])
                .expect(0),
        );
        let said = site.shell("/usr/bin/python3 around.py").expect(0).stdout;
        assert!(said.ends_with("soon\n"), "{said}");
        assert_eq!(server.count(), 0);
        let event = site.wait_for_event(|event| event["dst_endpoint"]["port"] == 9000);
        assert_eq!(
            (&event["action"], &event["dst_endpoint"]["ip"]),
            (&json!("Denied"), &json!("198.18.0.10"))
        );
    }
}

#[test]
fn files_and_rights_are_those_of_the_usual_sandbox() {
    const PTRACE: &str = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.ptrace(0, 0, 0, 0); print(ctypes.get_errno())";
    for site in Site::all() {
        // Nothing is said about files, so they are the usual ones.
        site.create("version: 1\n");
        let ok = |script: &str| site.shell(script).code == Some(0);
        for script in ["echo x > /etc/x", "ls /root", "cat /etc/shadow", "echo x > /usr/x"] {
            assert!(!ok(script), "{script}");
        }
        for script in [
            "echo x > /sandbox/x",
            "echo x > /tmp/x",
            "cat /usr/bin/env /etc/hosts",
            "echo x > /dev/null",
        ] {
            assert!(ok(script), "{script}");
        }
        let status = site.shell("cat /proc/self/status").expect(0).stdout;
        for line in [
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.contains(line), "{line}: {status}");
        }
        assert_eq!(site.shell("ulimit -c").expect(0).stdout, "0\n");
        assert_eq!(
            site.shell(&format!("/usr/bin/python3 -c '{PTRACE}'")).expect(0).stdout,
            "1\n",
            "EPERM"
        );
        assert!(!ok("unshare -U true") && !ok("unshare -n true"));
    }
}

#[test]
fn a_model_api_that_a_policy_opens_is_not_taken_to_the_router() {
    for site in Site::all() {
        let upstream = echo::upstream(Cut::NONE);
        let socket = site.person().path().join("router.sock");
        let listen = format!("unix:{}", socket.display());
        let _world = Config::new([Backend::new("only", &upstream.url()).model("m")])
            .flags(&["--listen", &listen])
            .start();
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let inner = ScriptedUpstream::start(|seen, _| serve(seen));
        let _front = site.tls("api.openai.com", &inner);
        let opened = SECURE.replace("allowed.test", "api.openai.com");
        drop(site.try_create(&policy(&opened, "/usr/bin/curl"), &["--router", &listen]).expect(0));
        let ask = |client: &str| client.replace("URL", "https://api.openai.com/v1/models");
        // curl has a block, which decides for it.
        let told = site.json("https://api.openai.com/v1/models");
        assert_eq!(told["target"], "/v1/models", "{told}");
        assert_eq!(site.status("-d '{}' https://api.openai.com/v1/chat/completions"), 403);
        assert_eq!((inner.count(), upstream.count()), (1, 0));
        // Who has none is taken to the router.
        let python = ask(
            "/usr/bin/python3 -c \"import urllib.request as u; print(u.urlopen('URL').read())\"",
        );
        let told = site.shell(&python).expect(0).stdout;
        assert!(told.contains("\"m\""), "{told}");
        assert_eq!(inner.count(), 1);
    }
}

#[test]
fn a_port_is_forwarded_once() {
    for person in Person::all() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let number = port.to_string();
        for name in ["one", "two"] {
            drop(person.run(&["sandbox", "create", "--name", name, "--detach"]).expect(0));
        }
        drop(person.run(&["forward", "start", "-d", &number, "one"]).expect(0));
        for name in ["one", "two"] {
            for flags in [&[][..], &["-d"]] {
                let again =
                    person.run(&[&["forward", "start", &number, name], flags].concat()).expect(1);
                assert!(
                    again.stderr.contains(&format!("cannot listen on 127.0.0.1:{number}")),
                    "{}",
                    again.stderr
                );
            }
        }
        let list: Value =
            serde_json::from_str(&person.run(&["forward", "list", "-o", "json"]).expect(0).stdout)
                .unwrap();
        assert_eq!(
            (list.as_array().unwrap().len(), &list[0]["sandbox"]),
            (1, &json!("one")),
            "{list}"
        );
        drop(TcpStream::connect(("127.0.0.1", port)).expect("the first one stands"));
    }
}

#[test]
fn of_policies_that_overlap_the_smallest_name_is_told_every_time() {
    for site in Site::all() {
        let server = site.server((SERVER, 80));
        let block = |name: &str, access: &str| {
            format!(
                "  {name}:\n    endpoints: [{{host: allowed.test, port: 80, protocol: rest, enforcement: enforce, access: {access}, {OPEN}}}]\n    binaries: [{{path: /usr/bin/curl}}]\n"
            )
        };
        let wild = format!(
            "  aaa:\n    endpoints: [{{host: \"*.test\", port: 80, protocol: rest, enforcement: enforce, access: read-only, {OPEN}}}]\n    binaries: [{{path: \"/usr/bin/*\"}}]\n"
        );
        let text = "version: 1\nfilesystem_policy: {read_only: [/usr, /lib, /etc], read_write: [/tmp]}\nnetwork_policies:\n".to_owned()
            + &block("ccc", "read-only") + &block("bbb", "read-only") + &wild.replace("*.test", "*.allowed.test");
        site.create(&text);
        for _ in 0..8 {
            assert_eq!(site.json("-X DELETE http://allowed.test/")["policy"], "bbb");
        }
        assert_eq!(site.status("http://allowed.test/"), 200);
        let event = site.wait_for_event(|event| event["http_request"]["http_method"] == "GET");
        assert_eq!(event["firewall_rule"]["name"], "bbb", "{event}");
        assert_eq!(server.count(), 1);
    }
}

#[test]
fn a_binary_that_was_replaced_is_refused_for_good() {
    for site in Site::all() {
        let server = site.server((SERVER, 80));
        site.create(&policy("host: allowed.test, port: 80", "/sandbox/tool"));
        let ask = |url: &str| {
            site.shell(&format!("./tool -s -o /dev/null -w '%{{http_code}}' --max-time 20 {url}"))
                .stdout
        };
        drop(site.shell("cp /usr/bin/curl tool").expect(0));
        assert_eq!(ask("http://allowed.test/first"), "200");
        // Another program under the same path; it would do the same.
        drop(site.shell("cp /usr/bin/curl other && printf x >> other && mv other tool").expect(0));
        assert_eq!(ask("http://allowed.test/second"), "403");
        let event = site.wait_for_event(|event| {
            event["action"] == "Denied" && event["dst_endpoint"]["hostname"] == "allowed.test"
        });
        assert!(
            event.to_string().contains("Binary integrity violation")
                || event["status_detail"] == "binary_integrity",
            "{event}"
        );
        // Its old content is trusted still, and nothing else in its place.
        drop(site.shell("cp /usr/bin/curl tool").expect(0));
        assert_eq!(ask("http://allowed.test/third"), "200");
        let targets: Vec<String> = server.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(targets, ["/first", "/third"]);
    }
}
