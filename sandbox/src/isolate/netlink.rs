//! Netlink: messages of attributes, sent to the kernel, with every answer read.
//!
//! The builder is pure; [`Line`] is one socket. Not here: what the messages mean (`routes`, `nft`).

use std::{io, os::fd::OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
    netlink::SocketAddrNetlink, recv, sendto, socket_with,
};

/// Length of `struct nlmsghdr`, in bytes.
const HEADER: usize = 16;
const ALIGNMENT: usize = 4;
/// The most answers to one datagram; each is short.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
const ERROR: u16 = 2;

/// Messages for one datagram, in order.
#[derive(Debug, Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    acknowledged: usize,
    sequence: u32,
}

impl Messages {
    /// A message that the kernel acknowledges: its type, flags beyond the usual, its fixed part, its attributes.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.acknowledged += 1;
        self.push(kind, flags | REQUEST | ACKNOWLEDGE, fixed, fill);
    }

    /// A message without an answer of its own.
    pub(super) fn mark(&mut self, kind: u16, fixed: &[u8]) {
        self.push(kind, REQUEST, fixed, |_| ());
    }

    fn push(
        &mut self,
        kind: u16,
        flags: u16,
        fixed: &[u8],
        fill: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        self.sequence += 1;
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(self.sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend(fixed);
        pad(&mut self.bytes);
        fill(&mut Attributes { bytes: &mut self.bytes });
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        put(&mut self.bytes, start, &length.to_ne_bytes());
    }
}

/// Where attributes are written: of a message, or of an attribute that holds others.
#[derive(Debug)]
pub(super) struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.write(kind, |bytes| bytes.extend(value));
    }

    /// A name with its closing zero.
    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.write(kind, |bytes| {
            bytes.extend(value.as_bytes());
            bytes.push(0);
        });
    }

    /// A number in network order, as `nf_tables` has all of its own.
    pub(super) fn big(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(super) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes<'_>)) {
        const NESTED: u16 = 0x8000;
        self.write(kind | NESTED, |bytes| fill(&mut Attributes { bytes }));
    }

    fn write(&mut self, kind: u16, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        fill(self.bytes);
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        put(self.bytes, start, &length.to_ne_bytes());
        pad(self.bytes);
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
}

/// A socket to one part of the kernel.
#[derive(Debug)]
pub(super) struct Line(OwnedFd);

impl Line {
    /// `None` is the part for devices, addresses and routes.
    pub(super) fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let kind = SocketType::RAW;
        Ok(Self(socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?))
    }

    pub(super) fn into_inner(self) -> OwnedFd {
        self.0
    }

    /// Sends the messages and reads an acknowledgement for each that asked for one.
    ///
    /// # Errors
    /// The first error that the kernel answers; `InvalidData` for an answer that is none.
    pub(super) fn send(&self, messages: &Messages) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.0, &messages.bytes, SendFlags::empty(), &kernel)?;
        let mut open = messages.acknowledged;
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        while open > 0 {
            let (length, _) = recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty())?;
            let datagram = buffer.get(..length).unwrap_or_default();
            let answers = errors(datagram).ok_or(io::ErrorKind::InvalidData)?;
            for errno in answers {
                if errno != 0 {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                open = open.saturating_sub(1);
            }
        }
        Ok(())
    }
}

/// The error numbers of the acknowledgements in a datagram, zero for success. `None` when it is cut or malformed.
fn errors(mut datagram: &[u8]) -> Option<Vec<i32>> {
    let mut found = Vec::new();
    while !datagram.is_empty() {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        if length < HEADER {
            return None;
        }
        let message = datagram.get(..length)?;
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        if kind == ERROR {
            let errno = i32::from_ne_bytes(*message.get(HEADER..)?.first_chunk()?);
            found.push(errno.checked_neg()?);
        }
        datagram = datagram.get(length.next_multiple_of(ALIGNMENT).min(datagram.len())..)?;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acknowledgement(errno: i32) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(36_u32.to_ne_bytes());
        bytes.extend(ERROR.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend((-errno).to_ne_bytes());
        bytes.extend([0; 16]);
        bytes
    }

    #[test]
    fn attributes_are_padded_and_their_lengths_are_not() {
        let mut messages = Messages::default();
        messages.ask(7, CREATE, &[1, 2, 3, 4], |attributes| {
            attributes.text(1, "ab");
            attributes.nested(2, |inner| inner.big(3, 258));
        });
        let expected = [
            &40_u32.to_ne_bytes()[..],
            &7_u16.to_ne_bytes(),
            &(CREATE | REQUEST | ACKNOWLEDGE).to_ne_bytes(),
            &1_u32.to_ne_bytes(),
            &[0; 4],
            &[1, 2, 3, 4],
            &7_u16.to_ne_bytes(),
            &1_u16.to_ne_bytes(),
            b"ab\0\0",
            &12_u16.to_ne_bytes(),
            &0x8002_u16.to_ne_bytes(),
            &8_u16.to_ne_bytes(),
            &3_u16.to_ne_bytes(),
            &[0, 0, 1, 2],
        ]
        .concat();
        assert_eq!(messages.bytes, expected);
    }

    #[test]
    fn errors_of_several_answers_are_read_in_order() {
        let datagram = [acknowledgement(0), acknowledgement(1)].concat();
        assert_eq!(errors(&datagram), Some(vec![0, 1]));
        assert_eq!(errors(&datagram[..40]), None);
        assert_eq!(errors(&[0; 16]), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic_or_hang(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let found = errors(&bytes);
            prop_assert!(found.is_none_or(|found| found.len() <= bytes.len()));
        }
    }
}
