//! Servers that stand in for the Internet.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::{
    Request, Response,
    body::{Body, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, copy},
    net::TcpListener,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// What a server saw of a request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) target: String,
    pub(crate) version: http::Version,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

/// The requests that came to a server.
pub(crate) type Log = Arc<Mutex<Vec<Seen>>>;

/// A server that answers requests, with TLS if there is a certificate.
pub(crate) async fn http(log: Log, tls: Option<rustls::ServerConfig>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (log, acceptor) = (Arc::clone(&log), acceptor.clone());
            connections.spawn(async move {
                let Some(acceptor) = acceptor else { return serve(stream, log, false).await };
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, log, http2).await;
            });
        }
    });
    (address, tasks)
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    log: Log,
    http2: bool,
) {
    let service = service_fn(move |request| answer(request, Arc::clone(&log)));
    let stream = TokioIo::new(stream);
    if http2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        drop(builder.serve_connection(stream, service).await);
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        drop(builder.serve_connection(stream, service).await);
    }
}

/// `/echo…` tells everything, `/reflect` tells the authorization, `/public/large` answers with a mebibyte, `/public/empty` with 204, `/public/first` before it reads anything, the rest with `ok METHOD TARGET LENGTH`.
async fn answer(
    request: Request<Incoming>,
    log: Log,
) -> hyper::Result<Response<Either<Full<Bytes>, First>>> {
    let (head, body) = request.into_parts();
    if head.uri.path() == "/public/first" {
        return Ok(Response::new(Either::Right(First {
            left: 16 << 20,
            read: 0,
            body: Some(body),
        })));
    }
    let body = body.collect().await?.to_bytes();
    let target = head.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    let reflected = head.headers.get(http::header::AUTHORIZATION).cloned();
    let echo = format!("{target}\n{:?}\n{}\n", head.headers, String::from_utf8_lossy(&body));
    log.lock().push(Seen {
        target: target.clone(),
        version: head.version,
        headers: head.headers,
        body: body.clone(),
    });
    let text = match target.as_str() {
        _ if target.starts_with("/echo") => echo,
        "/public/large" => "x".repeat(1 << 20),
        "/reflect" => {
            format!(
                "you sent {:?}\n",
                reflected.as_ref().map(|value| value.to_str().unwrap().to_owned())
            )
        }
        _ => format!("ok {} {target} {}\n", head.method, body.len()),
    };
    let mut response = Response::new(Either::Left(Full::new(text.into())));
    if target.starts_with("/echo")
        && let Some(value) = reflected
    {
        response.headers_mut().insert("x-echo", value);
    }
    if target == "/public/empty" {
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        *response.body_mut() = Either::Left(Full::default());
    }
    Ok(response)
}

/// A large answer, and only then the body of the request: its length is told at the end.
struct First {
    left: usize,
    read: usize,
    body: Option<Incoming>,
}

impl Body for First {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.left > 0 {
            let piece = self.left.min(64 << 10);
            self.left -= piece;
            return Poll::Ready(Some(Ok(Frame::data(vec![b'a'; piece].into()))));
        }
        while let Some(body) = &mut self.body {
            match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => self.read += frame.data_ref().map_or(0, Bytes::len),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.body = None;
                    let told = format!(" read {}", self.read);
                    return Poll::Ready(Some(Ok(Frame::data(told.into()))));
                }
            }
        }
        Poll::Ready(None)
    }
}

/// A server that sends back what it gets.
pub(crate) async fn echo() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(copy(&mut read, &mut write).await);
            });
        }
    });
    (address, tasks)
}
