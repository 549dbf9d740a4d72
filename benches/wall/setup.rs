//! What the steps need: an engine with everything on, a memory, conversations.

use std::net::Ipv4Addr;

use domain::Tenant;
use openshell_benches::{
    conversation::{Conversation, New, Shape},
    router_file,
};
use router::{
    classify::Term,
    decide::{Engine, Keys, Memory, Plan, Question},
    hash::HashKey,
    wire::{self, Dialect},
};

/// Sizes of requests and their names.
pub(crate) const SIZES: [(&str, usize); 3] =
    [("1k", 1 << 10), ("10k", 10 << 10), ("100k", 100 << 10)];

/// A conversation of so many bytes.
pub(crate) fn conversation(bytes: usize, new: New) -> Conversation {
    Conversation::new(&Shape { bytes, last_bytes: 700, new, stream_tokens: 0 })
}

/// The engine of the router file with everything on.
///
/// # Errors
/// When the file is no longer sound.
pub(crate) fn engine() -> anyhow::Result<Engine> {
    let text = router_file::everything((Ipv4Addr::LOCALHOST, 1).into(), None);
    let (configuration, _) =
        backends::file::parse(&text).map_err(|faults| anyhow::anyhow!("{faults:?}"))?;
    let terms = configuration.terms.iter();
    let terms =
        terms.map(|(name, patterns)| Term { name: name.clone(), patterns: patterns.clone() });
    Ok(Engine::new(configuration.settings.clone(), terms.collect(), 1)?)
}

/// A memory that knows nothing.
pub(crate) fn memory() -> Memory {
    Memory::new(Keys { hash: HashKey::new([7; 16]), mask: [9; 32] })
}

/// Reads a request and decides on it.
///
/// # Errors
/// When it is refused.
pub(crate) fn decide(
    engine: &Engine,
    memory: &Memory,
    tenant: &Tenant,
    body: &[u8],
) -> anyhow::Result<Plan> {
    let view = wire::read(Dialect::OpenAiChat, body)?;
    let unhealthy = |_| false;
    let now_ms = 1_790_000_000_000;
    let question =
        Question { view: &view, body, tenant, now_ms, unhealthy: &unhealthy, noted: true };
    Ok(engine.decide(memory, &question)?)
}
