//! A model server that costs as little as possible: a fixed answer at once, or a stream with a fixed pace.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Frame, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

/// Time between two events of a stream of at most [`SHORT`] events, and of a longer one.
const PACE: Duration = Duration::from_millis(2);
const SLOW_PACE: Duration = Duration::from_millis(100);

/// Events of a short stream.
const SHORT: u32 = 64;

const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-7f3a","object":"chat.completion","created":1790000000,"model":"bench","choices":[{"index":0,"#,
    r#""message":{"role":"assistant","content":"The function reads each row once and writes it to the table, so the second "#,
    r#"run finds rows that the first one has left behind. Clear the table before the run, or give each run a table of its "#,
    r#"own.\n\n```\nlet table = Table::open(name)?;\ntable.clear()?;\n```\n\nBoth are safe for the old clients."},"#,
    r#""finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":212,"completion_tokens":78,"total_tokens":290}}"#,
);

const EVENT: &str = concat!(
    r#"data: {"id":"chatcmpl-7f3a","object":"chat.completion.chunk","created":1790000000,"model":"bench","#,
    r#""choices":[{"index":0,"delta":{"content":" the table"},"finish_reason":null}]}"#,
    "\n\n",
);

const LAST: &str = concat!(
    r#"data: {"id":"chatcmpl-7f3a","object":"chat.completion.chunk","created":1790000000,"model":"bench","#,
    r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\ndata: [DONE]\n\n",
);

/// Starts the server on the current runtime.
///
/// # Errors
/// When there is no port.
pub(super) async fn start() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    #[expect(clippy::disallowed_methods, reason = "ends with this process")]
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
            tokio::spawn(take(stream));
        }
    });
    Ok(address)
}

async fn take(stream: TcpStream) {
    if stream.set_nodelay(true).is_ok() {
        serve(stream).await;
    }
}

/// Serves one connection.
pub(super) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let serve = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    // A proxy that closes a connection is no news.
    drop(serve.await);
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let (kind, body) = match stream(&body) {
        Some(events) => ("text/event-stream", events_of(events)),
        None => ("application/json", Full::new(Bytes::from_static(ANSWER.as_bytes())).boxed()),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// How many events the request asks for, if it asks for a stream: one per token. The router adds members of its own.
fn stream(body: &[u8]) -> Option<u32> {
    let head = String::from_utf8_lossy(body.get(..body.len().min(256))?);
    let (_, rest) =
        head.contains("\"stream\":true").then(|| head.split_once("\"max_tokens\":"))??;
    rest.split(',').next()?.parse().ok()
}

/// So many events, each in a write of its own.
fn events_of(events: u32) -> BoxBody<Bytes, Infallible> {
    let pace = if events > SHORT { SLOW_PACE } else { PACE };
    let (send, receive) = tokio::sync::mpsc::channel(1);
    #[expect(clippy::disallowed_methods, reason = "ends with its connection")]
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(pace);
        for left in (0..=events).rev() {
            tick.tick().await;
            let text = if left == 0 { LAST } else { EVENT };
            if send.send(Bytes::from_static(text.as_bytes())).await.is_err() {
                return;
            }
        }
    });
    let frames = ReceiverStream::new(receive).map(|bytes| Ok(Frame::data(bytes)));
    StreamBody::new(frames).boxed()
}
