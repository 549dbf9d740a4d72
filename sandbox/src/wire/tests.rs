use proptest::prelude::*;

use super::*;

fn words() -> impl Strategy<Value = OsString> {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(OsString::from_vec)
}

fn asks() -> impl Strategy<Value = Ask> {
    let size = prop::option::of(
        (any::<u16>(), any::<u16>()).prop_map(|(rows, columns)| Size { rows, columns }),
    );
    let program = (
        prop::collection::vec(words(), 0..5),
        prop::collection::vec((words(), words()), 0..5),
        words(),
    )
        .prop_map(|(command, environment, folder)| Program { command, environment, folder });
    prop_oneof![
        (any::<u32>(), program, size).prop_map(|(id, program, terminal)| Ask::Start {
            id,
            program,
            terminal
        }),
        (any::<u32>(), any::<i32>()).prop_map(|(id, signal)| Ask::Signal { id, signal }),
        (any::<u32>(), transfers()).prop_map(|(id, transfer)| Ask::Move { id, transfer }),
        (any::<u32>(), any::<u16>(), prop::bool::ANY).prop_map(|(id, port, is_six)| {
            let version = if is_six { Version::Six } else { Version::Four };
            Ask::Dial { id, port, version }
        }),
    ]
}

fn transfers() -> impl Strategy<Value = Transfer> {
    let name = words().prop_filter("a file has a name", |name| !name.is_empty());
    prop_oneof![
        (words(), prop::option::of(name)).prop_map(|(to, file)| Transfer::Unpack { to, file }),
        words().prop_map(|from| Transfer::Pack { from }),
    ]
}

fn tells() -> impl Strategy<Value = Tell> {
    let failure = || {
        (0..24_u8, 0..40_i32, ".{0,20}").prop_map(|(step, errno, detail)| StartError {
            step: Step::from_number(step).unwrap(),
            detail,
            source: (errno != 0).then(|| io::Error::from_raw_os_error(errno)),
        })
    };
    let ending =
        prop_oneof![any::<i32>().prop_map(Ending::Code), any::<i32>().prop_map(Ending::Signal)];
    prop_oneof![
        (prop::collection::vec(".{0,20}", 0..4), any::<bool>())
            .prop_map(|(notes, watched)| Tell::Ready { notes, watched }),
        failure().prop_map(Tell::Failed),
        (any::<u32>(), any::<i32>()).prop_map(|(id, process)| Tell::Started { id, process }),
        (any::<u32>(), failure()).prop_map(|(id, error)| Tell::Refused { id, error }),
        (any::<u32>(), ending).prop_map(|(id, ending)| Tell::Ended { id, ending }),
        any::<u32>().prop_map(|id| Tell::Dialed { id }),
    ]
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_same_ask(ask in asks()) {
        prop_assert_eq!(Ask::decode(&ask.encode()), Some(ask));
    }

    #[test]
    fn decoding_what_was_encoded_gives_the_same_tell(tell in tells()) {
        let again = Tell::decode(&tell.encode()).unwrap();
        prop_assert_eq!(format!("{again:?}"), format!("{tell:?}"));
    }

    #[test]
    fn a_cut_or_longer_ask_is_none(ask in asks(), cut in any::<prop::sample::Index>()) {
        let frame = ask.encode();
        prop_assert_eq!(Ask::decode(&frame[..cut.index(frame.len())]), None);
        prop_assert_eq!(Ask::decode(&[frame, vec![0]].concat()), None);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        drop((Ask::decode(&bytes), Tell::decode(&bytes)));
    }
}

#[test]
fn frames_and_descriptors_arrive_in_order_and_the_end_is_seen() {
    let (here, there) = UnixStream::pair().unwrap();
    let passed = std::fs::File::open("/dev/null").unwrap();
    send(&here, b"one", &[passed.as_fd()]).unwrap();
    send(&here, &vec![7; 100_000], &[]).unwrap();
    drop(here);
    let (frame, descriptors) = receive(&there).unwrap().unwrap();
    assert_eq!((frame.as_slice(), descriptors.len()), (&b"one"[..], 1));
    let (frame, descriptors) = receive(&there).unwrap().unwrap();
    assert_eq!((frame.len(), descriptors.len()), (100_000, 0));
    assert!(receive(&there).unwrap().is_none());
}

#[test]
fn a_length_beyond_the_limit_is_refused_before_it_is_believed() {
    let (here, there) = UnixStream::pair().unwrap();
    rustix::net::send(&here, &u32::MAX.to_le_bytes(), SendFlags::empty()).unwrap();
    assert_eq!(receive(&there).unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(
        send(&here, &vec![0; FRAME_BYTES_MAX + 1], &[]).unwrap_err().kind(),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn endings_are_what_a_shell_says() {
    for (ending, code) in [
        (Ending::Code(0), 0),
        (Ending::Code(3), 3),
        (Ending::Signal(9), 137),
        (Ending::Code(256), 0),
    ] {
        assert_eq!(ending.code(), code);
    }
}
