//! The messages of a WebSocket in one direction (RFC 6455, section 5): frames are taken apart, what is in them goes through
//! the rewriter of credentials or the guard against reflected ones, and goes on in frames of ours.
//!
//! A message goes on while it comes, cut as it arrives; frames of control pass between its parts. Invariants: what is no
//! frame, or a larger one than anybody needs, ends the connection; for every way of cutting, the messages that go on are the
//! same.

use bytes::Bytes;
use domain::limits::EGRESS_FRAME_BYTES_MAX;
use http::HeaderMap;

use super::{
    credentials::{CredentialError, Rewriter, Scope},
    reflect::{Guard, Needles},
};

/// What a policy is asked about each message of the caller.
pub(super) const METHOD: &str = "WEBSOCKET_TEXT";

/// The last frame of the server's side when bytes are no frames (1002), and when the policy says no (1008).
pub(super) const BROKEN: [u8; 4] = [0x88, 2, 3, 0xea];
pub(super) const REFUSED: [u8; 4] = [0x88, 2, 3, 0xf0];

/// Longest head of a frame, bytes.
const HEAD_BYTES_MAX: usize = 14;

/// How much white space may stand before what tells whether a text is JSON, bytes.
const BLANK_BYTES_MAX: usize = 4 << 10;

/// The kinds of a frame that matter here: a part of a message, and text.
const PART: u8 = 0;
const TEXT: u8 = 1;

/// Why a WebSocket is broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    /// A frame of a kind that is not known, with a bit that nobody agreed on, masked when it must not be or the other way
    /// round, or out of turn.
    #[error("a frame is malformed")]
    Malformed,
    /// Longer than [`EGRESS_FRAME_BYTES_MAX`].
    #[error("a frame has more than {EGRESS_FRAME_BYTES_MAX} bytes")]
    Large,
    /// The policy does not allow a message.
    #[error("a message is not permitted by policy")]
    Denied,
    /// A message holds a placeholder that does not become a value.
    #[error(transparent)]
    Credential(#[from] CredentialError),
}

impl FrameError {
    /// The word in records; stable.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_frame",
            Self::Large => "frame_too_large",
            Self::Denied => "message_not_permitted",
            Self::Credential(error) => error.code(),
        }
    }
}

/// Whose frames they are.
enum Side {
    /// The caller's, masked: placeholders become values, or refuse the message.
    Caller(Scope),
    /// The server's, not masked: values become placeholders.
    Server(Needles),
}

/// Passes the frames of one direction on.
pub(super) struct Frames {
    side: Side,
    /// The head of the next frame as far as it came.
    head: Vec<u8>,
    frame: Option<Frame>,
    /// The message that has begun and not ended.
    message: Option<Message>,
    /// What of a frame of control came so far.
    control: Vec<u8>,
}

/// A frame whose head is whole.
#[derive(Clone, Copy, Debug)]
struct Frame {
    last: bool,
    kind: u8,
    left: u64,
    /// Turned so that its first byte is for the next byte of the frame.
    mask: Option<[u8; 4]>,
}

struct Message {
    /// What the next frame of it says that it is.
    kind: u8,
    mask: Option<[u8; 4]>,
    work: Work,
    /// What may go on and has no frame yet.
    ready: Vec<u8>,
}

/// What becomes of the content of a message.
enum Work {
    /// A text of which only white space came so far.
    Blank(Vec<u8>),
    Fill(Box<Rewriter>),
    Hide(Box<Guard>),
}

impl Frames {
    /// Those of the caller.
    pub(super) fn of_caller(scope: Scope) -> Self {
        Self::new(Side::Caller(scope))
    }

    /// Those of a server whose answers are searched.
    pub(super) fn of_server(needles: Needles) -> Self {
        Self::new(Side::Server(needles))
    }

    fn new(side: Side) -> Self {
        Self { side, head: Vec::new(), frame: None, message: None, control: Vec::new() }
    }

