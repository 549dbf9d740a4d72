//! A body that ends: after so many bytes, and after so long.

use std::{
    future::Future as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;

/// How much of a body is read for nothing, bytes.
const FORGOTTEN_BYTES_MAX: u64 = 64 << 10;
/// How long that may take.
const FORGOTTEN_TIME_MAX: Duration = Duration::from_secs(1);

/// The same body; reading it fails after that many bytes (extractors say 413) and when it takes longer than that.
pub(super) fn bounded(body: Body, bytes: u64, time: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let (limited, deadline) = (Limited::new(body, bytes), Box::pin(tokio::time::sleep(time)));
    Body::new(Bounded { limited, deadline })
}

/// Reads a short body to its end and throws it away. To some clients an answer over HTTP/2 that comes before they have sent all
/// looks like a broken stream.
pub(super) async fn forget(body: Body) {
    if !body.is_end_stream() {
        let mut body = bounded(body, FORGOTTEN_BYTES_MAX, FORGOTTEN_TIME_MAX);
        while let Some(Ok(_)) = body.frame().await {}
    }
}

struct Bounded {
    limited: Limited<Body>,
    deadline: Pin<Box<Sleep>>,
}

impl hyper::body::Body for Bounded {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        }
        Pin::new(&mut self.limited).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.limited.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.limited.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{LengthLimitError, StreamBody};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_with_its_bytes_or_its_time() {
        let minute = Duration::from_mins(1);
        let whole = bounded(Body::from("four"), 4, minute).collect().await.unwrap();
        assert_eq!(whole.to_bytes(), "four");
        let error = bounded(Body::from("five!"), 4, minute).collect().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap();
        assert!(source.is::<LengthLimitError>(), "{source:?}");
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"a")))).await.unwrap();
        let slow = StreamBody::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
        let error = bounded(Body::new(slow), 4, minute).collect().await.unwrap_err();
        assert!(format!("{error:?}").contains("TimedOut"), "{error:?}");
        drop(sender);
    }
}
