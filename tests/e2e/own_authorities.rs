//! A backend behind TLS with authorities of its own: `tls: {ca_file: PATH}`. Who is not vouched for gets nothing, and
//! the operator is told why.

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo::{self, Cut},
    text::{assert_absent, contains},
    tls::{Authority, TlsFront},
    upstream::ScriptedUpstream,
    wait,
    world::{Backend, Config, World, command},
};

const KEY: &str = "sk-behind-tls-3bQ8";

fn backend(front: &TlsFront, host: &str) -> Backend {
    Backend::new("only", &front.url(host)).credential(KEY).model("m")
}

fn start(backend: Backend) -> World {
    Config::new([backend]).start()
}

#[test]
fn who_is_vouched_for_answers() {
    let (authority, upstream) = (Authority::new(), echo::upstream(Cut::NONE));
    let front = TlsFront::start(&authority, "localhost", upstream.address());
    let world = start(backend(&front, "localhost").ca_file(&authority.file()));
    for dialect in DIALECTS {
        for stream in [false, true] {
            let reply = world.post(dialect.target(), &dialect.ask("hello", stream)).expect(200);
            assert_eq!(dialect.text(&reply), "you said: hello");
        }
    }
    for seen in upstream.seen() {
        assert!(contains(&seen.everything(), KEY.as_bytes()), "the credential went along");
    }
}

/// Nothing of the request has left, the caller gets an error, and the operator reads what is wrong.
fn refused(world: &World, upstream: &ScriptedUpstream, reason: &str) {
    let reply = world.chat("purple-giraffe");
    assert_eq!(reply.status, 502, "{}", reply.text());
    let told = Dialect::Chat.error_message(&reply);
    assert!(told.contains("failed"), "{told}");
    assert_eq!(upstream.count(), 0);
    let event = &world.wait_for_audit(1, |_| true)[0];
    assert_eq!(event["unmapped"]["openshell"]["attempts"][0]["outcome"], "tls", "{event}");
    let line = wait::until("a word about the certificate", wait::LONG, || {
        let log = world.log();
        let mut lines = log.lines().filter(|line| line.contains("certificate of a backend"));
        lines.next().map(str::to_owned)
    });
    assert!(line.contains("WARN") && line.contains("only") && line.contains(reason), "{line}");
    let log = world.log();
    assert_absent(KEY, log.as_bytes(), "the log");
    assert_absent("purple-giraffe", log.as_bytes(), "the log");
}

#[test]
fn who_another_authority_vouches_for_gets_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = echo::upstream(Cut::NONE);
    let front = TlsFront::start(&authority, "localhost", upstream.address());
    // The authorities of the system do not know it either.
    for backend in
        [backend(&front, "localhost").ca_file(&other.file()), backend(&front, "localhost")]
    {
        refused(&start(backend), &upstream, "invalid peer certificate");
    }
}

#[test]
fn who_is_vouched_for_under_another_name_gets_nothing() {
    let (authority, upstream) = (Authority::new(), echo::upstream(Cut::NONE));
    let front = TlsFront::start(&authority, "somebody-else.example", upstream.address());
    let world = start(backend(&front, "localhost").ca_file(&authority.file()));
    refused(&world, &upstream, "not valid for name");
}

#[test]
fn a_file_that_vouches_for_nobody_is_told_at_the_start() {
    let (authority, upstream) = (Authority::new(), echo::upstream(Cut::NONE));
    let front = TlsFront::start(&authority, "localhost", upstream.address());
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let good = std::fs::read_to_string(authority.file()).unwrap();
    for (name, text) in [
        ("missing", None),
        ("empty", Some(String::new())),
        ("prose", Some("these are not the certificates".to_owned())),
        ("nonsense", Some(nonsense.to_owned())),
        ("a key beside it", Some(format!("{good}{key}"))),
    ] {
        let file = authority.folder().join("file.pem");
        let _ = std::fs::remove_file(&file);
        if let Some(text) = text {
            std::fs::write(&file, text).unwrap();
        }
        let config = authority.folder().join("router.yaml");
        let yaml = Config::new([backend(&front, "localhost").ca_file(&file)]).yaml();
        std::fs::write(&config, yaml).unwrap();
        let config = config.display().to_string();
        let ended = command(&["router", "run", "--config", &config, "--listen", "127.0.0.1:0"]);
        let ended = ended.expect(1);
        for word in ["certificate authorities", "only", "file.pem"] {
            assert!(ended.stderr.contains(word), "{name}: {word} is missing in {}", ended.stderr);
        }
        assert!(!ended.stderr.contains("panicked"), "{name}: {}", ended.stderr);
    }
}
