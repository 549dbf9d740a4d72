//! The network: every connection and question ends at the supervisor's sockets, and nothing else exists.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::Timespec,
    net::sockopt::{ip_original_dst, ipv6_original_dst},
};
use sandbox::{Ending, Sandbox, Spec, Stdio, Tcp};

use crate::support::{Check, World, explain, start};

pub(crate) const CHECKS: &[Check] = &[
    ("every_connection_lands_in_ours_with_its_destination", captured),
    ("the_proxy_takes_what_is_meant_for_it", proxy),
    ("questions_for_names_are_ours_whatever_the_resolver", names),
    ("udp_and_quic_fail_at_once", udp),
    ("without_sockets_every_connection_is_refused", closed),
    ("other_sockets_cannot_be_made", sockets),
    ("programs_may_serve_each_other", own_server),
    ("there_is_one_device_and_no_route", one_device),
    ("proxy_only_leaves_the_proxy", proxy_only),
];

/// Starts a probe, lets `serve` answer it, and gives what the probe printed.
fn with_probe<T>(
    world: &World,
    sandbox: &mut Sandbox,
    words: &[&str],
    serve: impl FnOnce() -> T,
) -> (T, String) {
    let program = sandbox.program(world.probe(words));
    let (mut out, into) = io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let stdio = Stdio::Descriptors([null.as_fd(), into.as_fd(), into.as_fd()]);
    sandbox.run(program, stdio).unwrap_or_else(|error| panic!("{}", explain(&error)));
    drop(into);
    let served = serve();
    let mut text = String::new();
    out.read_to_string(&mut text).unwrap();
    let (_, ending) = sandbox.next_ending().unwrap().unwrap();
    assert_eq!(ending, Ending::Code(0), "{words:?}: {text}");
    (served, text.trim_end().to_owned())
}

/// Accepts, but does not wait for ever.
pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    wait_for(listener.as_fd());
    listener.accept().unwrap().0
}

fn wait_for(descriptor: std::os::fd::BorrowedFd<'_>) {
    let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ready =
        poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ready, 1, "nothing came");
}

fn captured(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let sockets = sandbox.take_sockets().unwrap();
    for to in [
        "93.184.216.34:443",
        "169.254.169.254:80",
        "10.0.0.1:22",
        "[2606:2800::1]:80",
        "[::ffff:198.51.100.7]:5432",
    ] {
        let (destination, text) = with_probe(world, &mut sandbox, &["connect", to], || {
            let mut stream = accept(&sockets.captured);
            let destination = destination(&stream);
            stream.write_all(b"ours").unwrap();
            destination
        });
        let meant: SocketAddr =
            to.replace("[::ffff:198.51.100.7]", "198.51.100.7").parse().unwrap();
        assert_eq!(
            (destination.ip(), destination.port(), text.as_str()),
            (meant.ip(), meant.port(), "ours")
        );
    }
    Ok(())
}

/// Where a captured connection was meant to go.
pub(crate) fn destination(stream: &TcpStream) -> SocketAddr {
    let mapped = matches!(stream.peer_addr().unwrap(), SocketAddr::V6(peer) if peer.ip().to_ipv4_mapped().is_some());
    if mapped {
        SocketAddr::V4(ip_original_dst(stream).unwrap())
    } else {
        SocketAddr::V6(ipv6_original_dst(stream).unwrap())
    }
}

fn proxy(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let sockets = sandbox.take_sockets().unwrap();
    let ((), text) = with_probe(world, &mut sandbox, &["connect", "127.0.0.1:3128"], || {
        accept(&sockets.proxy).write_all(b"proxy").unwrap();
    });
    assert_eq!(text, "proxy");
    Ok(())
}

fn names(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    let sockets = sandbox.take_sockets().unwrap();
    for (to, socket) in [
        ("8.8.8.8:53", 0),
        ("127.0.0.1:53", 0),
        ("127.0.0.53:53", 0),
        ("[2001:4860:4860::8888]:53", 1),
    ] {
        let Some(socket) = sockets.dns.get(socket) else { continue };
        let ((), text) = with_probe(world, &mut sandbox, &["ask-udp", to], || {
            wait_for(socket.as_fd());
            let (_, from) = socket.recv_from(&mut [0; 64]).unwrap();
            socket.send_to(b"answer", from).unwrap();
        });
        assert_eq!(text, "answer", "{to}");
    }
    for (to, socket) in [("1.1.1.1:53", 0), ("[2606:4700::1111]:53", 1)] {
        let Some(listener) = sockets.dns_tcp.get(socket) else { continue };
        let ((), text) = with_probe(world, &mut sandbox, &["ask-tcp", to], || {
            accept(listener).write_all(b"answer").unwrap();
        });
        assert_eq!(text, "answer", "{to}");
    }
    Ok(())
}

fn udp(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    world.contained(
        &mut sandbox,
        &["udp-fails", "1.1.1.1:443", "10.0.0.1:123", "[2606:2800::1]:443"],
    );
    Ok(())
}

fn closed(world: &World) -> Result<(), String> {
    let mut sandbox = world.sandbox();
    drop(sandbox.take_sockets());
    world.contained(
        &mut sandbox,
        &["refused", "1.1.1.1:443", "127.0.0.1:3128", "[2606:2800::1]:80", "8.8.8.8:53"],
    );
    Ok(())
}

fn sockets(world: &World) -> Result<(), String> {
    world.contained(&mut world.sandbox(), &["sockets"]);
    Ok(())
}

fn own_server(world: &World) -> Result<(), String> {
    let text = world.contained(&mut world.sandbox(), &["own-server"]);
    assert_eq!(text.trim_end(), "mine");
    Ok(())
}

fn one_device(world: &World) -> Result<(), String> {
    world.contained(&mut world.sandbox(), &["one-device"]);
    Ok(())
}

fn proxy_only(world: &World) -> Result<(), String> {
    let mut sandbox = start(&Spec { tcp: Tcp::ProxyOnly, ..world.spec() });
    if let Some(note) = sandbox.notes().iter().find(|note| note.contains("Landlock")) {
        return Err(note.clone());
    }
    let sockets = sandbox.take_sockets().unwrap();
    let ((), text) = with_probe(world, &mut sandbox, &["connect", "127.0.0.1:3128"], || {
        accept(&sockets.proxy).write_all(b"proxy").unwrap();
    });
    assert_eq!(text, "proxy");
    world.contained(&mut sandbox, &["forbidden", "1.1.1.1:443", "[2606:2800::1]:80"]);
    world.contained(&mut sandbox, &["no-server"]);
    Ok(())
}
