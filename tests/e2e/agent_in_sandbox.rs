//! Real agents in a sandbox: Claude Code and Codex think through inference.local and a scripted model, clone what the policy
//! opens, and are denied everything else; each decision is on record, and no key of a backend is in there.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use openshell_tests::{
    clients::{Client, installed},
    foreign::Aimock,
    process::{Finished, repository, run},
    script::Script,
    site::Site,
    text::assert_absent,
    upstream::{ScriptedUpstream, Seen},
    world::{Backend, Config, World},
};
use serde_json::{Value, json};

/// What no sandbox may ever see.
const KEY: &str = "sk-backend-of-the-agents-77e1";
const LIMIT: Duration = Duration::from_mins(3);
/// What the agent does when the model tells it to.
const WORK: &str = "cd /sandbox; git clone -q http://git.test/repo.git repo && cat repo/SECRET-OF-THE-REPOSITORY.txt; \
    cd repo; git -c user.name=a -c user.email=a@b.invalid commit -q --allow-empty -m more; \
    git push -q origin HEAD 2>&1 | sed 's/^/push said: /'; \
    echo curl got $(curl -s -o /dev/null -w '%{http_code}' http://other.test/)";

/// A model that has the agent work with this tool, and then says that it is done.
fn fixtures((tool, arguments): (&str, &Value)) -> Value {
    json!([
        {"match": {"hasToolResult": true}, "response": {"content": "The work is done."}},
        {"match": {"userMessage": "do the work"}, "response": {"toolCalls": [{"name": tool, "arguments": arguments}]}},
        {"match": {}, "response": {"content": "ok"}},
    ])
}

/// An agent's place: servers, a router, a model, and a sandbox for the agent.
struct Stage {
    site: Site,
    world: World,
    mock: Aimock,
    git: ScriptedUpstream,
    other: ScriptedUpstream,
    agent: Client,
}

fn stage(agent: &str, provider: &str) -> Option<Stage> {
    let bash = json!({"command": WORK, "description": "works"});
    let exec = json!({"cmd": WORK, "yield_time_ms": 60_000});
    let tool = if agent == "codex" { ("exec_command", &exec) } else { ("Bash", &bash) };
    let [agent, aimock] = installed([agent, "aimock"])?;
    let site = Site::start()?;
    let origin = origin(site.person().path());
    let git = site.scripted(([198, 18, 0, 12], 80), move |seen, _| git_server(&origin, seen));
    let other = site.server(([198, 18, 0, 11], 80));
    let mock = Aimock::start(&aimock, KEY, &fixtures(tool));
    let backend =
        Backend::new("mock", &mock.url()).provider(provider).credential(KEY).model("gpt-4o");
    let (socket, key) =
        (site.person().path().join("router.sock"), site.person().path().join("key"));
    let (listen, key) = (format!("unix:{}", socket.display()), key.display().to_string());
    let world = Config::new([backend]).flags(&["--listen", &listen, "--sandbox-key", &key]).start();
    Some(Stage { site, world, mock, git, other, agent })
}

/// A bare repository with one file.
fn origin(folder: &Path) -> PathBuf {
    let tree = folder.join("tree");
    fs::create_dir_all(&tree).unwrap();
    repository(&tree);
    fs::write(tree.join("SECRET-OF-THE-REPOSITORY.txt"), "cloned-it-4711\n").unwrap();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(folder).env("HOME", folder);
        git.args(["-c", "user.name=a", "-c", "user.email=a@b.invalid"]).args(args);
        drop(run("git", &mut git, LIMIT).expect(0));
    };
    git(&["-C", "tree", "add", "."]);
    git(&["-C", "tree", "commit", "-q", "-m", "A file"]);
    git(&["clone", "-q", "--bare", "tree", "served/repo.git"]);
    // It would take a push, if one came.
    git(&["-C", "served/repo.git", "config", "http.receivepack", "true"]);
    folder.join("served")
}

