//! The engine: one immutable set of rules, detectors and candidates, and the way from a request to its plan.

use std::sync::Arc;

use domain::{Sensitivity, Tenant, Tokens};

use crate::{
    candidate::Candidate,
    choose::{Ask, Choice, Wanted, choose, depends_on_length, names},
    classify::{Classifier, Term, TermError},
    count::Vocabulary,
    decide::{
        Attempt, Counted, Dropped, Located, Memory, Plan, Refusal, Settings, UnknownModel, Why,
        examine::{Examined, Examiner, Look, is_countable},
        explain,
        mask::mask,
        settle::BYTES_PER_TOKEN,
    },
    difficulty,
    ledger::{Payer, Reservation},
    redact::{Masker, Vault},
    wire::{Dialect, Edit, Identifier, IdentifierKind, View, detachment, removal},
};

/// How often a choice is made anew because others have spent meanwhile what it would cost.
const RESERVE_TRIES: u32 = 4;

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A term of the router file is no sound pattern.
    #[error("a term of the router file cannot be used")]
    Term(#[from] TermError),
}

/// Decides. Immutable: a reload makes a new one, and a request keeps the one it began with.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    classifier: Classifier,
    version: u64,
    /// Whether a finding can change a decision.
    acts: bool,
    /// Whether the length of a prompt can change a decision.
    counts: bool,
}

/// One request.
pub struct Question<'a> {
    /// What it says.
    pub view: &'a View<'a>,
    /// Its bytes.
    pub body: &'a [u8],
    /// Who asks.
    pub tenant: &'a Tenant,
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// Whether a candidate's circuit breaker is open.
    pub unhealthy: &'a dyn Fn(usize) -> bool,
    /// Whether what is found will be noted somewhere. If not, and no finding could change the decision, nothing is
    /// looked for.
    pub noted: bool,
}

