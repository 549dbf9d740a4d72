use super::*;

type Seen = (Option<String>, String, Vec<u8>);

fn own(frame: &Frame<'_>) -> Seen {
    if let Some(at) = frame.data_at.clone() {
        assert_eq!(&frame.raw[at], frame.data.as_bytes());
    }
    (frame.event.map(str::to_owned), frame.data.to_owned(), frame.raw.to_vec())
}

/// All frames of a stream that arrives in pieces of `size` bytes, and what is left at its end.
fn decode(stream: &[u8], size: usize) -> (Vec<Seen>, Option<Seen>) {
    let mut decoder = Decoder::new(1 << 16);
    let mut frames = Vec::new();
    for chunk in stream.chunks(size) {
        decoder.push(chunk).unwrap();
        while let Some(frame) = decoder.next_frame() {
            frames.push(own(&frame));
        }
    }
    let rest = decoder.finish().as_ref().map(own);
    (frames, rest)
}

fn check(stream: &str, expected: &[(Option<&str>, &str)], rest: Option<&str>) {
    for size in 1..=stream.len() {
        let (frames, left) = decode(stream.as_bytes(), size);
        let found: Vec<_> =
            frames.iter().map(|(event, data, _)| (event.as_deref(), data.as_str())).collect();
        assert_eq!(found, expected, "{stream:?} in pieces of {size}");
        assert_eq!(
            left.as_ref().map(|(_, data, _)| data.as_str()),
            rest,
            "{stream:?} in pieces of {size}"
        );
        let joined: Vec<u8> = frames.into_iter().chain(left).flat_map(|(_, _, raw)| raw).collect();
        assert_eq!(joined, stream.as_bytes());
    }
}

#[test]
fn every_kind_of_line_end_is_read_however_the_bytes_are_cut() {
    check("data: a\n\ndata: b\n\n", &[(None, "a"), (None, "b")], None);
    check("data: a\r\n\r\ndata: b\r\n\r\n", &[(None, "a"), (None, "b")], None);
    check("data: a\r\rdata: b\r\n\ndata: c\n\r\n", &[(None, "a"), (None, "b"), (None, "c")], None);
    check("event: ping\rdata: a\r\r:", &[(Some("ping"), "a")], Some(""));
}

#[test]
fn a_bare_carriage_return_at_the_end_is_left_to_finish() {
    check("data: a\r\r", &[], Some("a"));
}

#[test]
fn fields_follow_the_standard() {
    check("event: one\nevent: two\ndata:x\ndata:  y\nid: 7\n\n", &[(Some("two"), "x\n y")], None);
    check("data\ndata\n\n", &[(None, "\n")], None);
    check("event:\ndata: a: b\ndatax: no\n\n", &[(None, "a: b")], None);
    check("\u{feff}data: marked\n\n\u{feff}data: not\n\n", &[(None, "marked"), (None, "")], None);
    check("data: größe 🦀\n\n", &[(None, "größe 🦀")], None);
}

#[test]
fn comments_and_blank_lines_keep_their_bytes() {
    check(": OPENROUTER PROCESSING\n\n\ndata: a\n\n", &[(None, ""), (None, ""), (None, "a")], None);
}

#[test]
fn an_unfinished_event_is_given_out_only_at_the_end() {
    check("data: a\n\ndata: [DONE]", &[(None, "a")], Some("[DONE]"));
    check("data: a\n\ndata: [DONE]\n", &[(None, "a")], Some("[DONE]"));
}

#[test]
fn invalid_utf8_is_replaced_in_the_data_and_kept_in_the_bytes() {
    let (frames, rest) = decode(b"event: \xff\ndata: a\xffb\n\n", 3);
    assert_eq!(
        frames,
        [(None, "a\u{fffd}b".to_owned(), b"event: \xff\ndata: a\xffb\n\n".to_vec())]
    );
    assert_eq!(rest, None);
}

#[test]
fn an_event_above_the_limit_fails_at_the_same_byte_however_it_is_cut() {
    for size in 1..40 {
        let mut decoder = Decoder::new(12);
        let results: Vec<_> = b"data: 4567\n\ndata: 45678\n\ndata: a\n\n"
            .chunks(size)
            .map(|c| decoder.push(c))
            .collect();
        assert!(results.contains(&Err(SseError::TooLong { limit: 12 })), "{size}");
        assert_eq!(decoder.next_frame().unwrap().data, "4567");
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.finish(), None);
        assert!(decoder.push(b"\n\n").is_err());
    }
}

#[test]
fn the_buffer_does_not_grow_with_the_stream() {
    let mut decoder = Decoder::new(1 << 10);
    for _ in 0..10_000 {
        decoder.push(b"data: 0123456789\n\ndata: 01234").unwrap();
        assert!(decoder.next_frame().is_some());
        decoder.push(b"56789\n\n").unwrap();
        assert!(decoder.next_frame().is_some());
    }
    assert!(decoder.buffer.capacity() < 1 << 10);
}

#[test]
fn what_is_written_is_read_back() {
    let cases: [(Option<&str>, &str, &str); 5] = [
        (None, "a", "a"),
        (Some("message_stop"), r#"{"type":"message_stop"}"#, r#"{"type":"message_stop"}"#),
        (None, "", ""),
        (None, "two\nlines\r\nthree\rfour", "two\nlines\nthree\nfour"),
        (None, "\n\r\n", "\n\n"),
    ];
    for (event, data, expected) in cases {
        let mut out = Vec::new();
        write(event, data, &mut out);
        let (frames, rest) = decode(&out, 1);
        assert_eq!(frames, [(event.map(str::to_owned), expected.to_owned(), out.clone())]);
        assert_eq!(rest, None);
    }
}

#[test]
fn an_event_name_cannot_smuggle_a_field() {
    let mut out = Vec::new();
    write(Some("a\ndata: evil"), "b", &mut out);
    assert_eq!(out, b"event: adata: evil\ndata: b\n\n");
}
