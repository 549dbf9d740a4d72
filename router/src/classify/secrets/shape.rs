//! The little language in which token shapes are written, and its matcher.
//!
//! A shape is literal text with classes in braces: `ghp_{a36}`, `xoxb-{d10-14}-{w20-}`. A class takes as many bytes as
//! it can, at most its upper bound; nothing is ever given back, so that a match costs one look per byte.

/// Longest open-ended class.
const OPEN_MAX: usize = 4096;

/// One step of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// These bytes.
    Literal(&'static [u8]),
    /// At least, and at most, so many bytes of a class.
    Class { name: u8, least: usize, most: usize },
}

/// A compiled shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    steps: Vec<Step>,
}

impl Shape {
    /// Reads a shape; `None` when it is not well formed or begins with a class.
    pub(super) fn read(source: &'static str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = source;
        while !rest.is_empty() {
            let (literal, tail) = rest.split_once('{').unwrap_or((rest, ""));
            if !literal.is_empty() {
                steps.push(Step::Literal(literal.as_bytes()));
            }
            if tail.is_empty() {
                break;
            }
            let (class, tail) = tail.split_once('}')?;
            steps.push(class_step(class)?);
            rest = tail;
        }
        matches!(steps.first(), Some(Step::Literal(_))).then_some(Self { steps })
    }

    /// The first three bytes of every match; `None` when the first literal is shorter.
    pub(super) fn head(&self) -> Option<[u8; 3]> {
        match self.steps.first() {
            Some(Step::Literal(literal)) => literal.first_chunk().copied(),
            _ => None,
        }
    }

    /// The byte behind [`Shape::head`]; `None` when the first literal ends there.
    pub(super) fn fourth(&self) -> Option<u8> {
        match self.steps.first() {
            Some(Step::Literal(literal)) => literal.get(3).copied(),
            _ => None,
        }
    }

    /// The length of the first literal.
    pub(super) fn prefix(&self) -> usize {
        match self.steps.first() {
            Some(Step::Literal(literal)) => literal.len(),
            _ => 0,
        }
    }

    /// The length of the match at the beginning of `text`, if there is one that no word byte follows.
    pub(super) fn matches(&self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        for step in &self.steps {
            let rest = text.get(at..)?;
            at += match step {
                Step::Literal(literal) => rest.starts_with(literal).then_some(literal.len())?,
                Step::Class { name, least, most } => {
                    let taken =
                        rest.iter().take(*most).take_while(|b| in_class(*name, **b)).count();
                    (taken >= *least).then_some(taken)?
                }
            };
        }
        let next = text.get(at).copied().unwrap_or(b' ');
        (!next.is_ascii_alphanumeric()).then_some(at)
    }

    /// A text that matches, made from `noise`: what the tests scan.
    #[cfg(test)]
    pub(super) fn sample(&self, noise: &mut impl FnMut() -> u8) -> String {
        let mut out = String::new();
        for step in &self.steps {
            match step {
                Step::Literal(literal) => out.push_str(std::str::from_utf8(literal).unwrap()),
                Step::Class { name, least, most } => {
                    let length = if *most == OPEN_MAX { least + 3 } else { *most };
                    for _ in 0..length {
                        let byte = std::iter::repeat_with(&mut *noise)
                            .find(|byte| in_class(*name, *byte) && byte.is_ascii_alphanumeric());
                        out.push(char::from(byte.unwrap()));
                    }
                }
            }
        }
        out
    }
}

/// `a36`, `a20-`, `a20-40`: the class and its bounds.
fn class_step(class: &'static str) -> Option<Step> {
    let name = *class.as_bytes().first()?;
    let bounds = class.get(1..)?;
    let (least, most) = match bounds.split_once('-') {
        None => (bounds.parse().ok()?, bounds.parse().ok()?),
        Some((least, "")) => (least.parse().ok()?, OPEN_MAX),
        Some((least, most)) => (least.parse().ok()?, most.parse().ok()?),
    };
    b"dhHuUlawbktp".contains(&name).then_some(Step::Class { name, least, most })
}

/// Whether `byte` belongs to the class.
#[inline]
fn in_class(name: u8, byte: u8) -> bool {
    match name {
        b'd' => byte.is_ascii_digit(),
        b'h' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        b'H' => byte.is_ascii_hexdigit(),
        b'u' => matches!(byte, b'0'..=b'9' | b'A'..=b'Z'),
        b'U' => byte.is_ascii_uppercase(),
        b'l' => matches!(byte, b'0'..=b'9' | b'a'..=b'z'),
        b'a' => byte.is_ascii_alphanumeric(),
        b'w' => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'),
        b'b' => byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='),
        b'k' => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'='),
        b'p' => {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\' | b'<' | b'>')
        }
        _ => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'=' | b'.'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_match_as_written() {
        let cases = [
            ("ab_{d3}", "ab_123 x", Some(6)),
            ("ab_{d3}", "ab_1234", None),
            ("ab_{d3}", "ab_12", None),
            ("ab_{d2-4}.{h2}", "ab_1234.ff", Some(10)),
            ("ab_{w2-}", "ab_a-b_c\"", Some(8)),
        ];
        for (source, text, expected) in cases {
            let shape = Shape::read(source).unwrap();
            assert_eq!(shape.matches(text.as_bytes()), expected, "{source} {text}");
        }
    }

    #[test]
    fn malformed_shapes_are_refused() {
        for source in ["", "{a3}x", "ab{a", "ab{z3}", "ab{a}"] {
            assert_eq!(Shape::read(source), None, "{source}");
        }
    }
}
