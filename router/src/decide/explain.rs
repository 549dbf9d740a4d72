//! Words for decisions: why this backend, why nobody. They name labels, levels and numbers, never content.

use std::fmt::Write as _;

use domain::{BackendName, Sensitivity};

use crate::{
    choose::Choice,
    decide::{Dropped, Found, Refusal, Settings, Why},
    rules::Action,
};

/// One line for `x-openshell-reason`: visible ASCII, at most a few hundred bytes.
pub(super) fn reason(
    settings: &Settings,
    choice: &Choice,
    found: &[Found],
    level: Sensitivity,
) -> String {
    let mut text = format!(
        "cheapest of {} allowed of {}; level {level}, ceiling {}",
        choice.attempts.len(),
        settings.candidates.len(),
        settings.rules.ceilings.of(level)
    );
    for (action, verb) in [(Action::Redact, "hidden"), (Action::Route, "routed by")] {
        let labels: Vec<String> = found
            .iter()
            .filter(|found| found.action == action)
            .take(5)
            .map(|found| format!("{} x{}", found.label, found.count))
            .collect();
        if !labels.is_empty() {
            // Writing to a string cannot fail.
            write!(text, "; {verb} {}", labels.join(", ")).unwrap_or_default();
        }
    }
    text
}

/// The refusal when no candidate is left: the most telling reason decides status and advice.
pub(super) fn nobody(settings: &Settings, choice: &Choice, level: Sensitivity) -> Refusal {
    let any = |test: fn(&Why) -> bool| choice.dropped.iter().any(|dropped| test(&dropped.why));
    let all_ceiling = choice.dropped.iter().all(|d| matches!(d.why, Why::Ceiling { .. }));
    let (status, code, advice) = if choice.dropped.is_empty() {
        (503, "no_backend", "add a backend with a model to the router file")
    } else if any(|why| matches!(why, Why::Unhealthy)) {
        (503, "backends_unavailable", "the backends that may see it do not answer; try again later")
    } else if any(|why| matches!(why, Why::Budget)) {
        (
            429,
            "budget_exceeded",
            "the budget is used up for what this request would cost; wait for the next period or raise it",
        )
    } else if any(|why| matches!(why, Why::Context { .. })) {
        (400, "context_length_exceeded", "shorten the prompt or the answer asked for")
    } else if all_ceiling {
        (
            403,
            "ceiling",
            "add a backend in a narrower zone, or remove what is sensitive from the conversation",
        )
    } else if any(|why| matches!(why, Why::Ceiling { .. })) {
        (
            403,
            "ceiling",
            "the backends that may see it cannot answer it; add one that can in a zone that may",
        )
    } else {
        (
            400,
            "no_capable_backend",
            "no model here can do what the request asks for; ask for less or add a model",
        )
    };
    let message = format!(
        "no backend may answer this request of level {level} ({}); {advice}",
        why_nobody(settings, &choice.dropped)
    );
    Refusal::NoBackend { status, code, message }
}

/// Each dropped candidate with its reason: `cloud/gpt-5: zone public above ceiling local`.
pub fn why_nobody(settings: &Settings, dropped: &[Dropped]) -> String {
    let mut parts: Vec<String> = dropped
        .iter()
        .take(8)
        .filter_map(|dropped| {
            let candidate = settings.candidates.get(dropped.candidate)?;
            let (backend, model): (&BackendName, _) = (&candidate.backend, &candidate.model);
            Some(format!("{backend}/{model}: {}", describe(dropped.why)))
        })
        .collect();
    if dropped.len() > 8 {
        parts.push(format!("and {} more", dropped.len() - 8));
    }
    parts.join("; ")
}

fn describe(why: Why) -> String {
    match why {
        Why::Ceiling { level, ceiling } => format!("may not see {level}, the ceiling is {ceiling}"),
        Why::Context { needed, available } => {
            format!("holds {available} tokens, {needed} are needed")
        }
        Why::Ability(what) => format!("cannot do {what}"),
        Why::Quality { needed } => format!("below quality {needed}"),
        Why::Dialect => "does not speak this dialect".to_owned(),
        Why::NotAsked => "not asked for".to_owned(),
        Why::Unhealthy => "does not answer at the moment".to_owned(),
        Why::Budget => "dearer than what is left of the budget".to_owned(),
        Why::Price => "its price is unknown".to_owned(),
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&describe(*self))
    }
}

/// The refusal of a model that nobody serves.
pub(super) fn unknown_model(settings: &Settings) -> Refusal {
    let aliases = settings.aliases.iter().map(|alias| alias.name.as_str());
    let models = settings.candidates.iter().map(|candidate| candidate.model.as_str());
    let mut offered: Vec<&str> = aliases.chain(models).collect();
    offered.dedup();
    offered.truncate(20);
    Refusal::UnknownModel { offered: offered.join(", ") }
}

impl Refusal {
    /// The HTTP status that says it best.
    pub fn status(&self) -> u16 {
        match self {
            Self::Blocked { .. } => 403,
            Self::NoBackend { status, .. } => *status,
            Self::UnknownModel { .. } => 404,
        }
    }

    /// The machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Blocked { .. } => "content_blocked",
            Self::NoBackend { code, .. } => code,
            Self::UnknownModel { .. } => "model_not_found",
        }
    }
}
