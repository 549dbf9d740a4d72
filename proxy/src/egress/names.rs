//! Addresses that stand for names inside a sandbox, so that a captured connection still has its name.
//!
//! IPv4 addresses are of 241.0.0.0/16: reserved for ever (RFC 1112 §4), so no destination that a policy names is among
//! them; `policy::address` takes them for internal, so none is ever dialled; the kernel, libc, curl, wget, Python, Node and
//! Perl connect to them as to any other. 100.64.0.0/10 and 198.18.0.0/15 are in use as real networks. IPv6 addresses are of
//! a unique local prefix (RFC 4193).
//!
//! Invariant: an address never changes the name it stands for while somebody may remember it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Host;
use lru::LruCache;
use parking_lot::Mutex;

/// Most names that have addresses at once. One takes at most 700 bytes.
const NAMES_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8_191);

/// How long an address keeps its name after it was last given out or used; clients remember one for a minute.
const FRESH: Duration = Duration::from_hours(1);

const BASE_4: Ipv4Addr = Ipv4Addr::new(241, 0, 0, 0);
const BASE_6: Ipv6Addr = Ipv6Addr::new(0xfd6f, 0x7368, 0x656c, 0x6c00, 0, 0, 0, 0);

/// The names of one sandbox and their addresses. A clone is the same table.
#[derive(Clone, Debug)]
pub struct Names(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    /// Numbers by name, the one least recently used last.
    numbers: LruCache<Host, Slot>,
    /// Names by number.
    names: Vec<Host>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: u16,
    used: Instant,
}

impl Default for Names {
    fn default() -> Self {
        Self::with_room(NAMES_MAX)
    }
}

impl Names {
    fn with_room(names: NonZeroUsize) -> Self {
        Self(Arc::new(Mutex::new(Table { numbers: LruCache::new(names), names: Vec::new() })))
    }

    /// The IPv4 address of a name; `None` when every address stands for a name that is still in use.
    pub fn address_4(&self, name: &Host) -> Option<Ipv4Addr> {
        let number = self.0.lock().number(name, Instant::now())?;
        Some(Ipv4Addr::from_bits(BASE_4.to_bits() | u32::from(number)))
    }

    /// The IPv6 address of a name; as [`Names::address_4`].
    pub fn address_6(&self, name: &Host) -> Option<Ipv6Addr> {
        let number = self.0.lock().number(name, Instant::now())?;
        Some(Ipv6Addr::from_bits(BASE_6.to_bits() | u128::from(number)))
    }

    /// The name that an address stands for; `None` for every other address.
    pub fn name(&self, address: IpAddr) -> Option<Host> {
        let number = number_of(address)?;
        self.0.lock().name(number, Instant::now())
    }

    /// Whether an address is one of those that stand for names, now or at another time. One without a name leads nowhere.
    pub fn is_synthetic(address: IpAddr) -> bool {
        number_of(address).is_some()
    }
}

/// The number in an address that stands for a name.
fn number_of(address: IpAddr) -> Option<u16> {
    let low = match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_bits() ^ BASE_4.to_bits()),
        IpAddr::V6(address) => address.to_bits() ^ BASE_6.to_bits(),
    };
    u16::try_from(low).ok()
}

impl Table {
    fn number(&mut self, name: &Host, now: Instant) -> Option<u16> {
        if let Some(slot) = self.numbers.get_mut(name) {
            slot.used = now;
            return Some(slot.number);
        }
        let index = if self.names.len() < self.numbers.cap().get() {
            self.names.push(name.clone());
            self.names.len() - 1
        } else {
            let (_, oldest) = self.numbers.peek_lru()?;
            if now.saturating_duration_since(oldest.used) < FRESH {
                return None;
            }
            let (_, oldest) = self.numbers.pop_lru()?;
            let index = usize::from(oldest.number) - 1;
            name.clone_into(self.names.get_mut(index)?);
            index
        };
        // The address that ends in zeros stays free: some programs take it for a network.
        let number = u16::try_from(index + 1).ok()?;
        self.numbers.put(name.clone(), Slot { number, used: now });
        Some(number)
    }

    fn name(&mut self, number: u16, now: Instant) -> Option<Host> {
        let name = self.names.get(usize::from(number).checked_sub(1)?)?;
        if let Some(slot) = self.numbers.get_mut(name) {
            slot.used = now;
        }
        Some(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn host(number: u16) -> Host {
        format!("n{number}.example").parse().unwrap()
    }

    #[test]
    fn a_name_and_its_addresses_lead_to_each_other() {
        let names = Names::default();
        let (one, two) = (host(1), host(2));
        let v4 = IpAddr::from(names.address_4(&one).unwrap());
        let v6 = IpAddr::from(names.address_6(&one).unwrap());
        assert_eq!(
            (v4.to_string(), v6.to_string()),
            ("241.0.0.1".into(), "fd6f:7368:656c:6c00::1".into())
        );
        assert_ne!(IpAddr::from(names.address_4(&two).unwrap()), v4);
        assert_eq!(names.address_4(&one).map(IpAddr::from), Some(v4));
        let mapped = IpAddr::from(Ipv4Addr::new(241, 0, 0, 1).to_ipv6_mapped());
        for address in [v4, v6, mapped] {
            assert_eq!(names.clone().name(address), Some(one.clone()));
            assert!(Names::is_synthetic(address));
        }
        for address in ["241.0.0.0", "241.0.0.9", "241.1.0.1", "10.0.0.1", "fd6f::1", "::1"] {
            assert_eq!(names.name(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn no_address_that_stands_for_a_name_is_ever_dialled() {
        for address in [IpAddr::from(BASE_4), BASE_6.into(), "241.0.255.255".parse().unwrap()] {
            assert!(policy::address::check(address, 443, &[]).is_err(), "{address}");
        }
    }

    proptest! {
        /// Steps: which name is asked for (or which number is used), and how much time goes by before.
        #[test]
        fn an_address_keeps_its_name_while_it_is_fresh(
            steps in proptest::collection::vec((0_u16..12, any::<bool>(), 0_u64..40), 1..200),
        ) {
            let names = Names::with_room(NonZeroUsize::new(4).unwrap());
            let mut table = names.0.lock();
            let mut now = Instant::now();
            let mut given: HashMap<u16, (Host, Instant)> = HashMap::new();
            for (which, asks, minutes) in steps {
                now += Duration::from_mins(minutes);
                if asks {
                    let name = host(which);
                    let Some(number) = table.number(&name, now) else {
                        let all_fresh = given.values().all(|(_, used)| now.duration_since(*used) < FRESH);
                        prop_assert!(all_fresh && given.len() == 4, "only a full table gives no address");
                        continue;
                    };
                    if let Some((old, used)) = given.insert(number, (name.clone(), now)) {
                        prop_assert!(old == name || now.duration_since(used) >= FRESH);
                    }
                    let others = given.iter().filter(|(_, (other, _))| *other == name).count();
                    prop_assert_eq!(others, 1, "a name has one number");
                } else {
                    let found = table.name(which, now);
                    let known = given.get_mut(&which);
                    prop_assert_eq!(found.as_ref(), known.as_ref().map(|(name, _)| name));
                    if let Some((_, used)) = known {
                        *used = now;
                    }
                }
            }
            prop_assert!(table.names.len() <= 4 && table.numbers.len() <= 4);
        }
    }
}
