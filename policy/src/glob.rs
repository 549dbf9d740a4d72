//! Globs over paths, binaries and words, matched in time proportional to text times pattern, without allocation.
//!
//! `*` stands for any characters within a segment, `**` for any characters, `?` for one character of a segment,
//! `[a-z]` and `[!a]` for one of a class, `{a,b}` for either; a backslash makes the next character literal. In
//! words there are no segments.
//!
//! Invariant: matching walks a set of positions, so that no text makes it slower than another of its length.

use std::fmt;

use thiserror::Error;

/// Longest pattern after alternatives are written out, in steps.
const STEPS_MAX: usize = 511;
/// 64 positions each; one more than there are steps.
const WORDS: usize = 8;
/// Most alternatives that the braces of one pattern make.
const ALTERNATIVES_MAX: usize = 64;

/// Why a text is no glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GlobError {
    /// `[` without `]`, or nothing between them.
    #[error("a character class is not closed or empty")]
    Class,
    /// `{` without `}`.
    #[error("braces are not closed")]
    Braces,
    /// A backslash at the end.
    #[error("a backslash stands at the end")]
    Escape,
    /// More than can be matched in bounded time.
    #[error(
        "the pattern is too long; at most {STEPS_MAX} characters and {ALTERNATIVES_MAX} alternatives"
    )]
    Long,
}

/// A pattern, ready to match.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    segments: bool,
    programs: Box<[Program]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    /// What every match begins with.
    prefix: Box<str>,
    /// What follows it.
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Char(char),
    /// One character.
    Any,
    /// One character of a class.
    Class {
        negated: bool,
        ranges: Box<[(char, char)]>,
    },
    /// Any characters of a segment.
    Star,
    /// Any characters.
    Everything,
}

impl Glob {
    /// A glob over paths, whose segments end at `/`. `**` alone matches everything.
    ///
    /// # Errors
    /// A pattern that is malformed or too long.
    pub fn path(text: &str) -> Result<Self, GlobError> {
        Self::new(text, true)
    }

    /// A glob over words: `*` stands for any characters.
    ///
    /// # Errors
    /// A pattern that is malformed or too long.
    pub fn word(text: &str) -> Result<Self, GlobError> {
        Self::new(text, false)
    }

    /// Exactly this text; nothing in it is special.
    pub fn exact(text: &str) -> Self {
        let program = Program { prefix: text.into(), steps: Box::default() };
        Self { text: text.into(), segments: true, programs: Box::new([program]) }
    }

    fn new(text: &str, segments: bool) -> Result<Self, GlobError> {
        let alternatives = alternatives(text)?;
        let programs: Result<Vec<Program>, GlobError> =
            alternatives.iter().map(|alternative| program(alternative, segments)).collect();
        Ok(Self { text: text.into(), segments, programs: programs?.into() })
    }

    /// What every match begins with.
    pub(crate) fn prefix(&self) -> &str {
        let mut programs = self.programs.iter();
        let first = programs.next().map(|program| &*program.prefix).unwrap_or_default();
        programs.fold(first, |common, program| {
            let same =
                common.chars().zip(program.prefix.chars()).take_while(|(one, two)| one == two);
            let end = same.map(|(c, _)| c.len_utf8()).sum();
            common.get(..end).unwrap_or_default()
        })
    }

    /// The same pattern, shown as this text.
    #[must_use]
    pub(crate) fn written_as(self, text: &str) -> Self {
        Self { text: text.into(), ..self }
    }

    /// The same text, matching nothing.
    #[must_use]
    pub(crate) fn never(self) -> Self {
        Self { programs: Box::default(), ..self }
    }

    /// Whether some text may match both: exact for what begins differently, else assumed.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let differ = |one: &Program, two: &Program| {
            let (one, two) = (one.shape(), two.shape());
            let apart = |one: (&str, bool), two: (&str, bool)| match (one.1, two.1) {
                (true, true) => one.0 != two.0,
                (true, false) => !one.0.starts_with(two.0),
                (false, true) => !two.0.starts_with(one.0),
                (false, false) => !one.0.starts_with(two.0) && !two.0.starts_with(one.0),
            };
            apart(one, two)
        };
        self.programs.iter().any(|one| other.programs.iter().any(|two| !differ(one, two)))
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.programs.iter().any(|program| program.matches(text, self.segments))
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// The pattern with its braces written out.
fn alternatives(text: &str) -> Result<Vec<String>, GlobError> {
    let mut done = Vec::new();
    let mut todo = vec![text.to_owned()];
    while let Some(text) = todo.pop() {
        match braces(&text)? {
            None => done.push(text),
            Some((before, options, after)) => {
                // The last goes first, because the list is taken from its end.
                todo.extend(options.iter().rev().map(|option| format!("{before}{option}{after}")));
            }
        }
        if done.len().saturating_add(todo.len()) > ALTERNATIVES_MAX
            || todo.last().is_some_and(|text| text.len() > 8 * STEPS_MAX)
        {
            return Err(GlobError::Long);
        }
    }
    Ok(done)
}

