//! A connection to its socket, by asking the kernel for exactly that pair of ends (`sock_diag(7)`, `inet_diag.h`).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use parking_lot::Mutex;
use proxy::egress::{Connection, Unidentified};
use rustix::net::{RecvFlags, SendFlags, netlink::SocketAddrNetlink, recv, sendto};

const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const TCP: u8 = 6;
/// Longer than any answer to one question.
const ANSWER_BYTES_MAX: usize = 4096;
/// Answers to older questions, whose reading broke off, that are passed over.
const STALE_MAX: usize = 8;

/// The caller's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    /// Its number for as long as this kernel runs.
    pub(super) cookie: u64,
    /// Its number as a file; zero when nobody holds it any more.
    pub(super) inode: u64,
}

/// The question line to the network of a sandbox.
#[derive(Debug)]
pub(super) struct Diagnosis(Mutex<Line>);

#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    sequence: u32,
}

impl Diagnosis {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(Mutex::new(Line { socket, sequence: 0 }))
    }

    /// # Errors
    /// [`Unidentified::NotFound`] when there is no such socket; [`Unidentified::System`] when the kernel does not say.
    pub(super) fn socket_of(&self, connection: &Connection) -> Result<Socket, Unidentified> {
        let ends = Ends::of(connection).ok_or(Unidentified::NotFound)?;
        match self.0.lock().ask(ends) {
            Ok(Some(socket)) => Ok(socket),
            Ok(None) => Err(Unidentified::NotFound),
            Err(error) => Err(Unidentified::System(error.to_string())),
        }
    }
}

