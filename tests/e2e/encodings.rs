//! Backends that compress their answers although nobody asked: gzip, br and zstd, whole and streamed, are read, restored
//! and passed on in clear; what expands without end is an error.

use std::{io::Write, time::Duration};

use openshell_tests::{
    dialect::{DIALECTS, Dialect},
    echo,
    http::{Ask, Event},
    script::{Script, Step, chunk},
    text::{EMAIL, assert_absent},
    upstream::{ScriptedUpstream, Seen},
    wire,
    world::{Backend, Config, World},
};
use serde_json::Value;

const ENCODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// Compresses piece by piece: what comes out of each can be read without the next.
enum Encoder {
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(name: &str) -> Self {
        match name {
            "gzip" => {
                Self::Gzip(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()))
            }
            "br" => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4096, 5, 22))),
            "zstd" => Self::Zstd(zstd::Encoder::new(Vec::new(), 3).unwrap()),
            other => panic!("no encoder for {other}"),
        }
    }

    /// What comes out for `text`, all of it.
    fn push(&mut self, text: &[u8]) -> Vec<u8> {
        let mut out = self.push_unflushed(text);
        match self {
            Self::Gzip(encoder) => encoder.flush().unwrap(),
            Self::Brotli(encoder) => encoder.flush().unwrap(),
            Self::Zstd(encoder) => encoder.flush().unwrap(),
        }
        out.extend(self.take());
        out
    }

    /// What comes out by itself.
    fn push_unflushed(&mut self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(text).unwrap(),
            Self::Brotli(encoder) => encoder.write_all(text).unwrap(),
            Self::Zstd(encoder) => encoder.write_all(text).unwrap(),
        }
        self.take()
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Gzip(encoder) => encoder.finish().unwrap(),
            Self::Brotli(encoder) => encoder.into_inner(),
            Self::Zstd(encoder) => encoder.finish().unwrap(),
        }
    }
}

fn encoded(name: &str, text: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(name);
    let mut all = encoder.push(text);
    all.extend(encoder.finish());
    all
}

fn stream_head(name: &str) -> Step {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {name}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    Step::Send(head.into_bytes())
}

/// A compressed stream: one write per event, or writes of `size` bytes without regard to anything.
fn stream(name: &str, events: &[Event], size: Option<usize>) -> Script {
    let mut encoder = Encoder::new(name);
    let mut pieces: Vec<Vec<u8>> =
        events.iter().map(|event| encoder.push(&event.bytes())).collect();
    pieces.push(encoder.finish());
    if let Some(size) = size {
        pieces = pieces.concat().chunks(size).map(<[u8]>::to_vec).collect();
    }
    let mut steps = vec![stream_head(name)];
    steps.extend(
        pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| Step::Send(chunk(piece))),
    );
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    Script::raw(steps)
}

/// An echo that compresses.
fn upstream(name: &'static str, size: Option<usize>) -> ScriptedUpstream {
    ScriptedUpstream::start(move |seen, _| {
        let body = seen.json();
        let text = format!("you said: {}", echo::last_words(&body));
        let dialect = asked(seen);
        if body["stream"] == true {
            let pieces: Vec<String> = text.chars().map(String::from).collect();
            let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
            return stream(name, &dialect.events(&pieces), size);
        }
        let whole = encoded(name, whole(dialect, &text).to_string().as_bytes());
        Script::whole(
            200,
            &[("content-type", "application/json"), ("content-encoding", name)],
            &whole,
        )
    })
}

fn asked(seen: &Seen) -> Dialect {
    let found = DIALECTS.into_iter().find(|dialect| seen.target.ends_with(dialect.target()));
    found.unwrap_or_else(|| panic!("no dialect at {}", seen.target))
}

fn whole(dialect: Dialect, text: &str) -> Value {
    match dialect {
        Dialect::Chat => wire::chat(text),
        Dialect::Messages => wire::message(text),
        Dialect::Responses => wire::response(text),
    }
}

fn start(upstream: &ScriptedUpstream, dialect: Dialect) -> World {
    let backend = Backend::new("only", &upstream.url()).zone("public").speaks(dialect).model("m");
    Config::new([backend])
        .sensitivity(
            ["public", "public", "private", "local"],
            &[("pii/email", "confidential", "redact")],
        )
        .start()
}

#[test]
fn what_was_hidden_comes_back_out_of_every_encoding() {
    let prompt = format!("write to {EMAIL} today");
    for name in ENCODINGS {
        for size in [None, Some(7)] {
            let upstream = upstream(name, size);
            for dialect in DIALECTS {
                let world = start(&upstream, dialect);
                for stream in [false, true] {
                    let reply =
                        world.post(dialect.target(), &dialect.ask(&prompt, stream)).expect(200);
                    let text = dialect.text(&reply);
                    assert_eq!(
                        text,
                        format!("you said: {prompt}"),
                        "{name} {size:?} {dialect:?} {stream}"
                    );
                    assert_eq!(
                        reply.header("content-encoding"),
                        None,
                        "{name} {dialect:?} {stream}"
                    );
                    assert!(reply.whole, "{name} {dialect:?} {stream}");
                    if stream {
                        assert_eq!(dialect.events_ended(&reply), 1, "{name} {dialect:?}");
                    }
                }
            }
            for seen in upstream.seen() {
                assert_absent(EMAIL, &seen.everything(), "what the backend got");
            }
        }
    }
}

