//! Conversations over WebSocket: programs, archives and connections are talked to.

use reqwest::{StatusCode, Upgraded, header};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::{client::generate_key, derive_accept_key},
        protocol::{Role, WebSocketConfig},
    },
};

use super::{Client, ClientError, builder, kind, refusal};

/// The longest message, bytes: one piece of a stream, or one answer.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A conversation that was begun; nothing is asked yet.
pub type Conversation = WebSocketStream<Upgraded>;

impl Client {
    /// Begins a conversation at a path, such as `/v1/sandboxes/calm/exec`.
    ///
    /// # Errors
    /// Why it does not begin.
    pub async fn converse(&self, path: &str) -> Result<Conversation, ClientError> {
        // Another version of HTTP than the first has no upgrades.
        let http = builder(&self.place)?.http1_only().build().map_err(ClientError::Place)?;
        let key = generate_key();
        let request = http
            .get(format!("{}{path}", self.base))
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let (status, kind) = (answer.status(), kind(&answer));
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(status, &kind, &self.whole(answer).await?));
        }
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| *accepted != *derive_accept_key(key.as_bytes())) {
            return Err(ClientError::Malformed("it begins no conversation".to_owned()));
        }
        let stream = answer.upgrade().await.map_err(|error| self.unreachable(error))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
    }
}
