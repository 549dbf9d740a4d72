use proptest::prelude::*;

use super::*;
use crate::egress::credentials::{Credentials, Provider, Secret};

const VALUE: &str = "sk-live-0123456789\"+/=";
const PLACEHOLDER: &str = "openshell:resolve:env:KEY";
const MASK: [u8; 4] = [1, 2, 3, 4];

/// The credentials of an endpoint, as it opts in or not.
fn scope(in_websocket: bool) -> Scope {
    let text = format!(
        "version: 1\nnetwork_policies:\n  a:\n    endpoints: [{{host: a.example, port: 443, protocol: websocket, \
         access: full, enforcement: enforce, credential_binding: {{provider: work}}, \
         websocket_credential_rewrite: {in_websocket}}}]\n    binaries: [{{path: /usr/bin/curl}}]\n"
    );
    let policy = policy::Policy::new(policy::PolicyFile::parse(&text).unwrap().0);
    let to = "a.example:443".parse().unwrap();
    let caller = policy::Caller { binary: "/usr/bin/curl", ancestors: &[] };
    let asked = policy::Connect { caller, to: &to, inference: false };
    let policy::Verdict::Allow(grant) = policy.connect(&asked) else { panic!("it is allowed") };
    let mut places = Vec::new();
    grant.each(|place| places.push(place));
    let secrets = vec![("KEY".to_owned(), Secret::new(VALUE).unwrap())];
    let provider = Provider { name: "work".to_owned(), secrets, endpoints: Vec::new() };
    Credentials::new(vec![provider]).unwrap().scope(&to, "/", &places)
}

fn caller() -> Frames {
    Frames::of_caller(scope(true))
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, first, Some(MASK), payload);
    out
}

fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, first, None, payload);
    out
}

/// The messages and frames of control in `bytes`, whatever their frames: kind and content, in the order of their ends.
fn read(bytes: &[u8], masked: bool) -> Vec<(u8, Vec<u8>)> {
    let (mut all, mut open) = (Vec::new(), None::<(u8, Vec<u8>)>);
    let (mut head, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        head.push(*first);
        rest = after;
        let Some(mut frame) = Frame::parse(&head, masked).unwrap() else { continue };
        head.clear();
        let (payload, after) = rest.split_at(usize::try_from(frame.left).unwrap());
        rest = after;
        let payload = unmasked(payload, &mut frame.mask);
        if frame.is_control() {
            all.push((frame.kind, payload));
            continue;
        }
        assert_eq!(frame.kind == PART, open.is_some(), "parts follow a begin");
        let message = open.get_or_insert((frame.kind, Vec::new()));
        message.1.extend(payload);
        if frame.last {
            all.extend(open.take());
        }
    }
    assert!(head.is_empty() && open.is_none(), "every message has an end");
    all
}

/// What goes on of `bytes` that come in pieces of `size`, and how many messages were asked about.
fn pass(mut frames: Frames, bytes: &[u8], size: usize) -> Result<(Vec<u8>, usize), FrameError> {
    let (mut out, mut asked) = (Vec::new(), 0);
    for piece in bytes.chunks(size) {
        let passed = frames.pass(piece, || {
            asked += 1;
            true
        });
        out.extend_from_slice(&passed?);
    }
    Ok((out, asked))
}

#[test]
fn messages_of_every_length_pass_in_any_pieces() {
    let long = vec![b'x'; 70_000];
    let all = [
        frame(0x81, b""),
        frame(0x01, &long[..125]),
        frame(0x89, b"now"),
        frame(0x80, &long[..126]),
        frame(0x82, &long),
        frame(0x88, &[3, 0xe8]),
    ];
    let all = all.concat();
    let expected = vec![
        (1, Vec::new()),
        (9, b"now".to_vec()),
        (1, long[..251].to_vec()),
        (2, long.clone()),
        (8, vec![3, 0xe8]),
    ];
    for size in [1, 2, 3, 7, 1000, all.len()] {
        let (out, asked) = pass(caller(), &all, size).unwrap();
        assert_eq!(asked, 3, "two are parts of others: {size}");
        assert!(read(&out, true) == expected, "{size}");
    }
}

#[test]
fn what_is_no_frame_or_out_of_turn_is_refused() {
    let part = frame(0x80, b"x");
    let nested = [frame(0x01, b"x"), frame(0x81, b"y")].concat();
    let cases: [(&[u8], FrameError); 8] = [
        (b"GET / HTTP/1.1\r\n", FrameError::Malformed),
        (&[0x83, 0x80], FrameError::Malformed),
        (&[0x81, 0x01, b'x'], FrameError::Malformed),
        (&[0xc1, 0x80], FrameError::Malformed),
        (&[0x09, 0x80], FrameError::Malformed),
        (&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4], FrameError::Large),
        (&part, FrameError::Malformed),
        (&nested, FrameError::Malformed),
    ];
    for (bytes, error) in cases {
        assert_eq!(caller().pass(bytes, || true), Err(error), "{bytes:?}");
    }
    assert_eq!(caller().pass(&frame(0x81, b"x"), || false), Err(FrameError::Denied));
}