impl std::fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("dialect", &self.view.dialect).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for these settings. `version` tells one set of rules and terms from another, so that no memo
    /// outlives the rules it was made under.
    ///
    /// # Errors
    /// When a term is no sound pattern.
    pub fn new(settings: Settings, terms: Vec<Term>, version: u64) -> Result<Self, EngineError> {
        let acts = settings.rules.act();
        let counts = settings.candidates.iter().any(depends_on_length);
        Ok(Self { settings, classifier: Classifier::new(terms)?, version, acts, counts })
    }

    /// The settings that it decides by.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The detectors.
    pub fn classifier(&self) -> &Classifier {
        &self.classifier
    }

    /// All findings of a request with what follows from each, for explanations.
    pub fn findings(&self, memory: &Memory, question: &Question<'_>) -> Vec<Located> {
        self.examine(memory, question).located
    }

    /// The plan for a request: read, examined, hidden, counted, chosen; its cost is reserved.
    ///
    /// # Errors
    /// [`Refusal`] when something blocked was found, nobody may or can answer, or the budget is used up.
    pub fn decide(&self, memory: &Memory, question: &Question<'_>) -> Result<Plan, Refusal> {
        let examined = self.examine(memory, question);
        refuse_blocked(&examined)?;
        let wanted = self.wanted(question.view)?;
        let conversation = examined.conversation;
        let Hidden { edits, foreign_edits, vault, level } = self.hide(memory, question, &examined);
        let level = memory.taint_with(conversation, level);
        let (mut choice, first, reservation) =
            self.choose_and_reserve(memory, question, &examined, (wanted, level))?;
        let found = examined.found();
        let home = foreign_edits.as_ref().and_then(|_| self.home(memory, &examined));
        self.mark_foreign(&mut choice, home);
        Ok(Plan {
            sensitivity: level,
            reason: explain::reason(&self.settings, &choice, &found, level),
            found,
            edits,
            vault: Arc::new(vault),
            input: self.input(question, &examined, first.candidate),
            dropped: choice.dropped,
            conversation,
            foreign_edits,
            home,
            tenant: question.tenant.clone(),
            reservation,
            attempts: choice.attempts,
        })
    }

    fn examine(&self, memory: &Memory, question: &Question<'_>) -> Examined {
        let examiner = Examiner {
            classifier: &self.classifier,
            rules: &self.settings.rules,
            version: self.version,
            memory,
            tenant: question.tenant.as_str().as_bytes(),
            look: self.look(question),
        };
        examiner.examine(question.view)
    }

    /// What must be known of the texts.
    fn look(&self, question: &Question<'_>) -> Look {
        let counted = self.counts || question.view.dialect == Dialect::AnthropicCountTokens;
        match (self.acts || question.noted, counted) {
            (true, _) => Look::Find,
            (false, true) => Look::Count,
            (false, false) => Look::Nothing,
        }
    }

    /// What the caller's model name means here.
    fn wanted<'v>(&self, view: &'v View<'_>) -> Result<Wanted<'v>, Refusal> {
        let name = view.model.as_ref();
        if let Some(alias) = self.settings.aliases.iter().find(|alias| alias.name == name) {
            let estimate = || Wanted::Estimate(difficulty::quality_floor(view));
            return Ok(alias.min_quality.map_or_else(estimate, Wanted::Quality));
        }
        if self.settings.candidates.iter().any(|candidate| names(candidate, name)) {
            return Ok(Wanted::Model(name));
        }
        match self.settings.unknown_model {
            UnknownModel::Auto => Ok(Wanted::Estimate(difficulty::quality_floor(view))),
            UnknownModel::Reject => Err(explain::unknown_model(&self.settings)),
        }
    }

    /// Hides what is to be hidden. When not everything can be, nothing is, and the level is that of what was found.
    fn hide(&self, memory: &Memory, question: &Question<'_>, examined: &Examined) -> Hidden {
        let view = question.view;
        let root = examined.conversation.root.to_le_bytes();
        let masker = || {
            let scope = [question.tenant.as_str().as_bytes(), &root].concat();
            Masker::new(&memory.keys.mask, &scope)
        };
        let masked = mask(view, question.body, &examined.located, masker);
        let level = examined.level(view, &self.settings.rules, masked.is_ok());
        let (mut kept, vault) = masked.unwrap_or_default();
        kept.extend(cache_key_edits(memory, question));
        let with =
            |removals: Vec<Edit>| kept.iter().cloned().chain(removals).collect::<Vec<Edit>>();
        let gone = || view.identifiers.iter().filter(|id| !is_cache_key(id)).map(|id| &id.slot);
        let foreign_edits =
            (!view.backend_bound.is_empty()).then(|| with(detachment(&view.backend_bound, gone())));
        Hidden { edits: with(removal(gone())), foreign_edits, vault, level }
    }

    /// Marks the attempts at other backends than that of the last turn.
    fn mark_foreign(&self, choice: &mut Choice, home: Option<usize>) {
        let backend = |index: usize| Some(&self.settings.candidates.get(index)?.backend);
        for attempt in &mut choice.attempts {
            attempt.foreign = home.is_some_and(|home| backend(home) != backend(attempt.candidate));
        }
    }

    /// The choice, its first attempt, and the cost of that set aside.
    fn choose_and_reserve(
        &self,
        memory: &Memory,
        question: &Question<'_>,
        examined: &Examined,
        (wanted, level): (Wanted<'_>, Sensitivity),
    ) -> Result<(Choice, Attempt, Reservation), Refusal> {
        let mut choice = self.choose(memory, question, examined, (wanted, level));
        for _ in 0..RESERVE_TRIES {
            let Some(first) = choice.attempts.first().copied() else { break };
            if let Some(reservation) = self.reserve(memory, question, first) {
                return Ok((choice, first, reservation));
            }
            // Others have spent what was left: choose again among what can still be paid.
            choice = self.choose(memory, question, examined, (wanted, level));
        }
        let unpaid = choice.attempts.drain(..);
        let unpaid = unpaid.map(|one| Dropped { candidate: one.candidate, why: Why::Budget });
        choice.dropped.extend(unpaid);
        Err(explain::nobody(&self.settings, &choice, level))
    }

    /// Sets the expected cost of the first attempt aside, if it is left.
    fn reserve(
        &self,
        memory: &Memory,
        question: &Question<'_>,
        first: Attempt,
    ) -> Option<Reservation> {
        let budgets = &self.settings.budgets;
        let candidate = self.settings.candidates.get(first.candidate)?;
        let payer = Payer { tenant: question.tenant, backend: &candidate.backend };
        memory.ledger.reserve(budgets, payer, first.expected, question.now_ms)
    }

    fn choose(
        &self,
        memory: &Memory,
        question: &Question<'_>,
        examined: &Examined,
        (wanted, level): (Wanted<'_>, Sensitivity),
    ) -> Choice {
        let view = question.view;
        let counts = Counts::of(examined, view);
        let root = examined.conversation.root;
        choose(
            &self.settings.candidates,
            &Ask {
                wanted,
                level,
                ceiling: self.settings.rules.ceilings.of(level),
                dialect: view.dialect,
                native_only: view.server_state.is_some(),
                needs: view.needs,
                input: &|candidate| counts.of_candidate(candidate),
                warm: &|candidate| {
                    memory.warm(id(memory, candidate), root, &examined.chain, question.now_ms)
                },
                output_max: view.output_max.map(Tokens),
                unhealthy: question.unhealthy,
                budget: &|candidate| {
                    let payer = Payer { tenant: question.tenant, backend: &candidate.backend };
                    memory.ledger.allowance(&self.settings.budgets, payer, question.now_ms)
                },
            },
        )
    }

    fn input(&self, question: &Question<'_>, examined: &Examined, candidate: usize) -> Counted {
        let Some(candidate) = self.settings.candidates.get(candidate) else {
            return Counted::default();
        };
        let asked = question.view.dialect == Dialect::AnthropicCountTokens;
        if asked || depends_on_length(candidate) {
            return Counts::of(examined, question.view).of_candidate(candidate);
        }
        let bytes = u64::try_from(question.body.len()).unwrap_or(u64::MAX);
        Counted { tokens: Tokens(bytes.div_ceil(BYTES_PER_TOKEN)), exact: false }
    }

    /// The candidate of the last turn, unless the file has changed under it.
    fn home(&self, memory: &Memory, examined: &Examined) -> Option<usize> {
        let (name, index) = memory.home(examined.conversation)?;
        let candidate = self.settings.candidates.get(index)?;
        (id(memory, candidate) == name).then_some(index)
    }
}

/// The name of a candidate in the memory.
pub(super) fn id(memory: &Memory, candidate: &Candidate) -> u128 {
    let backend = candidate.backend.as_str().as_bytes();
    memory.keys.hash.of(&[b"candidate", backend, candidate.model.as_str().as_bytes()])
}

fn refuse_blocked(examined: &Examined) -> Result<(), Refusal> {
    let labels = examined.blocked();
    if labels.is_empty() {
        return Ok(());
    }
    let labels: Vec<&str> = labels.iter().map(domain::Label::as_str).collect();
    Err(Refusal::Blocked { labels: labels.join(", ") })
}

/// A request with its sensitive parts hidden.
struct Hidden {
    edits: Vec<Edit>,
    foreign_edits: Option<Vec<Edit>>,
    vault: Vault,
    level: Sensitivity,
}

fn is_cache_key(identifier: &Identifier) -> bool {
    identifier.kind == IdentifierKind::CacheKey && identifier.string
}

/// Replaces cache keys by hashes of them, so that the provider's cache still works and nobody is told who asks.
fn cache_key_edits(memory: &Memory, question: &Question<'_>) -> Vec<Edit> {
    let hash = |identifier: &Identifier| {
        let value = question.body.get(identifier.value.clone()).unwrap_or_default();
        let tenant = question.tenant.as_str().as_bytes();
        let hash = memory.keys.hash.of(&[b"cache key", tenant, value]);
        Edit { span: identifier.value.clone(), with: format!("{hash:032x}") }
    };
    question.view.identifiers.iter().filter(|id| is_cache_key(id)).map(hash).collect()
}

/// Prompt tokens per vocabulary, counted when first asked for.
struct Counts<'a> {
    examined: &'a Examined,
    view: &'a View<'a>,
    o200k: std::cell::OnceCell<Tokens>,
    cl100k: std::cell::OnceCell<Tokens>,
}

impl<'a> Counts<'a> {
    fn of(examined: &'a Examined, view: &'a View<'a>) -> Self {
        Self {
            examined,
            view,
            o200k: std::cell::OnceCell::new(),
            cl100k: std::cell::OnceCell::new(),
        }
    }

    fn of_candidate(&self, candidate: &Candidate) -> Counted {
        let vocabulary = candidate.encoding.vocabulary();
        let cell = match vocabulary {
            Vocabulary::O200k => &self.o200k,
            Vocabulary::Cl100k => &self.cl100k,
        };
        let base = *cell.get_or_init(|| self.examined.tokens(self.view, vocabulary));
        let counted = candidate.encoding.counted(base);
        Counted { exact: counted.exact && is_countable(self.view), ..counted }
    }
}