/// git's own server, which speaks the smart protocol over CGI.
fn git_server(root: &Path, seen: &Seen) -> Script {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "safe.directory");
    command.env("GIT_CONFIG_VALUE_0", "*");
    command.env("REQUEST_METHOD", &seen.method).env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("CONTENT_LENGTH", seen.body.len().to_string());
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        command.env(variable, seen.header(header).unwrap_or_default());
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("git is installed");
    child.stdin.take().unwrap().write_all(&seen.body).unwrap();
    let said = child.wait_with_output().unwrap().stdout;
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").expect("it has a head");
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    let headers: Vec<(&str, &str)> =
        head.lines().filter_map(|line| line.split_once(": ")).collect();
    let status = headers.iter().find(|(name, _)| *name == "Status");
    let status = status.and_then(|(_, value)| value.split(' ').next()?.parse().ok());
    Script::whole(status.unwrap_or(200), &headers, &said[end + 4..])
}

/// The policy that the examples have for this agent, with a server of this test in the place of its git server, and with
/// where the agent is installed.
fn policy(example: &str, installed: &Path) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/policies").join(example);
    let text = fs::read_to_string(file).unwrap();
    let opened = "host: git.test\n        port: 80\n        allowed_ips: [\"198.18.0.0/24\"]";
    let folder = installed.canonicalize().unwrap();
    let listed = format!("read_only: [{}, ", Value::from(folder.to_str().unwrap()));
    let changed = text
        .replace("host: github.com\n        port: 443", opened)
        .replace("read_only: [", &listed)
        // Where git was built by hand.
        .replace("{path: /usr/bin/git}", "{path: /usr/bin/git}, {path: /usr/local/bin/git}, {path: \"/usr/local/libexec/git-core/*\"}");
    assert!(changed.contains("git.test") && changed.contains(&listed), "{changed}");
    changed
}

impl Stage {
    /// Creates the sandbox with the agent in it and stays until it has ended.
    fn work(&self, example: &str, flags: &[&str], words: &[&str]) -> Finished {
        let policy = self.site.policy(&policy(example, self.agent.folder()));
        let router = format!("unix:{}", self.site.person().path().join("router.sock").display());
        let key = self.site.person().path().join("key");
        let create = ["sandbox", "create", "--name", "s", "--no-tty", "--router", &router];
        let files = ["--policy", policy.to_str().unwrap(), "--sandbox-key", key.to_str().unwrap()];
        self.site.openshell(&[&create, &files[..], flags, &["--"], words].concat())
    }

    /// What every agent has to come to.
    fn assert_worked(&self, ended: &Finished) {
        let said = ended.said();
        assert!(ended.stdout.contains("The work is done."), "{said}\n{:#?}", self.site.audit());
        let journal = self.mock.journal().to_string();
        // The results of the tool, as the agent told them to the model.
        assert!(journal.contains("cloned-it-4711"), "it cloned: {said}");
        assert!(journal.contains("push said: fatal"), "it tried to push: {journal}");
        assert!(journal.contains("error: 403"), "and was denied: {journal}");
        assert!(journal.contains("curl got 403"), "it was denied: {said}");
        // What reached the servers.
        let asked: Vec<String> = self.git.seen().into_iter().map(|seen| seen.target).collect();
        assert!(asked.iter().any(|target| target.ends_with("/git-upload-pack")), "{asked:?}");
        assert!(!asked.iter().any(|target| target.contains("git-receive-pack")), "{asked:?}");
        assert_eq!(self.other.count(), 0);
        self.assert_on_record();
        self.assert_keyless();
    }

