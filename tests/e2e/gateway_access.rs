//! What proofs open at a gateway and for how long, and what a person sees who does things in another order than usual.

use std::{
    fs,
    io::Read as _,
    path::PathBuf,
    process::{Child, Stdio},
};

use openshell_tests::{process::run, sandboxes::Person, wait};
use serde_json::{Value, json};

/// A gateway of one person, gone with its value.
struct Gateway<'a> {
    person: &'a Person,
    endpoint: String,
}

impl<'a> Gateway<'a> {
    fn start(person: &'a Person) -> Self {
        let said = person.run(&["gateway", "start", "--port", "0"]).expect(0);
        let endpoint = said.stdout.lines().find_map(|line| line.trim().strip_prefix("Endpoint: "));
        Self { person, endpoint: endpoint.expect("it says where it is").to_owned() }
    }

    fn state(&self) -> PathBuf {
        self.person.home().join("gateways/openshell")
    }

    /// Status and answer: over the socket, or with a token over the port.
    fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut command = self.person.program("curl");
        command.args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "-X", method]);
        if let Some(body) = body {
            command.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
        }
        self.whither(&mut command, path, token);
        let said = run(&format!("curl {path}"), &mut command, wait::LONG).expect(0).stdout;
        let (body, status) = said.rsplit_once('\n').expect("two parts");
        (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or_default())
    }

    fn whither(&self, command: &mut std::process::Command, path: &str, token: Option<&str>) {
        let Some(token) = token else {
            command.arg("--unix-socket").arg(self.state().join("gateway.sock"));
            command.arg(format!("http://localhost{path}"));
            return;
        };
        command.arg("--cacert").arg(self.state().join("pki/ca.crt"));
        command.args(["-H", &format!("authorization: Bearer {token}")]);
        command.arg(format!("{}{path}", self.endpoint));
    }

    /// A new token for that long, made by whoever has that token.
    fn token(&self, by: Option<&str>, days: u32) -> Token {
        let body = json!({ "days": days });
        let (status, issued) = self.ask("POST", "/v1/me/tokens", by, Some(&body));
        assert_eq!(status, 201, "{issued}");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Token {
            secret: text(&issued["secret"]),
            id: text(&issued["token"]["id"]),
            expires: text(&issued["token"]["expires"]),
        }
    }

    /// A stream that somebody has open with a token.
    fn watch(&self, token: &str) -> Watch {
        let mut command = self.person.program("curl");
        command.args(["-sS", "-N", "-i", "--max-time", "60"]);
        self.whither(&mut command, "/v1/watch", Some(token));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("curl");
        let mut first = [0; 15];
        child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("a head");
        assert!(String::from_utf8_lossy(&first).contains("200"), "{first:?}");
        Watch(child)
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        drop(self.person.openshell(&["gateway", "destroy", "--yes"]).output());
    }
}

struct Token {
    secret: String,
    id: String,
    expires: String,
}

struct Watch(Child);

impl Watch {
    fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child can be asked").is_some()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_token_gives_nothing_that_outlives_it_and_ends_alone() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let (short, long) = (gateway.token(None, 1), gateway.token(None, 300));
    let made = gateway.token(Some(&short.secret), 365);
    assert_eq!(made.expires.get(..19), short.expires.get(..19), "no longer than what made it");
    let narrower = json!({"days": 1, "scopes": ["sandbox:read"]});
    let (status, _) = gateway.ask("POST", "/v1/me/tokens", Some(&long.secret), Some(&narrower));
    assert_eq!(status, 201);

    let (mut ends, mut stays) = (gateway.watch(&short.secret), gateway.watch(&long.secret));
    let path = format!("/v1/me/tokens/{}", short.id);
    assert_eq!(gateway.ask("DELETE", &path, None, None).0, 204);
    wait::until("what it has open to end", wait::LONG, || ends.is_over().then_some(()));
    assert_eq!(gateway.ask("GET", "/v1/me", Some(&short.secret), None).0, 401);
    assert!(!stays.is_over(), "another token of the same user goes on");
    assert_eq!(gateway.ask("GET", "/v1/me", Some(&long.secret), None).0, 200);
    assert_eq!(gateway.ask("DELETE", &path, None, None).0, 404, "it is ended once");

    // Nobody fills the store with certificates.
    assert_eq!(gateway.ask("POST", "/v1/users", None, Some(&json!({"name": "ada"}))).0, 201);
    let path = "/v1/users/ada/certificates";
    let mut made = 0;
    let refused = loop {
        let (status, answer) = gateway.ask("POST", path, None, None);
        if status != 201 {
            break (status, answer["code"].clone());
        }
        made += 1;
        assert!(made <= 30, "there is a limit");
    };
    assert_eq!((made, refused), (30, (409, json!("too_many_certificates"))));
}

#[test]
fn a_gateway_that_runs_is_registered_by_starting_it() {
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person);
    let config = person.path().join(".config/openshell");
    fs::remove_dir_all(&config).expect("it was there");
    assert!(person.run(&["status"]).expect(0).stdout.contains("No gateway configured"));
    let again = person.run(&["gateway", "start"]).expect(0);
    assert!(again.stdout.contains("is running"), "{again:?}");
    assert!(again.stdout.contains(&gateway.endpoint), "{again:?}");
    assert!(person.run(&["status"]).expect(0).stdout.contains("Connected"));
    assert!(config.join("gateways/openshell/mtls/tls.key").exists());
    // Once more changes nothing, and makes no further certificate.
    drop(person.run(&["gateway", "start"]).expect(0));
    let (_, me) = gateway.ask("GET", "/v1/me", None, None);
    let path = format!("/v1/users/{}/certificates", me["name"].as_str().expect("a name"));
    let (_, all) = gateway.ask("GET", &path, None, None);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "{all}");
    let other =
        person.run(&["gateway", "start", "--oidc-issuer", "https://i", "--oidc-audience", "a"]);
    assert!(other.expect(1).stderr.contains("gateway stop"));
}

#[test]
fn who_runs_a_gateway_is_called_what_the_system_calls_them() {
    let person = Person::root().with_gateways();
    let mut start = person.openshell(&["gateway", "start", "--port", "0"]);
    drop(run("gateway start", start.env("USER", "somebody-else"), wait::LONG).expect(0));
    let gateway = Gateway { person: &person, endpoint: String::new() };
    let (_, me) = gateway.ask("GET", "/v1/me", None, None);
    let id = run("id", person.program("id").arg("-un"), wait::LONG).expect(0).stdout;
    assert_eq!(me["name"], id.trim());
}

#[test]
fn two_gateways_do_not_keep_the_sandboxes_of_one_database() {
    let person = Person::root().with_gateways();
    let database = format!("sqlite:{}", person.path().join("shared/gateway.db").display());
    let key = format!("file:{}", person.path().join("shared.key").display());
    let start = |name: &str| {
        let mut start = person.openshell(&["gateway", "start", "--name", name, "--port", "0"]);
        start.env("OPENSHELL_DB_URL", &database).env("OPENSHELL_SECRETS_KEY", &key);
        run("gateway start", &mut start, wait::LONG)
    };
    drop(start("openshell").expect(0));
    let _gateway = Gateway { person: &person, endpoint: String::new() };
    let second = start("second").expect(1);
    assert!(second.said().contains("another gateway uses this database"), "{second:?}");
    drop(person.run(&["gateway", "stop"]).expect(0));
    drop(start("second").expect(0));
    drop(person.run(&["gateway", "destroy", "--name", "second", "--yes"]).expect(0));
}