type Braces<'t> = (&'t str, Vec<&'t str>, &'t str);

/// The first pair of braces: what is before, its options, what is after.
fn braces(text: &str) -> Result<Option<Braces<'_>>, GlobError> {
    let (mut depth, mut open, mut cuts) = (0_usize, 0, Vec::new());
    let mut class = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next().ok_or(GlobError::Escape)?),
            '[' => class = true,
            ']' => class = false,
            _ if class => {}
            '{' => {
                if depth == 0 {
                    open = at;
                    cuts.push(at);
                }
                depth = depth.saturating_add(1);
            }
            ',' if depth == 1 => cuts.push(at),
            '}' if depth == 1 => {
                cuts.push(at);
                let part = |pair: &[usize]| match pair {
                    [from, to] => text.get(from.saturating_add(1)..*to),
                    _ => None,
                };
                let options = cuts.windows(2).filter_map(part).collect();
                let before = text.get(..open).unwrap_or_default();
                let after = text.get(at.saturating_add(1)..).unwrap_or_default();
                return Ok(Some((before, options, after)));
            }
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if depth > 0 { Err(GlobError::Braces) } else { Ok(None) }
}

fn program(text: &str, segments: bool) -> Result<Program, GlobError> {
    let mut steps = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let step = match c {
            '\\' => Step::Char(chars.next().ok_or(GlobError::Escape)?),
            '?' => Step::Any,
            '[' => class(&mut chars)?,
            '*' if chars.next_if_eq(&'*').is_some() => {
                while chars.next_if_eq(&'*').is_some() {}
                Step::Everything
            }
            '*' if segments => Step::Star,
            '*' => Step::Everything,
            c => Step::Char(c),
        };
        steps.push(step);
        if steps.len() > STEPS_MAX {
            return Err(GlobError::Long);
        }
    }
    let literal = steps.iter().take_while(|step| matches!(step, Step::Char(_))).count();
    let rest = steps.split_off(literal);
    let char = |step: Step| match step {
        Step::Char(c) => Some(c),
        _ => None,
    };
    let prefix: String = steps.into_iter().filter_map(char).collect();
    Ok(Program { prefix: prefix.into(), steps: rest.into() })
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Step, GlobError> {
    let negated = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next().ok_or(GlobError::Class)? {
            ']' if ranges.is_empty() => return Err(GlobError::Class),
            ']' => return Ok(Step::Class { negated, ranges: ranges.into() }),
            '\\' => chars.next().ok_or(GlobError::Class)?,
            c => c,
        };
        let mut high = low;
        if chars.next_if_eq(&'-').is_some() {
            match chars.next().ok_or(GlobError::Class)? {
                ']' => {
                    ranges.extend([(low, low), ('-', '-')]);
                    return Ok(Step::Class { negated, ranges: ranges.into() });
                }
                '\\' => high = chars.next().ok_or(GlobError::Class)?,
                c => high = c,
            }
        }
        ranges.push((low, high));
    }
}

impl Program {
    /// What every match begins with, and whether nothing follows.
    fn shape(&self) -> (&str, bool) {
        (&self.prefix, self.steps.is_empty())
    }

    fn matches(&self, text: &str, segments: bool) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        match &*self.steps {
            [] => rest.is_empty(),
            [Step::Everything] => true,
            [Step::Star] => !rest.contains('/'),
            steps => simulate(steps, rest, segments),
        }
    }
}

/// Walks the set of positions that the text read so far can stand at.
fn simulate(steps: &[Step], text: &str, segments: bool) -> bool {
    let mut now = Positions::default();
    now.enter(steps, 0);
    for c in text.chars() {
        let mut next = Positions::default();
        for at in now.iter() {
            let Some(step) = steps.get(at) else { continue };
            let inside = !(segments && c == '/');
            match step {
                Step::Char(wanted) if *wanted == c => next.enter(steps, at + 1),
                Step::Any if inside => next.enter(steps, at + 1),
                Step::Class { negated, ranges } if inside => {
                    let among = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    if among != *negated {
                        next.enter(steps, at + 1);
                    }
                }
                Step::Star if inside => next.enter(steps, at),
                Step::Everything => next.enter(steps, at),
                Step::Char(_) | Step::Any | Step::Class { .. } | Step::Star => {}
            }
        }
        if next.is_empty() {
            return false;
        }
        now = next;
    }
    now.holds(steps.len())
}

