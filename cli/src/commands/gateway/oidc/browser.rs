//! The code that a browser brings back to a port of this machine (RFC 8252, with PKCE of RFC 7636).

use std::{borrow::Cow, collections::HashMap, convert::Infallible, process::Stdio, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, RedirectUrl};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet, time::timeout};

use super::{Issuer, Tokens, refused};
use crate::{failure::Failure, output};

/// How long somebody may take to log in.
const LOGIN_MAX: Duration = Duration::from_mins(5);
/// How long a browser may take to say what it brings.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Connections at once; browsers open a few that they do not use.
const CONNECTIONS_MAX: usize = 16;

/// What the browser came back with: a code, or why there is none.
type Brought = Result<String, String>;

/// Sends somebody to the issuer and waits for what comes back. Gives the tokens, and the nonce that an id token has to have.
pub(super) async fn login(
    issuer: &Issuer,
    open: bool,
) -> Result<(Tokens, Option<String>), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("no port is free here")?;
    let back = format!("http://127.0.0.1:{}/callback", listener.local_addr()?.port());
    let flow = issuer.flow()?.set_redirect_uri(RedirectUrl::new(back).context("no address")?);
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let nonce = CsrfToken::new_random().into_secret();
    let mut request = flow.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge);
    request = request.add_scopes(issuer.scopes()).add_extra_param("nonce", nonce.clone());
    if issuer.login.scopes.iter().any(|scope| scope == "offline_access") {
        // OpenID Connect Core §11: such access is only given to who was asked for it.
        request = request.add_extra_param("prompt", "consent");
    }
    for (name, value) in issuer.wanted() {
        request = request.add_extra_param(name, value);
    }
    let (url, state) = request.url();
    output::complain("Log in with your browser at:");
    output::complain(&format!("  {url}"));
    if open {
        start(url.as_str());
    }
    let expected = Expected { state: state.into_secret(), issuer: issuer.login.issuer.clone() };
    let brought = timeout(LOGIN_MAX, wait(&listener, &expected)).await;
    let brought = brought.map_err(|_| {
        Failure::new("nobody logged in within five minutes")
            .hint("`openshell gateway login --device` works without a browser on this machine")
    })?;
    let code = brought.map_err(|why| Failure::new(format!("the issuer said no: {why}")))?;
    let mut exchange = flow.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier);
    for (name, value) in issuer.wanted() {
        exchange = exchange.add_extra_param(Cow::from(name), Cow::from(value));
    }
    let tokens = exchange.request_async(&issuer.http).await.map_err(refused)?;
    Ok((tokens, Some(nonce)))
}

/// Starts the browser of this desktop. Where there is none, the address was written down.
fn start(url: &str) {
    let mut command = std::process::Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok();
}

/// What an answer has to be of.
#[derive(Clone)]
struct Expected {
    state: String,
    issuer: String,
}

/// Waits for the answer to this login; anything else that comes to the port is turned away.
async fn wait(listener: &TcpListener, expected: &Expected) -> Brought {
    let (sender, mut receiver) = mpsc::channel::<Brought>(1);
    let mut connections = JoinSet::new();
    let brought = loop {
        tokio::select! {
            biased;
            Some(brought) = receiver.recv() => break brought,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                let Ok((stream, _)) = accepted else { continue };
                let (sender, expected) = (sender.clone(), expected.clone());
                connections.spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(&request, &expected, &sender);
                        std::future::ready(Ok::<_, Infallible>(answer))
                    });
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).keep_alive(false);
                    http.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        }
    };
    // The page of whoever logged in is still on its way.
    let told = async { while connections.join_next().await.is_some() {} };
    timeout(Duration::from_secs(1), told).await.ok();
    brought
}

fn answer(
    request: &Request<Incoming>,
    expected: &Expected,
    sender: &mpsc::Sender<Brought>,
) -> Response<Full<Bytes>> {
    let (status, text) = match read(request.uri(), expected) {
        None => (StatusCode::NOT_FOUND, "This is not what openshell waits for."),
        Some(brought) => {
            let text = match &brought {
                Ok(_) => "You are logged in. You can close this page.",
                Err(_) => "You are not logged in. The command tells why.",
            };
            sender.try_send(brought).ok(); // a second one is too late
            (StatusCode::OK, text)
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let kind = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    response
}

/// What an address brings that is the answer to this login.
fn read(uri: &hyper::Uri, expected: &Expected) -> Option<Brought> {
    if uri.path() != "/callback" {
        return None;
    }
    let url = reqwest::Url::parse(&format!("http://localhost/?{}", uri.query()?)).ok()?;
    let pairs: HashMap<_, _> = url.query_pairs().into_owned().collect();
    if pairs.get("state") != Some(&expected.state) {
        return None;
    }
    // RFC 9207: the answer of another issuer is none.
    if pairs.get("iss").is_some_and(|issuer| *issuer != expected.issuer) {
        return None;
    }
    if let Some(error) = pairs.get("error") {
        let why = pairs.get("error_description").map(|why| format!(": {why}"));
        return Some(Err(format!("{error}{}", why.unwrap_or_default())));
    }
    pairs.get("code").map(|code| Ok(code.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_login_is_taken() {
        let expected = Expected { state: "s".into(), issuer: "https://i".into() };
        let read = |path: &str| read(&path.parse().unwrap(), &expected);
        assert_eq!(read("/callback?code=a%2Fb&state=s"), Some(Ok("a/b".into())));
        assert_eq!(read("/callback?code=a&state=s&iss=https%3A%2F%2Fi"), Some(Ok("a".into())));
        let refused = "/callback?error=access_denied&error_description=no+way&state=s";
        assert_eq!(read(refused), Some(Err("access_denied: no way".into())));
        for other in [
            "/callback?code=a",
            "/callback?code=a&state=t",
            "/callback?state=s",
            "/callback",
            "/",
            "/favicon.ico",
            "/other?code=a&state=s",
            "/callback?code=a&state=s&iss=https%3A%2F%2Fj",
            "/callback?error=x&state=t",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
