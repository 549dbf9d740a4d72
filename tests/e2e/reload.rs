//! The file reloads while the router runs: the next request sees the new one, a stream that has begun sees the old one.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::Duration,
};

use openshell_tests::{
    dialect::Dialect,
    echo::{self, Cut},
    http::Ask,
    script::Script,
    site::Site,
    upstream::ScriptedUpstream,
    wait, wire,
    world::{Backend, Config, World},
};
use serde_json::{Value, json};

fn wait_for_route(world: &World, route: &str) {
    wait::until(&format!("requests to go to {route}"), wait::LONG, || {
        (world.chat("hello").header("x-openshell-route") == Some(route)).then_some(())
    });
}

#[test]
fn a_new_backend_takes_over_on_a_signal() {
    let (old, new) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = Config::new([Backend::new("old", &old.url()).model("m")]).start();
    wait_for_route(&world, "old/m");
    world.write_config(&Config::new([Backend::new("new", &new.url()).model("n")]));
    world.hang_up();
    wait_for_route(&world, "new/n");
    let before = old.count();
    for _ in 0..5 {
        let _ = world.chat("hello").expect(200);
    }
    assert_eq!(old.count(), before);
}

#[test]
fn a_changed_file_is_noticed_without_a_signal() {
    let (old, new) = (echo::upstream(Cut::NONE), echo::upstream(Cut::NONE));
    let world = Config::new([Backend::new("old", &old.url()).model("m")]).start();
    world.write_config(&Config::new([Backend::new("new", &new.url()).model("n")]));
    wait_for_route(&world, "new/n");
}

#[test]
fn a_stream_that_has_begun_is_not_disturbed() {
    let words: Vec<String> = (0..60).map(|number| format!("w{number} ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let script = Script::events(&wire::chat_events(&words)).paced(Duration::from_millis(30));
    let (old, new) = (ScriptedUpstream::always(script), echo::upstream(Cut::NONE));
    let world = Config::new([Backend::new("old", &old.url()).model("m")]).start();
    let mut incoming =
        Ask::post("/v1/messages", &Dialect::Messages.ask("hi", true)).open(world.address());
    let mut left = Vec::new();
    let mut events = vec![incoming.event(&mut left).expect("the stream begins")];
    world.write_config(&Config::new([Backend::new("new", &new.url()).model("n")]));
    world.hang_up();
    wait_for_route(&world, "new/n");
    while let Some(event) = incoming.event(&mut left) {
        events.push(event);
    }
    assert_eq!(Dialect::Messages.stream_text(&events), words.concat());
    assert_eq!(Dialect::Messages.endings(&events), 1);
}

#[test]
fn a_stricter_ceiling_binds_the_next_request() {
    let public = echo::upstream(Cut::NONE);
    let config = Config::new([Backend::new("cloud", &public.url()).zone("public").model("m")]);
    let labels = [("pii/*", "confidential", "route")];
    let world =
        config.clone().sensitivity(["public", "public", "public", "public"], &labels).start();
    let prompt = format!("mail {}", openshell_tests::text::EMAIL);
    let _ = world.chat(&prompt).expect(200);
    world.write_config(&config.sensitivity(["public", "public", "private", "local"], &labels));
    world.hang_up();
    wait::until("the ceiling to bind", wait::LONG, || {
        (world.chat(&prompt).status >= 400).then_some(())
    });
    let before = public.count();
    let _ = world.chat(&prompt);
    assert_eq!(public.count(), before);
}

#[test]
fn an_end_lets_streams_finish() {
    let words: Vec<&str> = std::iter::repeat_n("word ", 40).collect();
    let script = Script::events(&wire::chat_events(&words)).paced(Duration::from_millis(20));
    let upstream = ScriptedUpstream::always(script);
    let mut world = Config::new([Backend::new("only", &upstream.url()).model("m")]).start();
    let mut incoming =
        Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hi", true)).open(world.address());
    let mut left = Vec::new();
    let mut events = vec![incoming.event(&mut left).expect("the stream begins")];
    let reader = std::thread::spawn(move || {
        while let Some(event) = incoming.event(&mut left) {
            events.push(event);
        }
        events
    });
    let ended = world.terminate();
    assert_eq!(ended.code, Some(0), "{}", ended.said());
    let events = reader.join().unwrap();
    assert_eq!(Dialect::Chat.stream_text(&events), words.concat());
}

#[test]
fn a_thousand_streams_of_a_sandbox_go_on_while_their_route_changes() {
    const STREAMS: usize = 1000;
    let Some(site) = Site::start() else { return };
    let events = wire::chat_events(&["word "; 40]);
    let script = Script::events(&events).paced(Duration::from_millis(500));
    let slow = ScriptedUpstream::always(script);
    let next = echo::upstream(Cut::NONE);
    let socket = site.person().path().join("router.sock");
    let listen = format!("unix:{}", socket.display());
    let config = |name: &str, url: &str| {
        Config::new([Backend::new(name, url).model("m")]).flags(&["--listen", &listen])
    };
    let world = config("slow", &slow.url()).start();
    let closed =
        "version: 1\nfilesystem_policy: {read_only: [/usr, /lib, /etc], read_write: [/tmp]}\n";
    drop(site.try_create(closed, &["--router", &listen]).expect(0));

    let script = include_str!("../clients/streams.py");
    let count = STREAMS.to_string();
    let exec =
        ["sandbox", "exec", "-n", "s", "--no-tty", "--", "/usr/bin/python3", "-c", script, &count];
    let mut client =
        site.command(&exec).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    // Routes change under them, and each new call takes the new one while they go on.
    for round in 0..6 {
        let (name, url) = if round % 2 == 0 { ("next", next.url()) } else { ("other", next.url()) };
        world.write_config(&config(name, &url));
        world.hang_up();
        let ask = "curl -s -D - -o /dev/null --max-time 20 $OPENAI_BASE_URL/chat/completions -H 'content-type: application/json' \
                   -d '{\"model\":\"auto\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}'";
        wait::until("a new call to take the new route", wait::LONG, || {
            site.shell(ask)
                .stdout
                .to_ascii_lowercase()
                .contains(&format!("x-openshell-route: {name}/m"))
                .then_some(())
        });
    }
    let said: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert!(client.wait().unwrap().success());
    assert_eq!((&said["ended"], &said["errors"]), (&json!(STREAMS), &json!({})), "{said}");
    // Each has a piece every half second; a stall of the kind that this is about lasts as long as the longest stream.
    assert!(said["longest_ms"].as_u64().unwrap() < 10_000, "{said}");
    assert_eq!(slow.count(), STREAMS);
}
