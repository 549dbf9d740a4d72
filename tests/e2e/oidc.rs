//! People log in at an OIDC provider that others wrote; a test is their browser. Tokens that somebody made up open nothing.

use std::{net::TcpListener, process::Command, time::SystemTime};

use openshell_tests::{
    clients::{self, Client},
    process::{Running, run},
    sandboxes::Person,
    tls::{Authority, TlsFront},
    wait,
};
use serde_json::{Value, json};

const AUDIENCE: &str = "https://gateway.test";

/// A provider behind TLS.
struct Provider {
    authority: Authority,
    front: TlsFront,
    client: Client,
    inner: u16,
    server: Running,
}

impl Provider {
    /// Whose access tokens are signed so, and good for so many seconds.
    fn start(client: &Client, algorithm: &str, life: u32) -> Self {
        let authority = Authority::new();
        let outer = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
        let port = outer.local_addr().expect("it has an address").port();
        let issuer = format!("https://localhost:{port}");
        let (server, inner) = serve(client, &issuer, 0, "first", (algorithm, life));
        let front = TlsFront::on(outer, &authority, "localhost", ([127, 0, 0, 1], inner).into());
        Self { authority, front, client: client.clone(), inner, server }
    }

    fn issuer(&self) -> String {
        self.front.url("localhost")
    }

    fn ca(&self) -> String {
        self.authority.file().to_str().expect("a plain path").to_owned()
    }

    /// Starts it again with other keys.
    fn rotate(&mut self, algorithm: &str, life: u32) {
        let mut command = Command::new("true");
        let gone = Running::start("nothing", &mut command);
        drop(std::mem::replace(&mut self.server, gone));
        let how = (algorithm, life);
        self.server = serve(&self.client, &self.issuer(), self.inner, "second", how).0;
    }

    /// A token as somebody made it.
    fn forge(&self, order: &Value) -> String {
        let url = format!("http://127.0.0.1:{}/forge", self.inner);
        let mut command = clients::bare("curl".as_ref());
        command.args(["-sS", "--max-time", "20", "--data-binary", &order.to_string(), &url]);
        run("curl", &mut command, wait::LONG).expect(0).stdout
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let now = now.as_secs();
        json!({
            "iss": self.issuer(), "sub": "id-ada", "aud": AUDIENCE, "client_id": "openshell",
            "iat": now, "exp": now + 300, "preferred_username": "ada", "groups": ["owners"],
        })
    }
}

fn serve(
    client: &Client,
    issuer: &str,
    port: u16,
    names: &str,
    (algorithm, life): (&str, u32),
) -> (Running, u16) {
    let mut command = client.node("oidc_provider.mjs");
    command.env("ISSUER", issuer).env("PORT", port.to_string()).env("NAMES", names);
    command.env("ALGORITHM", algorithm).env("LIFE", life.to_string());
    let mut server = Running::start("oidc-provider", &mut command);
    let port = wait::until("the provider to listen", wait::LONG, || {
        server.assert_alive();
        let said = server.stdout();
        said.lines().find_map(|line| line.strip_prefix("port ")?.parse().ok())
    });
    (server, port)
}

/// A browser: it keeps cookies, follows where it is sent, and fills in forms.
struct Browser<'a> {
    person: &'a Person,
    ca: String,
    cookies: String,
}

/// Where it ended, and what stands there.
#[derive(Debug)]
struct Page {
    url: String,
    text: String,
}

impl<'a> Browser<'a> {
    fn new(person: &'a Person, provider: &Provider, name: &str) -> Self {
        let cookies = person.path().join(format!("cookies-{name}"));
        let cookies = cookies.to_str().expect("a plain path").to_owned();
        Self { person, ca: provider.ca(), cookies }
    }

    fn open(&self, url: &str, form: &[(&str, &str)]) -> Page {
        let mut command = self.person.program("curl");
        command.args(["-sS", "-L", "--max-time", "20", "--cacert", &self.ca]);
        command.args(["-b", &self.cookies, "-c", &self.cookies, "-w", "\n%{url_effective}"]);
        for (name, value) in form {
            command.arg("--data-urlencode").arg(format!("{name}={value}"));
        }
        let said = run(&format!("curl {url}"), command.arg(url), wait::LONG).expect(0).stdout;
        let (text, url) = said.rsplit_once('\n').expect("two parts");
        Page { url: url.to_owned(), text: text.to_owned() }
    }

