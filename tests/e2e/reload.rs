//! The file reloads while the router runs: the next request sees the new one, a stream that has begun sees the old one.

use std::time::Duration;

use openshell_tests::{
    dialect::Dialect,
    echo::{self, Cut},
    http::Ask,
    script::Script,
    upstream::ScriptedUpstream,
    wait, wire,
    world::{Backend, Config, World},
};

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
