//! Asks a gateway: over its port with a certificate or a token, or over the socket of the local user.
//!
//! Below: what comes as it happens (`events`), and conversations (`conversation`).

mod conversation;
mod events;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use reqwest::{Certificate, Identity, Method, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, de::DeserializeOwned};

pub use self::{
    conversation::Conversation,
    events::{Event, Events},
};
use crate::problem::{MEDIA_TYPE, Problem};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// The largest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How often a request is sent whose connection breaks, when that cannot do anything twice.
const TRIES_MAX: usize = 2;
/// What a gateway says of a request whose first sending it has not answered yet.
const RUNNING: &str = "request_running";
/// How often such a request is asked about, and how long between two times.
const LOOKS_MAX: usize = 60;
const LOOK: Duration = Duration::from_millis(500);

/// Where a gateway is, and what it is shown.
#[derive(Clone)]
pub enum Place {
    /// The socket of the local user.
    Unix(PathBuf),
    /// Its port.
    Https {
        /// Its address, such as `https://127.0.0.1:8080`.
        url: String,
        /// Who vouches for it, PEM; the authorities of the system when not given.
        ca_pem: Option<String>,
        /// The certificate and the key of the caller, PEM.
        certificate: Option<(String, SecretString)>,
        /// The token of the caller.
        token: Option<SecretString>,
    },
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Https { url, .. } => {
                f.debug_struct("Https").field("url", url).finish_non_exhaustive()
            }
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The place is none, or what is shown there cannot be used.
    #[error("cannot use the place of the gateway")]
    Place(#[source] reqwest::Error),
    /// The gateway does not answer.
    #[error("the gateway at {at} does not answer")]
    Unreachable {
        /// Where.
        at: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// It has said nothing for too long.
    #[error("the gateway at {at} is silent")]
    Silent {
        /// Where.
        at: String,
    },
    /// It said no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// What it said cannot be kept.
    #[error("what the gateway sent cannot be kept")]
    Kept(#[source] std::io::Error),
    /// What answers is no gateway, or one of another version.
    #[error("the answer of the gateway cannot be read: {0}")]
    Malformed(String),
}

impl ClientError {
    /// The status of a refusal.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            Self::Place(_)
            | Self::Unreachable { .. }
            | Self::Silent { .. }
            | Self::Kept(_)
            | Self::Malformed(_) => None,
        }
    }
}

/// Asks one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    shown: String,
    place: Arc<Place>,
}

impl Client {
    /// A client for the gateway at that place.
    ///
    /// # Errors
    /// [`ClientError::Place`].
    pub fn new(place: Place) -> Result<Self, ClientError> {
        // Whoever was first has installed the same one.
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = builder(&place)?.build().map_err(ClientError::Place)?;
        let (base, shown) = match &place {
            Place::Unix(path) => ("http://localhost".to_owned(), path.display().to_string()),
            Place::Https { url, .. } => (url.trim_end_matches('/').to_owned(), url.clone()),
        };
        Ok(Self { http, base, shown, place: Arc::new(place) })
    }

    /// What is at a path, such as `/v1/info`.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask::<(), T>(Method::GET, path, None).await
    }

    /// Asks with a body.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, ClientError> {
        self.ask(method, path, Some(body)).await
    }

    /// Asks for what has no answer but that it was done.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn order(&self, method: Method, path: &str) -> Result<(), ClientError> {
        self.bytes::<()>(method, path, None).await.map(drop)
    }

    /// Takes what is at a path piece by piece, however much it is; how many bytes it were. `took` is told how many there are
    /// so far, and in all where that is known.
    ///
    /// # Errors
    /// Why there is no answer, or not all of it; [`ClientError::Kept`] when it cannot be kept.
    pub async fn download(
        &self,
        path: &str,
        mut to: impl std::io::Write,
        mut took: impl FnMut(u64, Option<u64>),
    ) -> Result<u64, ClientError> {
        let request = self.http.get(format!("{}{path}", self.base));
        let mut answer = request.send().await.map_err(|source| self.unreachable(source))?;
        let (status, kind, all) = (answer.status(), kind(&answer), answer.content_length());
        if !status.is_success() {
            return Err(refusal(status, &kind, &self.whole(answer).await?));
        }
        let mut bytes = 0;
        while let Some(piece) = answer.chunk().await.map_err(|source| self.unreachable(source))? {
            to.write_all(&piece).map_err(ClientError::Kept)?;
            bytes += u64::try_from(piece.len()).unwrap_or_default();
            took(bytes, all);
        }
        Ok(bytes)
    }

    /// Asks without a body.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn ask_for<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
    ) -> Result<T, ClientError> {
        self.ask::<(), T>(method, path, None).await
    }

    /// Asks with a body for what has no answer but that it was done.
    ///
    /// # Errors
    /// Why it was not.
    pub async fn send_order<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<(), ClientError> {
        self.bytes(method, path, Some(body)).await.map(drop)
    }

    async fn ask<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<T, ClientError> {
        let bytes = self.bytes(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Malformed(error.to_string()))
    }

    /// Sends a request, and once more when the connection breaks. What makes something carries a key, so that it is done once.
    async fn bytes<B: Serialize + Sync>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> Result<Vec<u8>, ClientError> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base));
        request = request.timeout(ANSWER_MAX);
        if let Some(body) = body {
            request = request.json(body);
        }
        if method == Method::POST {
            request = request.header("idempotency-key", uuid::Uuid::new_v4().to_string());
        }
        // Nothing else is the same when it is done twice.
        let tries = if matches!(method, Method::GET | Method::POST) { TRIES_MAX } else { 1 };
        let (mut tried, mut looked) = (0, 0);
        loop {
            let Some(copy) = request.try_clone() else {
                return Err(ClientError::Malformed("the request cannot be sent again".into()));
            };
            tried += 1;
            match self.answered(copy).await {
                Err(ClientError::Unreachable { .. }) if tried < tries => {}
                Err(ClientError::Refused(problem))
                    if problem.code == RUNNING && looked < LOOKS_MAX =>
                {
                    looked += 1;
                    tokio::time::sleep(LOOK).await;
                }
                other => return other,
            }
        }
    }

    async fn answered(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let answer = request.send().await.map_err(|source| self.unreachable(source))?;
        let (status, kind) = (answer.status(), kind(&answer));
        let bytes = self.whole(answer).await?;
        if status.is_success() {
            return Ok(bytes);
        }
        Err(refusal(status, &kind, &bytes))
    }

    async fn whole(&self, mut answer: reqwest::Response) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.unreachable(error))? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Malformed("it is too large".to_owned()));
            }
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    fn unreachable(&self, source: reqwest::Error) -> ClientError {
        ClientError::Unreachable { at: self.shown.clone(), source }
    }
}

