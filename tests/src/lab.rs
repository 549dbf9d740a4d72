//! A small internet for sandboxes: a network of its own with addresses that a policy can open, and names for them.
//!
//! A policy never opens loopback, so servers of these tests cannot stay there. They listen on addresses of the range for
//! benchmarks (RFC 2544), in a network namespace that nothing else uses; the command under test runs in it too, with a file of
//! host names of its own. Nothing of the machine changes. Needs root, for the namespaces.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::AsFd as _,
    process::{Child, Command, Stdio},
    thread,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

/// The address of most servers.
pub const SERVER: [u8; 4] = [198, 18, 0, 10];

/// Further addresses that are there.
const ADDRESSES: [&str; 9] = [
    "198.18.0.1/32",
    "198.18.0.10/32",
    "198.18.0.11/32",
    "198.18.0.12/32",
    "198.18.0.53/32",
    "10.77.0.10/32",
    "169.254.169.254/32",
    "2001:db8:1::10/128",
    "fd00:ec2::254/128",
];

/// Who is asked for names that are in no file; nobody, unless a test serves there.
const RESOLVER: &str = "nameserver 198.18.0.53\noptions timeout:1 attempts:1\n";

/// A network with names; it ends with its value.
#[derive(Debug)]
pub struct Lab {
    holder: Child,
    folder: TempDir,
}

impl Lab {
    /// A network in which each of `names` leads to its address. `None`, noted as skipped, where this user may not make one.
    pub fn start(names: &[(&str, &str)]) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            crate::clients::skip("a network of its own needs root");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut hosts = String::from("127.0.0.1 localhost\n");
        for (name, address) in names {
            hosts.push_str(&format!("{address} {name}\n"));
        }
        let file = folder.path().join("hosts");
        fs::write(&file, hosts).expect("a file can be written");
        let mut script = format!("set -e\nmount --bind {} /etc/hosts\n", file.display());
        let resolver = folder.path().join("resolv.conf");
        fs::write(&resolver, RESOLVER).expect("a file can be written");
        let resolver = resolver.display();
        script.push_str("[ ! -e /etc/resolv.conf ] || ");
        script.push_str(&format!("mount --bind {resolver} /etc/resolv.conf\n"));
        script.push_str("ip link set lo up\n");
        for address in ADDRESSES {
            script.push_str(&format!("ip address add {address} dev lo\n"));
        }
        script.push_str("echo ready\nexec sleep infinity\n");
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "--", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is installed");
        let mut said = String::new();
        let out = holder.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut said).expect("it can be read");
        assert_eq!(said, "ready\n", "the network cannot be set up; is iproute2 installed?");
        Some(Self { holder, folder })
    }

    /// A folder of its own.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A listener in this network; it can be served from anywhere.
    pub fn listen(&self, address: impl Into<SocketAddr>) -> TcpListener {
        let address = address.into();
        self.there(move || {
            TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"))
        })
    }

    /// A socket for datagrams in this network.
    pub fn listen_udp(&self, address: impl Into<SocketAddr>) -> UdpSocket {
        let address = address.into();
        self.there(move || {
            UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"))
        })
    }

    fn there<T: Send + 'static>(&self, make: impl FnOnce() -> T + Send + 'static) -> T {
        let process = self.holder.id();
        // A thread of its own goes there and ends; the others stay where they are.
        let made = thread::spawn(move || {
            let network = fs::File::open(format!("/proc/{process}/ns/net")).expect("it runs");
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("root may go there");
            make()
        });
        made.join().expect("the address is one of the network's")
    }

    /// `command` as it runs in this network, with the same arguments and folder, and with nothing in its environment but
    /// what was set for it.
    pub fn inside(&self, command: &Command) -> Command {
        self.inside_as(command, None)
    }

    /// The same, under this user and group.
    pub fn inside_as(&self, command: &Command, user: Option<u32>) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg("--target").arg(self.holder.id().to_string());
        if let Some(user) = user {
            inside.args([format!("--setuid={user}"), format!("--setgid={user}")]);
        }
        let folder = command.get_current_dir().unwrap_or_else(|| self.folder());
        inside.args(["--net", "--mount"]).arg(format!("--wdns={}", folder.display()));
        inside.arg("--").arg(command.get_program()).args(command.get_args());
        let set = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
        inside.env_clear().envs(set);
        inside
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}
