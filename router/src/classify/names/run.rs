//! Runs of capitalised words: `Karin M. Beike`, `Ludwig van Beethoven`, `Jean-Luc Picard`.

use super::{
    RUN_MAX,
    lists::{self, COMMON, FAMILY, Folded, GIVEN, Short, THINGS, TITLES, WEAK, Words},
};
use crate::classify::pii::lex::{Cap, Lexed};

/// A capitalised word and what the lists say of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset behind its last byte.
    pub(crate) end: usize,
    /// The folded letters; empty for other scripts and long words.
    pub(crate) folded: Folded,
    flags: u16,
    /// Whether a hyphen stands behind it.
    hyphen: bool,
}

// The lists have the bits of their kinds.
const GIVEN_NAME: u16 = GIVEN.0 as u16;
const WEAK_NAME: u16 = WEAK.0 as u16;
const FAMILY_NAME: u16 = FAMILY.0 as u16;
const THING: u16 = THINGS.0 as u16;
const COMMON_WORD: u16 = COMMON.0 as u16;
const TITLE: u16 = TITLES.0 as u16;
const UPPER: u16 = 64;
const INITIAL: u16 = 128;
const ENDING: u16 = 256;
const HUMP: u16 = 512;

/// Endings of family names, four to seven letters.
static ENDINGS: Words = Words::new(
    "akis akov anov avic baum chuk czyk dottir dsen enko escu evic ewski heimer idis ieva ikov inen inov inski kova ksen lsen lund mann nova nsen oglu \
     opoulos ovic ovska owska owski quist qvist rova rsen shvili sson strom tsen wicz yeva ynski ",
);

/// Whether a folded word ends as family names do and is long enough for that.
fn has_ending(word: &[u8]) -> bool {
    if !word.last_chunk::<2>().is_some_and(|[first, last]| ENDINGS.may_end(*first, *last)) {
        return false;
    }
    let longest = word.len().saturating_sub(2).min(7);
    (4..=longest)
        .any(|size| word.get(word.len() - size..).is_some_and(|ending| ENDINGS.has(ending)))
}

impl Word {
    /// The word at `cap` with what the lists know.
    fn of(text: &str, cap: Cap) -> Self {
        let raw = text.get(cap.start..cap.end).unwrap_or_default();
        let hyphen = text.as_bytes().get(cap.end) == Some(&b'-');
        let mut word = Self { start: cap.start, end: cap.end, hyphen, ..Self::default() };
        let short = Short::of(text.as_bytes(), cap.start, cap.end);
        let form = short.map_or_else(|| Form::of(raw), Form::short);
        word.flags =
            if form.single { INITIAL } else { 0 } | if form.is_upper() { UPPER } else { 0 };
        let known = match short {
            Some(short) => Some(short.fold()),
            None => Folded::of(raw).map(|folded| (folded, lists::kinds(folded.as_bytes()))),
        };
        let Some((folded, kinds)) = known else { return word };
        word.folded = folded;
        let bytes = folded.as_bytes();
        let flag = |flag: u16, holds: bool| if holds { flag } else { 0 };
        word.flags |= u16::from(kinds)
            | flag(HUMP, form.has_hump(raw))
            | flag(ENDING, bytes.len() >= 6 && has_ending(bytes));
        word
    }

    fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }
    /// A name by the lists: given, beyond doubt.
    pub(crate) fn is_given(&self) -> bool {
        self.has(GIVEN_NAME)
    }
    /// A given name that is a word, too.
    pub(crate) fn is_weak(&self) -> bool {
        self.has(WEAK_NAME)
    }
    /// A family name by the lists.
    pub(crate) fn is_family(&self) -> bool {
        self.has(FAMILY_NAME)
    }
    /// A word that is no name.
    pub(crate) fn is_common(&self) -> bool {
        self.has(COMMON_WORD) && !self.has(TITLE | GIVEN_NAME)
    }
    /// Capital letters only, more than one.
    pub(crate) fn is_upper(&self) -> bool {
        self.has(UPPER)
    }
    /// A single letter.
    pub(crate) fn is_initial(&self) -> bool {
        self.has(INITIAL)
    }
    /// A title.
    pub(crate) fn is_title(&self) -> bool {
        self.has(TITLE)
    }
    /// A word for a street, a firm, a place.
    pub(crate) fn is_thing(&self) -> bool {
        self.has(THING)
    }
    /// A name of code by its inner capital.
    pub(crate) fn has_hump(&self) -> bool {
        self.has(HUMP)
    }
    /// In any list of names, or ends as family names do.
    pub(crate) fn is_listed(&self) -> bool {
        self.has(GIVEN_NAME | WEAK_NAME | FAMILY_NAME | ENDING)
    }
    /// Ends as family names do.
    pub(crate) fn has_ending(&self) -> bool {
        self.has(ENDING)
    }
}

/// Which letters of a word are capitals.
#[derive(Clone, Copy, Debug)]
struct Form {
    /// Whether it has one letter only.
    single: bool,
    /// Whether any letter is lower case.
    lower: bool,
    /// The first capital behind the first letter.
    inner: Option<usize>,
}

