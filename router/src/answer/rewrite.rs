//! Exchanging strings inside a frame, and the texts of a stream that are under way.
//!
//! A *channel* is one text that arrives in fragments over many frames: the content of a choice, the arguments of
//! a tool call, a content block. Its name is a path such as `0/delta/content`; the part before the first slash is
//! what ends as a whole. A channel is remembered only while it holds something back.
//!
//! Not here: which strings are channels (`chat`, `anthropic`, `responses`).
//!
//! Invariant: what a channel holds back leaves before the event that ends the channel, as an event of its own of
//! the same shape, unless that very frame has a fragment of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Bound, Range},
    sync::Arc,
};

use domain::limits::ANSWER_BYTES_MAX;

use crate::{
    answer::{AnswerError, tape::Value},
    redact::{Vault, shape},
    restore::{self, Escape, Restorer, restore_text},
    sse,
    wire::Dialect,
};

/// Most channels that hold something back at once. Real streams have a handful.
const CHANNELS_MAX: usize = 1024;

/// Most bytes that are kept to make an event for one channel. Real ones stay below 500.
const SKELETON_BYTES_MAX: usize = 8 << 10;

/// An event of a channel's shape, with a hole for the text.
#[derive(Debug)]
pub(super) struct Skeleton {
    /// The event's name.
    pub event: Option<String>,
    /// The data up to the inside of the text's quotes.
    pub before: String,
    /// The data after the inside of the text's quotes, up to the last brace.
    pub after: String,
}

#[derive(Debug)]
struct Held {
    restorer: Restorer,
    skeleton: Skeleton,
}

/// The channels of a stream that hold something back.
#[derive(Debug)]
pub(super) struct Channels {
    vault: Arc<Vault>,
    held: BTreeMap<String, Held>,
}

/// Numbers the events of a stream that numbers them: a synthesised event moves all later numbers up by one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Numbering {
    /// The number of the frame at hand, or the one after the last frame, as the backend counts.
    pub next: Option<u64>,
    /// How many events were synthesised.
    pub added: u64,
}

impl Numbering {
    /// The number of the frame at hand as the caller counts.
    pub(super) fn current(self) -> Option<u64> {
        self.next.map(|next| next.saturating_add(self.added))
    }
}

impl Channels {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        Self { vault, held: BTreeMap::new() }
    }

    pub(super) fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault)
    }

    /// Whether there is anything that could be restored.
    pub(super) fn is_needed(&self) -> bool {
        !self.vault.is_empty()
    }

    /// Appends to `out` an event for each channel below `prefix` that holds something back, and forgets it.
    pub(super) fn flush(&mut self, prefix: &str, numbers: &mut Numbering, out: &mut Vec<u8>) {
        loop {
            let found =
                self.held.range::<str, _>((Bound::Included(prefix), Bound::Unbounded)).next();
            let Some(name) = found.map(|(name, _)| name.clone()).filter(|n| n.starts_with(prefix))
            else {
                return;
            };
            let Some(Held { mut restorer, skeleton }) = self.held.remove(&name) else { return };
            let mut text = String::new();
            restorer.flush(&mut text);
            let mut data = skeleton.before;
            restore::json(&text, &mut data);
            data.push_str(&skeleton.after);
            if let Some(number) = numbers.current() {
                data.push_str(",\"sequence_number\":");
                data.push_str(&number.to_string());
                numbers.added = numbers.added.saturating_add(1);
            }
            data.push('}');
            sse::write(skeleton.event.as_deref(), &data, out);
        }
    }
}

/// What the strings of an answer are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    pub dialect: Dialect,
    /// What the model's own words are: JSON where the request asked for it.
    pub words: Escape,
}

impl Texts {
    /// What a string of this name is. Anthropic has tool arguments as objects, whose members may have any name.
    pub(super) fn of(self, name: &str) -> Escape {
        match (self.dialect, name) {
            (Dialect::AnthropicMessages, _) => Escape::None,
            (_, "arguments") => Escape::Json,
            (Dialect::OpenAiChat, "content") => self.words,
            _ => Escape::None,
        }
    }

