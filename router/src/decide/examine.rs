//! Looks at every text of a request once: its facts, its hash, and what follows from what was found.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use domain::{Label, Sensitivity, Tokens};

use crate::{
    classify::{Classifier, Finding},
    count::{TOKENS_PER_MEDIUM, TOKENS_PER_MESSAGE, Vocabulary},
    decide::{
        Conversation, Found, Memory,
        join::{Half, Joiner},
        memory::Facts,
    },
    rules::{Action, Rules},
    wire::{IdentifierKind, Role, Segment, View},
};

/// Where in a request something was found. Never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Who wrote the text.
    pub role: Role,
    /// The message, counted from 0.
    pub turn: Option<u32>,
}

/// One finding and what follows from it.
#[derive(Clone, Debug)]
pub struct Located {
    /// What was found.
    pub finding: Finding,
    /// Index into the view's segments.
    pub segment: usize,
    /// In which part of the conversation.
    pub place: Place,
    /// How sensitive it is.
    pub level: Sensitivity,
    /// What is done with it.
    pub action: Action,
}

/// Everything that was learned from the texts of a request.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// Facts per segment; `None` for what is not looked at.
    facts: Vec<Option<Arc<Facts>>>,
    /// All findings in document order.
    pub(super) located: Vec<Located>,
    /// Text that was not looked at because there is too much of it.
    pub(super) unread: bool,
    /// The conversation so far.
    pub(super) conversation: Conversation,
    /// One hash per message, each over all before it; of no meaning where nothing is wanted of the texts.
    pub(super) chain: Vec<u128>,
}

/// What examining needs of the engine.
pub(super) struct Examiner<'a> {
    pub(super) classifier: &'a Classifier,
    pub(super) rules: &'a Rules,
    pub(super) version: u64,
    pub(super) memory: &'a Memory,
    pub(super) tenant: &'a [u8],
    pub(super) look: Look,
}

/// What is wanted of the texts, beside their hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What is sensitive in them, and how long they are.
    Find,
    /// How long they are.
    Count,
    /// Nothing.
    Nothing,
}

/// Shorter texts are scanned again each time: that is cheaper than asking the memo.
const MEMO_BYTES_MIN: usize = 48;

