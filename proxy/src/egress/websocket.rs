//! The frames of a WebSocket as its caller sends them (RFC 6455, section 5).
//!
//! Invariant: what is no frame, or a larger one than anybody needs, ends the connection.

/// What a policy is asked about each message of the caller.
pub(super) const METHOD: &str = "WEBSOCKET_TEXT";

/// The last frame of the server's side when bytes are no frames (1002), and when the policy says no (1008).
pub(super) const BROKEN: [u8; 4] = [0x88, 2, 3, 0xea];
pub(super) const REFUSED: [u8; 4] = [0x88, 2, 3, 0xf0];

/// Largest frame, bytes.
const FRAME_BYTES_MAX: u64 = 16 << 20;

/// Longest head of a frame, bytes.
const HEAD_BYTES_MAX: usize = 14;

/// Why a WebSocket is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// A frame of a kind that is not known, with a bit that nobody agreed on, or unmasked.
    #[error("a frame is malformed")]
    Malformed,
    /// Longer than [`FRAME_BYTES_MAX`].
    #[error("a frame has more than {FRAME_BYTES_MAX} bytes")]
    Large,
}

/// Follows frames through bytes that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Vec<u8>,
    left: u64,
}

impl Frames {
    /// Checks the next piece; gives how many messages begin in it.
    ///
    /// # Errors
    /// As soon as a frame is none.
    pub(super) fn check(&mut self, mut piece: &[u8]) -> Result<usize, FrameError> {
        let mut messages = 0_usize;
        while let Some((first, rest)) = piece.split_first() {
            if self.left > 0 {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
                self.left = self.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                piece = piece.get(taken..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            piece = rest;
            if let Some(length) = length(&self.head)? {
                // Texts and bytes alike: what may not be said as one may not be said as the other.
                let begins = matches!(self.head.first().map(|first| first & 0x0f), Some(1 | 2));
                messages = messages.saturating_add(usize::from(begins));
                self.left = length;
                self.head.clear();
            }
        }
        Ok(messages)
    }
}

/// The length of a frame whose head is whole; `None` while it is not.
fn length(head: &[u8]) -> Result<Option<u64>, FrameError> {
    let first = head.first().copied().unwrap_or_default();
    let (reserved, kind, control) = (first & 0x70, first & 0x0f, first & 0x08 != 0);
    if reserved != 0 || !matches!(kind, 0..=2 | 8..=10) || (control && first & 0x80 == 0) {
        return Err(FrameError::Malformed);
    }
    let Some(second) = head.get(1) else { return Ok(None) };
    let short = second & 0x7f;
    if second & 0x80 == 0 || (control && short > 125) {
        return Err(FrameError::Malformed);
    }
    let extended = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    // The mask follows the length.
    if head.len() < 2 + extended + 4 {
        debug_assert!(head.len() < HEAD_BYTES_MAX);
        return Ok(None);
    }
    let bytes = head.get(2..2 + extended).unwrap_or_default();
    let long = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let length = if extended == 0 { u64::from(short) } else { long };
    if length > FRAME_BYTES_MAX { Err(FrameError::Large) } else { Ok(Some(length)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
            126..=65_535 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(0xff);
                bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes.resize(bytes.len() + length, b'x');
        bytes
    }

    #[test]
    fn frames_of_every_length_pass_in_any_pieces() {
        let all = [
            frame(0x81, 0),
            frame(0x01, 125),
            frame(0x80, 126),
            frame(0x82, 70_000),
            frame(0x89, 3),
        ];
        let all = all.concat();
        for size in [1, 2, 3, 7, 1000, all.len()] {
            let mut frames = Frames::default();
            let begun = all.chunks(size).map(|piece| frames.check(piece).unwrap()).sum::<usize>();
            assert_eq!(begun, 3, "two are parts of others: {size}");
            assert_eq!((frames.left, frames.head.len()), (0, 0), "{size}");
        }
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        let cases: [(&[u8], FrameError); 6] = [
            (b"GET / HTTP/1.1\r\n", FrameError::Malformed),
            (&[0x83, 0x80], FrameError::Malformed),
            (&[0x81, 0x01, b'x'], FrameError::Malformed),
            (&[0xc1, 0x80], FrameError::Malformed),
            (&[0x09, 0x80], FrameError::Malformed),
            (&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], FrameError::Large),
        ];
        for (bytes, error) in cases {
            assert_eq!(Frames::default().check(bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_answer(bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40) {
            let whole = Frames::default().check(&bytes);
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut frames = Frames::default();
            let parts = frames.check(first).and_then(|begun| Ok(begun + frames.check(second)?));
            prop_assert_eq!(whole, parts);
        }
    }
}
