//! Requests and streams of one dialect in the words of another, in every direction.

use std::hint::black_box;

use anyhow::Context as _;
use backends::translate::{AnswerContext, RequestOptions, StreamTranslator, request};
use criterion::{Criterion, Throughput};
use openshell_benches::conversation::New;
use router::wire::Dialect;

use crate::{answers, setup::conversation};

/// The dialects that hold a conversation, with their names.
const DIALECTS: [(&str, Dialect); 3] = [
    ("chat", Dialect::OpenAiChat),
    ("responses", Dialect::OpenAiResponses),
    ("messages", Dialect::AnthropicMessages),
];

/// Times each direction.
///
/// # Errors
/// When one is refused.
pub(crate) fn run(criterion: &mut Criterion) -> anyhow::Result<()> {
    let chat = conversation(10 << 10, New::Nothing).body(0);
    let events = answers::stream("");
    for (from_name, from) in DIALECTS {
        let body = request(Dialect::OpenAiChat, from, &chat, &RequestOptions::new("bench"))?;
        let stream = translated(Dialect::OpenAiChat, from, &events)
            .with_context(|| format!("a stream to {from_name}"))?;
        for (to_name, to) in DIALECTS.into_iter().filter(|(_, to)| *to != from) {
            let name = format!("{from_name}-to-{to_name}");
            let options = RequestOptions::new("bench");
            request(from, to, &body, &options)?;
            let mut group = criterion.benchmark_group("translate");
            group.throughput(Throughput::Bytes(u64::try_from(body.len())?));
            group.bench_function(format!("request-10k-{name}"), |bencher| {
                bencher.iter(|| request(from, to, black_box(&body), &options));
            });
            translated(from, to, &stream).with_context(|| format!("a stream {name}"))?;
            let bytes: usize = stream.iter().map(Vec::len).sum();
            group.throughput(Throughput::Bytes(u64::try_from(bytes)?));
            group.bench_function(format!("stream-64-{name}"), |bencher| {
                bencher.iter(|| translated(from, to, black_box(&stream)));
            });
            group.finish();
        }
    }
    Ok(())
}

/// A whole stream in another dialect, one piece for each piece; `None` if it cannot be said there.
fn translated(from: Dialect, to: Dialect, events: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if from == to {
        return Some(events.to_vec());
    }
    let context = AnswerContext { include_usage: true, ..AnswerContext::default() };
    let mut translator = StreamTranslator::new(from, to, context).ok()?;
    let mut pieces = Vec::with_capacity(events.len());
    for event in events {
        let mut piece = Vec::new();
        translator.push(event, &mut piece).ok()?;
        pieces.push(piece);
    }
    let mut last = Vec::new();
    translator.finish(&mut last).ok()?;
    pieces.push(last);
    Some(pieces)
}
