//! Frames: a kind, a length, and that many bytes.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The most bytes of a message: a policy file with every character escaped, and some room.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// The most bytes of a piece of a stream.
pub const PIECE_BYTES_MAX: usize = 64 << 10;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// JSON.
    Message = 0,
    /// Bytes towards the program; none: there will be no more.
    Input = 1,
    /// Bytes of its standard output, or of its terminal.
    Output = 2,
    /// Bytes of its standard error.
    Errors = 3,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Message, Self::Input, Self::Output, Self::Errors]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::Message => MESSAGE_BYTES_MAX,
            Self::Input | Self::Output | Self::Errors => PIECE_BYTES_MAX,
        }
    }
}

/// Writes a frame.
///
/// # Errors
/// `InvalidInput` when it is too long.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), kind: Kind, bytes: &[u8]) -> io::Result<()> {
    if bytes.len() > kind.bytes_max() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let [a, b, c, d] = length.to_le_bytes();
    // One write where that is cheap: a program of a few bytes is one packet.
    let mut head = Vec::with_capacity(5 + bytes.len());
    head.extend([kind as u8, a, b, c, d]);
    head.extend(bytes);
    to.write_all(&head).await
}

/// Writes a message.
///
/// # Errors
/// As [`send`].
pub async fn say(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    send(to, Kind::Message, &serde_json::to_vec(message)?).await
}

/// Reads a frame. `None` when the other side has ended the connection between two. A drop in between loses the frame.
///
/// # Errors
/// `InvalidData` for a kind or a length that is never sent; `UnexpectedEof` for a frame that is cut.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut kind = [0];
    if from.read(&mut kind).await? == 0 {
        return Ok(None);
    }
    let [kind] = kind;
    let kind = Kind::from_number(kind).ok_or(io::ErrorKind::InvalidData)?;
    let length = usize::try_from(from.read_u32_le().await?).unwrap_or(usize::MAX);
    if length > kind.bytes_max() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(Some((kind, bytes)))
}

/// The message in these bytes.
///
/// # Errors
/// `InvalidData` when it is none.
pub fn message<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    serde_json::from_slice(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    #[test]
    fn a_frame_comes_as_it_was_sent_and_the_end_is_an_end() {
        block(async {
            let mut bytes = Vec::new();
            send(&mut bytes, Kind::Errors, b"text").await.unwrap();
            send(&mut bytes, Kind::Input, b"").await.unwrap();
            let mut from = bytes.as_slice();
            assert_eq!(receive(&mut from).await.unwrap(), Some((Kind::Errors, b"text".to_vec())));
            assert_eq!(receive(&mut from).await.unwrap(), Some((Kind::Input, Vec::new())));
            assert_eq!(receive(&mut from).await.unwrap(), None);
        });
    }

    #[test]
    fn a_length_is_not_believed() {
        block(async {
            let long = [2, 1, 0, 1, 0];
            let error = receive(&mut long.as_slice()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            let piece = vec![0; PIECE_BYTES_MAX + 1];
            send(&mut Vec::new(), Kind::Output, &piece).await.unwrap_err();
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            block(async {
                let mut from = bytes.as_slice();
                while let Ok(Some(_)) = receive(&mut from).await {}
            });
        }
    }
}
