use std::sync::Arc;

use proptest::prelude::*;
use simple_dns::Name;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

use super::*;

/// A zone where names below `ok.example` may be reached, and what it was told to refuse.
fn zone() -> (Arc<Zone>, Names, Arc<parking_lot::Mutex<Vec<String>>>) {
    let names = Names::default();
    let refused = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = Arc::clone(&refused);
    let permitted = |host: &Host| host.name().is_some_and(|name| name.ends_with(".ok.example"));
    let tell = move |one: &Refused<'_>| told.lock().push(format!("{} {:?}", one.name, one.kind));
    (Arc::new(Zone::new(names.clone(), permitted, tell)), names, refused)
}

fn question(name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(0xbeef);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap().into_owned();
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    packet.build_bytes_vec().unwrap()
}

/// What an answer says: its code, and the address in it.
fn said(answer: &[u8]) -> (RCODE, Option<IpAddr>) {
    let packet = Packet::parse(answer).unwrap();
    assert_eq!(packet.id(), 0xbeef);
    assert!(packet.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE));
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    let address = packet.answers.first().map(|record| match &record.rdata {
        RData::A(data) => IpAddr::from(Ipv4Addr::from_bits(data.address)),
        RData::AAAA(data) => IpAddr::from(Ipv6Addr::from_bits(data.address)),
        other => panic!("{other:?}"),
    });
    (packet.rcode(), address)
}

#[test]
fn names_that_could_be_reached_have_addresses_and_no_other_name_exists() {
    let (zone, names, refused) = zone();
    let ask = |name: &str, kind| said(&zone.answer(&question(name, kind)).unwrap());
    let (code, address) = ask("API.ok.example", TYPE::A);
    assert_eq!(code, RCODE::NoError);
    assert_eq!(names.name(address.unwrap()), Some("api.ok.example".parse().unwrap()));
    let (_, address) = ask("api.ok.example", TYPE::AAAA);
    assert!(address.unwrap().is_ipv6());
    assert_eq!(names.name(address.unwrap()), Some("api.ok.example".parse().unwrap()));
    for kind in [TYPE::MX, TYPE::TXT, TYPE::HTTPS, TYPE::SVCB, TYPE::SRV, TYPE::CNAME] {
        assert_eq!(ask("api.ok.example", kind), (RCODE::NoError, None), "{kind:?}");
    }
    for name in ["ok.example", "evil.example", "1.2.3.4", r"api\.ok.example", "a b.ok.example", "."]
    {
        assert_eq!(ask(name, TYPE::A), (RCODE::NameError, None), "{name}");
    }
    assert_eq!(ask("4.3.2.1.in-addr.arpa", TYPE::PTR), (RCODE::NameError, None));
    assert_eq!(ask("localhost", TYPE::A).1, Some(Ipv4Addr::LOCALHOST.into()));
    assert_eq!(ask("x.localhost", TYPE::AAAA).1, Some(Ipv6Addr::LOCALHOST.into()));
    assert_eq!(ask("evil.example", TYPE::AAAA).0, RCODE::NameError);
    let expected = ["ok.example A", "evil.example A", "4.3.2.1.in-addr.arpa PTR"];
    assert_eq!(*refused.lock(), expected, "each name once");
}

#[test]
fn other_questions_are_refused_and_what_is_none_meets_silence() {
    let (zone, ..) = zone();
    let of =
        |message: &[u8]| zone.answer(message).map(|answer| Packet::parse(&answer).unwrap().rcode());
    let plain = question("api.ok.example", TYPE::A);
    let changed = |at: usize, byte: u8| {
        let mut message = plain.clone();
        message[at] = byte;
        message
    };
    let end = plain.len();
    // The type and class of the question are its last four bytes.
    for (at, byte) in
        [(end - 3, 255), (end - 3, 252), (end - 1, 3), (end - 1, 255), (end - 4, 0x77)]
    {
        assert_eq!(of(&changed(at, byte)), Some(RCODE::Refused), "{at} {byte}");
    }
    assert_eq!(of(&changed(2, 0x28)), Some(RCODE::NotImplemented), "an update");
    assert_eq!(of(&changed(2, 0x80)), None, "an answer");
    for (at, byte) in [(5, 0), (5, 2), (7, 1), (9, 1), (10, 0xff)] {
        assert_eq!(of(&changed(at, byte)), None, "sections that a question has not: {at}");
    }
    for length in 0..end {
        assert_eq!(of(&plain[..length]), None, "cut after {length}");
    }
    assert_eq!(of(&[&plain[..], &[0; 2_000]].concat()), None);
}

#[test]
fn extensions_are_answered_in_kind() {
    let (zone, ..) = zone();
    let with = |version| {
        let message = question("api.ok.example", TYPE::A);
        let mut packet = Packet::parse(&message).unwrap();
        let opt = OPT { opt_codes: Vec::new(), udp_packet_size: 4_096, version };
        *packet.opt_mut() = Some(opt);
        let answer = zone.answer(&packet.build_bytes_vec().unwrap()).unwrap();
        let answer = Packet::parse(&answer).unwrap();
        (answer.rcode(), answer.opt().unwrap().version, answer.answers.len())
    };
    assert_eq!(with(0), (RCODE::NoError, 0, 1));
    assert_eq!(with(1), (RCODE::BADVERS, 0, 0));
}

#[tokio::test]
async fn datagrams_and_connections_are_answered() {
    let (zone, ..) = zone();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (to_udp, to_tcp) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_udp(udp, Arc::clone(&zone)));
    tasks.spawn(serve_tcp(tcp, zone));
    let asked = question("api.ok.example", TYPE::A);

    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"noise", to_udp).await.unwrap();
    socket.send_to(&asked, to_udp).await.unwrap();
    let mut answer = [0; 512];
    let (length, _) = socket.recv_from(&mut answer).await.unwrap();
    let by_udp = said(&answer[..length]);
    assert_eq!(by_udp.0, RCODE::NoError);

    let mut stream = TcpStream::connect(to_tcp).await.unwrap();
    for _ in 0..2 {
        stream.write_u16(asked.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&asked).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(said(&answer), by_udp, "one name, one address");
    }
    stream.write_u16(u16::MAX).await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "a message that is too long ends it");
}

proptest! {
    /// Any bytes, and questions with a few bytes changed.
    #[test]
    fn whatever_is_sent_an_answer_is_short_and_is_one(
        noise in proptest::collection::vec(any::<u8>(), 0..80),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (zone, ..) = zone();
        let mut message = question("api.ok.example", TYPE::A);
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        for message in [noise, message] {
            let Some(answer) = zone.answer(&message) else { continue };
            prop_assert!(answer.len() <= 512);
            prop_assert_eq!(&answer[..2], &message[..2], "the question's number");
            let answer = Packet::parse(&answer).unwrap();
            prop_assert!(answer.has_flags(PacketFlag::RESPONSE));
            let known = |record: &ResourceRecord<'_>| {
                let name = record.name.to_string().to_ascii_lowercase();
                name.ends_with(".ok.example") || name.ends_with("localhost")
            };
            prop_assert!(answer.answers.iter().all(known));
        }
    }
}