    /// What goes on after the next piece. `permit` is asked at the begin of each message.
    ///
    /// # Errors
    /// As soon as a frame is none or may not go on; nothing of the piece may go on then.
    pub(super) fn pass(
        &mut self,
        mut piece: &[u8],
        mut permit: impl FnMut() -> bool,
    ) -> Result<Bytes, FrameError> {
        let mut out = Vec::with_capacity(piece.len().saturating_add(HEAD_BYTES_MAX));
        loop {
            if let Some(mut frame) = self.frame.take() {
                let taken = usize::try_from(frame.left).unwrap_or(usize::MAX).min(piece.len());
                let (payload, rest) = piece.split_at_checked(taken).unwrap_or((piece, &[]));
                piece = rest;
                frame.left = frame.left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                self.content(unmasked(payload, &mut frame.mask), frame)?;
                if frame.left > 0 {
                    self.frame = Some(frame);
                    break;
                }
                self.end(frame, &mut out)?;
            }
            let Some((first, rest)) = piece.split_first() else { break };
            piece = rest;
            self.head.push(*first);
            let masked = matches!(self.side, Side::Caller(_));
            if let Some(frame) = Frame::parse(&self.head, masked)? {
                self.head.clear();
                self.begin(frame, &mut permit)?;
                self.frame = Some(frame);
            }
        }
        if let Some(message) = &mut self.message {
            message.flush(&mut out);
        }
        Ok(out.into())
    }

    fn begin(&mut self, frame: Frame, permit: impl FnOnce() -> bool) -> Result<(), FrameError> {
        if frame.is_control() {
            return Ok(());
        }
        match (&mut self.message, frame.kind) {
            (Some(message), PART) => message.mask = frame.mask,
            (None, PART) | (Some(_), _) => return Err(FrameError::Malformed),
            // Texts and bytes alike: what may not be said as one may not be said as the other.
            (None, _) if !permit() => return Err(FrameError::Denied),
            (None, kind) => {
                let work = match &self.side {
                    Side::Caller(_) if kind == TEXT => Work::Blank(Vec::new()),
                    Side::Caller(scope) => Work::Fill(Box::new(scope.message(None))),
                    Side::Server(needles) => Work::Hide(Box::new(guard(needles)?)),
                };
                self.message = Some(Message { kind, mask: frame.mask, work, ready: Vec::new() });
            }
        }
        Ok(())
    }

    /// Takes a part of what is in a frame.
    fn content(&mut self, payload: Vec<u8>, frame: Frame) -> Result<(), FrameError> {
        if frame.is_control() {
            self.control.extend(payload);
            return Ok(());
        }
        let Some(message) = &mut self.message else { return Err(FrameError::Malformed) };
        let passed = match &mut message.work {
            Work::Blank(begin) => {
                begin.extend(payload);
                let first = begin.iter().find(|byte| !byte.is_ascii_whitespace());
                if first.is_none() && begin.len() <= BLANK_BYTES_MAX {
                    return Ok(());
                }
                message.decide(&self.side)?
            }
            Work::Fill(rewriter) => rewriter.push(payload.into())?,
            Work::Hide(guard) => guard.push(payload.into()).map_err(|_| FrameError::Malformed)?,
        };
        message.ready.extend_from_slice(&passed);
        Ok(())
    }

    /// Takes the end of a frame.
    fn end(&mut self, frame: Frame, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if frame.is_control() {
            let control = std::mem::take(&mut self.control);
            let control = match &self.side {
                // What is said in passing is said all the same.
                Side::Caller(scope) => all(&mut scope.message(None), control)?,
                Side::Server(needles) => hidden(&mut guard(needles)?, control)?,
            };
            // A placeholder may be longer than its value, and than what a frame of control has room for.
            let kept = control.get(..CONTROL_BYTES_MAX).unwrap_or(&control);
            put(out, frame.kind | LAST, frame.mask, kept);
            return Ok(());
        }
        if !frame.last {
            return Ok(());
        }
        let Some(mut message) = self.message.take() else { return Err(FrameError::Malformed) };
        if let Work::Blank(_) = message.work {
            let passed = message.decide(&self.side)?;
            message.ready.extend_from_slice(&passed);
        }
        let rest = match &mut message.work {
            Work::Blank(_) => return Err(FrameError::Malformed),
            Work::Fill(rewriter) => rewriter.finish()?,
            Work::Hide(guard) => guard.finish().map_err(|_| FrameError::Malformed)?,
        };
        message.ready.extend_from_slice(&rest);
        put(out, message.kind | LAST, message.mask, &message.ready);
        Ok(())
    }
}

