//! The supervisor's sockets inside the sandbox's network: the only ends that a connection from in there can have.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, netlink, socket_with, sockopt,
};

use super::{netlink::Line, routes::Versions};

/// Port of the explicit proxy, on 127.0.0.1.
pub const PROXY_PORT: u16 = 3128;
/// Port that captured connections are redirected to.
pub const CAPTURED_PORT: u16 = 3129;
/// Port of name resolution.
pub const DNS_PORT: u16 = 53;
/// Connections that wait to be accepted, per socket; beyond it the kernel lets clients retry.
const BACKLOG: i32 = 4096;

/// Sockets that were opened inside and work from anywhere: who holds them is the sandbox's network.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sockets {
    /// Takes `CONNECT` and absolute-form requests at 127.0.0.1:3128.
    pub proxy: TcpListener,
    /// Takes every other TCP connection, IPv4 as mapped addresses. `SO_ORIGINAL_DST` tells where it was meant to go; one that
    /// was meant for this very socket was not captured and must be refused.
    pub captured: TcpListener,
    /// Takes questions for names by UDP, meant for whatever resolver; one socket per version of IP.
    pub dns: Vec<UdpSocket>,
    /// The same by TCP.
    pub dns_tcp: Vec<TcpListener>,
    /// A `NETLINK_SOCK_DIAG` socket of that network, which knows the owner of each connection.
    pub diagnosis: OwnedFd,
}

/// Which versions of IP this network has, once its device is up. A kernel without IPv6 has no such sockets, one where it is
/// switched off has no such address, and neither has a way out over it.
///
/// # Errors
/// Any other answer.
pub(crate) fn versions() -> io::Result<Versions> {
    match UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) {
        Ok(_) => Ok(Versions::Both),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => Ok(Versions::Four),
            _ => Err(error),
        },
    }
}

impl Sockets {
    /// Opens them in the network namespace of this process.
    pub(crate) fn open(versions: Versions) -> io::Result<Self> {
        let mut loopback = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT))];
        let everywhere = match versions {
            Versions::Four => SocketAddr::from((Ipv4Addr::UNSPECIFIED, CAPTURED_PORT)),
            Versions::Both => {
                loopback.push(SocketAddr::from((Ipv6Addr::LOCALHOST, DNS_PORT)));
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, CAPTURED_PORT))
            }
        };
        Ok(Self {
            proxy: listener(SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_PORT)))?,
            captured: listener(everywhere)?,
            dns: loopback.iter().map(UdpSocket::bind).collect::<io::Result<_>>()?,
            dns_tcp: loopback.iter().map(|at| listener(*at)).collect::<io::Result<_>>()?,
            diagnosis: Line::open(Some(netlink::SOCK_DIAG))?.into_inner(),
        })
    }

    /// Every descriptor in the order in which [`Sockets::from_descriptors`] takes them.
    pub(crate) fn into_descriptors(self) -> Vec<OwnedFd> {
        let mut descriptors: Vec<OwnedFd> =
            vec![self.proxy.into(), self.captured.into(), self.diagnosis];
        descriptors.extend(self.dns.into_iter().map(OwnedFd::from));
        descriptors.extend(self.dns_tcp.into_iter().map(OwnedFd::from));
        descriptors
    }

    /// The sockets again, on the other side of the line. `None` when some are missing.
    pub(crate) fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let mut rest = descriptors.into_iter();
        let (proxy, captured, diagnosis) = (rest.next()?, rest.next()?, rest.next()?);
        let names: Vec<OwnedFd> = rest.collect();
        if names.is_empty() || !names.len().is_multiple_of(2) {
            return None;
        }
        let half = names.len() / 2;
        let mut names = names.into_iter();
        Some(Self {
            proxy: proxy.into(),
            captured: captured.into(),
            diagnosis,
            dns: names.by_ref().take(half).map(UdpSocket::from).collect(),
            dns_tcp: names.map(TcpListener::from).collect(),
        })
    }
}

fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    if at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !at.ip().is_unspecified())?;
    }
    bind(&socket, &at)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}
