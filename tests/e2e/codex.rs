//! Codex, the real agent, through the router: to a backend of its own dialect, and to one of another.

use std::{fs, time::Duration};

use openshell_tests::{
    clients::{bare, installed},
    foreign::Aimock,
    process::run,
    text::assert_absent,
    world::{Backend, Config},
};
use serde_json::json;

const KEY: &str = "sk-backend-codex-1";
const CALLER: &str = "caller-key-of-codex";

fn check(provider: &str) {
    let Some([agent, aimock]) = installed(["codex", "aimock"]) else { return };
    let fixtures = json!([
        {"match": {"userMessage": "hello"}, "response": {"content": "Good morning to you, too."}},
        {"match": {}, "response": {"content": "ok"}},
    ]);
    let mock = Aimock::start(&aimock, KEY, &fixtures);
    let backend =
        Backend::new("mock", &mock.url()).provider(provider).credential(KEY).model("gpt-4o");
    let world = Config::new([backend]).start();
    let home = tempfile::tempdir().unwrap();
    let settings = format!(
        "model = \"auto\"\nweb_search = \"disabled\"\nmodel_provider = \"openshell\"\n\n[model_providers.openshell]\nname = \"openshell\"\n\
         base_url = \"{}/v1\"\nenv_key = \"INFERENCE_KEY\"\nwire_api = \"responses\"\n",
        world.url()
    );
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    fs::write(home.path().join(".codex/config.toml"), settings).unwrap();
    let mut command = bare(&agent.node_program("codex"));
    command.env("HOME", home.path()).current_dir(home.path()).env("INFERENCE_KEY", CALLER);
    command.args(["exec", "--skip-git-repo-check", "hello"]);
    let ended = run("codex", &mut command, Duration::from_mins(2)).expect(0);
    assert!(ended.stdout.contains("Good morning to you, too."), "{}", ended.said());
    assert_absent(CALLER, mock.journal().to_string().as_bytes(), "the mock's journal");
}

#[test]
fn says_hello_to_a_backend_of_its_own_dialect() {
    check("openai");
}

#[test]
fn says_hello_to_a_backend_of_another_dialect() {
    check("openai-compatible");
}
