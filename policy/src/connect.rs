//! The decision about a connection: allow, route for inference, or deny.
//!
//! The order of checks: the router's own name; a block that lists the destination and the caller (of several the
//! one whose name is smallest), unless the destination is an address that may not be dialled; a known model API; else
//! deny. Deciding allocates nothing; reasons are put into
//! words when they are shown.

use std::{fmt, net::IpAddr};

use crate::{
    address::{self, Blocked},
    compiled::{Place, Policy},
    inference,
    model::{Enforcement, Scrutiny, Tls},
    question::Connect,
    trie::Entry,
};

/// Most refused blocks that a reason lists.
const REASONS_MAX: usize = 8;

/// Most entries that a grant remembers; where more open a connection, they are found again for each request.
const ENTRIES_MAX: usize = 16;

/// What may be done with a connection.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "a box would be an allocation in every decision")]
pub enum Verdict<'p> {
    /// It may be opened; its requests may still have to be asked about.
    Allow(Grant<'p>),
    /// It is answered by the router.
    Inference(Inference),
    /// It is refused.
    Deny(Deny<'p>),
}

/// Why a connection goes to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inference {
    /// It asked for the router by name.
    Router,
    /// It asked for a known model API that no block opens to this caller.
    ModelApi,
}

impl fmt::Display for Inference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Router => "inference.local is always routed for inference",
            Self::ModelApi => {
                "known model API host without a matching policy, routed for inference"
            }
        })
    }
}

/// A connection that a block opens.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'p> {
    policy: &'p Policy,
    question: Connect<'p>,
    place: Place<'p>,
    inspected: bool,
    /// The entries that open it, if they are no more than there is room for.
    entries: [Entry; ENTRIES_MAX],
    count: usize,
}

impl<'p> Grant<'p> {
    /// How the block is called that opens it.
    pub fn name(&self) -> &'p str {
        self.place.name()
    }

    /// The first endpoint of that block which is about the destination.
    pub fn place(&self) -> Place<'p> {
        self.place
    }

    /// Whether each request has to be asked about.
    pub fn is_inspected(&self) -> bool {
        self.inspected
    }

    /// Every endpoint, of any block, that opens the destination to the caller.
    pub fn each(&self, mut found: impl FnMut(Place<'p>)) {
        let mut give = |entry: Entry| {
            if let Some(place) = self.policy.place(entry) {
                found(place);
            }
        };
        match self.entries.get(..self.count) {
            Some(entries) => entries.iter().for_each(|entry| give(*entry)),
            None => drop(self.policy.granted(&self.question, give)),
        }
    }

    /// Whether this address, to which the host resolved, may be dialled: some endpoint permits it.
    ///
    /// # Errors
    /// Why not, as the endpoint sees it that opened the connection.
    pub fn check_address(&self, address: IpAddr) -> Result<(), Blocked> {
        let mut result = Err(Blocked::Always);
        let port = self.question.to.port();
        self.each(|place| {
            let one = self.check_by(place, address, port);
            let own = place.key == self.place.key && place.index == self.place.index;
            if result.is_err() && (one.is_ok() || own) {
                result = one;
            }
        });
        result
    }

    /// The same for a destination that needs no resolving: an address, or a name of this host (RFC 6761).
    fn check_literal(&self) -> Result<(), Blocked> {
        let host = &self.question.to.host;
        let local = |name: &str| name == "localhost" || name.ends_with(".localhost");
        match host.address() {
            Some(address) => self.check_address(address),
            None if host.name().is_some_and(local) => Err(Blocked::Always),
            None => Ok(()),
        }
    }

    fn check_by(&self, place: Place<'p>, address: IpAddr, port: u16) -> Result<(), Blocked> {
        let result = address::check(address, port, &place.endpoint.allowed_ips);
        let address = address.to_canonical();
        // A block that names an internal address means it.
        let named =
            place.endpoint.host.is_some() && self.question.to.host.address() == Some(address);
        match result {
            Err(Blocked::Internal) if named => address::check(address, port, &[address.into()]),
            result => result,
        }
    }

    /// Whether TLS is left closed: every endpoint says so.
    pub fn tls(&self) -> Tls {
        let mut tls = Tls::Skip;
        self.each(|place| {
            if place.endpoint.tls == Tls::Auto {
                tls = Tls::Auto;
            }
        });
        tls
    }

    /// Whether some endpoint takes `%2F` in paths.
    pub fn encoded_slash(&self) -> crate::EncodedSlash {
        let mut slash = crate::EncodedSlash::Refuse;
        self.each(|place| {
            if place.endpoint.allow_encoded_slash {
                slash = crate::EncodedSlash::Keep;
            }
        });
        slash
    }

    /// What happens to sensitive data in request bodies: the strictest that an endpoint asks for.
    pub fn scrutiny(&self) -> Scrutiny {
        let mut scrutiny = Scrutiny::Off;
        self.each(|place| scrutiny = scrutiny.max(place.endpoint.sensitivity));
        scrutiny
    }

    /// The strictest enforcement of the inspected endpoints.
    pub(crate) fn enforcement(&self) -> Enforcement {
        let mut enforcement = Enforcement::Audit;
        self.each(|place| {
            if is_inspected(place) {
                enforcement = enforcement.max(place.endpoint.enforcement);
            }
        });
        enforcement
    }
}

