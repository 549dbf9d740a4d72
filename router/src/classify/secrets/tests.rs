use super::*;
use crate::classify::Classifier;
use crate::wire::Part;

/// Reproducible noise.
struct Noise(u64);

impl Noise {
    fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[3]
    }
}

fn labels(classifier: &Classifier, text: &str) -> Vec<String> {
    classifier.scan(text, Part::Prose).iter().map(|one| one.label.as_str().to_owned()).collect()
}

#[test]
fn every_shape_of_the_table_is_well_formed() {
    for (label, shapes, _) in TABLE {
        for source in *shapes {
            let shape = Shape::read(source).unwrap_or_else(|| panic!("{label} {source}"));
            assert!(shape.head().is_some(), "{label} {source}");
        }
    }
}

#[test]
fn there_are_at_least_120_kinds() {
    let mut kinds: Vec<_> = TABLE.iter().map(|(label, _, _)| *label).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.len() >= 120, "{}", kinds.len());
}

#[test]
fn every_rule_finds_its_own_values_in_running_text() {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let classifier = Classifier::new(Vec::new()).unwrap();
    for (label, shapes, _) in TABLE {
        for source in *shapes {
            let value = Shape::read(source).unwrap().sample(&mut || noise.byte());
            for text in [
                format!("see `{value}` here"),
                format!("{{\"x\":\"{value}\"}}"),
                format!("a\\n{value}\\n"),
            ] {
                let found = labels(&classifier, &text);
                assert!(
                    found.iter().any(|one| one.starts_with("credential/")),
                    "{label} {text}: {found:?}"
                );
            }
        }
    }
}

#[test]
fn no_rule_takes_filler_or_the_inside_of_a_word() {
    let secrets = Secrets::new();
    let found = |text: &str| {
        let mut out = Vec::new();
        secrets.scan_run(text, &Candidates::of(text), &(0..text.len()), &mut out);
        out
    };
    let mut noise = Noise(0x2545_F491_4F6C_DD1D);
    let mut filler = b"Aa0".iter().copied().cycle();
    for (label, shapes, _) in TABLE {
        for source in *shapes {
            let shape = Shape::read(source).unwrap();
            let inside = format!("pre{}", shape.sample(&mut || noise.byte()));
            let inner = found(&inside);
            assert!(inner.iter().all(|one| one.span.start > 3), "{label} {inside}: {inner:?}");
            let dummy = shape.sample(&mut || filler.next().unwrap());
            let dummies = found(&dummy);
            assert!(dummies.iter().all(|one| one.label.as_str() != *label), "{label} {dummy}");
        }
    }
}
