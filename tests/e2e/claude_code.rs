//! Claude Code, the real agent, through the router: to a backend of its own dialect, and to one of another.

use std::{process::Command, time::Duration};

use openshell_tests::{
    clients::{Client, bare, installed},
    foreign::Aimock,
    process::{Finished, repository, run},
    text::{EMAIL, assert_absent},
    world::{Backend, Config, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;

const KEY: &str = "sk-backend-claude-1";
const LIMIT: Duration = Duration::from_mins(2);

fn fixtures() -> Value {
    json!([
        {"match": {"userMessage": "make a mark", "hasToolResult": true}, "response": {"content": "The mark is made."}},
        {"match": {"userMessage": "make a mark"}, "response": {"toolCalls": [
            {"name": "Bash", "arguments": {"command": "echo made > mark.txt", "description": "makes a mark"}}]}},
        {"match": {"userMessage": "hello"}, "response": {"content": "Good morning to you, too."}},
        {"match": {}, "response": {"content": "ok"}},
    ])
}

struct Stage {
    agent: Client,
    mock: Aimock,
    world: World,
    folder: TempDir,
}

fn stage(provider: &str, zone: &str) -> Option<Stage> {
    let [agent, aimock] = installed(["claude-code", "aimock"])?;
    let mock = Aimock::start(&aimock, KEY, &fixtures());
    let backend = Backend::new("mock", &mock.url())
        .provider(provider)
        .zone(zone)
        .credential(KEY)
        .model("gpt-4o");
    let world = Config::new([backend])
        .sensitivity(
            ["public", "public", "private", "local"],
            &[("pii/*", "confidential", "redact")],
        )
        .start();
    let folder = tempfile::tempdir().unwrap();
    repository(folder.path());
    Some(Stage { agent, mock, world, folder })
}

impl Stage {
    fn claude(&self, args: &[&str]) -> Finished {
        let mut command: Command = bare(&self.agent.node_program("claude"));
        command.env("HOME", self.folder.path()).current_dir(self.folder.path());
        command
            .env("ANTHROPIC_BASE_URL", self.world.url())
            .env("ANTHROPIC_API_KEY", "caller-key-of-claude");
        command.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1").env("IS_SANDBOX", "1");
        run("claude", command.args(args), LIMIT)
    }
}

#[test]
fn says_hello() {
    for provider in ["anthropic", "openai-compatible"] {
        let Some(stage) = stage(provider, "local") else { return };
        let ended = stage.claude(&["-p", "hello"]).expect(0);
        assert_eq!(ended.stdout.trim(), "Good morning to you, too.", "{provider}");
        let journal = stage.mock.journal().to_string();
        assert_absent("caller-key-of-claude", journal.as_bytes(), "the mock's journal");
        // What the agent itself tells the model must not keep it from the cheap backends.
        stage.world.assert_public();
        let events = stage.world.wait_for_audit(1, |event| event["status_id"] == 1);
        let omitted = events
            .iter()
            .map(|event| event["unmapped"]["openshell"]["omitted"].to_string())
            .collect::<String>();
        let translated = provider != "anthropic";
        for field in ["cache_control", "metadata"] {
            assert_eq!(omitted.contains(field), translated, "{provider}: {omitted}");
        }
    }
}

#[test]
fn runs_a_tool() {
    for provider in ["anthropic", "openai-compatible"] {
        let Some(stage) = stage(provider, "local") else { return };
        let ended = stage.claude(&["-p", "make a mark", "--allowedTools", "Bash"]).expect(0);
        assert_eq!(ended.stdout.trim(), "The mark is made.", "{provider}");
        let mark =
            std::fs::read_to_string(stage.folder.path().join("mark.txt")).expect("the tool ran");
        assert_eq!(mark.trim(), "made", "{provider}");
    }
}

#[test]
fn what_is_personal_stays_here() {
    let Some(stage) = stage("anthropic", "public") else { return };
    let _ = stage.claude(&["-p", &format!("hello, I am {EMAIL}")]).expect(0);
    let journal = stage.mock.journal().to_string();
    assert!(journal.contains("hello, I am"), "the mock got the prompt");
    assert_absent(EMAIL, journal.as_bytes(), "the mock's journal");
}
