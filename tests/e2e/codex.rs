//! Codex, the real agent, through the router: to a backend of its own dialect, and to one of another.

use std::{fs, time::Duration};

use openshell_tests::{
    clients::{Client, bare, installed},
    foreign::Aimock,
    process::{Finished, repository, run},
    text::assert_absent,
    world::{Backend, Config, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "sk-backend-codex-1";
const CALLER: &str = "caller-key-of-codex";

struct Stage {
    agent: Client,
    mock: Aimock,
    world: World,
    home: TempDir,
}

/// Codex with its default settings, but for the lines in `settings`, before a backend of this provider.
fn stage(provider: &str, settings: &str) -> Option<Stage> {
    let [agent, aimock] = installed(["codex", "aimock"])?;
    let fixtures = json!([
        {"match": {"userMessage": "make a mark", "hasToolResult": true}, "response": {"content": "The mark is made."}},
        {"match": {"userMessage": "make a mark"}, "response": {"toolCalls": [
            {"name": "exec_command", "arguments": {"cmd": "echo made > mark.txt"}}]}},
        {"match": {"userMessage": "hello"}, "response": {"content": "Good morning to you, too."}},
        {"match": {}, "response": {"content": "ok"}},
    ]);
    let mock = Aimock::start(&aimock, KEY, &fixtures);
    let backend =
        Backend::new("mock", &mock.url()).provider(provider).credential(KEY).model("gpt-4o");
    let world = Config::new([backend]).start();
    let home = tempfile::tempdir().unwrap();
    repository(home.path());
    let settings = format!(
        "model = \"auto\"\n{settings}\nmodel_provider = \"openshell\"\n\n[model_providers.openshell]\nname = \"openshell\"\n\
         base_url = \"{}/v1\"\nenv_key = \"INFERENCE_KEY\"\nwire_api = \"responses\"\n",
        world.url()
    );
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    fs::write(home.path().join(".codex/config.toml"), settings).unwrap();
    Some(Stage { agent, mock, world, home })
}

impl Stage {
    fn codex(&self, args: &[&str]) -> Finished {
        let mut command = bare(&self.agent.node_program("codex"));
        command.env("HOME", self.home.path()).current_dir(self.home.path());
        command.env("INFERENCE_KEY", CALLER).args(["exec", "--skip-git-repo-check"]);
        run("codex", command.args(args), Duration::from_mins(2)).expect(0)
    }

    /// What the requests of this stage went without, as the audit tells it.
    fn omitted(&self) -> String {
        let answered = |event: &Value| event["status_id"] == 1;
        let events = self.world.wait_for_audit(1, answered);
        events.iter().map(|event| event["unmapped"]["openshell"]["omitted"].to_string()).collect()
    }
}

#[test]
fn says_hello_to_a_backend_of_its_own_dialect() {
    let Some(stage) = stage("openai", "") else { return };
    let ended = stage.codex(&["hello"]);
    assert!(ended.stdout.contains("Good morning to you, too."), "{}", ended.said());
    assert_absent(CALLER, stage.mock.journal().to_string().as_bytes(), "the mock's journal");
    assert!(!stage.omitted().contains("web_search"), "its own dialect has words for all of it");
    stage.world.assert_public();
}

#[test]
fn says_hello_to_a_backend_of_another_dialect() {
    for provider in ["openai-compatible", "anthropic"] {
        for (settings, searches) in
            [("", true), ("web_search = \"live\"", true), ("web_search = \"disabled\"", false)]
        {
            let Some(stage) = stage(provider, settings) else { return };
            let ended = stage.codex(&["hello"]);
            let said = ended.said();
            assert!(ended.stdout.contains("Good morning to you, too."), "{provider}: {said}");
            let omitted = stage.omitted();
            assert_eq!(
                omitted.contains("tools.web_search"),
                searches,
                "{provider} {settings}: {omitted}"
            );
            let journal = stage.mock.journal().to_string();
            assert_absent(CALLER, journal.as_bytes(), "the mock's journal");
            assert!(!journal.contains("web_search"), "{provider} has no such tool");
        }
    }
}

#[test]
fn runs_a_tool_behind_a_backend_of_another_dialect() {
    for provider in ["openai-compatible", "anthropic"] {
        let Some(stage) = stage(provider, "") else { return };
        // The sandbox of Codex needs rights that a container may not give.
        let ended = stage.codex(&["--dangerously-bypass-approvals-and-sandbox", "make a mark"]);
        assert!(ended.stdout.contains("The mark is made."), "{provider}: {}", ended.said());
        let mark = fs::read_to_string(stage.home.path().join("mark.txt")).expect("the tool ran");
        assert_eq!(mark.trim(), "made", "{provider}");
    }
}
