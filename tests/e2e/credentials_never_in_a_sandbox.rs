//! Promise 1: a credential of a backend never appears in a sandbox's memory, environment, files, responses or logs; nor does
//! its supervisor ever hold it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use openshell_tests::{
    processes,
    sandboxes::Person,
    script::Script,
    text::assert_absent,
    upstream::ScriptedUpstream,
    wait,
    world::{Backend, Config},
};
use rustix::process::Pid;
use serde_json::json;

const KEY: &str = "sk-backend-never-inside-9d4c";
/// What an agent keeps in its memory, so that a search that finds nothing has searched.
const OWN: &str = "kept-in-the-memory-of-the-agent";

/// A program that stays, with what it was answered in its memory.
const AGENT: &str = "import os, ssl, time, urllib.request as u\n\
    own = 'kept-in-the-memory-' + 'of-the-agent'\n\
    body = b'{\"model\": \"auto\", \"messages\": [{\"role\": \"user\", \"content\": \"hello\"}]}'\n\
    ask = u.Request(os.environ['OPENAI_BASE_URL'] + '/chat/completions', body, {'content-type': 'application/json', \
    'authorization': 'Bearer ' + os.environ['OPENAI_API_KEY']})\n\
    answer = u.urlopen(ask)\n\
    said = str(answer.headers) + answer.read().decode()\n\
    open('/sandbox/answer', 'w').write(said)\n\
    print('answered', flush=True)\n\
    time.sleep(1000)\n";

/// A backend that gives away what it was sent, in a header and in its answer.
fn indiscreet() -> ScriptedUpstream {
    ScriptedUpstream::start(|seen, _| {
        let key = seen.header("authorization").unwrap_or_default().to_owned();
        let answer = json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": format!("you sent {key}")}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        });
        let headers = [("content-type", "application/json"), ("x-seen", key.as_str())];
        Script::whole(200, &headers, answer.to_string().as_bytes())
    })
}

/// Bytes of a page, on every machine that tests run on.
const PAGE: u64 = 4096;

/// Every page that a process can write to and has, as it is now; `None` where this user may not look.
fn memory(process: Pid) -> Option<Vec<u8>> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).ok()?;
    let memory = File::open(format!("/proc/{process}/mem")).ok()?;
    let pages = File::open(format!("/proc/{process}/pagemap")).ok()?;
    let mut all = Vec::new();
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ')?;
        if !rest.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (from, to) = (u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?);
        let mut entries = vec![0; usize::try_from((to - from) / PAGE * 8).ok()?];
        pages.read_exact_at(&mut entries, from / PAGE * 8).ok()?;
        for (at, entry) in (from..to).step_by(4096).zip(entries.chunks_exact(8)) {
            // The two highest bits say that it is in memory, or in swap.
            if entry[7] & 0xc0 != 0 {
                let mut page = [0; 4096];
                let length = memory.read_at(&mut page, at).unwrap_or_default();
                all.extend_from_slice(&page[..length]);
            }
        }
    }
    Some(all)
}

fn contains(all: &[u8], text: &str) -> bool {
    memchr::memmem::find(all, text.as_bytes()).is_some()
}

fn assert_nowhere_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            assert_nowhere_below(&path);
        } else if path.is_file() {
            let text = fs::read(&path).unwrap_or_default();
            assert!(!contains(&text, KEY), "{}", path.display());
        }
    }
}

#[test]
fn a_backends_key_is_in_no_memory_environment_file_answer_or_log_of_a_sandbox() {
    for person in Person::all() {
        let upstream = indiscreet();
        let key = person.path().join("sandbox.key");
        let world = Config::new([Backend::new("b", &upstream.url()).credential(KEY).model("m")])
            .flags(&["--sandbox-key", key.to_str().unwrap()])
            .start();
        person.own(&key);
        let router = world.address().to_string();
        let create = ["sandbox", "create", "--name", "k", "--detach", "--router", &router];
        let proof = ["--sandbox-key", key.to_str().unwrap(), "--", "python3", "-c", AGENT];
        let _ = person.run(&[&create[..], &proof].concat()).expect(0);
        let answer = wait::until("the agent's answer", wait::LONG, || {
            let file = person.home().join("sandboxes/k/files/answer");
            fs::read_to_string(file).ok().filter(|text| text.contains("you sent"))
        });
        assert_absent(KEY, answer.as_bytes(), "the answer");
        let sent = upstream.only();
        assert_eq!(sent.header("authorization"), Some(&*format!("Bearer {KEY}")), "it was used");

        let mut found_own = false;
        let supervisor = person.supervisor("k").unwrap();
        let family = processes::family(supervisor);
        assert!(family.len() >= 3, "supervisor, first process, agent: {family:?}");
        for process in family {
            // An ordinary user may not look into processes that have closed themselves.
            let Some(memory) = memory(process) else { continue };
            found_own |= contains(&memory, OWN);
            assert!(!contains(&memory, KEY), "{}: process {process}", person.name());
            for file in ["environ", "cmdline"] {
                let text = processes::told(process, file).into_bytes();
                assert_absent(KEY, &text, file);
            }
        }
        assert!(found_own, "the search finds what is there");
        assert_nowhere_below(&person.home());
        let logs = person.run(&["logs", "k"]).expect(0);
        assert_absent(KEY, logs.said().as_bytes(), "the logs");
    }
}