impl Line {
    fn ask(&mut self, ends: Ends) -> io::Result<Option<Socket>> {
        self.sequence = self.sequence.wrapping_add(1);
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(&self.socket, &ends.question(self.sequence), SendFlags::empty(), &kernel)?;
        let mut buffer = [0; ANSWER_BYTES_MAX];
        for _ in 0..STALE_MAX {
            // The kernel answers before the call above returns.
            let (length, _) = recv(&self.socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
            let answer = buffer.get(..length).unwrap_or_default();
            match read(answer, self.sequence, ends).ok_or(io::ErrorKind::InvalidData)? {
                Answer::Stale => {}
                Answer::Nothing => return Ok(None),
                Answer::Refused(errno) => return Err(io::Error::from_raw_os_error(errno)),
                Answer::Found(socket) => return Ok(Some(socket)),
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Both ends of a connection in one version of IP. An IPv6 socket that speaks IPv4 is found under its IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    from: SocketAddr,
    to: SocketAddr,
}

impl Ends {
    /// `None` when the ends are of different versions, which no connection is.
    fn of(connection: &Connection) -> Option<Self> {
        let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
        let ends = Self { from: plain(connection.from), to: plain(connection.to) };
        (ends.from.is_ipv4() == ends.to.is_ipv4()).then_some(ends)
    }

    /// `struct nlmsghdr` and `struct inet_diag_req_v2`.
    fn question(self, sequence: u32) -> [u8; REQUEST] {
        let family = if self.from.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let length = u32::try_from(REQUEST).unwrap_or_default();
        let mut bytes = [0; REQUEST];
        let mut rest = bytes.as_mut_slice();
        for part in [
            &length.to_ne_bytes()[..],
            &SOCK_DIAG_BY_FAMILY.to_ne_bytes(),
            &NLM_F_REQUEST.to_ne_bytes(),
            &sequence.to_ne_bytes(),
            &[0; 4],
            // family, protocol, no extensions, padding, every state
            &[u8::try_from(family).unwrap_or_default(), TCP, 0, 0],
            &u32::MAX.to_ne_bytes(),
            &self.from.port().to_be_bytes(),
            &self.to.port().to_be_bytes(),
            &sixteen(self.from.ip()),
            &sixteen(self.to.ip()),
            // no device, any cookie
            &[0; 4],
            &[0xff; 8],
        ] {
            let Some((place, after)) = rest.split_at_mut_checked(part.len()) else { break };
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }
}

/// An address as `inet_diag` has it: four or sixteen bytes at the front.
fn sixteen(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// To another question.
    Stale,
    /// There is no such socket.
    Nothing,
    /// The kernel does not say.
    Refused(i32),
    Found(Socket),
}

/// Reads one answer. `None` for one that is none. A socket with other ends, a listener for example, is nothing.
fn read(answer: &[u8], sequence: u32, asked: Ends) -> Option<Answer> {
    let kind = u16::from_ne_bytes(at(answer, 4)?);
    if u32::from_ne_bytes(at(answer, 8)?) != sequence {
        return Some(Answer::Stale);
    }
    if kind == NLMSG_ERROR {
        let errno = i32::from_ne_bytes(at(answer, HEADER)?).checked_neg()?;
        let nothing = errno == libc::ENOENT;
        return Some(if nothing { Answer::Nothing } else { Answer::Refused(errno) });
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    // struct inet_diag_msg: family, state, timer, retrans, then the ends, then five numbers of which the last is the inode.
    let body = answer.get(HEADER..)?;
    let [family] = at(body, 0)?;
    let end = |port: usize, ip: usize| {
        let ip = if i32::from(family) == libc::AF_INET {
            IpAddr::V4(Ipv4Addr::from(at::<4>(body, ip)?))
        } else {
            IpAddr::V6(Ipv6Addr::from(at::<16>(body, ip)?)).to_canonical()
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(at(body, port)?)))
    };
    let found = Ends { from: end(4, 8)?, to: end(6, 24)? };
    if found != asked {
        return Some(Answer::Nothing);
    }
    let (low, high) = (u32::from_ne_bytes(at(body, 44)?), u32::from_ne_bytes(at(body, 48)?));
    let inode = u32::from_ne_bytes(at(body, 68)?);
    let cookie = u64::from(high) << 32 | u64::from(low);
    Some(Answer::Found(Socket { cookie, inode: inode.into() }))
}

fn at<const N: usize>(bytes: &[u8], from: usize) -> Option<[u8; N]> {
    bytes.get(from..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;
    use rustix::net::{
        AddressFamily, SocketFlags, SocketType, netlink, socket_with, sockopt::socket_cookie,
    };

    use super::*;

    fn line() -> Diagnosis {
        let kind = SocketType::RAW;
        let flags = SocketFlags::CLOEXEC;
        let protocol = Some(netlink::SOCK_DIAG);
        Diagnosis::new(socket_with(AddressFamily::NETLINK, kind, flags, protocol).unwrap())
    }

    #[test]
    fn the_callers_end_is_found_also_under_mapped_addresses() {
        let line = line();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let mapped = |end: SocketAddr| match end.ip() {
            IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
            IpAddr::V6(_) => end,
        };
        for connection in [
            Connection { from, to },
            Connection { from: mapped(from), to },
            Connection { from: mapped(from), to: mapped(to) },
        ] {
            let found = line.socket_of(&connection).unwrap();
            assert_eq!(found.cookie, socket_cookie(&client).unwrap());
            assert_eq!(found.inode, rustix::fs::fstat(&client).unwrap().st_ino);
        }
    }

    #[test]
    fn a_listener_is_not_taken_for_a_caller() {
        let line = line();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let found = line.socket_of(&Connection { from: own, to: nobody });
        assert_eq!(found, Err(Unidentified::NotFound));
        let found = line.socket_of(&Connection { from: nobody, to: own });
        assert_eq!(found, Err(Unidentified::NotFound));
        let six = "[::1]:80".parse().unwrap();
        let found = line.socket_of(&Connection { from: own, to: six });
        assert_eq!(found, Err(Unidentified::NotFound));
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), one in any::<bool>()) {
            let end = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let asked = Ends { from: end(1), to: end(2) };
            let sequence = if one { 1 } else { u32::MAX };
            let found = read(&bytes, sequence, asked);
            prop_assert!(!matches!(found, Some(Answer::Found(_))));
        }
    }
}
