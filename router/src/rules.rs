//! What follows from a finding: the level it has and the action that the operator chose for its label.
//!
//! Not here: finding (`classify`), choosing a backend (`choose`).
//! Invariant: a label that no rule names is as sensitive as the default says, never harmless.

use domain::{Label, LabelPattern, Sensitivity, Zone};

/// What is done with a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Note it only.
    Allow,
    /// Hide it behind a reversible placeholder; what remains decides the level.
    Redact,
    /// Send the request only where its level may be seen.
    Route,
    /// Refuse the request.
    Block,
}

impl Action {
    /// All actions, from the mildest to the hardest.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Redact, Self::Route, Self::Block];

    /// The word for this action in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Redact => "redact",
            Self::Route => "route",
            Self::Block => "block",
        }
    }
}

/// The level and action of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consequence {
    /// How sensitive text with such a finding is.
    pub level: Sensitivity,
    /// What is done.
    pub action: Action,
}

/// For each sensitivity, the widest zone that may see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// For [`Sensitivity::Public`].
    pub public: Zone,
    /// For [`Sensitivity::Internal`].
    pub internal: Zone,
    /// For [`Sensitivity::Confidential`].
    pub confidential: Zone,
    /// For [`Sensitivity::Restricted`].
    pub restricted: Zone,
}

impl Default for Ceilings {
    fn default() -> Self {
        Self {
            public: Zone::Public,
            internal: Zone::Public,
            confidential: Zone::Private,
            restricted: Zone::Local,
        }
    }
}

impl Ceilings {
    /// The widest zone that may see text of this level.
    pub fn of(&self, level: Sensitivity) -> Zone {
        match level {
            Sensitivity::Public => self.public,
            Sensitivity::Internal => self.internal,
            Sensitivity::Confidential => self.confidential,
            Sensitivity::Restricted => self.restricted,
        }
    }

    /// The first pair of levels of which the more sensitive one may go further, which is a mistake.
    pub fn inversion(&self) -> Option<(Sensitivity, Sensitivity)> {
        Sensitivity::ALL
            .windows(2)
            .filter_map(|pair| Some((*pair.first()?, *pair.last()?)))
            .find(|(less, more)| self.of(*more) > self.of(*less))
    }
}

/// One line of `sensitivity.labels`.
#[derive(Clone, Debug)]
pub struct LabelRule {
    /// The labels that are meant.
    pub pattern: LabelPattern,
    /// What follows.
    pub consequence: Consequence,
}

/// All of `sensitivity` but the terms.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The widest zone per level.
    pub ceilings: Ceilings,
    /// The operator's own rules; the built-in ones stand behind them.
    pub labels: Vec<LabelRule>,
    /// The level of images, files and audio that cannot be read.
    pub unreadable: Sensitivity,
    /// Most text of one request that is classified, bytes; what lies beyond is unreadable.
    pub text_bytes_max: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            ceilings: Ceilings::default(),
            labels: Vec::new(),
            unreadable: Sensitivity::Confidential,
            text_bytes_max: domain::limits::CLASSIFIED_BYTES_MAX,
        }
    }
}

impl Rules {
    /// What follows from a finding with this label: the closest pattern of the operator decides, the later of
    /// two equally close ones; without any, [`built_in`].
    pub fn consequence(&self, label: &Label) -> Consequence {
        self.labels
            .iter()
            .filter(|rule| rule.pattern.matches(label))
            .max_by_key(|rule| rule.pattern.closeness())
            .map_or_else(|| built_in(label), |rule| rule.consequence)
    }
}

impl Rules {
    /// Whether there is a label that is more than noted when it is found.
    pub fn act(&self) -> bool {
        let everything = |rule: &LabelRule| rule.pattern.as_str() == "*";
        let allows = |rule: &LabelRule| rule.consequence.action == Action::Allow;
        !(self.labels.iter().any(everything) && self.labels.iter().all(allows))
    }
}

/// The consequences that hold where the operator said nothing: credentials and payment data stay local,
/// personal data is hidden, health data and the operator's own terms stay with trusted backends.
pub fn built_in(label: &Label) -> Consequence {
    let (level, action) = match label.family() {
        "credential" | "payment" => (Sensitivity::Restricted, Action::Route),
        // An address of a machine says little about a person, and agents cannot work without it.
        "pii" if matches!(label.as_str(), "pii/ip" | "pii/mac" | "pii/location") => {
            (Sensitivity::Internal, Action::Allow)
        }
        "pii" => (Sensitivity::Confidential, Action::Redact),
        // Agents name the files that they work on in every turn.
        "code" if label.as_str() == "code/source-path" => (Sensitivity::Internal, Action::Allow),
        "code" => (Sensitivity::Internal, Action::Route),
        "health" | "term" | "marking" => (Sensitivity::Confidential, Action::Route),
        _ => (Sensitivity::Restricted, Action::Route),
    };
    Consequence { level, action }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str, level: Sensitivity, action: Action) -> LabelRule {
        LabelRule { pattern: pattern.parse().unwrap(), consequence: Consequence { level, action } }
    }

    #[test]
    fn the_closest_pattern_decides_whatever_the_order() {
        let wide = rule("pii/*", Sensitivity::Confidential, Action::Redact);
        let close = rule("pii/email", Sensitivity::Public, Action::Allow);
        for labels in [vec![wide.clone(), close.clone()], vec![close, wide]] {
            let rules = Rules { labels, ..Rules::default() };
            let of = |label| rules.consequence(&Label::fixed(label)).action;
            assert_eq!(of("pii/email"), Action::Allow);
            assert_eq!(of("pii/phone"), Action::Redact);
            assert_eq!(of("credential/jwt"), Action::Route);
        }
    }

    #[test]
    fn rules_act_unless_each_label_is_named_and_allowed() {
        let allow = |pattern| rule(pattern, Sensitivity::Public, Action::Allow);
        let acts = |labels| Rules { labels, ..Rules::default() }.act();
        assert!(!acts(vec![allow("*")]));
        assert!(!acts(vec![allow("pii/*"), allow("*")]));
        assert!(acts(vec![]), "the built-in ones act");
        assert!(acts(vec![allow("pii/*")]), "the built-in ones act for the rest");
        for action in [Action::Redact, Action::Route, Action::Block] {
            assert!(acts(vec![allow("*"), rule("pii/email", Sensitivity::Public, action)]));
        }
    }

    #[test]
    fn an_unheard_of_family_is_restricted() {
        assert_eq!(built_in(&Label::fixed("novel/kind")).level, Sensitivity::Restricted);
    }

    #[test]
    fn ceilings_that_let_the_more_sensitive_go_further_are_found() {
        assert_eq!(Ceilings::default().inversion(), None);
        let odd = Ceilings { internal: Zone::Local, ..Ceilings::default() };
        assert_eq!(odd.inversion(), Some((Sensitivity::Internal, Sensitivity::Confidential)));
    }
}
