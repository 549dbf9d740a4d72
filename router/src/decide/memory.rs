//! What is remembered from one request to the next: facts of texts, taint, warm caches, money spent.
//!
//! It survives a reload of the router file. Nothing in it holds content: texts are known by keyed hashes.

use std::sync::{Arc, OnceLock};

use domain::{Sensitivity, Tokens};

use crate::{
    bounded::Bounded, classify::Finding, count::Vocabulary, decide::Conversation, hash::HashKey,
    ledger::Ledger,
};

/// Bytes of findings that are kept: tens of thousands of segments.
const FACTS_BYTES_MAX: usize = 32 << 20;
/// Conversations whose taint and warm caches are kept.
const CONVERSATIONS_MAX: usize = 200_000;
/// How long a provider's prompt cache is taken to live after its last use (Anthropic's default, OpenAI's minimum:
/// five minutes; their prompt caching pages, 2026-11).
const CACHE_MS_MAX: u64 = 5 * 60 * 1000;

/// The random keys of one process.
#[derive(Clone)]
pub struct Keys {
    /// For hashes of texts.
    pub hash: HashKey,
    /// For the tags of placeholders.
    pub mask: [u8; 32],
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Remembers across requests and reloads. All methods are safe to call from many threads.
#[derive(Debug)]
pub struct Memory {
    pub(super) keys: Keys,
    pub(super) facts: Bounded<Arc<Facts>>,
    taint: Bounded<Sensitivity>,
    warm: Bounded<Warm>,
    home: Bounded<(u128, usize)>,
    /// Money spent and reserved.
    pub ledger: Ledger,
}

/// What is known of one text.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) findings: Vec<Finding>,
    o200k: OnceLock<Tokens>,
    cl100k: OnceLock<Tokens>,
}

impl Facts {
    pub(super) fn new(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::default() }
    }

    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.findings.len() * size_of::<Finding>()
    }

    /// Tokens of the text these facts are about; counted once.
    pub(super) fn tokens(&self, vocabulary: Vocabulary, text: &str) -> Tokens {
        let cell = match vocabulary {
            Vocabulary::O200k => &self.o200k,
            Vocabulary::Cl100k => &self.cl100k,
        };
        *cell.get_or_init(|| vocabulary.count(text))
    }
}

/// What a backend's prompt cache holds of a conversation.
#[derive(Clone, Copy, Debug)]
struct Warm {
    turns: u32,
    chain: u128,
    tokens: Tokens,
    used_ms: u64,
}

impl Memory {
    /// An empty memory.
    pub fn new(keys: Keys) -> Self {
        Self {
            keys,
            facts: Bounded::new(FACTS_BYTES_MAX),
            taint: Bounded::new(CONVERSATIONS_MAX),
            warm: Bounded::new(CONVERSATIONS_MAX),
            home: Bounded::new(CONVERSATIONS_MAX),
            ledger: Ledger::default(),
        }
    }

    /// Notes a level and gives the highest that this conversation has had; it only ever rises.
    pub(super) fn taint_with(&self, conversation: Conversation, level: Sensitivity) -> Sensitivity {
        let before = self.taint.find(conversation.root).unwrap_or_default();
        if level > before {
            self.taint.keep(conversation.root, level, 1);
        }
        level.max(before)
    }

    /// Prompt tokens of this conversation that the cache of `candidate` should still hold. `chain` has one hash
    /// per message: a cache is of use only as far as the conversation is the same.
    pub(super) fn warm(&self, candidate: u128, root: u128, chain: &[u128], now_ms: u64) -> Tokens {
        let Some(warm) = self.warm.find(root ^ candidate) else { return Tokens(0) };
        let turn = usize::try_from(warm.turns).unwrap_or(usize::MAX);
        let same = turn.checked_sub(1).and_then(|last| chain.get(last)) == Some(&warm.chain);
        let alive = now_ms.saturating_sub(warm.used_ms) < CACHE_MS_MAX;
        if same && alive { warm.tokens } else { Tokens(0) }
    }

    /// Notes that `candidate` has just read this prompt.
    pub(super) fn warm_with(
        &self,
        candidate: u128,
        conversation: Conversation,
        tokens: Tokens,
        now_ms: u64,
    ) {
        let warm =
            Warm { turns: conversation.turns, chain: conversation.head, tokens, used_ms: now_ms };
        self.warm.keep(conversation.root ^ candidate, warm, 1);
    }

    /// Who answered this conversation last, if that is `candidate` by the same name still.
    pub(super) fn home(&self, conversation: Conversation) -> Option<(u128, usize)> {
        self.home.find(conversation.root)
    }

    /// Notes who answered.
    pub(super) fn home_with(&self, conversation: Conversation, candidate: u128, index: usize) {
        self.home.keep(conversation.root, (candidate, index), 1);
    }
}