    /// Logs in as that person, and agrees to whatever is asked.
    fn log_in(&self, from: &Page, name: &str) -> Page {
        let fields = [("prompt", "login"), ("login", name), ("password", "x")];
        let asked = self.open(&from.url, &fields);
        self.open(&asked.url, &[("prompt", "consent")])
    }
}

/// The value of a hidden field.
fn hidden<'a>(page: &'a Page, name: &str) -> &'a str {
    let (_, rest) = page.text.split_once(&format!("name=\"{name}\"")).expect("a field");
    let (_, value) = rest.split_once("value=\"").expect("a value");
    value.split('"').next().expect("it ends")
}

/// Where somebody is told to log in.
fn address(login: &mut Running, prefix: &str) -> String {
    wait::until("an address", wait::LONG, || {
        let said = login.said();
        let line = said.lines().find(|line| line.trim().starts_with(prefix))?;
        said.ends_with('\n').then(|| line.trim().to_owned())
    })
}

/// A gateway that takes tokens of the provider, gone with its value.
struct Gateway<'a> {
    person: &'a Person,
    endpoint: String,
    ca: String,
}

impl<'a> Gateway<'a> {
    fn start(person: &'a Person, provider: &Provider) -> Self {
        let (issuer, ca) = (provider.issuer(), person.write("issuer.pem", ""));
        std::fs::copy(provider.authority.file(), &ca).expect("it can be copied");
        let args = [
            &[
                "gateway",
                "start",
                "--port",
                "0",
                "--oidc-issuer",
                &issuer,
                "--oidc-ca",
                "issuer.pem",
            ][..],
            &["--oidc-audience", AUDIENCE, "--oidc-client-id", "openshell"],
            &["--oidc-roles-claim", "groups", "--oidc-role", "owners=admin"],
            &["--oidc-role", "watchers=viewer"],
        ];
        let said = person.run(&args.concat()).expect(0);
        let endpoint = said.stdout.lines().find_map(|line| line.trim().strip_prefix("Endpoint: "));
        let endpoint = endpoint.expect("it says where it is").to_owned();
        let ca = person.home().join("gateways/openshell/pki/ca.crt");
        Self { person, endpoint, ca: ca.to_str().expect("a plain path").to_owned() }
    }

    /// Status and answer, for whoever brings this token.
    fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut command = self.person.program("curl");
        command.args(["-sS", "--max-time", "20", "--cacert", &self.ca, "-w", "\n%{http_code}"]);
        command.args(["-X", method]);
        if let Some(token) = token {
            command.args(["-H", &format!("authorization: Bearer {token}")]);
        }
        if let Some(body) = body {
            command.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
        }
        command.arg(format!("{}{path}", self.endpoint));
        let said = run(&format!("curl {path}"), &mut command, wait::LONG).expect(0).stdout;
        let (body, status) = said.rsplit_once('\n').expect("two parts");
        (status.parse().expect("a status"), serde_json::from_str(body).unwrap_or_default())
    }

    fn me(&self, token: &str) -> (u16, Value) {
        self.ask("GET", "/v1/me", Some(token), None)
    }

    fn add(&self, name: &str) {
        let args = ["gateway", "add", &self.endpoint, "--name", name, "--ca", &self.ca, "--oidc"];
        let args = [&args[..], &["--oidc-ca", "issuer.pem"]].concat();
        drop(self.person.run(&args).expect(0));
    }

    /// What is kept of a login.
    fn kept(&self, name: &str) -> Value {
        let path = self.person.path().join(".config/openshell/gateways").join(name);
        let path = path.join("login.json");
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        serde_json::from_slice(&std::fs::read(path).expect("it is there")).expect("JSON")
    }
}

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        drop(self.person.openshell(&["gateway", "destroy", "--yes"]).output());
    }
}

