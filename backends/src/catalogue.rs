//! What is known of models without asking anyone: prices, windows, abilities, vocabularies, capability.
//!
//! Two tables are compiled in: `catalogue/models.tsv`, generated from public price lists, and
//! `catalogue/families.tsv`, written by hand; `catalogue/README.md` tells how. Not here: what an operator says, which
//! always takes precedence.
//!
//! Invariant: what nobody knows is `None`; a price is never made up and never zero for want of a better one. Prices
//! hold only for the provider they were listed for.

use domain::{Price, Tokens};
use router::candidate::{Abilities, Encoding, Prices};

use crate::provider::Provider;

mod family;

use self::family::Family;

const MODELS: &str = include_str!("../catalogue/models.tsv");

/// In which dialects a model can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Chat, and what translates to it.
    Chat,
    /// The responses dialect only.
    Responses,
    /// The completions dialect only.
    Completion,
    /// Embeddings only.
    Embedding,
    /// Nobody said.
    Unknown,
}

/// Where a fact comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// litellm 1.109.1, 2026-11.
    LiteLlm,
    /// models.dev, 2026-05.
    ModelsDev,
    /// Our own table of families, 2026-11.
    Families,
}

impl Source {
    /// Name and date, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiteLlm => "litellm 1.109.1, 2026-11",
            Self::ModelsDev => "models.dev, 2026-05",
            Self::Families => "OpenShell, 2026-11",
        }
    }
}

/// What is known of one model at one provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// In which dialects it can be asked.
    pub kind: Kind,
    /// Prompt and answer together.
    pub context: Option<Tokens>,
    /// Longest answer.
    pub output_max: Option<Tokens>,
    /// What it costs; `None` is unknown.
    pub prices: Option<Prices>,
    /// What it can do.
    pub abilities: Abilities,
    /// How its tokens are counted.
    pub encoding: Encoding,
    /// How capable it is, 0 to 100; our judgement. `None` where we have none.
    pub quality: Option<u8>,
    /// Where prices, window and abilities come from; encoding and quality are always ours.
    pub source: Source,
}

impl Facts {
    /// What is assumed of a model that is in no table: it chats and calls tools, costs nobody knows what, and is
    /// counted with a margin.
    pub fn unknown() -> Self {
        Self {
            kind: Kind::Unknown,
            context: None,
            output_max: None,
            prices: None,
            abilities: Abilities { tools: true, json_schema: true, ..Abilities::default() },
            encoding: ENCODING_UNKNOWN,
            quality: None,
            source: Source::Families,
        }
    }
}

/// Counts a little too much rather than too little.
const ENCODING_UNKNOWN: Encoding = Encoding::Estimate { per_thousand: 1200 };

/// What is known of `model` as `provider` calls it: under its own name, without a date at its end, then under the
/// same name at the vendors (without their prices), then by family.
pub fn facts(provider: Provider, model: &str) -> Option<Facts> {
    let family = family::find(model);
    let vendors = [Provider::OpenAi, Provider::Anthropic];
    let row = priced(provider, model)
        .or_else(|| priced(provider, dateless(model)?))
        .or_else(|| unpriced(&vendors, model))
        .or_else(|| unpriced(&vendors, dateless(model)?));
    match (row, family) {
        (Some(row), family) => Some(Facts {
            encoding: family.map_or(row.encoding, |family| family.encoding),
            quality: family.map(|family| family.quality),
            ..row
        }),
        (None, Some(family)) => Some(of_family(family)),
        (None, None) => None,
    }
}

/// Whether some provider's list has a model of exactly this name, or did before it was pinned to a date.
pub fn is_listed(model: &str) -> bool {
    let at = |name: &str| Provider::ALL.iter().any(|provider| priced(*provider, name).is_some());
    at(model) || dateless(model).is_some_and(at)
}

fn of_family(family: Family) -> Facts {
    Facts {
        kind: if family.abilities.embeddings { Kind::Embedding } else { Kind::Unknown },
        context: family.context,
        output_max: None,
        prices: None,
        abilities: family.abilities,
        encoding: family.encoding,
        quality: Some(family.quality),
        source: Source::Families,
    }
}

fn unpriced(vendors: &[Provider], model: &str) -> Option<Facts> {
    let row = vendors.iter().find_map(|vendor| priced(*vendor, model))?;
    Some(Facts { prices: None, ..row })
}

fn priced(provider: Provider, model: &str) -> Option<Facts> {
    row(&format!("{}/{model}", provider.as_str()))
}

/// The name without what pins a version: `-2025-08-07`, `-20250807`, `@20250807` or `-latest`.
fn dateless(model: &str) -> Option<&str> {
    if let Some(name) = model.strip_suffix("-latest") {
        return Some(name);
    }
    let shape = |date: &str| -> String {
        date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
    };
    ["0000-00-00", "00000000"].into_iter().find_map(|form| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(form.len())?)?;
        let dated = date.starts_with("20") && shape(date) == form;
        name.strip_suffix(['-', '@']).filter(|name| dated && !name.is_empty())
    })
}

/// The row of this key, by bisection over the sorted lines.
fn row(key: &str) -> Option<Facts> {
    let mut rest = MODELS;
    while !rest.is_empty() {
        let middle = rest.floor_char_boundary(rest.len() / 2);
        let (before, _) = rest.split_at_checked(middle)?;
        let begin = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let from = rest.get(begin..)?;
        let line = from.lines().next()?;
        let end = begin.saturating_add(line.len()).saturating_add(1);
        let name = line.split('\t').next()?;
        let comment = line.starts_with('#');
        match if comment { std::cmp::Ordering::Less } else { name.cmp(key) } {
            std::cmp::Ordering::Equal => return read(line),
            std::cmp::Ordering::Less => rest = rest.get(end..).unwrap_or_default(),
            std::cmp::Ordering::Greater => rest = rest.get(..begin)?,
        }
    }
    None
}

/// One line of `models.tsv`; its header names the columns.
fn read(line: &str) -> Option<Facts> {
    let mut columns = line.split('\t');
    let name = columns.next()?;
    let kind = match columns.next()? {
        "c" => Kind::Chat,
        "r" => Kind::Responses,
        "t" => Kind::Completion,
        "e" => Kind::Embedding,
        _ => return None,
    };
    let mut tokens = || Some(columns.next()?.parse().ok().map(Tokens));
    let (context, output_max) = (tokens()?, tokens()?);
    let mut price = || {
        let usd = columns.next()?.parse().ok();
        Some(usd.and_then(Price::from_usd_per_million))
    };
    let (input, cached, write, output) = (price()?, price()?, price()?, price()?);
    let prices = input.zip(output).map(|(input, output)| Prices {
        input,
        cached_input: cached.unwrap_or(input),
        cache_write: write.unwrap_or(input),
        output,
    });
    let mut abilities = family::abilities(columns.next()?);
    abilities.embeddings = kind == Kind::Embedding;
    let source = match columns.next()? {
        "l" => Source::LiteLlm,
        _ => Source::ModelsDev,
    };
    let openai = name.starts_with("openai/") || name.starts_with("azure-openai/");
    let encoding = if openai { Encoding::O200k } else { ENCODING_UNKNOWN };
    Some(Facts { kind, context, output_max, prices, abilities, encoding, quality: None, source })
}

#[cfg(test)]
mod tests;