#[test]
fn a_placeholder_becomes_a_value_wherever_frames_cut_it() {
    let (begin, end) = PLACEHOLDER.split_at(12);
    let plain = frame(0x81, format!("auth {PLACEHOLDER}").as_bytes());
    let json = frame(0x81, format!(" {{\"t\":\"{PLACEHOLDER}\"}}").as_bytes());
    let cut = [
        frame(0x01, begin.as_bytes()),
        frame(0x89, b"ping"),
        frame(0x00, end.as_bytes()),
        frame(0x80, b""),
    ];
    let cases = [
        (plain, vec![(1, format!("auth {VALUE}"))]),
        (json, vec![(1, format!(" {{\"t\":\"{}\"}}", VALUE.replace('"', "\\\"")))]),
        (cut.concat(), vec![(9, "ping".to_owned()), (1, VALUE.to_owned())]),
    ];
    for (bytes, expected) in cases {
        let expected: Vec<_> =
            expected.into_iter().map(|(kind, text)| (kind, text.into_bytes())).collect();
        for size in [1, 5, 1000] {
            let (out, _) = pass(caller(), &bytes, size).unwrap();
            assert_eq!(read(&out, true), expected, "{size}");
        }
    }
}

#[test]
fn a_placeholder_that_becomes_no_value_never_goes_on() {
    let unknown = PLACEHOLDER.replace("KEY", "OTHER");
    let misplaced = CredentialError::Misplaced("a WebSocket message");
    let far = [vec![b'x'; 300 << 10], PLACEHOLDER.into()].concat();
    let cases = [
        (false, frame(0x81, PLACEHOLDER.as_bytes()), misplaced),
        (true, frame(0x82, PLACEHOLDER.as_bytes()), misplaced),
        (true, frame(0x89, PLACEHOLDER.as_bytes()), misplaced),
        (true, frame(0x81, unknown.as_bytes()), CredentialError::Unknown),
        (true, frame(0x81, &far), CredentialError::Large),
    ];
    for (opted, bytes, error) in cases {
        for size in [1, 3, bytes.len()] {
            let mut frames = Frames::of_caller(scope(opted));
            let mut out = Vec::new();
            let mut ended = Ok(());
            for piece in bytes.chunks(size) {
                match frames.pass(piece, || true) {
                    Ok(passed) => out.extend_from_slice(&passed),
                    Err(error) => {
                        ended = Err(error);
                        break;
                    }
                }
            }
            assert_eq!(ended, Err(FrameError::Credential(error)), "{size}");
            // Nothing of the placeholder is in what went on, not even its begin.
            let mut sent = Vec::new();
            let mut rest = &out[..];
            while !rest.is_empty() {
                let head = (2..=HEAD_BYTES_MAX).find_map(|length| {
                    Some((length, Frame::parse(rest.get(..length)?, true).ok()??))
                });
                let (length, mut frame) = head.unwrap();
                let (payload, after) =
                    rest[length..].split_at(usize::try_from(frame.left).unwrap());
                sent.extend(unmasked(payload, &mut frame.mask));
                rest = after;
            }
            assert!(sent.iter().all(|byte| *byte == b'x'), "{size}");
        }
    }
}

#[test]
fn a_value_that_a_server_repeats_goes_on_as_its_placeholder() {
    let (begin, end) = VALUE.split_at(9);
    let bytes = [
        bare(0x81, format!("you said {VALUE}").as_bytes()),
        bare(0x02, begin.as_bytes()),
        bare(0x80, end.as_bytes()),
        bare(0x8a, VALUE.as_bytes()),
        bare(0x81, b"plain"),
    ];
    let bytes = bytes.concat();
    let expected = [
        (1, format!("you said {PLACEHOLDER}").into_bytes()),
        (2, PLACEHOLDER.into()),
        (10, PLACEHOLDER.into()),
        (1, b"plain".to_vec()),
    ];
    let needles = scope(true).needles().unwrap().clone();
    for size in [1, 4, 1000] {
        let (out, _) = pass(Frames::of_server(needles.clone()), &bytes, size).unwrap();
        assert_eq!(read(&out, false), expected, "{size}");
    }
    let masked = Frames::of_server(needles).pass(&frame(0x81, b"x"), || true);
    assert_eq!(masked, Err(FrameError::Malformed));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_answer(bytes in proptest::collection::vec(any::<u8>(), 0..40), cut in 0_usize..40) {
        let whole = pass(caller(), &bytes, 1000).map(|(_, asked)| asked);
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let (mut frames, mut asked) = (caller(), 0);
        let mut permit = || { asked += 1; true };
        let parts = frames.pass(first, &mut permit).and_then(|_| frames.pass(second, &mut permit));
        prop_assert_eq!(whole, parts.map(|_| asked));
    }

    #[test]
    fn any_messages_arrive_as_they_were_sent(
        messages in proptest::collection::vec((1_u8..=2, proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..4)), 0..5),
        size in 1_usize..700,
    ) {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for (kind, parts) in &messages {
            for (index, part) in parts.iter().enumerate() {
                let last = if index + 1 == parts.len() { LAST } else { 0 };
                bytes.extend(frame(last | if index == 0 { *kind } else { PART }, part));
            }
            expected.push((*kind, parts.concat()));
        }
        let (out, asked) = pass(caller(), &bytes, size).unwrap();
        prop_assert_eq!(asked, messages.len());
        prop_assert_eq!(read(&out, true), expected);
    }
}
