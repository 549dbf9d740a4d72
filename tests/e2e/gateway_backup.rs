//! What a gateway keeps comes back from a backup, which has no secret in clear; its key is replaced while it runs.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use openshell_tests::{process::run, sandboxes::Person, wait};
use serde_json::{Value, json};

const SECRET: &str = "ghp_0123456789abcdefABCDEFghijklmnopqrst";

/// Ends both gateways with the test.
struct Ended<'a>(&'a Person);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        for name in ["openshell", "second"] {
            drop(self.0.openshell(&["gateway", "destroy", "--yes", "--name", name]).output());
        }
    }
}

fn ask(person: &Person, gateway: &str, method: &str, path: &str, body: Option<&Value>) -> Value {
    let mut command = person.program("curl");
    let socket = person.home().join("gateways").join(gateway).join("gateway.sock");
    command.args(["-sS", "--max-time", "30", "-X", method, "--unix-socket"]).arg(socket);
    if let Some(body) = body {
        command.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
    }
    command.arg(format!("http://localhost{path}"));
    let said = run(&format!("curl {path}"), &mut command, wait::LONG).expect(0).stdout;
    serde_json::from_str(&said).unwrap_or_default()
}

fn has(file: &Path, bytes: &str) -> bool {
    let content = fs::read(file).expect("it is there");
    content.windows(bytes.len()).any(|window| window == bytes.as_bytes())
}

#[test]
fn everything_comes_back_under_the_key_of_its_time() {
    let person = Person::root().with_gateways();
    let _ended = Ended(&person);
    let home = person.home().join("gateways");
    drop(person.run(&["gateway", "start", "--port", "0"]).expect(0));
    let provider = json!({"name": "gh", "type": "github", "credentials": {"GITHUB_TOKEN": SECRET}});
    assert_eq!(ask(&person, "openshell", "POST", "/v1/providers", Some(&provider))["name"], "gh");

    let said = person.run(&["gateway", "backup", "old.db"]).expect(0);
    assert!(said.stdout.contains("old.db"), "{said:?}");
    let old = person.path().join("old.db");
    assert_eq!(fs::metadata(&old).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(!has(&old, SECRET));
    let again = person.run(&["gateway", "backup", "old.db"]).expect(1);
    assert!(again.stderr.contains("never replaces"), "{again:?}");
    let nowhere = person.run(&["gateway", "backup", "no/such/folder.db"]).expect(1);
    assert!(nowhere.stderr.contains("cannot make"), "{nowhere:?}");

    // Another key, and nothing that a client notices.
    let key = home.join("openshell/secrets.key");
    let before = fs::read(&key).expect("a key");
    let rotated = person.run(&["gateway", "rotate-key"]).expect(0);
    assert!(rotated.stdout.contains("has another key"), "{rotated:?}");
    assert_ne!(fs::read(&key).expect("a key"), before);
    drop(person.run(&["gateway", "backup", "new.db"]).expect(0));
    let left: Vec<_> = fs::read_dir(home.join("openshell"))
        .expect("a folder")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter(|name| name.contains("backup") || name.contains(".part"))
        .collect();
    assert_eq!(left, Vec::<String>::new());

    // Only into an empty place that nobody uses, and only under its key.
    let refused = |args: &[&str], word: &str| {
        let said = person.run(&[&["gateway", "restore"], args].concat()).expect(1);
        assert!(said.stderr.contains(word), "{args:?}: {said:?}");
    };
    refused(&["old.db"], "runs");
    refused(&["old.db", "--name", "second"], "there is no key");
    let second = home.join("second");
    let with = |bytes: &[u8]| {
        fs::create_dir_all(&second).expect("a folder");
        fs::set_permissions(&second, fs::Permissions::from_mode(0o700)).expect("ours");
        let path = second.join("secrets.key");
        fs::write(&path, bytes).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    };
    with(&fs::read(&key).expect("a key"));
    refused(&["old.db", "--name", "second"], "which is not there");
    with(&before);
    let cut = person.path().join("cut.db");
    let content = fs::read(&old).expect("it is there");
    fs::write(&cut, content.get(..content.len() / 2).expect("a half")).expect("a file");
    refused(&["cut.db", "--name", "second"], "error");
    refused(&["missing.db", "--name", "second"], "error");
    drop(person.run(&["gateway", "restore", "old.db", "--name", "second"]).expect(0));
    refused(&["old.db", "--name", "second"], "empty");
    drop(person.run(&["gateway", "start", "--name", "second", "--port", "0"]).expect(0));
    let found = ask(&person, "second", "GET", "/v1/providers/gh", None);
    assert_eq!(found["credential_keys"], json!(["GITHUB_TOKEN"]), "{found}");
    // What it has sealed it opens: it seals all of it under another key again.
    let rotated = person.run(&["gateway", "rotate-key", "second"]).expect(0);
    let sealed = rotated.stdout.split(' ').filter_map(|word| word.parse::<u32>().ok()).max();
    assert!(sealed >= Some(1), "{rotated:?}");
}