/// Why a connection is refused; shows itself in the words that users know from logs.
#[derive(Clone, Copy, Debug)]
pub struct Deny<'p> {
    policy: &'p Policy,
    question: Connect<'p>,
    code: DenyCode,
}

/// The kind of a refusal; stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DenyCode {
    /// The policy opens nothing at all.
    NoPolicies,
    /// No block is about the destination.
    Endpoint,
    /// Blocks are about the destination, and none lists the caller.
    Binary,
    /// A block opens the destination, but it is an address (or a name of this host) that may not be dialled.
    Address(Blocked),
}

impl DenyCode {
    /// The word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPolicies => "no_policies",
            Self::Endpoint => "endpoint_not_allowed",
            Self::Binary => "binary_not_allowed",
            Self::Address(_) => "ssrf_denied",
        }
    }
}

impl<'p> Deny<'p> {
    /// The kind of the refusal.
    pub fn code(&self) -> DenyCode {
        self.code
    }

    /// The block that would open the destination to other callers; of several the one whose name is smallest.
    pub fn nearest(&self) -> Option<Place<'p>> {
        self.policy.listed(&self.question)
    }
}

impl fmt::Display for Deny<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.question.to;
        match self.code {
            DenyCode::NoPolicies => f.write_str("network connections not allowed by policy"),
            DenyCode::Address(blocked) => write!(f, "CONNECT {to} blocked: {blocked}"),
            DenyCode::Endpoint => {
                let mut blocks = self.policy.blocks().peekable();
                let mut listed = 0_usize;
                while let Some((key, block)) = blocks.next() {
                    if listed == REASONS_MAX {
                        return write!(f, "and {} more", blocks.count().saturating_add(1));
                    }
                    listed += 1;
                    let name = block.name.as_deref().unwrap_or(key);
                    write!(f, "endpoint {to} not in policy '{name}'")?;
                    f.write_str(if blocks.peek().is_some() { "; " } else { "" })?;
                }
                Ok(())
            }
            DenyCode::Binary => {
                let Some(place) = self.nearest() else { return Ok(()) };
                let binary = self.question.caller.binary;
                write!(
                    f,
                    "binary '{binary}' not allowed in policy '{}' (ancestors: [",
                    place.name()
                )?;
                for (index, ancestor) in self.question.caller.ancestors.iter().enumerate() {
                    f.write_str(if index > 0 { " -> " } else { "" })?;
                    f.write_str(ancestor)?;
                }
                f.write_str(
                    "]). SYMLINK HINT: a policy names the file that a link leads to; `readlink -f` tells it",
                )
            }
        }
    }
}

impl Policy {
    /// Decides about a connection.
    pub fn connect<'p>(&'p self, question: &Connect<'p>) -> Verdict<'p> {
        if inference::is_router(question.to) {
            return Verdict::Inference(Inference::Router);
        }
        let mut best: Option<Entry> = None;
        let mut entries = [Entry::default(); ENTRIES_MAX];
        let mut count = 0;
        let mut inspected = false;
        let listed = self.granted(question, |entry| {
            inspected |= entry.inspected;
            best = Some(best.map_or(entry, |best| best.min(entry)));
            if let Some(slot) = entries.get_mut(count) {
                *slot = entry;
            }
            count += 1;
        });
        if let Some(place) = best.and_then(|best| self.place(best)) {
            let question = *question;
            let grant = Grant { policy: self, question, place, inspected, entries, count };
            return match grant.check_literal() {
                Ok(()) => Verdict::Allow(grant),
                Err(blocked) => {
                    let code = DenyCode::Address(blocked);
                    Verdict::Deny(Deny { policy: self, question, code })
                }
            };
        }
        if question.inference && inference::is_model_api(question.to) {
            return Verdict::Inference(Inference::ModelApi);
        }
        let code = match (self.file().network.is_empty(), listed) {
            (true, _) => DenyCode::NoPolicies,
            (false, true) => DenyCode::Binary,
            (false, false) => DenyCode::Endpoint,
        };
        Verdict::Deny(Deny { policy: self, question: *question, code })
    }
}

fn is_inspected(place: Place<'_>) -> bool {
    place.endpoint.protocol.is_some_and(crate::Protocol::is_inspected)
}
