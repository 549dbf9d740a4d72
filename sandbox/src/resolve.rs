//! Names without the C library, whose resolver loads libraries of the host at run time: a static supervisor in somebody
//! else's image must not.
//!
//! Asks as `resolv.conf(5)` says: its servers in turn, its search list, A and AAAA at once, by UDP and where that is cut by
//! TCP. `/etc/hosts` comes first. Both files are read anew for each name, as they may be replaced at any time. Not here:
//! whether a name may be asked about (`policy`), other sources that `nsswitch.conf` can name. Invariant: what does not
//! answer the very question that was asked, from the very server, is not heard.

mod conf;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use async_trait::async_trait;
use domain::Host;
use proxy::egress::resolve::{Resolve, ResolveError, System};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE, rdata::RData,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use conf::Conf;

/// How long a whole lookup may take, whatever the file says.
const LOOKUP_MAX: Duration = Duration::from_secs(10);
/// The longest datagram that is read, bytes.
const DATAGRAM_BYTES_MAX: usize = 4096;
/// The most records that an answer may claim to have.
const RECORDS_MAX: u16 = 512;
/// The most names that lead to one another in an answer.
const ALIASES_MAX: usize = 16;
/// The most addresses of one name.
const ADDRESSES_MAX: usize = 64;
/// Length of the head of a message, bytes (RFC 1035 §4.1.1).
const HEAD_BYTES: usize = 12;

/// Who finds the addresses of hosts for a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// The C library, with all that the administrator configured.
    System,
    /// This crate, by `/etc/hosts` and `/etc/resolv.conf` alone.
    Own,
}

/// The resolver of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Stub {
    conf: PathBuf,
    port: u16,
    files: System,
}

impl Default for Stub {
    fn default() -> Self {
        Self { conf: "/etc/resolv.conf".into(), port: 53, files: System::default() }
    }
}

#[async_trait]
impl Resolve for Stub {
    async fn resolve(&self, host: &Host) -> Result<Vec<IpAddr>, ResolveError> {
        let name = match (host.address(), host.name()) {
            (Some(address), _) => return Ok(vec![address]),
            (None, Some(name)) => name,
            (None, None) => return Err(ResolveError::Unknown),
        };
        let listed = self.files.own(host).await;
        if !listed.is_empty() {
            return Ok(listed);
        }
        if name == "localhost" || name.ends_with(".localhost") {
            // RFC 6761 §6.3: nobody else is asked.
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let conf = Conf::read(&self.conf).await;
        let found = timeout(LOOKUP_MAX, self.look_up(&conf, name)).await;
        found.map_err(|_| ResolveError::Timeout)?
    }

    async fn own(&self, host: &Host) -> Vec<IpAddr> {
        self.files.own(host).await
    }
}

/// What a server said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// Its addresses of that kind; there may be none.
    Addresses(Vec<IpAddr>),
    /// There is no such name.
    NoName,
}

impl Stub {
    async fn look_up(&self, conf: &Conf, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        for name in conf.candidates(name) {
            let (four, six) = tokio::join!(
                self.ask_all(conf, &name, TYPE::A),
                self.ask_all(conf, &name, TYPE::AAAA)
            );
            let mut found = Vec::new();
            let mut failure = None;
            for said in [four, six] {
                match said {
                    Ok(Said::Addresses(addresses)) => found.extend(addresses),
                    Ok(Said::NoName) => {}
                    Err(error) => failure = Some(error),
                }
            }
            match (found.is_empty(), failure) {
                (false, _) => {
                    found.truncate(ADDRESSES_MAX);
                    return Ok(found);
                }
                // Whether it is there is not known, so the next name of the list is not meant.
                (true, Some(error)) => return Err(error),
                (true, None) => {}
            }
        }
        Err(ResolveError::Unknown)
    }

    /// Asks one server after the other until one answers.
    async fn ask_all(&self, conf: &Conf, name: &str, kind: TYPE) -> Result<Said, ResolveError> {
        let mut failure = ResolveError::Unknown;
        for _ in 0..conf.attempts {
            for server in &conf.servers {
                let server = SocketAddr::new(*server, self.port);
                match timeout(conf.timeout, ask(server, name, kind, conf.use_tcp)).await {
                    Ok(Ok(said)) => return Ok(said),
                    Ok(Err(error)) => {
                        tracing::debug!(%error, %server, "a resolver does not answer");
                    }
                    Err(_) => failure = ResolveError::Timeout,
                }
            }
        }
        Err(failure)
    }
}