impl Examiner<'_> {
    /// Examines all texts but those that are taken out anyway.
    pub(super) fn examine(&self, view: &View<'_>) -> Examined {
        let mut examined =
            Examined { facts: Vec::with_capacity(view.segments.len()), ..Examined::default() };
        let gone = stripped(view);
        let salts = if self.look == Look::Nothing { [0; 3] } else { self.salts() };
        let mut hashes = Hashes::new(self.tenant, self.memory);
        let mut joiner = Joiner::new(self.classifier, &view.segments);
        let mut halves = Vec::new();
        let mut left = self.rules.text_bytes_max;
        for (index, segment) in view.segments.iter().enumerate() {
            if contains(&gone, &segment.span) {
                examined.facts.push(None);
                continue;
            }
            if segment.text.len() > left {
                examined.unread = true;
                examined.facts.push(None);
                continue;
            }
            left -= segment.text.len();
            if self.look == Look::Nothing {
                hashes.note(segment, view);
                examined.facts.push(None);
                continue;
            }
            let hash = hashes.add(segment);
            let facts = self.facts(segment, hash, &salts);
            for finding in &facts.findings {
                examined.located.push(self.locate(finding, index, segment));
            }
            if self.look == Look::Find {
                joiner.add(index, &facts.findings, &mut halves);
            }
            examined.facts.push(Some(facts));
        }
        self.add_halves(&halves, view, &mut examined.located);
        (examined.conversation, examined.chain) = hashes.finish(view);
        examined
    }

    /// One salt per part, so that the memo knows texts by what they are and by the rules in force.
    fn salts(&self) -> [u128; 3] {
        // Facts of texts in which nothing was looked for are never taken for facts of clean ones.
        let kind: &[u8] = if self.look == Look::Find { b"memo" } else { b"counts" };
        let salt =
            |part: u8| self.memory.keys.hash.of(&[kind, &self.version.to_le_bytes(), &[part]]);
        [salt(0), salt(1), salt(2)]
    }

    fn facts(&self, segment: &Segment<'_>, hash: u128, salts: &[u128; 3]) -> Arc<Facts> {
        let scan = || match self.look {
            Look::Find => Arc::new(Facts::new(self.classifier.scan(&segment.text, segment.part))),
            Look::Count | Look::Nothing => Arc::new(Facts::default()),
        };
        if segment.text.len() < MEMO_BYTES_MIN {
            return scan();
        }
        let [prose, json, field] = salts;
        let key = hash
            ^ match segment.part {
                crate::wire::Part::Prose => prose,
                crate::wire::Part::Json => json,
                crate::wire::Part::Field => field,
            };
        if let Some(known) = self.memory.facts.find(key) {
            return known;
        }
        let facts = scan();
        self.memory.facts.keep(key, Arc::clone(&facts), facts.weight());
        facts
    }

    /// Puts halves of credentials where they belong in the order of the document.
    fn add_halves(&self, halves: &[Half], view: &View<'_>, located: &mut Vec<Located>) {
        for half in halves {
            let Some(segment) = view.segments.get(half.segment) else { continue };
            let new = self.locate(&half.finding, half.segment, segment);
            let span = &new.finding.span;
            let before =
                |one: &Located| (one.segment, one.finding.span.end) <= (new.segment, span.start);
            let at = located.partition_point(before);
            // A text that is both an end and a beginning can be a half twice.
            let taken = located
                .get(at)
                .is_some_and(|one| one.segment == new.segment && one.finding.span.start < span.end);
            if !taken {
                located.insert(at, new);
            }
        }
    }

    fn locate(&self, finding: &Finding, index: usize, segment: &Segment<'_>) -> Located {
        let place = Place { role: segment.role, turn: segment.turn };
        let consequence = self.rules.consequence(&finding.label);
        let (level, action) = match (finding.example, consequence.action) {
            // An example is no secret, but hiding it costs nothing and spares an argument about which it is.
            (true, Action::Redact) if !segment.number => (Sensitivity::Public, Action::Redact),
            (true, _) | (false, Action::Allow) => (Sensitivity::Public, Action::Allow),
            // A number has no quotes: a placeholder there would break the JSON, so it is only routed.
            (false, Action::Redact) if segment.number => (consequence.level, Action::Route),
            (false, action) => (consequence.level, action),
        };
        Located { finding: finding.clone(), segment: index, place, level, action }
    }
}

impl Examined {
    /// The level of what is found, of parts that cannot be read and of text that was not read; with `hidden`
    /// findings left out.
    pub(super) fn level(&self, view: &View<'_>, rules: &Rules, hidden: bool) -> Sensitivity {
        let found = self
            .located
            .iter()
            .filter(|located| !(hidden && located.action == Action::Redact))
            .map(|located| located.level)
            .max()
            .unwrap_or_default();
        let opaque = self.unread || !view.media.is_empty();
        if opaque { found.max(rules.unreadable) } else { found }
    }

    /// The findings, summed up per label and action.
    pub(super) fn found(&self) -> Vec<Found> {
        let mut found: BTreeMap<(&Label, Action), Found> = BTreeMap::new();
        for located in &self.located {
            let label = &located.finding.label;
            let entry = found.entry((label, located.action)).or_insert_with(|| Found {
                label: label.clone(),
                count: 0,
                action: located.action,
                examples: 0,
            });
            entry.count = entry.count.saturating_add(1);
            entry.examples = entry.examples.saturating_add(u32::from(located.finding.example));
        }
        found.into_values().collect()
    }

    /// Labels whose action is `block`, without repetition.
    pub(super) fn blocked(&self) -> Vec<Label> {
        let mut labels: Vec<Label> = self
            .located
            .iter()
            .filter(|located| located.action == Action::Block)
            .map(|located| located.finding.label.clone())
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }

    /// Prompt tokens in a vocabulary: texts of the conversation, plus what the chat format adds.
    pub(super) fn tokens(&self, view: &View<'_>, vocabulary: Vocabulary) -> Tokens {
        let texts: Tokens = view
            .segments
            .iter()
            .zip(&self.facts)
            .filter(|(segment, _)| segment.role != Role::Other)
            .map(|(segment, facts)| match facts {
                Some(facts) => facts.tokens(vocabulary, &segment.text),
                // What is too much to read is too much to count: three bytes a token, on the dear side.
                None => Tokens(u64::try_from(segment.text.len() / 3).unwrap_or(u64::MAX)),
            })
            .sum();
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let frame = count(view.messages.len()).saturating_mul(TOKENS_PER_MESSAGE);
        let media = count(view.media.len()).saturating_mul(TOKENS_PER_MEDIUM);
        texts + Tokens(frame) + Tokens(media)
    }
}