impl Form {
    fn of(raw: &str) -> Self {
        Self {
            single: raw.chars().nth(1).is_none(),
            lower: raw.chars().any(char::is_lowercase),
            inner: raw.char_indices().skip(1).find(|(_, c)| c.is_uppercase()).map(|(at, _)| at),
        }
    }

    fn short(word: Short) -> Self {
        Self { single: word.len() < 2, lower: word.has_lower(), inner: word.inner_capital() }
    }

    /// Capitals only, more than one.
    fn is_upper(self) -> bool {
        !self.single && !self.lower
    }

    /// Whether a capital stands inside the word, as in names of code; `McCoy` and `DeLuca` may have one.
    fn has_hump(self, raw: &str) -> bool {
        const OPENINGS: [&str; 9] = ["Mc", "Mac", "De", "Di", "La", "Le", "Fitz", "Van", "Du"];
        let Some(at) = self.inner else { return false };
        self.lower && !raw.get(..at).is_some_and(|head| OPENINGS.contains(&head))
    }
}

/// Neighbouring capitalised words.
#[derive(Debug)]
pub(crate) struct Run {
    words: [Word; RUN_MAX],
    count: usize,
    /// How many capitalised words of the text it takes.
    pub(crate) caps: usize,
}

impl Run {
    /// Room for a run.
    pub(crate) fn new() -> Self {
        Self { words: [Word::default(); RUN_MAX], count: 0, caps: 0 }
    }

    /// Reads the run that begins with the capitalised word number `first`.
    pub(crate) fn read(&mut self, text: &str, lexed: &Lexed, first: usize) {
        (self.count, self.caps) = (0, 0);
        let mut caps = lexed.caps.get(first..).unwrap_or_default().iter().copied().peekable();
        while let (Some(cap), Some(slot)) = (caps.next(), self.words.get_mut(self.count)) {
            *slot = Word::of(text, cap);
            self.count += 1;
            self.caps += 1;
            let Some(next) = caps.peek() else { break };
            if !joins(text, slot, next.start) {
                break;
            }
        }
    }

    /// The stretches without common words; titles begin one.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Stretch<'_>> {
        let words = self.words.get(..self.count).unwrap_or_default();
        let mut at = 0;
        std::iter::from_fn(move || {
            let lead = words.get(at..)?.iter().take_while(|word| word.is_common()).count();
            let begin = at + lead;
            let titles = words.get(begin..)?.iter().take_while(|word| word.is_title()).count();
            if begin >= words.len() {
                return None;
            }
            let from = begin + titles;
            let name = stretch(words, from);
            at = (from + name.len()).max(at + 1);
            // `Cheriton Dr` is a street: a title behind a name belongs to what stands before.
            let street = titles > 0 && begin > 0 && lead == 0;
            let hyphened = name.len() > 1
                && name
                    .windows(2)
                    .all(|pair| matches!(pair, [a, b] if a.hyphen && b.start == a.end + 1));
            let rest = words.get(from + name.len()..).unwrap_or_default();
            Some(Stretch { name, rest, titled: titles > 0 && !street, hyphened })
        })
    }
}

/// The words from number `from` on that are neither common nor titles.
fn stretch(words: &[Word], from: usize) -> &[Word] {
    let rest = words.get(from..).unwrap_or_default();
    let mut count = 0;
    while let Some(word) = rest.get(count) {
        let before = count.checked_sub(1).and_then(|at| rest.get(at));
        // `James Law`: a common word that is a family name goes with the given name before it.
        let family =
            word.is_family() && before.is_some_and(|word| word.is_given() || word.is_initial());
        if word.is_title() || word.is_common() && !family {
            break;
        }
        count += 1;
    }
    rest.get(..count).unwrap_or_default()
}

/// Neighbouring words of a run that may be one name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stretch<'a> {
    /// The words; may be empty behind a title.
    pub(crate) name: &'a [Word],
    /// What stands behind them in the run.
    pub(crate) rest: &'a [Word],
    /// Whether a title stands before them.
    pub(crate) titled: bool,
    /// Whether hyphens join all of them.
    pub(crate) hyphened: bool,
}

/// Longest gap between two words of a name: the longest of [`PARTICLES`] between blanks.
const GAP_BYTES_MAX: usize = 9;
/// Small words inside names.
const PARTICLES: [&str; 27] = [
    "von", "van", "de", "der", "den", "del", "della", "di", "da", "dos", "das", "du", "la", "le",
    "el", "al", "bin", "ibn", "ben", "zu", "ter", "ten", "van der", "van den", "de la", "von der",
    "de los",
];

/// Whether the next capitalised word, at `next`, goes on with the run.
fn joins(text: &str, word: &Word, next: usize) -> bool {
    if next - word.end > GAP_BYTES_MAX {
        return false;
    }
    let Some(gap) = text.get(word.end..next) else { return false };
    match gap {
        " " | "  " | "-" | "\u{a0}" => true,
        "'" | "\u{2019}" => word.is_initial() || next - word.start <= 3,
        ". " | "." => word.is_initial() || word.is_title(),
        _ => gap
            .strip_prefix(' ')
            .and_then(|gap| gap.strip_suffix(' '))
            .is_some_and(|inner| PARTICLES.contains(&inner)),
    }
}
