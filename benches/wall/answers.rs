//! The way back: what was hidden is put back into whole answers and into streams.

use std::{hint::black_box, sync::Arc};

use anyhow::Context as _;
use criterion::{Criterion, Throughput};
use domain::Tenant;
use openshell_benches::{conversation::New, text::Author};
use router::{
    answer::{StreamOptions, StreamPass, restore_buffered},
    redact::Vault,
    wire::Dialect,
};

use crate::setup::{conversation, decide, engine, memory};

/// Times each way.
///
/// # Errors
/// When an answer cannot be restored.
pub(crate) fn run(criterion: &mut Criterion) -> anyhow::Result<()> {
    let body = conversation(1 << 10, New::Nothing).body(0);
    let plan = decide(&engine()?, &memory(), &Tenant::new("bench"), &body)?;
    let placeholder = plan.edits.first().context("nothing was hidden")?.with.clone();
    let nothing: Arc<Vault> = Arc::default();
    let mut group = criterion.benchmark_group("restore");
    for (name, vault) in [("nothing-hidden", &nothing), ("hidden", &plan.vault)] {
        let answer = answer(&placeholder);
        restore_buffered(Dialect::OpenAiChat, &answer, vault)?;
        group.throughput(Throughput::Bytes(u64::try_from(answer.len())?));
        group.bench_function(format!("buffered-{name}"), |bencher| {
            bencher.iter(|| restore_buffered(Dialect::OpenAiChat, black_box(&answer), vault));
        });
        let stream = stream(&placeholder);
        let bytes: usize = stream.iter().map(Vec::len).sum();
        group.throughput(Throughput::Bytes(u64::try_from(bytes)?));
        group.bench_function(format!("stream-64-{name}"), |bencher| {
            bencher.iter(|| pass(vault, black_box(&stream)));
        });
    }
    group.finish();
    Ok(())
}

fn pass(vault: &Arc<Vault>, stream: &[Vec<u8>]) -> Vec<u8> {
    let options = StreamOptions {
        dialect: Dialect::OpenAiChat,
        vault: Arc::clone(vault),
        hide_usage: false,
        model_alias: None,
    };
    let (mut pass, mut out) = (StreamPass::new(options), Vec::new());
    for event in stream {
        if pass.push(event, &mut out).is_err() {
            return Vec::new();
        }
    }
    pass.finish(&mut out);
    out
}

/// An answer of four kilobytes that holds the placeholder twice.
fn answer(placeholder: &str) -> Vec<u8> {
    let text = Author::new(3).prose(2_000);
    let text = format!("Dear {placeholder}, {text} I wrote to {placeholder}. {text}");
    format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1790000000,\"model\":\"bench\",\"choices\":[{{\"index\":0,\
         \"message\":{{\"role\":\"assistant\",\"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":9,\
         \"completion_tokens\":9,\"total_tokens\":18}}}}"
    )
    .into_bytes()
}

/// 64 events of a chat stream and its end; the placeholder is cut into pieces of four letters.
pub(crate) fn stream(placeholder: &str) -> Vec<Vec<u8>> {
    let pieces =
        placeholder.as_bytes().chunks(4).map(|piece| String::from_utf8_lossy(piece).into_owned());
    let words = Author::new(4).prose(1_000);
    let words = words.split_inclusive(' ').map(str::to_owned);
    let deltas = pieces.chain(words).take(64).map(|word| {
        format!(
            "data: {{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"bench\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{word}\"}},\"finish_reason\":null}}]}}\n\n"
        )
    });
    let end = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"bench\",\
               \"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\
               \"completion_tokens\":64,\"total_tokens\":73}}\n\ndata: [DONE]\n\n";
    deltas.chain([end.to_owned()]).map(String::into_bytes).collect()
}