/// Asks one server.
async fn ask(server: SocketAddr, name: &str, kind: TYPE, use_tcp: bool) -> io::Result<Said> {
    let question = Asked::new(name, kind)?;
    if !use_tcp && let Some(said) = by_udp(server, &question).await? {
        return Ok(said);
    }
    by_tcp(server, &question).await
}

/// `None` when the answer was cut.
async fn by_udp(server: SocketAddr, question: &Asked) -> io::Result<Option<Said>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port that nobody can foresee, and datagrams of that server alone.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question.bytes).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        match question.read(buffer.get(..length).unwrap_or_default())? {
            Read::Foreign => {}
            Read::Cut => return Ok(None),
            Read::Said(said) => return Ok(Some(said)),
        }
    }
}

async fn by_tcp(server: SocketAddr, question: &Asked) -> io::Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    stream.write_all(&[&length.to_be_bytes()[..], &question.bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    match question.read(&answer)? {
        Read::Said(said) => Ok(said),
        Read::Foreign | Read::Cut => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// A question as it was sent.
struct Asked {
    id: u16,
    name: String,
    kind: TYPE,
    bytes: Vec<u8>,
}

/// What became of a message.
enum Read {
    /// It answers another question.
    Foreign,
    /// There is more than fits.
    Cut,
    Said(Said),
}

impl Asked {
    fn new(name: &str, kind: TYPE) -> io::Result<Self> {
        let mut id = [0; 2];
        rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
        let id = u16::from_ne_bytes(id);
        let asked = Name::new(name).map_err(io::Error::other)?;
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(Question::new(
            asked,
            QTYPE::TYPE(kind),
            QCLASS::CLASS(CLASS::IN),
            false,
        ));
        let bytes = packet.build_bytes_vec().map_err(io::Error::other)?;
        Ok(Self { id, name: name.to_owned(), kind, bytes })
    }

    /// # Errors
    /// When the server cannot or will not say.
    fn read(&self, message: &[u8]) -> io::Result<Read> {
        if !has_bounded_counts(message) {
            return Ok(Read::Foreign);
        }
        let Ok(packet) = Packet::parse(message) else { return Ok(Read::Foreign) };
        let is_answer = packet.has_flags(PacketFlag::RESPONSE) && packet.id() == self.id;
        let [question] = packet.questions.as_slice() else { return Ok(Read::Foreign) };
        if !is_answer
            || !is_same(&question.qname, &self.name)
            || question.qtype != QTYPE::TYPE(self.kind)
        {
            return Ok(Read::Foreign);
        }
        if packet.has_flags(PacketFlag::TRUNCATION) {
            return Ok(Read::Cut);
        }
        match packet.rcode() {
            RCODE::NoError => Ok(Read::Said(Said::Addresses(self.addresses(&packet)))),
            RCODE::NameError => Ok(Read::Said(Said::NoName)),
            code => Err(io::Error::other(format!("it answers {code:?}"))),
        }
    }

    /// The addresses at the end of the names that lead on from the one that was asked for.
    fn addresses(&self, packet: &Packet<'_>) -> Vec<IpAddr> {
        let mut name = self.name.clone();
        for _ in 0..ALIASES_MAX {
            let of_name = || packet.answers.iter().filter(|record| is_same(&record.name, &name));
            let found: Vec<IpAddr> = of_name()
                .filter_map(|record| match &record.rdata {
                    RData::A(one) => Some(Ipv4Addr::from(one.address).into()),
                    RData::AAAA(one) => Some(Ipv6Addr::from(one.address).into()),
                    _ => None,
                })
                .filter(|address: &IpAddr| address.is_ipv4() == (self.kind == TYPE::A))
                .take(ADDRESSES_MAX)
                .collect();
            let next = of_name().find_map(|record| match &record.rdata {
                RData::CNAME(next) => Some(next.0.to_string()),
                _ => None,
            });
            match next {
                Some(next) if found.is_empty() => name = next,
                _ => return found,
            }
        }
        Vec::new()
    }
}

/// Whether the parser, which makes room for as many records as a message claims to have, may see it.
fn has_bounded_counts(message: &[u8]) -> bool {
    let Some(head) = message.first_chunk::<HEAD_BYTES>() else { return false };
    let [_, _, _, _, counts @ ..] = head;
    counts.chunks_exact(2).all(|count| {
        count.first_chunk().is_some_and(|count| u16::from_be_bytes(*count) <= RECORDS_MAX)
    })
}

fn is_same(name: &Name<'_>, other: &str) -> bool {
    name.to_string().trim_end_matches('.').eq_ignore_ascii_case(other.trim_end_matches('.'))
}

#[cfg(test)]
mod tests;
