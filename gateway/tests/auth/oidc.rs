//! Tokens of an issuer elsewhere: which are believed, and which are not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use gateway::auth::{
    authority::{Authority, server::ServerLeaf},
    oidc::{Config, ConfigError, Issuer, OidcError, claims::UserClaim},
};
use parking_lot::Mutex;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::support::{With, World, now, soon};

/// What a server says, by path, and how often it was asked.
#[derive(Default)]
struct Said {
    description: Mutex<String>,
    keys: Mutex<String>,
    asked: AtomicUsize,
}

/// An issuer on a port of this machine.
struct Elsewhere {
    url: String,
    said: Arc<Said>,
    ca_pem: String,
    _tasks: JoinSet<()>,
    _folder: tempfile::TempDir,
}

impl Elsewhere {
    async fn new(keys: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Arc::new(Authority::open(&folder.path().join("ca"), now()).unwrap());
        let ca_pem = std::fs::read_to_string(folder.path().join("ca/ca.crt")).unwrap();
        let leaf = ServerLeaf::new(authority, vec!["localhost".to_owned()], now()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(leaf));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let said = Arc::new(Said::default());
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let said = Arc::clone(&said);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    answer(&acceptor, stream, &said).await.ok();
                }
            }
        });
        let elsewhere = Self { url, said, ca_pem, _tasks: tasks, _folder: folder };
        elsewhere.describes(&elsewhere.url.clone());
        elsewhere.has(keys);
        elsewhere
    }

    fn describes(&self, issuer: &str) {
        let keys = format!("{}/keys", self.url);
        let description = json!({"issuer": issuer, "jwks_uri": keys, "token_endpoint": "x"});
        *self.said.description.lock() = description.to_string();
    }

    fn has(&self, keys: &Value) {
        *self.said.keys.lock() = json!({ "keys": keys }).to_string();
    }

    fn asked(&self) -> usize {
        self.said.asked.load(Ordering::SeqCst)
    }

    fn config(&self) -> Config {
        Config {
            issuer: self.url.clone(),
            audience: "gateway".into(),
            clients: vec!["cli".into()],
            scopes: Vec::new(),
            ca_pem: Some(self.ca_pem.clone()),
            user_claim: UserClaim::PreferredUsername,
            roles_claim: None,
            roles: [].into(),
        }
    }

    /// What a good token says.
    fn claims(&self) -> Value {
        json!({
            "iss": self.url, "sub": "1", "aud": ["gateway", "other"], "azp": "cli",
            "iat": now(), "exp": now() + 300, "preferred_username": "ada",
        })
    }
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream, said: &Said) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let body = if head.starts_with(b"GET /keys ") {
        said.asked.fetch_add(1, Ordering::SeqCst);
        said.keys.lock().clone()
    } else {
        said.description.lock().clone()
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await?;
    stream.shutdown().await
}

/// A key that signs.
enum Signer {
    P256(Box<EcdsaKeyPair>),
    Ed(Ed25519KeyPair),
}

impl Signer {
    fn p256() -> Self {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let bytes = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Self::P256(Box::new(EcdsaKeyPair::from_pkcs8(how, bytes.as_ref(), &random).unwrap()))
    }

