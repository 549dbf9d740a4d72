use std::{
    net::{TcpListener, UdpSocket as StdUdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use simple_dns::{
    ResourceRecord,
    rdata::{A, AAAA, CNAME},
};

use super::*;

/// A server that knows a few names.
struct Server {
    stub: Stub,
    _conf: tempfile::NamedTempFile,
    asked: Arc<AtomicUsize>,
}

/// What it answers; nothing is silence.
type Answers = fn(&str, TYPE, bool) -> Option<Vec<u8>>;

impl Server {
    fn new(conf: &str, answers: Answers) -> Self {
        // Somebody else may have the same port of the other protocol.
        let (udp, tcp) = (0..50)
            .find_map(|_| {
                let udp = StdUdpSocket::bind("127.0.0.1:0").unwrap();
                let tcp = TcpListener::bind(udp.local_addr().unwrap()).ok()?;
                Some((udp, tcp))
            })
            .unwrap();
        let port = udp.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut buffer = [0; 600];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                count.fetch_add(1, Ordering::Relaxed);
                for answer in answer(&buffer[..length], answers, false) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                use std::io::{Read as _, Write as _};
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut question).unwrap();
                for answer in answer(&question, answers, true) {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    stream.write_all(&[&length[..], &answer].concat()).unwrap();
                }
            }
        });
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), conf).unwrap();
        let stub = Stub { conf: file.path().to_owned(), port, files: System::default() };
        Self { stub, _conf: file, asked }
    }

    async fn of(&self, name: &str) -> Result<Vec<String>, ResolveError> {
        let found = self.stub.resolve(&name.parse().unwrap()).await;
        found.map(|all| all.iter().map(ToString::to_string).collect())
    }
}

fn answer(question: &[u8], answers: Answers, tcp: bool) -> Vec<Vec<u8>> {
    let asked = Packet::parse(question).unwrap();
    let name = asked.questions[0].qname.to_string();
    let QTYPE::TYPE(kind) = asked.questions[0].qtype else { panic!("a type") };
    let Some(mut answer) = answers(&name, kind, tcp) else { return Vec::new() };
    // Somebody who guesses comes first, and is wrong about the number.
    let mut guessed = answer.clone();
    guessed[..2].copy_from_slice(&(asked.id() ^ 1).to_be_bytes());
    answer[..2].copy_from_slice(&asked.id().to_be_bytes());
    if tcp { vec![answer] } else { vec![b"noise".to_vec(), guessed, answer] }
}

fn reply(name: &str, kind: TYPE, code: RCODE, records: &[(&str, RData<'static>)]) -> Vec<u8> {
    let mut packet = Packet::new_reply(0);
    packet.questions.push(Question::new(
        Name::new(name).unwrap().into_owned(),
        QTYPE::TYPE(kind),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    *packet.rcode_mut() = code;
    for (name, data) in records {
        let name = Name::new(name).unwrap().into_owned();
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 60, data.clone()));
    }
    packet.build_bytes_vec().unwrap()
}

fn four(last: u8) -> RData<'static> {
    RData::A(A { address: u32::from(Ipv4Addr::new(192, 0, 2, last)) })
}

fn known(name: &str, kind: TYPE, tcp: bool) -> Option<Vec<u8>> {
    let six = RData::AAAA(AAAA { address: u128::from(Ipv6Addr::LOCALHOST) + 1 });
    let to = |name| RData::CNAME(CNAME(Name::new_unchecked(name)));
    Some(match (name, kind) {
        ("both.example", TYPE::A) => {
            reply(name, kind, RCODE::NoError, &[(name, four(1)), (name, four(2))])
        }
        ("both.example", _) => reply(name, kind, RCODE::NoError, &[(name, six)]),
        ("short.search.example", TYPE::A) => reply(name, kind, RCODE::NoError, &[(name, four(3))]),
        ("short.search.example", _) => reply(name, kind, RCODE::NoError, &[]),
        ("alias.example", TYPE::A) => {
            let records = [
                ("end.example", four(4)),
                (name, to("mid.example")),
                ("mid.example", to("end.example")),
                ("other.example", four(9)),
            ];
            reply(name, kind, RCODE::NoError, &records)
        }
        ("loop.example", TYPE::A) => {
            reply(name, kind, RCODE::NoError, &[(name, to("loop.example"))])
        }
        ("long.example", TYPE::A) if tcp => reply(name, kind, RCODE::NoError, &[(name, four(5))]),
        ("long.example", TYPE::A) => {
            let mut cut = reply(name, kind, RCODE::NoError, &[]);
            cut[2] |= 2;
            cut
        }
        ("broken.example", _) => reply(name, kind, RCODE::ServerFailure, &[]),
        ("silent.example", _) => return None,
        ("liar.example", _) => {
            reply("both.example", kind, RCODE::NoError, &[("both.example", four(1))])
        }
        ("many.example", _) => {
            let mut many = reply(name, kind, RCODE::NoError, &[]);
            many[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
            many
        }
        ("alias.example" | "loop.example" | "long.example", _) => {
            reply(name, kind, RCODE::NoError, &[])
        }
        _ => reply(name, kind, RCODE::NameError, &[]),
    })
}

const CONF: &str = "nameserver 127.0.0.1\nsearch search.example\noptions timeout:1 attempts:1\n";

#[tokio::test]
async fn names_lead_where_their_server_says() {
    let server = Server::new(CONF, known);
    assert_eq!(server.of("both.example").await.unwrap(), ["192.0.2.1", "192.0.2.2", "::2"]);
    assert_eq!(server.of("short").await.unwrap(), ["192.0.2.3"]);
    assert_eq!(server.of("alias.example").await.unwrap(), ["192.0.2.4"]);
    assert_eq!(server.of("long.example").await.unwrap(), ["192.0.2.5"]);
    for nowhere in ["nothing.example", "loop.example", "broken.example"] {
        assert_eq!(server.of(nowhere).await, Err(ResolveError::Unknown), "{nowhere}");
    }
}

#[tokio::test]
async fn addresses_and_names_of_this_machine_are_asked_of_nobody() {
    let server = Server::new(CONF, known);
    assert_eq!(server.of("192.0.2.7").await.unwrap(), ["192.0.2.7"]);
    assert_eq!(server.of("a.localhost").await.unwrap(), ["127.0.0.1", "::1"]);
    assert!(server.of("localhost").await.unwrap().contains(&"127.0.0.1".to_owned()));
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_answers_another_question_or_nothing_is_not_heard() {
    let server = Server::new(CONF, known);
    for silent in ["silent.example", "liar.example", "many.example"] {
        assert_eq!(server.of(silent).await, Err(ResolveError::Timeout), "{silent}");
    }
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_not_there() {
    // Nobody is at the first address; that it is refused is told at once.
    let server = Server::new(&format!("nameserver 127.0.0.2\n{CONF}"), known);
    assert_eq!(server.of("short").await.unwrap(), ["192.0.2.3"]);
}
