//! Ends of connections. Takes what a refused caller still sends: closing on it would reset the connection, and what it was
//! told might be lost on the way. Resets those whose peer did not get everything.

use std::time::Duration;

use domain::limits::EGRESS_LINGER_BYTES_MAX;
use pingora::protocols::http::ServerSession;
use rustix::net::sockopt::set_socket_linger;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long.
const LINGER: Duration = Duration::from_secs(1);

/// Has a connection reset when it is closed, for whom a clean end would mean that it got everything. Over Unix sockets nothing
/// can say that.
pub(super) fn reset(stream: &TcpStream) {
    // Whoever is gone already needs no telling.
    set_socket_linger(stream, Some(Duration::ZERO)).ok();
}

/// Bytes of a connection.
pub(super) async fn bytes(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = vec![0; 4 << 10];
    rest(async {
        let mut left = EGRESS_LINGER_BYTES_MAX;
        while left > 0
            && let Ok(count @ 1..) = stream.read(&mut buffer).await
        {
            left = left.saturating_sub(count);
        }
    })
    .await;
}

/// The rest of a body. Also over HTTP/2: some clients take the reset that says "no need for the rest" for a failure.
pub(super) async fn body(session: &mut ServerSession) {
    rest(async {
        let mut left = EGRESS_LINGER_BYTES_MAX;
        while left > 0
            && let Ok(Some(piece)) = session.read_request_body().await
        {
            left = left.saturating_sub(piece.len());
        }
    })
    .await;
}

async fn rest(taken: impl Future<Output = ()>) {
    if timeout(LINGER, taken).await.is_err() {
        tracing::debug!("a refused caller went on sending");
    }
}
