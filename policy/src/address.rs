//! Which addresses a connection may end at, whatever name led there.
//!
//! Not here: resolving names. Every resolved address is asked about, and exactly the addresses that passed are
//! dialled. Invariant: loopback, link-local and unspecified addresses never pass, not even when a policy lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use thiserror::Error;

/// Ports of control planes (etcd, Kubernetes API, kubelet); closed to addresses that `allowed_ips` opens.
pub const CONTROL_PORTS: [u16; 5] = [2379, 2380, 6443, 10250, 10255];

/// Shorter prefixes than this open more than anybody means.
pub const WIDE_PREFIX: u8 = 16;

/// Blocked whatever a policy says: this host, this link and its metadata service (RFC 6890).
const NEVER_4: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::BROADCAST, 32),
];

/// Blocked unless a policy lists them: private, shared, documentation, benchmarking and multicast (RFC 6890).
const INTERNAL_4: [(Ipv4Addr, u8); 10] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

const NEVER_6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::UNSPECIFIED, 128),
    (Ipv6Addr::LOCALHOST, 128),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
];

const INTERNAL_6: [(Ipv6Addr, u8); 7] = [
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Why an address may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Blocked {
    /// Loopback, link-local (metadata services) or unspecified; no policy opens it.
    #[error("internal address")]
    Always,
    /// Private or reserved, and no `allowed_ips` lists it.
    #[error("internal address")]
    Internal,
    /// The endpoint has `allowed_ips`, and the address is not among them.
    #[error("allowed_ips check failed")]
    NotListed,
    /// A port of a control plane behind an address that `allowed_ips` opens.
    #[error("allowed_ips check failed")]
    ControlPort,
}

/// Whether an address may be dialled. `allowed` is the endpoint's `allowed_ips`; empty where it has none.
///
/// # Errors
/// Why not.
pub fn check(address: IpAddr, port: u16, allowed: &[IpNet]) -> Result<(), Blocked> {
    let address = carried(address);
    if is_always_blocked(address) {
        return Err(Blocked::Always);
    }
    if allowed.is_empty() {
        return if is_internal(address) { Err(Blocked::Internal) } else { Ok(()) };
    }
    if CONTROL_PORTS.contains(&port) {
        return Err(Blocked::ControlPort);
    }
    if allowed.iter().any(|net| net.contains(&address)) { Ok(()) } else { Err(Blocked::NotListed) }
}

/// Whether no policy can open the address: loopback, link-local, unspecified or broadcast.
pub fn is_always_blocked(address: IpAddr) -> bool {
    match carried(address) {
        IpAddr::V4(address) => within_4(&NEVER_4, address),
        IpAddr::V6(address) => within_6(&NEVER_6, address),
    }
}

/// Every address that is open without `allowed_ips`, as networks; of IPv6 those that are given out (RFC 4291, 2.4).
pub fn public_networks() -> Vec<IpNet> {
    let closed: Vec<IpNet> =
        networks(&NEVER_4, &NEVER_6).chain(networks(&INTERNAL_4, &INTERNAL_6)).collect();
    const ALL_4: [(Ipv4Addr, u8); 1] = [(Ipv4Addr::UNSPECIFIED, 0)];
    const ALL_6: [(Ipv6Addr, u8); 1] = [(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3)];
    let mut open = Vec::new();
    let mut left: Vec<IpNet> = networks(&ALL_4, &ALL_6).collect();
    while let Some(net) = left.pop() {
        if closed.iter().any(|one| one.contains(&net)) {
            continue;
        }
        match net.subnets(net.prefix_len().saturating_add(1)) {
            Ok(halves) if closed.iter().any(|one| net.contains(one)) => left.extend(halves),
            Ok(_) | Err(_) => open.push(net),
        }
    }
    open
}

fn networks<'n>(
    four: &'n [(Ipv4Addr, u8)],
    six: &'n [(Ipv6Addr, u8)],
) -> impl Iterator<Item = IpNet> + 'n {
    let four = four.iter().filter_map(|(base, prefix)| Ipv4Net::new(*base, *prefix).ok());
    let six = six.iter().filter_map(|(base, prefix)| Ipv6Net::new(*base, *prefix).ok());
    four.map(IpNet::from).chain(six.map(IpNet::from))
}