fn builder(place: &Place) -> Result<reqwest::ClientBuilder, ClientError> {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_MAX).no_proxy();
    // What a gateway says is never to be looked for elsewhere.
    let mut builder = builder.redirect(reqwest::redirect::Policy::none());
    match place {
        // There is no TLS on it, and reading the authorities of the system would take longer than the answer.
        Place::Unix(path) => {
            builder = builder.unix_socket(path.as_path()).tls_built_in_root_certs(false);
        }
        Place::Https { ca_pem, certificate, token, .. } => {
            builder = builder.https_only(true);
            if let Some(pem) = ca_pem {
                let ca = Certificate::from_pem(pem.as_bytes()).map_err(ClientError::Place)?;
                builder = builder.tls_built_in_root_certs(false).add_root_certificate(ca);
            }
            if let Some((certificate, key)) = certificate {
                let pem = identity(certificate, key);
                let identity = Identity::from_pem(&pem).map_err(ClientError::Place)?;
                builder = builder.identity(identity);
            }
            if let Some(token) = token {
                builder = builder.default_headers(bearer(token)?);
            }
        }
    }
    Ok(builder)
}

fn kind(answer: &reqwest::Response) -> String {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.unwrap_or_default().to_owned()
}

fn refusal(status: StatusCode, kind: &str, bytes: &[u8]) -> ClientError {
    let problem = serde_json::from_slice::<Problem>(bytes);
    match problem {
        Ok(problem) if kind.starts_with(MEDIA_TYPE) => ClientError::Refused(Box::new(problem)),
        _ => ClientError::Malformed(format!("status {status} without a reason")),
    }
}

fn identity(certificate: &str, key: &SecretString) -> Vec<u8> {
    #[expect(clippy::disallowed_methods, reason = "into the TLS of this client")]
    [certificate.as_bytes(), key.expose_secret().as_bytes()].concat()
}

fn bearer(token: &SecretString) -> Result<header::HeaderMap, ClientError> {
    #[expect(clippy::disallowed_methods, reason = "into a header that cannot be printed")]
    let value = header::HeaderValue::try_from(format!("Bearer {}", token.expose_secret()));
    let mut value =
        value.map_err(|_| ClientError::Malformed("the token cannot stand in a header".into()))?;
    value.set_sensitive(true);
    Ok(header::HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        os::unix::net::UnixListener,
        path::Path,
        thread::{self, JoinHandle},
    };

    use super::*;

    /// Reads a head on each connection; breaks the first ones, and answers the last. Gives the keys that it was shown.
    fn gateway(at: &Path, breaks: usize) -> JoinHandle<Vec<Option<String>>> {
        let listener = UnixListener::bind(at).unwrap();
        thread::spawn(move || {
            let mut keys = Vec::new();
            for number in 0..=breaks {
                let (mut stream, _) = listener.accept().unwrap();
                let mut head = [0; 4096];
                let length = stream.read(&mut head).unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                let key = head.lines().find_map(|line| line.strip_prefix("idempotency-key: "));
                keys.push(key.map(str::to_owned));
                if number == breaks {
                    let answer =
                        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ntrue";
                    stream.write_all(answer).unwrap();
                }
            }
            keys
        })
    }

    #[tokio::test]
    async fn what_makes_something_is_sent_once_more_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("s");
        let client = Client::new(Place::Unix(at.clone())).unwrap();
        let broken = gateway(&at, 1);
        let made: bool = client.send(Method::POST, "/v1/sandboxes", &()).await.unwrap();
        let keys = broken.join().unwrap();
        assert!(made && keys.len() == 2 && keys[0].is_some() && keys[0] == keys[1], "{keys:?}");

        // Twice is enough, and a change without a key is sent once.
        std::fs::remove_file(&at).unwrap();
        let broken = gateway(&at, 2);
        let gone = client.send::<_, bool>(Method::POST, "/v1/sandboxes", &()).await;
        assert!(matches!(gone, Err(ClientError::Unreachable { .. })), "{gone:?}");
        let changed: bool = client.send(Method::PUT, "/v1/policy", &()).await.unwrap();
        let keys = broken.join().unwrap();
        assert!(changed && keys[0] == keys[1] && keys[2].is_none(), "{keys:?}");
    }
}
