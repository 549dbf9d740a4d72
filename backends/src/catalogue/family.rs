//! The hand-made table of model families, found by the beginning of a name.

use domain::Tokens;
use router::candidate::{Abilities, Encoding};

const FAMILIES: &str = include_str!("../../catalogue/families.tsv");

/// What is known of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) quality: u8,
    pub(super) encoding: Encoding,
    pub(super) context: Option<Tokens>,
    pub(super) abilities: Abilities,
}

/// The family with the longest beginning that `model` has; who made it and where it is served does not matter.
pub(super) fn find(model: &str) -> Option<Family> {
    let model = plain(model);
    let mut best: Option<(usize, &str)> = None;
    for line in FAMILIES.lines().filter(|line| !line.starts_with('#')) {
        let (beginning, columns) = line.split_once('\t')?;
        let beginning = plain(beginning);
        let fits = model.strip_prefix(beginning.as_str()).is_some_and(|rest| {
            let digit_after_letter = beginning.ends_with(|c: char| c.is_ascii_alphabetic())
                && rest.starts_with(|c: char| c.is_ascii_digit());
            rest.is_empty() || rest.starts_with('-') || digit_after_letter
        });
        if fits && best.is_none_or(|(length, _)| length < beginning.len()) {
            best = Some((beginning.len(), columns));
        }
    }
    best.and_then(|(_, columns)| read(columns))
}

fn read(columns: &str) -> Option<Family> {
    let mut columns = columns.split('\t');
    let quality = columns.next()?.parse().ok()?;
    let encoding = match columns.next()? {
        "o" => Encoding::O200k,
        "c" => Encoding::Cl100k,
        number => Encoding::Estimate { per_thousand: number.parse().ok()? },
    };
    let context = columns.next()?.parse().ok().map(Tokens);
    Some(Family { quality, encoding, context, abilities: abilities(columns.next()?) })
}

/// Abilities as letters, as the header of `models.tsv` names them.
pub(super) fn abilities(letters: &str) -> Abilities {
    Abilities {
        tools: letters.contains('t'),
        images: letters.contains('i'),
        files: letters.contains('f'),
        audio: letters.contains('a'),
        json_schema: letters.contains('j'),
        reasoning: letters.contains('r'),
        embeddings: letters.contains('e'),
    }
}

/// The name in one spelling: without the maker, in lower case, one kind of separator and none between a letter and
/// a digit. `meta-llama/Llama-3.1-8B-Instruct`, `llama3.1:8b` and `llama-3_1-8b` begin alike.
fn plain(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_prefix("meta-").or(name.strip_prefix("nvidia-")).unwrap_or(&name);
    let mut plain = String::with_capacity(name.len());
    for c in name.chars() {
        let c = if matches!(c, '.' | ':' | '_' | ' ' | '@') { '-' } else { c };
        let mut before = plain.chars().rev();
        let letter_and_dash = before.next() == Some('-')
            && before.next().is_some_and(|letter| letter.is_ascii_alphabetic());
        if letter_and_dash && c.is_ascii_digit() {
            plain.pop();
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_model_are_one_family() {
        let cases = [
            ("llama3.1:8b", Some(36)),
            ("meta-llama/Llama-3.1-8B-Instruct", Some(36)),
            ("Meta-Llama-3.1-8B-Instruct", Some(36)),
            ("qwen3:8b", Some(44)),
            ("Qwen/Qwen3-8B", Some(44)),
            ("qwen3:8b-q4_K_M", Some(44)),
            ("qwen3:latest", Some(44)),
            ("gemma-3-27b-it", Some(54)),
            ("smollm2", Some(10)),
            ("SmolLM2-135M-Instruct", Some(5)),
            ("gpt-4o-mini-2024-07-18", Some(48)),
            ("gpt-4o", Some(62)),
            ("gpt-4", Some(48)),
            ("anthropic/claude-sonnet-4.5", Some(87)),
            ("claude-sonnet-4-5-20250929", Some(87)),
            ("claude-3-5-sonnet-latest", Some(70)),
            ("openai/gpt-oss-120b", Some(64)),
            ("gpt-50", None),
            ("mystery", None),
            ("", None),
        ];
        for (model, quality) in cases {
            assert_eq!(find(model).map(|family| family.quality), quality, "{model}");
        }
    }

    #[test]
    fn every_line_of_the_table_can_be_read() {
        for line in FAMILIES.lines().filter(|line| !line.starts_with('#')) {
            let (beginning, columns) = line.split_once('\t').unwrap();
            assert!(columns.split('\t').count() == 4, "{line}");
            assert!(read(columns).is_some_and(|family| family.quality <= 100), "{line}");
            assert!(find(beginning).is_some(), "{line}");
        }
    }
}