/// Whether a network holds an address that no policy can open.
pub fn overlaps_always_blocked(net: &IpNet) -> bool {
    let meets = |one: &IpNet| one.contains(net) || net.contains(one);
    let never = networks(&NEVER_4, &NEVER_6);
    // An IPv4 network that is written as an IPv6 one would never match: addresses are unwrapped first.
    let wrapped = Ipv6Net::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96).map(IpNet::from);
    never.chain(wrapped).any(|one| meets(&one))
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => within_4(&INTERNAL_4, address),
        IpAddr::V6(address) => within_6(&INTERNAL_6, address),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, 6to4 and NAT64 (RFC 4291, 3056, 6052).
fn carried(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let v4 = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

fn within_4(nets: &[(Ipv4Addr, u8)], address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    nets.iter().any(|(base, prefix)| {
        let shift = 32_u32.saturating_sub(u32::from(*prefix));
        (bits ^ base.to_bits()).checked_shr(shift).unwrap_or(0) == 0
    })
}

fn within_6(nets: &[(Ipv6Addr, u8)], address: Ipv6Addr) -> bool {
    let bits = address.to_bits();
    nets.iter().any(|(base, prefix)| {
        let shift = 128_u32.saturating_sub(u32::from(*prefix));
        (bits ^ base.to_bits()).checked_shr(shift).unwrap_or(0) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_networks_are_what_is_open_without_being_listed() {
        let open = public_networks();
        assert!(open.len() < 1024 && open.iter().all(|net| !overlaps_always_blocked(net)));
        let is_open =
            |text: &str| open.iter().any(|net| net.contains(&text.parse::<IpAddr>().unwrap()));
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "10.0.0.0",
            "11.0.0.0",
            "100.63.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.15.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "192.169.0.1",
            "198.18.0.10",
            "198.20.0.1",
            "223.255.255.255",
            "224.0.0.1",
            "255.255.255.255",
            "2606:4700::1111",
            "2001:db8::1",
            "2001:500::1",
            "::1",
        ] {
            assert_eq!(is_open(text), check(text.parse().unwrap(), 443, &[]).is_ok(), "{text}");
        }
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn of(address: &str, allowed: &[&str]) -> Result<(), Blocked> {
        let allowed: Vec<IpNet> = allowed.iter().map(|text| net(text)).collect();
        check(ip(address), 443, &allowed)
    }

    #[test]
    fn this_host_and_its_metadata_never_pass() {
        let addresses = [
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ];
        for address in addresses {
            assert_eq!(of(address, &[]), Err(Blocked::Always), "{address}");
            assert_eq!(of(address, &["127.0.0.0/8", "0.0.0.0/0", "::/0"]), Err(Blocked::Always));
        }
    }

    #[test]
    fn internal_addresses_pass_where_they_are_listed() {
        let addresses = [
            "10.0.5.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "224.0.0.1",
            "ff02::1",
        ];
        for address in addresses {
            assert_eq!(of(address, &[]), Err(Blocked::Internal), "{address}");
        }
        assert_eq!(of("10.0.5.1", &["10.0.5.0/24"]), Ok(()));
        assert_eq!(of("::ffff:10.0.5.1", &["10.0.5.0/24"]), Ok(()));
        assert_eq!(of("10.0.6.1", &["10.0.5.0/24"]), Err(Blocked::NotListed));
        assert_eq!(of("93.184.216.34", &["10.0.5.0/24"]), Err(Blocked::NotListed));
        assert_eq!(of("fd00::1", &["fd00::/64"]), Ok(()));
    }

    #[test]
    fn public_addresses_pass_and_neighbours_of_private_ranges_are_public() {
        for address in ["93.184.216.34", "172.32.0.1", "11.0.0.1", "2606:4700::1", "100.128.0.1"] {
            assert_eq!(of(address, &[]), Ok(()), "{address}");
        }
    }

    #[test]
    fn control_planes_stay_closed_behind_listed_addresses() {
        let allowed = ["10.0.0.0/16".parse().unwrap()];
        for port in CONTROL_PORTS {
            let address = "10.0.0.1".parse().unwrap();
            assert_eq!(check(address, port, &allowed), Err(Blocked::ControlPort));
        }
    }

    #[test]
    fn networks_around_blocked_ones_are_known() {
        let cases = [
            ("127.0.0.0/8", true),
            ("0.0.0.0/0", true),
            ("169.254.169.254/32", true),
            ("::/0", true),
            ("fe80::/64", true),
            ("::ffff:10.0.0.0/104", true),
            ("10.0.0.0/8", false),
            ("fd00::/8", false),
        ];
        for (net, expected) in cases {
            assert_eq!(overlaps_always_blocked(&net.parse().unwrap()), expected, "{net}");
        }
    }
}
