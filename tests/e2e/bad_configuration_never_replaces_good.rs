//! Promise: bad configuration never replaces good. A file with mistakes is refused whole, with every mistake named.

use openshell_tests::{
    dialect::Dialect,
    echo::{self, Cut},
    wait,
    world::{Backend, Config, World, command},
};

/// Files that must be refused, and a word that the complaint must hold.
fn bad_files(good: &str) -> Vec<(&'static str, String, &'static str)> {
    vec![
        ("empty", String::new(), ""),
        ("no YAML", "{{{".to_owned(), ""),
        ("a list", "- a\n- b\n".to_owned(), ""),
        ("cut in the middle", good.chars().take(good.len() / 2).collect(), ""),
        ("an unknown field", format!("{good}\nbackendz: []\n"), "backendz"),
        ("an unknown zone", good.replace("zone: local", "zone: lokal"), "lokal"),
        ("no version", good.replace("version: 1\n", ""), "version"),
        ("a version to come", good.replace("version: 1\n", "version: 99\n"), "version"),
        ("no backends", "version: 1\nbackends: []\n".to_owned(), "backend"),
        ("a bad address", good.replace("base_url: http://", "base_url: gopher://"), "base_url"),
        ("a bad pattern", format!("{good}\nsensitivity: {{terms: {{x: {{any: [\"(\"]}}}}}}\n"), ""),
        (
            "a bad ceiling",
            format!("{good}\nsensitivity: {{ceilings: {{public: galaxy}}}}\n"),
            "galaxy",
        ),
        ("a bomb", format!("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n{good}"), ""),
    ]
}

fn refused(world: &World) -> f64 {
    world.metric("openshell_router_reloads_refused_total", &[])
}

#[test]
fn while_running() {
    let upstream = echo::upstream(Cut::NONE);
    let config = Config::new([Backend::new("good", &upstream.url()).model("m")]);
    let world = config.start();
    for (name, file, _) in bad_files(&config.yaml()) {
        let before = refused(&world);
        world.write_file(&file);
        world.hang_up();
        wait::until(&format!("{name} to be refused"), wait::LONG, || {
            (refused(&world) > before).then_some(())
        });
        let reply = world.chat("hello");
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(reply.header("x-openshell-route"), Some("good/m"), "{name}");
    }
    world.write_file(&config.yaml().replace("name: good", "name: better"));
    world.hang_up();
    wait::until("a good file to be taken after the bad ones", wait::LONG, || {
        (world.chat("hello").header("x-openshell-route") == Some("better/m")).then_some(())
    });
    assert_eq!(Dialect::Chat.text(&world.chat("hello")), "you said: hello");
}

#[test]
fn at_the_start() {
    let good = Config::new([Backend::new("good", "http://127.0.0.1:9").model("m")]).yaml();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("router.yaml");
    for (name, text, word) in bad_files(&good) {
        std::fs::write(&file, text).unwrap();
        let ended = command(&[
            "router",
            "run",
            "--config",
            file.to_str().unwrap(),
            "--listen",
            "127.0.0.1:0",
        ]);
        assert_ne!(ended.code, Some(0), "{name}");
        assert!(ended.stderr.contains(word), "{name}: {}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{name}: {}", ended.stderr);
    }
}

#[test]
fn a_check_names_every_mistake_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("router.yaml");
    let text = "version: 1\nbackends:\n  - name: a\n    provider: openai\n    zone: lokal\n    modles: []\nbudget: []\n";
    std::fs::write(&file, text).unwrap();
    let ended = command(&["router", "check", file.to_str().unwrap()]);
    assert_ne!(ended.code, Some(0));
    let said = ended.said();
    for word in ["lokal", "modles", "budget", "models", "local", "budgets", ":5:", ":6:", ":7:"] {
        assert!(said.contains(word), "{word} is missing in:\n{said}");
    }
}