    /// Each decision is in the audit of the sandbox; its calls are booked on it in that of the router.
    fn assert_on_record(&self) {
        let on = |host: &'static str, action: &'static str| {
            move |event: &Value| {
                event["dst_endpoint"]["hostname"] == host && event["action"] == action
            }
        };
        let _ = self.site.wait_for_event(on("git.test", "Allowed"));
        let push = self.site.wait_for_event(on("git.test", "Denied"));
        assert_eq!(push["http_request"]["url"]["path"], "/repo.git/info/refs", "{push}");
        let curl = self.site.wait_for_event(on("other.test", "Denied"));
        assert_eq!(curl["actor"]["process"]["file"]["path"], "/usr/bin/curl", "{curl}");
        let _ =
            self.site.wait_for_event(|event| event["unmapped"]["openshell"]["inference"] == true);
        // An agent that has its answer may leave before the stream has ended.
        let calls = self
            .world
            .wait_for_audit(2, |event| event["unmapped"]["openshell"]["backend"] == "mock");
        for call in calls {
            assert_eq!(call["actor"]["user"]["uid"], "sandbox/s", "{call}");
        }
    }

    /// The backend's key is nowhere in the sandbox: not in what its processes were given, nor in any file.
    fn assert_keyless(&self) {
        let script = "for p in /proc/[0-9]*; do cat $p/environ $p/cmdline 2>/dev/null | tr '\\0' '\\n'; done; env; \
            cat /etc/hosts /etc/passwd; grep -rs --binary-files=text sk-backend /sandbox /tmp /etc /var/log; true";
        let seen = self.site.shell(script).expect(0);
        assert!(seen.stdout.contains("OPENAI_API_KEY="), "{}", seen.stdout);
        assert_absent(KEY, seen.said().as_bytes(), "the sandbox");
        let record: String = self.site.audit().iter().map(Value::to_string).collect();
        assert_absent(KEY, record.as_bytes(), "the audit of the sandbox");
    }
}

#[test]
fn claude_code_works_with_what_it_may_and_is_told_what_it_may_not() {
    let Some(stage) = stage("claude-code", "anthropic") else { return };
    let program = stage.agent.node_program("claude").canonicalize().unwrap();
    let words = [program.to_str().unwrap(), "-p", "do the work", "--allowedTools", "Bash"];
    let ended = stage.work("claude-code.yaml", &[], &words);
    stage.assert_worked(&ended.expect(0));
}

#[test]
fn codex_works_with_what_it_may_and_is_told_what_it_may_not() {
    let Some(stage) = stage("codex", "openai") else { return };
    let program = stage.agent.node_program("codex").canonicalize().unwrap();
    let words = [
        program.to_str().unwrap(),
        "exec",
        "--skip-git-repo-check",
        // The walls are around it already.
        "--dangerously-bypass-approvals-and-sandbox",
        "do the work",
    ];
    let ended = stage.work("codex.yaml", &[], &words).expect(0);
    stage.assert_worked(&ended);
    // It asks for a WebSocket first, at its maker's own address, and is told at once that there is none.
    assert!(!ended.stderr.contains("Reconnecting"), "{}", ended.stderr);
    let _ =
        stage.site.wait_for_event(|event| event["dst_endpoint"]["hostname"] == "api.openai.com");
}

#[test]
fn a_model_api_that_is_hard_coded_is_routed_like_any_other() {
    let Some(stage) = stage("claude-code", "anthropic") else { return };
    let created = stage.work("claude-code.yaml", &["--detach"], &["sleep", "1000"]);
    let _ = created.expect(0);
    let body = json!({"model": "gpt-4o", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]});
    for (url, header) in [
        ("https://api.anthropic.com/v1/messages", "x-api-key: of-the-caller"),
        ("https://api.openai.com/v1/chat/completions", "authorization: Bearer of-the-caller"),
    ] {
        let told = stage
            .site
            .json(&format!("-H '{header}' -H 'content-type: application/json' -d '{body}' {url}"));
        assert!(told.to_string().contains("ok"), "{url}: {told}");
        let host = url.split('/').nth(2).unwrap().to_owned();
        let event = stage.site.wait_for_event(|event| event["dst_endpoint"]["hostname"] == *host);
        assert_eq!(event["unmapped"]["openshell"]["inference"], true, "{event}");
    }
    assert_absent("of-the-caller", stage.mock.journal().to_string().as_bytes(), "the model");
    let _ = stage.world.wait_for_audit(2, |event| event["actor"]["user"]["uid"] == "sandbox/s");
}
