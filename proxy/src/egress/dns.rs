//! Answers questions for names inside a sandbox: with an address that stands for the name (`names`) where the policy
//! could permit it, with "no such name" otherwise. Nobody outside is ever asked, so no data leaves in a name.
//!
//! | question | answer |
//! |---|---|
//! | `A`, `AAAA` of a name that could be reached | its address there, for a minute |
//! | another type of such a name, `HTTPS` and `SVCB` too | nothing (so nobody tries QUIC) |
//! | `localhost` and below | this sandbox itself (RFC 6761 §6.3) |
//! | any other name | NXDOMAIN |
//! | zone transfers, `ANY`, other classes, types without a name | REFUSED |
//! | another operation than a question | NOTIMP |
//! | what is malformed, or an answer | silence |
//!
//! Not here: sockets (`serve`). Invariant: an answer is never longer than 512 bytes, so none has to be cut.

mod report;
mod serve;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use domain::Host;
use simple_dns::{
    CLASS, Label, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord,
    SimpleDnsError, TYPE,
    rdata::{A, AAAA, OPT, RData},
};

use self::report::Reports;
pub use self::{
    report::Refused,
    serve::{serve_tcp, serve_udp},
};
use super::names::Names;

/// How long an answer may be remembered, seconds.
const TTL_SECONDS: u32 = 60;

/// The longest question that is read, bytes; real ones have less than 300.
const QUESTION_BYTES_MAX: usize = 1_232;

/// Length of the head of a message, bytes (RFC 1035 §4.1.1).
const HEAD_BYTES: usize = 12;

/// Most additional records of a question; one is usual (EDNS), a second signs it.
const ADDITIONAL_MAX: u16 = 2;

/// What a sandbox can ask about.
pub struct Zone {
    names: Names,
    permitted: Box<dyn Fn(&Host) -> bool + Send + Sync>,
    reports: Reports,
}

impl Zone {
    /// A zone of the names that `permitted` lets pass. `refused` is told of others, but not of each: the same name once a
    /// minute, and few at once, so that a flood of names does not push out of the record what came before.
    pub fn new(
        names: Names,
        permitted: impl Fn(&Host) -> bool + Send + Sync + 'static,
        refused: impl Fn(&Refused<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self { names, permitted: Box::new(permitted), reports: Reports::new(refused) }
    }

    /// The answer to a message; `None` for one that deserves none.
    pub fn answer(&self, message: &[u8]) -> Option<Vec<u8>> {
        // Checked before the parser makes room for as many records as a message claims to have.
        if message.len() > QUESTION_BYTES_MAX || !is_question(message) {
            return None;
        }
        let asked = match Packet::parse(message) {
            Ok(asked) => asked,
            // Types and classes that nobody has heard of.
            Err(SimpleDnsError::InvalidQType(_) | SimpleDnsError::InvalidQClass(_)) => {
                return refusal_of(message).build_bytes_vec().ok();
            }
            Err(_) => return None,
        };
        let question = asked.questions.first()?;
        let mut reply = Packet::new_reply(asked.id());
        *reply.opcode_mut() = asked.opcode();
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        for flag in [PacketFlag::RECURSION_DESIRED, PacketFlag::CHECKING_DISABLED] {
            if asked.has_flags(flag) {
                reply.set_flags(flag);
            }
        }
        reply.questions.push(question.clone());
        let version = asked.opt().map(|opt| opt.version);
        if version.is_some() {
            let udp_packet_size = u16::try_from(QUESTION_BYTES_MAX).unwrap_or(u16::MAX);
            *reply.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size, version: 0 });
        }
        match (asked.opcode(), version) {
            (OPCODE::StandardQuery, None | Some(0)) => self.resolve(question, &mut reply),
            (OPCODE::StandardQuery, Some(_)) => *reply.rcode_mut() = RCODE::BADVERS,
            _ => *reply.rcode_mut() = RCODE::NotImplemented,
        }
        reply.build_bytes_vec().ok()
    }

    fn resolve<'q>(&self, question: &Question<'q>, reply: &mut Packet<'q>) {
        let kind = match (question.qtype, question.qclass) {
            (QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN)) if !question.unicast_response => kind,
            _ => return *reply.rcode_mut() = RCODE::Refused,
        };
        let Some(name) = name_of(question.qname.get_labels()) else {
            return *reply.rcode_mut() = RCODE::NameError;
        };
        let address = match (is_local(&name), kind) {
            (true, TYPE::A) => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
            (true, TYPE::AAAA) => Some(Ipv6Addr::LOCALHOST.into()),
            (true, _) => None,
            (false, _) if !(self.permitted)(&name) => {
                self.reports.refused(&name, kind);
                return *reply.rcode_mut() = RCODE::NameError;
            }
            (false, TYPE::A) => self.names.address_4(&name).map(IpAddr::from),
            (false, TYPE::AAAA) => self.names.address_6(&name).map(IpAddr::from),
            (false, _) => None,
        };
        let data = match address {
            Some(IpAddr::V4(address)) => RData::A(A { address: address.to_bits() }),
            Some(IpAddr::V6(address)) => RData::AAAA(AAAA { address: address.to_bits() }),
            None if matches!(kind, TYPE::A | TYPE::AAAA) => {
                return *reply.rcode_mut() = RCODE::ServerFailure;
            }
            None => return,
        };
        let record = ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL_SECONDS, data);
        reply.answers.push(record);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zone").finish_non_exhaustive()
    }
}

/// Whether the head of a message is that of one question.
fn is_question(message: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = message.get(at..)?.first_chunk()?;
        Some(u16::from_be_bytes(*bytes))
    };
    let is_answer = number(2).is_none_or(|flags| flags & 0x8000 != 0);
    !is_answer
        && (number(4), number(6), number(8)) == (Some(1), Some(0), Some(0))
        && number(10).is_some_and(|count| count <= ADDITIONAL_MAX)
}

/// An answer without the question, which could not be read.
fn refusal_of(message: &[u8]) -> Packet<'static> {
    let id = message.get(..HEAD_BYTES).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    let mut reply = Packet::new_reply(u16::from_be_bytes(id));
    *reply.rcode_mut() = RCODE::Refused;
    reply
}

/// The name of a host, label by label: a dot within a label is no border between two.
fn name_of(labels: &[Label<'_>]) -> Option<Host> {
    let mut text = String::with_capacity(64);
    for label in labels {
        let label = std::str::from_utf8(label.as_ref()).ok()?;
        if label.contains('.') {
            return None;
        }
        text.push_str(if text.is_empty() { "" } else { "." });
        text.push_str(label);
    }
    let host: Host = text.parse().ok()?;
    host.name().is_some().then_some(host)
}

fn is_local(host: &Host) -> bool {
    host.name().is_some_and(|name| name == "localhost" || name.ends_with(".localhost"))
}

#[cfg(test)]
mod tests;