impl Message {
    /// Decides by how a text begins how it is rewritten; gives what of it may go on.
    fn decide(&mut self, side: &Side) -> Result<Bytes, FrameError> {
        let (Work::Blank(begin), Side::Caller(scope)) = (&mut self.work, side) else {
            return Err(FrameError::Malformed);
        };
        let begin = std::mem::take(begin);
        let json = begin.trim_ascii_start().first().is_some_and(|byte| b"{[\"".contains(byte));
        let mut rewriter = Box::new(scope.message(Some(if json { "{" } else { "" })));
        let passed = rewriter.push(begin.into())?;
        self.work = Work::Fill(rewriter);
        Ok(passed)
    }

    /// Puts what may go on into a frame, as a part of the message.
    fn flush(&mut self, out: &mut Vec<u8>) {
        if !self.ready.is_empty() {
            put(out, self.kind, self.mask, &self.ready);
            self.kind = PART;
            self.ready.clear();
        }
    }
}

/// The bit of the last frame of a message; all frames of control have it.
const LAST: u8 = 0x80;

/// The longest length that stands in the head itself, and what stands there instead of longer ones: how many bytes hold
/// them.
const LENGTH_MAX: u8 = 125;
const LENGTH_OF_TWO: u8 = 0x7e;
const LENGTH_OF_EIGHT: u8 = 0x7f;

/// Most bytes in a frame of control.
const CONTROL_BYTES_MAX: usize = 125;

impl Frame {
    fn is_control(&self) -> bool {
        self.kind & 0x08 != 0
    }

    /// The frame that a head announces; `None` while the head is not whole.
    fn parse(head: &[u8], masked: bool) -> Result<Option<Self>, FrameError> {
        let first = head.first().copied().unwrap_or_default();
        let (last, reserved, kind) = (first & LAST != 0, first & 0x70, first & 0x0f);
        let control = kind & 0x08 != 0;
        if reserved != 0 || !matches!(kind, 0..=2 | 8..=10) || (control && !last) {
            return Err(FrameError::Malformed);
        }
        let Some(second) = head.get(1) else { return Ok(None) };
        let short = second & 0x7f;
        if (second & 0x80 != 0) != masked || (control && short > LENGTH_MAX) {
            return Err(FrameError::Malformed);
        }
        let extended = match short {
            LENGTH_OF_TWO => 2,
            LENGTH_OF_EIGHT => 8,
            _ => 0,
        };
        let Some((bytes, rest)) = head.get(2..).and_then(|rest| rest.split_at_checked(extended))
        else {
            return Ok(None);
        };
        let mask = match rest {
            [] if !masked => None,
            [a, b, c, d] => Some([*a, *b, *c, *d]),
            _ => return Ok(None),
        };
        let long = bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let left = if extended == 0 { u64::from(short) } else { long };
        if left > EGRESS_FRAME_BYTES_MAX {
            return Err(FrameError::Large);
        }
        Ok(Some(Self { last, kind, left, mask }))
    }
}

/// The bytes under their mask, which is turned on by them.
fn unmasked(payload: &[u8], mask: &mut Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    if let Some(mask) = mask {
        cover(&mut bytes, *mask);
        mask.rotate_left(bytes.len() & 3);
    }
    bytes
}

fn cover(bytes: &mut [u8], mask: [u8; 4]) {
    for four in bytes.chunks_mut(4) {
        four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// Writes a frame under a mask of the sender: who chose it knows no more of the bytes on the wire than before.
fn put(out: &mut Vec<u8>, first: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    out.push(first);
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let length = payload.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=LENGTH_MAX), _) => out.push(masked | short),
        (_, Ok(length)) => {
            out.push(masked | LENGTH_OF_TWO);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(masked | LENGTH_OF_EIGHT);
            out.extend(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let start = out.len();
    out.extend_from_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, out.get_mut(start..)) {
        cover(payload, mask);
    }
}

fn guard(needles: &Needles) -> Result<Guard, FrameError> {
    // Nothing is compressed here: the extension was not negotiated.
    Guard::new(needles, &HeaderMap::new()).map_err(|_| FrameError::Malformed)
}

fn all(rewriter: &mut Rewriter, bytes: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let mut out = rewriter.push(bytes.into())?.to_vec();
    out.extend_from_slice(&rewriter.finish()?);
    Ok(out)
}

fn hidden(guard: &mut Guard, bytes: Vec<u8>) -> Result<Vec<u8>, FrameError> {
    let mut out = guard.push(bytes.into()).map_err(|_| FrameError::Malformed)?.to_vec();
    out.extend_from_slice(&guard.finish().map_err(|_| FrameError::Malformed)?);
    Ok(out)
}

#[cfg(test)]
mod tests;
