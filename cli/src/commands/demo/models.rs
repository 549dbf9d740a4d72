//! The demonstration models: scripted servers that speak OpenAI's chat dialect and say what they are. And a server of documents.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Frame, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch};

/// Pieces of a streamed answer have this many bytes, so that a placeholder is cut in the middle.
const PIECE_BYTES: usize = 7;

/// A demonstration model that listens on a port of this machine.
#[derive(Debug)]
pub(super) struct Model {
    /// Where.
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    stop: watch::Sender<bool>,
}

/// What a connection needs of its model.
#[derive(Clone)]
struct Script {
    name: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Model {
    /// Starts a model of this name on a free port.
    pub(super) async fn start(name: &'static str) -> std::io::Result<Self> {
        Self::start_at(name, (Ipv4Addr::LOCALHOST, 0)).await
    }

    /// Starts one at this address.
    pub(super) async fn start_at(
        name: &'static str,
        address: (Ipv4Addr, u16),
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script = Script { name, seen: Arc::clone(&seen) };
        #[expect(clippy::disallowed_methods, reason = "ends with the demonstration's runtime")]
        tokio::spawn(accept(listener, script, stopped));
        Ok(Self { address, seen, stop })
    }

    /// The request bodies that arrived.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }

    /// Closes the port and every connection.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn accept(listener: TcpListener, script: Script, mut stopped: watch::Receiver<bool>) {
    loop {
        let socket = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(_) => return,
            },
        };
        let (script, mut stopped) = (script.clone(), stopped.clone());
        #[expect(clippy::disallowed_methods, reason = "ends with the demonstration's runtime")]
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(script.clone(), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                // A caller that hangs up is no concern of a demonstration model.
                ended = connection => drop(ended),
            }
        });
    }
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

async fn answer(script: Script, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if !request.uri().path().starts_with("/v1/") {
        let said = format!("{} {} at {}", request.method(), request.uri().path(), script.name);
        script.seen.lock().push(said.clone());
        return Ok(respond("text/plain", Full::new(Bytes::from(said)).boxed()));
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let body = body.unwrap_or_default();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let question = last_message(&request);
    script.seen.lock().push(String::from_utf8_lossy(&body).into_owned());
    let text = reply(script.name, &question);
    Ok(if request.get("stream").and_then(Value::as_bool) == Some(true) {
        streamed(script.name, &text)
    } else {
        buffered(script.name, &text)
    })
}

/// The text of the last message.
pub(super) fn last_message(request: &Value) -> String {
    let messages = request.get("messages").and_then(Value::as_array);
    let last = messages.and_then(|messages| messages.last());
    last.and_then(|message| message.get("content")?.as_str()).unwrap_or_default().to_owned()
}

/// A demonstration model knows two capitals and can greet; it repeats what it was asked to greet.
fn reply(name: &str, question: &str) -> String {
    let knows = [("France", "Paris"), ("Italy", "Rome")];
    if let Some((country, city)) = knows.iter().find(|(country, _)| question.contains(country)) {
        return format!("The capital of {country} is {city}. ({name})");
    }
    match question.strip_prefix("Write a greeting to ") {
        Some(rest) => format!("Dear {}, all the best! ({name})", rest.trim_end_matches('.')),
        None => format!("I am a demonstration model on this machine and have no idea. ({name})"),
    }
}

fn usage(text: &str) -> Value {
    let output = text.len().div_ceil(4);
    json!({"prompt_tokens": 12, "completion_tokens": output, "total_tokens": 12 + output})
}

fn buffered(name: &str, text: &str) -> Answer {
    let answer = json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": 1_767_225_600, "model": name,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": usage(text),
    });
    respond("application/json", Full::new(Bytes::from(answer.to_string())).boxed())
}

fn streamed(name: &str, text: &str) -> Answer {
    let chunk = |delta: Value, finish: Option<&str>| {
        let chunk = json!({
            "id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": name,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        });
        format!("data: {chunk}\n\n")
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), None)];
    let characters: Vec<char> = text.chars().collect();
    for piece in characters.chunks(PIECE_BYTES) {
        events.push(chunk(json!({"content": piece.iter().collect::<String>()}), None));
    }
    events.push(chunk(json!({}), Some("stop")));
    let last = json!({
        "id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": name,
        "choices": [], "usage": usage(text),
    });
    events.push(format!("data: {last}\n\n"));
    events.push("data: [DONE]\n\n".to_owned());
    let frames = events.into_iter().map(|event| Ok(Frame::data(Bytes::from(event))));
    respond("text/event-stream", StreamBody::new(tokio_stream::iter(frames)).boxed())
}

fn respond(kind: &'static str, body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static(kind));
    response
}
