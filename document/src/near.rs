//! "Did you mean": the known word that is closest to what was written.

/// Longer words are not compared; nobody mistypes a field name into that.
const WORD_BYTES_MAX: usize = 40;

/// The closest of `known`, if at most a third of the word is wrong (a swap of neighbours counts once).
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = (word.len() / 3).max(1);
    known
        .into_iter()
        .filter(|name| name.len() <= WORD_BYTES_MAX)
        .map(|name| (distance(word.as_bytes(), name.replace('-', "_").as_bytes()), name))
        .filter(|(wrong, _)| *wrong <= allowed)
        .min_by_key(|(wrong, _)| *wrong)
        .map(|(_, name)| name)
}

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, byte) in from.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        for (column, other) in to.iter().enumerate() {
            let cost = |line: &[usize], at: usize, more: usize| {
                line.get(at).map_or(usize::MAX, |steps| steps.saturating_add(more))
            };
            let next = column.saturating_add(1);
            let mut least = cost(&above, next, 1).min(cost(&current, column, 1)).min(cost(
                &above,
                column,
                usize::from(byte != other),
            ));
            let swapped = column > 0
                && row > 0
                && to.get(column.wrapping_sub(1)) == Some(byte)
                && from.get(row.wrapping_sub(1)) == Some(other);
            if swapped {
                least = least.min(cost(&before, column.wrapping_sub(1), 1));
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_slips_of_the_hand() {
        let cases = [
            ("zone", "zone", 0),
            ("zoen", "zone", 1),
            ("zon", "zone", 1),
            ("", "ab", 2),
            ("ab", "", 2),
        ];
        for (from, to, expected) in cases {
            assert_eq!(distance(from.as_bytes(), to.as_bytes()), expected, "{from} {to}");
        }
    }

    #[test]
    fn the_closest_word_is_offered_and_far_ones_are_not() {
        let known = ["zone", "models", "base_url"];
        assert_eq!(nearest("zoen", known), Some("zone"));
        assert_eq!(nearest("baseurl", known), Some("base_url"));
        assert_eq!(nearest("base-url", known), Some("base_url"));
        assert_eq!(nearest("temperature", known), None);
        assert_eq!(nearest(&"z".repeat(1000), known), None);
    }
}