#[test]
fn a_compressed_event_is_not_held_up_by_the_next() {
    for name in ENCODINGS {
        let events = wire::chat_events(&["first", "second"]);
        let mut encoder = Encoder::new(name);
        let mut steps = vec![stream_head(name)];
        // The first text is out, the second never comes.
        for event in events.iter().take(2) {
            steps.push(Step::Send(chunk(&encoder.push(&event.bytes()))));
        }
        steps.push(Step::Stall);
        let upstream = ScriptedUpstream::always(Script::raw(steps));
        let world = start(&upstream, Dialect::Chat);
        let ask = Ask::post("/v1/chat/completions", &Dialect::Chat.ask("hello", true));
        let mut incoming = ask.open(world.address());
        let (mut left, mut seen) = (Vec::new(), Vec::new());
        while !wire::chat_text(&seen).contains("first") {
            seen.push(incoming.event(&mut left).expect("the first text comes"));
        }
        incoming.leave();
    }
}

/// A megabyte of one letter, many times over, compressed as it is made.
fn bomb(name: &str, before: &str, megabytes: usize) -> Vec<u8> {
    let mut encoder = Encoder::new(name);
    let mut all = encoder.push(before.as_bytes());
    let megabyte = vec![b'a'; 1 << 20];
    for _ in 0..megabytes {
        all.extend(encoder.push(&megabyte));
    }
    all.extend(encoder.push(b"\"}"));
    all.extend(encoder.finish());
    all
}

#[test]
fn a_whole_answer_that_expands_without_end_is_an_error() {
    for name in ENCODINGS {
        let body = bomb(name, "{\"id\":\"", 100);
        assert!(body.len() < 2 << 20, "{name} is no bomb: {}", body.len());
        let headers = [("content-type", "application/json"), ("content-encoding", name)];
        let upstream = ScriptedUpstream::always(Script::whole(200, &headers, &body));
        let world = start(&upstream, Dialect::Chat);
        let reply = world.chat("hello");
        assert_eq!(reply.status, 502, "{name}: {}", reply.text());
        Dialect::Chat.error_message(&reply);
        let event = &world.wait_for_audit(1, |_| true)[0];
        assert_eq!(
            event["unmapped"]["openshell"]["attempts"][0]["outcome"], "too_large",
            "{event}"
        );
    }
}

#[test]
fn a_stream_whose_event_expands_without_end_ends_with_one_error() {
    for name in ENCODINGS {
        let mut encoder = Encoder::new(name);
        let mut pieces = Vec::new();
        for event in wire::chat_events(&["hello"]).iter().take(2) {
            pieces.push(encoder.push(&event.bytes()));
        }
        let hello = pieces.len();
        pieces.push(encoder.push(b"data: {\"x\":\""));
        let megabyte = vec![b'a'; 1 << 20];
        pieces.extend((0..40).map(|_| encoder.push(&megabyte)));
        let mut steps = vec![stream_head(name)];
        steps.extend(pieces.iter().map(|piece| Step::Send(chunk(piece))));
        steps.push(Step::Stall);
        // Else the text might still be held back when the rest arrives, and the whole attempt be lost.
        steps.insert(1 + hello, Step::Pause(Duration::from_secs(1)));
        let upstream = ScriptedUpstream::always(Script::raw(steps));
        let world = start(&upstream, Dialect::Chat);
        let reply = world.post("/v1/chat/completions", &Dialect::Chat.ask("hello", true));
        assert_eq!(reply.status, 200, "{name}");
        let events = reply.events();
        assert_eq!(wire::chat_text(&events), "hello", "{name}");
        let errors = events.iter().filter(|event| Dialect::Chat.is_error(event)).count();
        assert_eq!(errors, 1, "{name}: {}", reply.text());
        assert!(reply.text().len() < 64 << 10, "{name}: {}", reply.text().len());
        upstream.wait_for_leave();
    }
}

#[test]
fn a_chunk_that_holds_a_gigabyte_costs_none() {
    for name in ENCODINGS {
        let mut encoder = Encoder::new(name);
        // One letter over and over compresses to a thousandth with gzip, and to much less with the others.
        let megabytes = if name == "gzip" { 60 } else { 600 };
        let megabyte = vec![b'a'; 1 << 20];
        let mut body = encoder.push(b"data: {\"x\":\"");
        for _ in 0..megabytes {
            body.extend(encoder.push_unflushed(&megabyte));
        }
        body.extend(encoder.finish());
        assert!(body.len() < 300 << 10, "{name}: {}", body.len());
        let bomb = Script::raw(vec![stream_head(name), Step::Send(chunk(&body)), Step::Stall]);
        let scripts = vec![Script::json(200, &wire::chat("warm")), bomb];
        let upstream = ScriptedUpstream::in_turn(scripts);
        let world = start(&upstream, Dialect::Chat);
        // The first call makes tables that later ones share.
        let _ = world.chat("hello").expect(200);
        let before = world.memory_peak_bytes();
        let reply = world.post("/v1/chat/completions", &Dialect::Chat.ask("hello", true));
        assert_eq!(reply.status, 502, "{name}: {}", reply.text());
        let more = world.memory_peak_bytes().saturating_sub(before);
        assert!(more < 32 << 20, "{name}: {} MiB", more >> 20);
    }
}

#[test]
fn a_compressed_answer_that_is_cut_is_no_answer() {
    for name in ENCODINGS {
        let body = encoded(name, wire::chat("hello").to_string().as_bytes());
        let headers = [("content-type", "application/json"), ("content-encoding", name)];
        let cut = &body[..body.len() - 3];
        let upstream = ScriptedUpstream::always(Script::whole(200, &headers, cut));
        let world = start(&upstream, Dialect::Chat);
        let reply = world.chat("hello");
        assert_eq!(reply.status, 502, "{name}: {}", reply.text());
    }
}