    /// Where the model's own words stand in a content block or part.
    fn words_of(self, part: Value<'_>) -> Option<Range<usize>> {
        let kind = match self.dialect {
            _ if self.words == Escape::None => return None,
            Dialect::AnthropicMessages => "text",
            Dialect::OpenAiResponses => "output_text",
            _ => return None,
        };
        let words =
            part.get("type").filter(|found| self.words == Escape::Json && found.raw() == kind);
        words.and_then(|_| part.get("text")).map(Value::span)
    }
}

/// What one frame becomes.
#[derive(Debug)]
pub(super) struct Rewrite<'c> {
    channels: &'c mut Channels,
    vault: &'c Vault,
    texts: Texts,
    /// Bytes that may still be added.
    left: usize,
    /// Prefixes of the channels that end with this frame.
    endings: BTreeSet<String>,
    edits: Vec<(Range<usize>, String)>,
}

impl<'c> Rewrite<'c> {
    /// A rewrite for one frame or body. `vault` is the one of the channels, except where nothing is a fragment.
    pub(super) fn new(channels: &'c mut Channels, vault: &'c Vault, texts: Texts) -> Self {
        let (endings, edits) = (BTreeSet::new(), Vec::new());
        Self { channels, vault, texts, left: ANSWER_BYTES_MAX, endings, edits }
    }

    /// Says that the channels below `prefix` end with this frame. Say it before the frame's fragments are read.
    pub(super) fn end(&mut self, prefix: String) {
        self.endings.insert(prefix);
    }

    /// Whether a fragment may change, or may be the end of what was held back.
    pub(super) fn may_touch(&self, fragment: Value<'_>) -> bool {
        !self.channels.held.is_empty() || shape::candidate(fragment.raw().as_bytes(), 0).is_some()
    }

    /// Restores the next fragment of the channel `name`. `skeleton` is asked for if something is held back.
    pub(super) fn channel(
        &mut self,
        name: &str,
        fragment: Value<'_>,
        escape: Escape,
        skeleton: impl FnOnce() -> Skeleton,
    ) -> Result<(), AnswerError> {
        let Some(text) = fragment.text() else { return Ok(()) };
        self.spend(&text)?;
        let held = self.channels.held.remove(name);
        let (mut restorer, known) = match held {
            Some(Held { restorer, skeleton }) => (restorer, Some(skeleton)),
            None => (Restorer::new(Arc::clone(&self.channels.vault), escape), None),
        };
        let mut restored = String::with_capacity(text.len());
        restorer.push(&text, &mut restored);
        if self.ends(name) {
            restorer.flush(&mut restored);
        }
        if restored != text {
            self.exchange(fragment.span(), &restored);
        }
        if restorer.is_idle() {
            return Ok(());
        }
        if self.channels.held.len() >= CHANNELS_MAX {
            return Err(AnswerError::TooManyChannels);
        }
        let skeleton = known.unwrap_or_else(skeleton);
        let size = [name, &skeleton.before, &skeleton.after].map(str::len).iter().sum::<usize>();
        if size > SKELETON_BYTES_MAX {
            return Err(AnswerError::TooComplex);
        }
        self.channels.held.insert(name.to_owned(), Held { restorer, skeleton });
        Ok(())
    }

    /// Restores every string at and below `value` as a whole text, names of members included.
    pub(super) fn whole(&mut self, value: Value<'_>) -> Result<(), AnswerError> {
        let mut words = None;
        let mut dropped_until = 0;
        for node in std::iter::once(value).chain(value.descendants()) {
            let span = node.span();
            if span.start < dropped_until {
                continue;
            }
            if self.drop_logprobs(node) {
                dropped_until = span.end;
                continue;
            }
            words = self.texts.words_of(node).or(words);
            let is_words = words.as_ref() == Some(&span);
            let escape = if is_words { self.texts.words } else { self.texts.of(node.key()) };
            self.string(node, escape)?;
        }
        Ok(())
    }