#[test]
fn a_person_logs_in_with_a_browser_and_stays_logged_in() {
    let Some([client]) = clients::installed(["oidc"]) else { return };
    // Good for less than the time before its end at which a token is renewed: every command does that.
    let provider = Provider::start(&client, "ES256", 25);
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person, &provider);
    gateway.add("office");
    let before = person.run(&["status"]).expect(1);
    assert!(before.said().contains("not logged in"), "{before:?}");

    let mut login = person.start(&["gateway", "login", "--no-browser"]);
    let url = address(&mut login, "https://");
    let browser = Browser::new(&person, &provider, "ada");
    // What any page may send to the port of the command is not the answer.
    let port = url.split("127.0.0.1%3A").nth(1).and_then(|rest| rest.split('%').next());
    let port = port.expect("a port");
    let stray = browser.open(&format!("http://127.0.0.1:{port}/callback?code=x&state=y"), &[]);
    assert!(stray.text.contains("not what openshell waits for"), "{stray:?}");
    let page = browser.log_in(&browser.open(&url, &[]), "id-ada");
    assert!(page.text.contains("You are logged in"), "{page:?}");
    let done = login.wait(wait::LONG).expect(0);
    assert!(done.stdout.contains("Logged in at gateway 'office' as ada"), "{done:?}");

    let first = gateway.kept("office");
    assert!(person.run(&["status"]).expect(0).stdout.contains("Connected"));
    let second = gateway.kept("office");
    assert_ne!(first["token"], second["token"], "renewed without anybody");
    assert_ne!(first["refresh"], second["refresh"]);
    assert!(person.run(&["status"]).expect(0).stdout.contains("Connected"));
    // A login that was taken back is over, and says what to do.
    let path = person.path().join(".config/openshell/gateways/office/login.json");
    let mut kept = gateway.kept("office");
    kept["refresh"] = first["refresh"].clone();
    std::fs::write(&path, kept.to_string()).expect("it can be written");
    let over = person.run(&["status"]).expect(1);
    assert!(over.said().contains("openshell gateway login"), "{over:?}");
}

#[test]
fn a_person_logs_in_with_a_code_on_another_device() {
    let Some([client]) = clients::installed(["oidc"]) else { return };
    let provider = Provider::start(&client, "PS256", 600);
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person, &provider);
    gateway.add("office");
    let mut login = person.start(&["gateway", "login", "--device"]);
    let url = address(&mut login, "https://");
    let code = address(&mut login, "and type the code ");
    let code = code.rsplit(' ').next().expect("a word");
    let browser = Browser::new(&person, &provider, "eve");
    let page = browser.open(&url, &[]);
    let xsrf = hidden(&page, "xsrf").to_owned();
    let page = browser.open(&page.url, &[("xsrf", &xsrf), ("user_code", code)]);
    let xsrf = hidden(&page, "xsrf").to_owned();
    let fields = [("xsrf", xsrf.as_str()), ("user_code", code), ("confirm", "yes")];
    let page = browser.open(&page.url, &fields);
    let page = browser.log_in(&page, "id-eve");
    assert!(page.text.contains("Sign-in Success"), "{page:?}");
    let done = login.wait(wait::LONG).expect(0);
    assert!(done.stdout.contains("Logged in at gateway 'office' as eve"), "{done:?}");
    // A viewer looks, and no more.
    let token = gateway.kept("office")["token"].as_str().expect("a token").to_owned();
    assert_eq!(gateway.ask("GET", "/v1/sandboxes", Some(&token), None).0, 200);
    let (status, refused) = gateway.ask("POST", "/v1/sandboxes", Some(&token), Some(&json!({})));
    assert_eq!((status, &refused["code"]), (403, &json!("role_missing")));
}