/// Whether counting the texts counts the prompt: tool definitions and media are rendered in ways nobody documents.
pub(super) fn is_countable(view: &View<'_>) -> bool {
    !view.needs.tools && view.media.is_empty()
}

/// Byte ranges of the identifiers that are taken out, in order.
fn stripped(view: &View<'_>) -> Vec<Range<usize>> {
    let mut gone: Vec<Range<usize>> = view
        .identifiers
        .iter()
        .map(|identifier| match identifier.kind {
            IdentifierKind::CacheKey => identifier.value.clone(),
            _ => identifier.slot.span.clone(),
        })
        .collect();
    gone.sort_unstable_by_key(|range| range.start);
    gone
}

fn contains(ranges: &[Range<usize>], span: &Range<usize>) -> bool {
    let at = ranges.partition_point(|range| range.start <= span.start);
    at.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| span.end <= range.end)
}

/// Hashes of texts, chained per message.
struct Hashes<'a> {
    tenant: &'a [u8],
    memory: &'a Memory,
    system: u128,
    turns: Vec<u128>,
    /// Texts of the system of which nobody wants to know more than whose conversation it is.
    noted: Vec<&'a str>,
}

impl<'a> Hashes<'a> {
    fn new(tenant: &'a [u8], memory: &'a Memory) -> Self {
        Self { tenant, memory, system: 0, turns: Vec::new(), noted: Vec::new() }
    }

    fn add(&mut self, segment: &Segment<'_>) -> u128 {
        let hash = self.of(&segment.text);
        match self.turn(segment) {
            // Multiplying keeps the order of texts; the hashes themselves are keyed.
            Some(slot) => *slot = slot.wrapping_mul(MIX) ^ hash,
            None if is_system(segment) => self.system = self.system.wrapping_mul(MIX) ^ hash,
            None => {}
        }
        hash
    }

    /// As [`Hashes::add`] where the name of the conversation is all that is wanted: one message gives it, or the system if that
    /// message has no text.
    fn note(&mut self, segment: &'a Segment<'_>, view: &View<'_>) {
        let named = segment.turn.and_then(|turn| usize::try_from(turn).ok()) == Some(anchor(view));
        if named {
            self.add(segment);
        } else if self.turn(segment).is_none() && is_system(segment) {
            self.noted.push(&segment.text);
        }
    }

    fn of(&self, text: &str) -> u128 {
        self.memory.keys.hash.of(&[self.tenant, text.as_bytes()])
    }

    /// The hash of the message that a text belongs to.
    fn turn(&mut self, segment: &Segment<'_>) -> Option<&mut u128> {
        let turn = usize::try_from(segment.turn?).ok()?;
        if self.turns.len() <= turn {
            self.turns.resize(turn + 1, 0);
        }
        self.turns.get_mut(turn)
    }

    fn finish(mut self, view: &View<'_>) -> (Conversation, Vec<u128>) {
        let first = self.turns.get(anchor(view)).copied();
        let first = first.unwrap_or_else(|| {
            for text in std::mem::take(&mut self.noted) {
                self.system = self.system.wrapping_mul(MIX) ^ self.of(text);
            }
            self.system
        });
        let root = self.memory.keys.hash.of(&[b"root", self.tenant, &first.to_le_bytes()]);
        let mut chain = Vec::with_capacity(self.turns.len());
        let mut head = self.memory.keys.hash.of(&[b"system", &self.system.to_le_bytes()]);
        for turn in self.turns {
            head = head.wrapping_mul(MIX) ^ turn;
            chain.push(head);
        }
        let turns = u32::try_from(chain.len()).unwrap_or(u32::MAX);
        (Conversation { root, head, turns }, chain)
    }
}

/// The number of the message that names the conversation.
fn anchor(view: &View<'_>) -> usize {
    view.anchor.unwrap_or(0)
}

fn is_system(segment: &Segment<'_>) -> bool {
    segment.turn.is_none() && segment.role == Role::System
}

/// An odd number with well-spread bits (the golden ratio in 128 bits).
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