/// A set of positions in a pattern, at most [`STEPS_MAX`].
#[derive(Clone, Copy, Default)]
struct Positions {
    words: [u64; WORDS],
    /// How many words may hold anything.
    used: usize,
}

impl Positions {
    /// Adds a position, and those behind it that need no character.
    fn enter(&mut self, steps: &[Step], mut at: usize) {
        loop {
            if let Some(word) = self.words.get_mut(at / 64) {
                *word |= 1 << (at % 64);
                self.used = self.used.max(at / 64 + 1);
            }
            match steps.get(at) {
                Some(Step::Star | Step::Everything) => at += 1,
                _ => return,
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn holds(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words.iter().take(self.used).enumerate();
        words.flat_map(|(index, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                usize::try_from(bit).ok().map(|bit| index * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(make: fn(&str) -> Result<Glob, GlobError>, cases: &[(&str, &str, bool)]) {
        for (pattern, text, expected) in cases {
            let glob = make(pattern).unwrap();
            assert_eq!(glob.matches(text), *expected, "{pattern} {text}");
            assert_eq!(glob.as_str(), *pattern);
        }
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_cross() {
        let cases = [
            ("**", "/a/b", true),
            ("**", "", true),
            ("/v1/**", "/v1/a/b", true),
            ("/v1/**", "/v1", false),
            ("/v1/*", "/v1/a", true),
            ("/v1/*", "/v1/a/b", false),
            ("/v1/*", "/v1/", true),
            ("/**/info/refs*", "/o/r.git/info/refs", true),
            ("/**/info/refs*", "/info/refs", false),
            ("/**/git-upload-pack", "/o/r/git-upload-pack", true),
            ("/**/git-upload-pack", "/o/r/git-receive-pack", false),
            ("/repos/*/pulls/*/reviews", "/repos/a/pulls/1/reviews", true),
            ("/repos/*/pulls/*/reviews", "/repos/a/b/pulls/1/reviews", false),
            ("*", "/a", false),
            ("/a/*b*c", "/a/xbyc", true),
            ("/a/*b*c", "/a/xb/c", false),
            ("/a/**b*c", "/a/x/b/byc", true),
            ("/usr/lib/**/copilot", "/usr/lib/a/b/copilot", true),
            ("/home/*/.local/bin/copilot", "/home/me/.local/bin/copilot", true),
            ("/home/*/.local/bin/copilot", "/home/a/b/.local/bin/copilot", false),
            ("", "", true),
            ("", "/", false),
        ];
        check(Glob::path, &cases);
    }

    #[test]
    fn one_character_classes_alternatives_and_escapes() {
        let cases = [
            ("/a?c", "/abc", true),
            ("/a?c", "/a/c", false),
            ("/a?c", "/aüc", true),
            ("/[a-c]", "/b", true),
            ("/[!a-c]", "/b", false),
            ("/[!a]x", "//x", false),
            ("/[^a]", "/b", true),
            ("/[a-]", "/-", true),
            ("/{a,b/c}/d", "/b/c/d", true),
            ("/{a,{b,c}}", "/c", true),
            ("/{a,b}", "/c", false),
            ("/{,x}y", "/y", true),
            ("/[{]", "/{", true),
            ("/\\*", "/*", true),
            ("/\\*", "/a", false),
        ];
        check(Glob::path, &cases);
    }

    #[test]
    fn words_have_no_segments() {
        let cases = [
            ("v1*", "v1.0", true),
            ("v1*", "v1/a", true),
            ("read_*", "read_file", true),
            ("*", "", true),
            ("", "x", false),
        ];
        check(Glob::word, &cases);
        assert!(Glob::exact("/a*[").matches("/a*["));
        assert!(!Glob::exact("/a*").matches("/ab"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        let cases = [
            ("/[a", GlobError::Class),
            ("/[]", GlobError::Class),
            ("/[!]", GlobError::Class),
            ("/[a-", GlobError::Class),
            ("/{a", GlobError::Braces),
            ("/a\\", GlobError::Escape),
        ];
        for (pattern, error) in cases {
            assert_eq!(Glob::path(pattern), Err(error), "{pattern}");
        }
        assert_eq!(Glob::path(&"a".repeat(512)), Err(GlobError::Long));
        assert!(Glob::path(&"a".repeat(511)).unwrap().matches(&"a".repeat(511)));
        assert!(Glob::path(&"?".repeat(511)).unwrap().matches(&"a".repeat(511)));
        assert_eq!(Glob::path(&"{a,b}".repeat(7)), Err(GlobError::Long));
    }

    #[test]
    fn hostile_text_costs_no_more_than_its_length() {
        let glob = Glob::path("/**/a*a*a*a*a*a*a*a*b").unwrap();
        assert!(!glob.matches(&format!("/x/{}", "a".repeat(4000))));
    }
}
