//! Connections into the sandbox: begun by its first process, in whose network they are, and used from outside.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with},
};

use crate::wire::Version;

/// Begins a connection to a port of this machine. It never waits: an agent that accepts nothing must not hold up the first
/// process.
///
/// # Errors
/// What the kernel said at once, such as `ECONNREFUSED`.
pub(crate) fn begin(port: u16, version: Version) -> io::Result<OwnedFd> {
    let (family, to) = match version {
        Version::Four => (AddressFamily::INET, SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Version::Six => (AddressFamily::INET6, SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