    /// Restores one string that is a whole text, and its name.
    pub(super) fn string(&mut self, value: Value<'_>, escape: Escape) -> Result<(), AnswerError> {
        let candidate = |text: &str| shape::candidate(text.as_bytes(), 0).is_some();
        if candidate(value.key()) {
            let key = super::tape::unescape(value.key());
            self.restore(&key, value.key_span(), Escape::None)?;
        }
        if !value.is_text() || !candidate(value.raw()) {
            return Ok(());
        }
        self.restore(&value.text().unwrap_or_default(), value.span(), escape)
    }

    /// Whether the channel `name`, of which this frame has a fragment, ends with this frame.
    fn ends(&self, name: &str) -> bool {
        let group = name.split_inclusive('/').next().unwrap_or_default();
        self.endings.contains(group) || self.endings.contains("")
    }

    /// What the strings are.
    pub(super) fn texts(&self) -> Texts {
        self.texts
    }

    fn restore(
        &mut self,
        text: &str,
        span: Range<usize>,
        escape: Escape,
    ) -> Result<(), AnswerError> {
        self.spend(text)?;
        let restored = restore_text(self.vault, text, escape);
        if restored != text {
            self.exchange(span, &restored);
        }
        Ok(())
    }

    fn spend(&mut self, text: &str) -> Result<(), AnswerError> {
        let growth = restore::growth(self.vault, text);
        self.left = self.left.checked_sub(growth).ok_or(AnswerError::TooLong)?;
        Ok(())
    }

    /// Empties `value` if it is a list of token probabilities: its tokens are pieces of placeholders, which cannot
    /// be restored one by one, and their number would tell the length of what is hidden.
    pub(super) fn drop_logprobs(&mut self, value: Value<'_>) -> bool {
        // Anthropic has none, but arguments of tools as objects, whose members may have any name.
        if value.key() != "logprobs" || self.texts.dialect == Dialect::AnthropicMessages {
            return false;
        }
        let with = match (value.is_array(), value.is_object()) {
            (true, _) => "[]",
            (_, true) => "null",
            _ => return false,
        };
        self.edits.push((value.span(), with.to_owned()));
        true
    }

    fn exchange(&mut self, span: Range<usize>, text: &str) {
        let mut with = String::with_capacity(text.len());
        restore::json(text, &mut with);
        self.edits.push((span, with));
    }

    /// Appends what was held back by channels that end here, and moves the frame's number up for it.
    pub(super) fn flush_ended(
        &mut self,
        numbers: &mut Numbering,
        number: Option<Value<'_>>,
        out: &mut Vec<u8>,
    ) {
        for prefix in std::mem::take(&mut self.endings) {
            self.channels.flush(&prefix, numbers, out);
        }
        if let (Some(value), Some(current), true) = (number, numbers.current(), numbers.added > 0) {
            self.edits.push((value.span(), current.to_string()));
        }
    }

    /// The changes, in the order of the document.
    pub(super) fn into_edits(mut self) -> Vec<(Range<usize>, String)> {
        self.edits.sort_by_key(|(span, _)| span.start);
        self.edits
    }
}

/// Appends a member of a JSON object whose value is `source`, and a comma.
pub(super) fn member(name: &str, source: &str, out: &mut String) {
    for part in ["\"", name, "\":", source, ","] {
        out.push_str(part);
    }
}

/// Appends `source` with the ranges of `edits` exchanged.
pub(super) fn splice(source: &[u8], edits: &[(Range<usize>, String)], out: &mut Vec<u8>) {
    let mut copied = 0;
    for (span, with) in edits {
        debug_assert!(copied <= span.start, "edits overlap at {}", span.start);
        out.extend_from_slice(source.get(copied..span.start).unwrap_or_default());
        out.extend_from_slice(with.as_bytes());
        copied = span.end;
    }
    out.extend_from_slice(source.get(copied..).unwrap_or_default());
}
