//! The way in: reading, classifying, counting, and the whole decision.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use domain::Tenant;
use openshell_benches::{conversation::New, text::Author};
use router::{
    classify::Hint,
    count::Vocabulary,
    wire::{self, Dialect},
};

use crate::setup::{SIZES, conversation, decide, engine, memory};

/// Times each step.
///
/// # Errors
/// When a step refuses its input.
pub(crate) fn run(criterion: &mut Criterion) -> anyhow::Result<()> {
    parse(criterion)?;
    texts(criterion)?;
    long_texts(criterion)?;
    decisions(criterion)
}

fn parse(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("parse");
    for (name, bytes) in SIZES {
        let body = conversation(bytes, New::Nothing).body(0);
        wire::read(Dialect::OpenAiChat, &body)?;
        group.throughput(Throughput::Bytes(u64::try_from(body.len())?));
        group.bench_function(name, |bencher| {
            bencher.iter(|| wire::read(Dialect::OpenAiChat, black_box(&body)));
        });
    }
    group.finish();
    Ok(())
}

/// One text of a kilobyte: as an agent sends it, and with things in it that must be found.
fn texts(criterion: &mut Criterion) -> anyhow::Result<()> {
    let engine = engine()?;
    let plain = Author::new(1).mixed(1_024);
    let key = [
        "sk-ant-api03-",
        "q8Zr2vX5cB7nM1kJ4hG6fD3sA9pO0iU2yT5rE8wQ1zX4cV7bN0mL3kJ6hG9fD2sA5pO8iU1yT4",
    ]
    .concat();
    let found = format!(
        "{} jo.berg@northwind-orders.net, +49 30 901820, {key} {plain}",
        Author::new(2).prose(60)
    );
    for (name, text) in [("plain-1k", &plain), ("found-1k", &found)] {
        let bytes = Throughput::Bytes(u64::try_from(text.len())?);
        let mut group = criterion.benchmark_group("classify");
        group.throughput(bytes.clone()).bench_function(name, |bencher| {
            bencher.iter(|| engine.classifier().scan(black_box(text), Hint::Prose));
        });
        group.finish();
        let mut group = criterion.benchmark_group("count");
        group.throughput(bytes).bench_function(name, |bencher| {
            bencher.iter(|| Vocabulary::O200k.count(black_box(text)));
        });
        group.finish();
    }
    Ok(())
}

/// Texts of 64 KB: as agents send them, and of one piece over and over, which no detector may read more slowly than the rest.
fn long_texts(criterion: &mut Criterion) -> anyhow::Result<()> {
    const BYTES: usize = 64 << 10;
    const PIECES: [(&str, &str); 10] = [
        ("assignments", "password="),
        ("short-numbers", "123 123 "),
        ("long-numbers", "4111 1111 1111 1111 "),
        ("capitals", "Ab "),
        ("humps", "birthDate"),
        ("names", "Anna Berg "),
        ("phrases", "the token is "),
        ("flags", " -- "),
        ("letters-with-accents", "\u{e9}t\u{e9} "),
        ("street-lines", "12 Elm Street, "),
    ];
    let engine = engine()?;
    let mut group = criterion.benchmark_group("classify-64k");
    let plain = [("prose", Author::new(3).prose(BYTES)), ("mixed", Author::new(3).mixed(BYTES))];
    let pieces = PIECES.map(|(name, piece)| (name, piece.repeat(BYTES / piece.len())));
    for (name, text) in plain.iter().chain(&pieces) {
        group.throughput(Throughput::Bytes(u64::try_from(text.len())?));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| engine.classifier().scan(black_box(text), Hint::Prose));
        });
    }
    group.finish();
    Ok(())
}

/// Reading and deciding on a whole request.
fn decisions(criterion: &mut Criterion) -> anyhow::Result<()> {
    let engine = engine()?;
    let tenant = Tenant::new("bench");
    let mut group = criterion.benchmark_group("decide");
    for (name, bytes) in SIZES {
        for (kind, new) in [("new", New::Everything), ("repeated", New::Nothing)] {
            let conversation = conversation(bytes, new);
            let memory = memory();
            decide(&engine, &memory, &tenant, &conversation.body(0))?;
            let mut number = 0;
            let mut next = || {
                number += 1;
                conversation.body(number)
            };
            group.throughput(Throughput::Bytes(u64::try_from(conversation.bytes())?));
            group.bench_function(format!("{kind}-{name}"), |bencher| {
                bencher.iter_batched(
                    &mut next,
                    |body| decide(&engine, &memory, &tenant, &body),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
    Ok(())
}