    fn ed() -> Self {
        let bytes = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(bytes.as_ref()).unwrap())
    }

    fn public(&self) -> &[u8] {
        match self {
            Self::P256(key) => key.public_key().as_ref(),
            Self::Ed(key) => key.public_key().as_ref(),
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::P256(_) => {
                let (x, y) = (&self.public()[1..33], &self.public()[33..]);
                json!({"kty": "EC", "crv": "P-256", "kid": id, "x": text(x), "y": text(y)})
            }
            Self::Ed(_) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(self.public())})
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::P256(key) => key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with that head and those claims.
    fn token(&self, head: &Value, claims: &Value) -> String {
        let signed = signed(head, claims);
        let signature = URL_SAFE_NO_PAD.encode(self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

fn signed(head: &Value, claims: &Value) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", text(head), text(claims))
}

/// An issuer that is asked, until it is dropped.
struct Believed {
    issuer: Arc<Issuer>,
    stopped: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Believed {
    fn new(config: Config) -> Self {
        let issuer = Arc::new(Issuer::new(config).unwrap());
        let stopped = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let (running, until) = (Arc::clone(&issuer), stopped.clone());
        tasks.spawn(async move { running.run(until).await });
        Self { issuer, stopped, _tasks: tasks }
    }

    async fn judge(&self, token: &str) -> Result<String, OidcError> {
        let verified = soon(self.issuer.judge(token)).await?;
        Ok(format!(
            "{} {}",
            verified.subject,
            verified.name.map_or("-".into(), |name| name.to_string())
        ))
    }
}

impl Drop for Believed {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

#[tokio::test]
async fn a_token_is_believed_when_its_issuer_made_it_for_this_gateway_in_its_time() {
    let (p256, ed) = (Signer::p256(), Signer::ed());
    let elsewhere = Elsewhere::new(&json!([p256.jwk("a"), ed.jwk("b"), {"kty": "new"}])).await;
    let believed = Believed::new(elsewhere.config());
    let good = elsewhere.claims();
    let es = json!({"alg": "ES256", "kid": "a", "typ": "at+jwt"});
    let eddsa = json!({"alg": "EdDSA", "kid": "b"});
    for token in [p256.token(&es, &good), ed.token(&eddsa, &good)] {
        assert_eq!(believed.judge(&token).await, Ok("1 ada".into()));
    }
    let changed = |more: Value| {
        let mut claims = good.clone();
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        claims
    };
    for (more, expected) in [
        (json!({"aud": "other"}), OidcError::Audience),
        (json!({"aud": []}), OidcError::Audience),
        (json!({"aud": null}), OidcError::Malformed),
        (json!({"aud": {"gateway": 1}}), OidcError::Malformed),
        (json!({"iss": "https://evil.example"}), OidcError::Issuer),
        (json!({"iss": format!("{}/", elsewhere.url)}), OidcError::Issuer),
        (json!({"iss": [elsewhere.url]}), OidcError::Malformed),
        (json!({"iss": null}), OidcError::Malformed),
        (json!({"sub": null}), OidcError::Malformed),
        (json!({"sub": ""}), OidcError::Malformed),
        (json!({"exp": now() - 60}), OidcError::Expired),
        (json!({"exp": "soon"}), OidcError::Malformed),
        (json!({"exp": null}), OidcError::Malformed),
        (json!({"nbf": now() + 300}), OidcError::Untimely),
        (json!({"nbf": "later"}), OidcError::Malformed),
        (json!({"iat": now() + 300}), OidcError::Untimely),
        (json!({"iat": null}), OidcError::Malformed),
        (json!({"azp": "other"}), OidcError::Client),
        (json!({"azp": null}), OidcError::Client),
        (json!({"azp": null, "client_id": "other"}), OidcError::Client),
    ] {
        let token = p256.token(&es, &changed(more.clone()));
        assert_eq!(believed.judge(&token).await, Err(expected), "{more}");
    }
    let late = changed(json!({"exp": now() - 5, "nbf": now() + 5}));
    assert!(believed.judge(&p256.token(&es, &late)).await.is_ok(), "clocks differ a little");
}

#[tokio::test]
async fn a_signature_counts_only_with_the_algorithm_of_its_key() {
    let (p256, ed) = (Signer::p256(), Signer::ed());
    let shared = json!({"kty": "oct", "kid": "o", "k": "AAAA"});
    let elsewhere = Elsewhere::new(&json!([p256.jwk("a"), ed.jwk("b"), shared])).await;
    let believed = Believed::new(elsewhere.config());
    let good = elsewhere.claims();
    let head = |algorithm: &str, id: &str| json!({"alg": algorithm, "kid": id});
    // Signed with what everybody knows: the public key as a shared one.
    let hmac = |id: &str, key: &[u8]| {
        let signed = signed(&head("HS256", id), &good);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
    };
    let jwk = p256.jwk("a").to_string();
    for token in [hmac("a", p256.public()), hmac("a", jwk.as_bytes()), hmac("o", &[0; 3])] {
        assert_eq!(believed.judge(&token).await, Err(OidcError::Algorithm));
    }
    for algorithm in ["none", "None", "NONE", "", "ES999"] {
        for end in ["", "."] {
            let token = signed(&head(algorithm, "a"), &good) + end;
            let refused = believed.judge(&token).await.unwrap_err();
            assert!(matches!(refused, OidcError::Algorithm | OidcError::Malformed), "{refused:?}");
        }
    }
    let es = head("ES256", "a");
    assert_eq!(
        believed.judge(&p256.token(&head("ES384", "a"), &good)).await,
        Err(OidcError::Algorithm)
    );
    assert_eq!(
        believed.judge(&p256.token(&head("EdDSA", "a"), &good)).await,
        Err(OidcError::Algorithm)
    );
    assert_eq!(believed.judge(&ed.token(&es, &good)).await, Err(OidcError::Forged));
    assert_eq!(believed.judge(&Signer::p256().token(&es, &good)).await, Err(OidcError::Forged));
    let token = p256.token(&es, &good);
    let (_, signature) = token.rsplit_once('.').unwrap();
    let mut other = good.clone();
    other["sub"] = json!("2");
    let swapped = format!("{}.{signature}", signed(&es, &other));
    assert_eq!(believed.judge(&swapped).await, Err(OidcError::Forged));
    // A key in the head, or an address of one, is no key.
    let mut own = head("ES256", "a");
    let mine = Signer::p256();
    own["jwk"] = mine.jwk("a");
    own["jku"] = json!("https://evil.example/keys");
    assert_eq!(believed.judge(&mine.token(&own, &good)).await, Err(OidcError::Forged));
    for bad in [json!({"crit": ["exp"]}), json!({"typ": "logout+jwt"}), json!({"typ": "dpop+jwt"})]
    {
        let mut head = es.clone();
        head.as_object_mut().unwrap().extend(bad.as_object().unwrap().clone());
        assert_eq!(
            believed.judge(&p256.token(&head, &good)).await,
            Err(OidcError::Malformed),
            "{bad}"
        );
    }
    for bad in ["", ".", "..", "a.b.c", "a.b.c.d.e", &"x".repeat(20_000), &token.replace('.', "")] {
        assert!(believed.judge(bad).await.is_err(), "{bad}");
    }
    assert!(believed.judge(&token).await.is_ok());
}

#[tokio::test]
async fn keys_are_asked_for_again_when_one_is_new_but_not_for_every_token() {
    let (old, new) = (Signer::p256(), Signer::ed());
    let elsewhere = Elsewhere::new(&json!([old.jwk("old")])).await;
    let believed = Believed::new(elsewhere.config());
    let good = elsewhere.claims();
    let es = |id: &str| old.token(&json!({"alg": "ES256", "kid": id}), &good);
    assert!(believed.judge(&es("old")).await.is_ok());
    for number in 0..200 {
        let made_up = es(&format!("made-up-{number}"));
        assert_eq!(believed.judge(&made_up).await, Err(OidcError::UnknownKey));
    }
    assert!(elsewhere.asked() <= 2, "{}", elsewhere.asked());
    // The issuer takes another key, and drops the one before.
    elsewhere.has(&json!([new.jwk("new")]));
    let fresh = new.token(&json!({"alg": "EdDSA", "kid": "new"}), &good);
    let taken = async {
        while believed.judge(&fresh).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(taken).await;
    assert_eq!(believed.judge(&es("old")).await, Err(OidcError::UnknownKey));
    // An issuer that is away, or says nothing that is understood, loses nobody a key that is known.
    for nothing in ["", "{}", "[]", &json!({ "keys": [] }).to_string(), &"x".repeat(300 << 10)] {
        *elsewhere.said.keys.lock() = nothing.to_owned();
        assert_eq!(believed.judge(&es("old")).await, Err(OidcError::UnknownKey));
        assert!(believed.judge(&fresh).await.is_ok());
    }
}

#[tokio::test]
async fn an_issuer_that_is_not_who_it_says_is_not_believed() {
    let key = Signer::p256();
    let elsewhere = Elsewhere::new(&json!([key.jwk("a")])).await;
    let token = key.token(&json!({"alg": "ES256", "kid": "a"}), &elsewhere.claims());
    elsewhere.describes("https://other.example");
    let believed = Believed::new(elsewhere.config());
    assert_eq!(believed.judge(&token).await, Err(OidcError::Unavailable));
    elsewhere.describes(&elsewhere.url.clone());
    let stranger = Config { ca_pem: None, ..elsewhere.config() };
    assert_eq!(Believed::new(stranger).judge(&token).await, Err(OidcError::Unavailable));
    assert!(Believed::new(elsewhere.config()).judge(&token).await.is_ok());
    for bad in ["http://localhost", "localhost", "", "https://", "https://a?b", "file:///etc"] {
        let config = Config { issuer: bad.into(), ..elsewhere.config() };
        assert!(matches!(Issuer::new(config), Err(ConfigError::Issuer)), "{bad}");
    }
}

#[tokio::test]
async fn the_door_takes_such_a_token_and_ends_what_it_opened() {
    let key = Signer::p256();
    let elsewhere = Elsewhere::new(&json!([key.jwk("a")])).await;
    let believed = Believed::new(elsewhere.config());
    let world = World::of(With::default(), Some(Arc::clone(&believed.issuer)));
    let client = world.client(|builder| builder);
    let ask = async |token: &str| {
        let request = client.get(world.url("/v1/sandboxes")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let head = json!({"alg": "ES256", "kid": "a"});
    let good = key.token(&head, &elsewhere.claims());
    let (status, refused) = ask(&good).await;
    assert_eq!(status, 403);
    assert!(refused.contains("oidc_user_unknown"), "{refused}");
    world.user("ada", api::user::Role::Viewer);
    assert_eq!(ask(&good).await, (200, "ada oidc default Some(Viewer) 0".into()));
    let (own, _) = world.token("bob", &[], 100);
    assert_eq!(ask(&own).await.0, 200, "its own are taken as before");
    // A stream ends with the token that opened it.
    let mut short = elsewhere.claims();
    short["exp"] = json!(now() + 4);
    let short = key.token(&head, &short);
    let mut watch =
        client.get(world.url(crate::support::WATCH)).bearer_auth(&short).send().await.unwrap();
    assert!(watch.chunk().await.unwrap().is_some());
    assert!(world.live.count() > 0);
    world.live.end_over(now() + 5);
    assert!(soon(watch.chunk()).await.is_err());
    // Who guesses waits; who is known goes on.
    for _ in 0..20 {
        assert_eq!(ask(&Signer::p256().token(&head, &elsewhere.claims())).await.0, 401);
    }
    assert_eq!(ask(&Signer::p256().token(&head, &elsewhere.claims())).await.0, 429);
    assert_eq!(ask(&good).await.0, 200);
}