#[test]
fn what_the_issuer_did_not_say_opens_nothing() {
    let Some([client]) = clients::installed(["oidc"]) else { return };
    let mut provider = Provider::start(&client, "RS256", 600);
    let person = Person::root().with_gateways();
    let gateway = Gateway::start(&person, &provider);
    let (status, told) = gateway.ask("GET", "/v1/login", None, None);
    assert_eq!((status, &told["oidc"]["issuer"]), (200, &json!(provider.issuer())));

    let with = |more: Value| {
        let mut claims = provider.claims();
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        claims
    };
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let token = provider.forge(&json!({"algorithm": algorithm, "claims": provider.claims()}));
        let (status, me) = gateway.me(&token);
        assert_eq!(
            (status, &me["name"], &me["role"]),
            (200, &json!("ada"), &json!("admin")),
            "{me}"
        );
        assert_eq!(me["by"], "oidc");
    }
    let good = provider.claims();
    for (order, code) in [
        (json!({"how": "none", "claims": good}), "oidc_algorithm_refused"),
        (json!({"how": "shared", "claims": good}), "oidc_algorithm_refused"),
        (json!({"how": "stranger", "claims": good}), "oidc_signature_invalid"),
        (json!({"kid": "first-ES256", "claims": good}), "oidc_algorithm_refused"),
        (json!({"kid": "unknown", "claims": good}), "oidc_key_unknown"),
        (json!({"claims": with(json!({"aud": "https://other.test"}))}), "oidc_audience_foreign"),
        (json!({"claims": with(json!({"iss": "https://other.test"}))}), "oidc_issuer_foreign"),
        (json!({"claims": with(json!({"client_id": "other"}))}), "oidc_client_foreign"),
        (
            json!({"claims": with(json!({"exp": 1_700_000_000, "iat": 1_600_000_000}))}),
            "oidc_token_expired",
        ),
        (json!({"claims": with(json!({"nbf": 4_000_000_000_u64}))}), "oidc_token_untimely"),
    ] {
        let (status, refused) = gateway.me(&provider.forge(&order));
        assert_eq!((status, refused["code"].as_str()), (401, Some(code)), "{order}");
    }
    nobody_is_let_in_as_somebody_else(&gateway, &provider);

    // Other keys are taken up, and those before are none any more; also by a gateway that was started again.
    let ada = provider.forge(&json!({"claims": good}));
    provider.rotate("RS256", 600);
    let fresh = provider.forge(&json!({"claims": good}));
    wait::until("the new keys", wait::LONG, || (gateway.me(&fresh).0 == 200).then_some(()));
    assert_eq!(gateway.me(&ada).1["code"], "oidc_key_unknown");
    drop(person.run(&["gateway", "stop"]).expect(0));
    let port = gateway.endpoint.rsplit(':').next().expect("a port").to_owned();
    drop(person.run(&["gateway", "start", "--port", &port]).expect(0));
    wait::until("the keys again", wait::LONG, || (gateway.me(&fresh).0 == 200).then_some(()));
    drop(person.run(&["gateway", "stop"]).expect(0));
    drop(person.run(&["gateway", "start", "--port", &port, "--no-oidc"]).expect(0));
    assert_eq!(gateway.me(&fresh).0, 401);
}

fn nobody_is_let_in_as_somebody_else(gateway: &Gateway<'_>, provider: &Provider) {
    let with = |more: Value| {
        let mut claims = provider.claims();
        claims.as_object_mut().expect("an object").extend(more.as_object().expect("one").clone());
        claims
    };
    let bob = provider.forge(&json!({"claims": with(json!({
        "sub": "id-bob", "preferred_username": "bob", "groups": ["strangers"],
    }))}));
    let (status, refused) = gateway.me(&bob);
    assert_eq!((status, &refused["code"]), (403, &json!("oidc_user_unknown")));
    assert!(refused["detail"].as_str().expect("a text").contains("administrator"), "{refused}");
    for name in ["root", "ada"] {
        let other = provider.forge(&json!({"claims": with(json!({
            "sub": "id-mallory", "preferred_username": name,
        }))}));
        assert_eq!(gateway.me(&other).1["code"], "oidc_name_taken", "{name}");
    }
    // An administrator lets bob in, with the role that the administrator gives.
    let ada = provider.forge(&json!({"claims": provider.claims()}));
    let new = json!({"name": "bob", "role": "operator", "oidc": true});
    assert_eq!(gateway.ask("POST", "/v1/users", Some(&ada), Some(&new)).0, 201);
    assert_eq!(gateway.me(&bob).1["role"], "operator");
    let (_, shown) = gateway.ask("GET", "/v1/users/bob", Some(&ada), None);
    assert_eq!(shown["oidc"]["subject"], "id-bob", "{shown}");
}
