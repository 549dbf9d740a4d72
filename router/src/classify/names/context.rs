//! What stands around a possible name: a key, a column, a greeting, a mail address, a record.

use super::{
    lists::{Folded, GIVEN, Words},
    run::Word,
};
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
    pii::{
        cue::Cue,
        group::{byte, byte_before},
        lex::{Hit, Lexed},
        near::Columns,
    },
};
use domain::Label;

/// What the surroundings say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// A title stands before.
    Title,
    /// A key or column for names of people: `first_name`, `Patient:`, `account holder`.
    Key,
    /// A key that names things, too: `name:`.
    PlainKey,
    /// A phrase before which a name follows: `my name is`, `Dear`.
    Trigger,
    /// A `name:` in a record with a mail address or an identity.
    Record,
    /// A mail address beside it is made of the same words.
    Mail,
    /// The words are a line of their own.
    Line,
    /// The first line of a text or a paragraph, with an address or a telephone number below.
    Letterhead,
    /// Somebody speaks: `said`, `asks`.
    Speech,
    /// Nothing.
    None,
}

/// So near a mail address must be for its words to count, and other findings for a record.
const RECORD_BYTES: usize = 260;

/// The text, its cues and what was found in it.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    text: &'a str,
    lexed: &'a Lexed,
    /// Places of mail addresses, in order.
    mails: Vec<(usize, usize)>,
    /// Beginnings of findings that make a record personal, in order.
    records: Vec<usize>,
}

impl<'a> Surroundings<'a> {
    /// Sorts what is known by place.
    pub(crate) fn new(text: &'a str, lexed: &'a Lexed, known: &[Finding]) -> Self {
        let mut mails = Vec::new();
        let mut records = Vec::new();
        for one in known {
            let label = one.label.as_str();
            if label == "pii/email" {
                mails.push((one.span.start, one.span.end));
            }
            if !matches!(label, "pii/ip" | "pii/mac" | "pii/location") && one.confidence >= 60 {
                records.push(one.span.start);
            }
        }
        mails.sort_unstable();
        records.sort_unstable();
        Self { text, lexed, mails, records }
    }

    /// The strongest context of the words of `name`, which begin at `start`.
    pub(crate) fn of(&self, start: usize, name: &[Word], columns: &mut Columns) -> Context {
        if !self.mails.is_empty() && self.is_mail_of(start, name) {
            return Context::Mail;
        }
        if let Some(key) = self.key(start) {
            return key;
        }
        let bytes = self.text.as_bytes();
        let before = byte_before(bytes, start);
        let spaced = before == b' ' && byte_before(bytes, start.saturating_sub(1)) == b'|';
        let cell = || {
            spaced
                || matches!(before, b',' | b';' | b'\t' | b'|')
                || before == b'"' && byte_before(bytes, start.saturating_sub(1)) == b','
                || before == b'\n' && self.is_cell(start)
        };
        // Without a cue no header names the columns.
        if !self.lexed.hits.is_empty() && cell() {
            let near = columns.cues(self.lexed, bytes, start);
            if near.cues().any(|(cue, _)| is_person(cue)) {
                return Context::Key;
            }
            if near.cues().any(|(cue, _)| cue == Cue::Name) {
                return if self.is_record(start) { Context::Record } else { Context::PlainKey };
            }
        }
        if matches!(before, b' ' | b'\n' | b'"' | b'*' | b'\'') && self.is_triggered(start) {
            return Context::Trigger;
        }
        // One word that no list knows is no name on a line of its own, and nobody who speaks.
        if let [word] = name
            && !word.is_listed()
        {
            return Context::None;
        }
        let end = name.last().map_or(start, |word| word.end);
        if self.is_line(start, end) {
            let head = start == 0 || slice(self.text, start.saturating_sub(2)..start) == "\n\n";
            return if head && self.is_record(start) { Context::Letterhead } else { Context::Line };
        }
        let speech = before == b' '
            && matches!(byte_before(bytes, start.saturating_sub(1)), b'd' | b's')
            && ["said ", "says ", "asked ", "told ", "replied "]
                .iter()
                .any(|verb| slice(self.text, start.saturating_sub(8)..start).ends_with(verb));
        if speech { Context::Speech } else { Context::None }
    }

    /// Whether the first cell of a row may begin at `start`: a delimiter follows on the line.
    fn is_cell(&self, start: usize) -> bool {
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let sign = |byte: &&u8| matches!(byte, b'\n' | b',' | b';' | b'\t' | b'|');
        rest.iter().take(48).find(sign).is_some_and(|byte| *byte != b'\n')
    }

    /// Whether a mail address near by is made of words of the name.
    fn is_mail_of(&self, start: usize, name: &[Word]) -> bool {
        let from = self.mails.partition_point(|(at, _)| at + RECORD_BYTES < start);
        let near = self.mails.get(from..).unwrap_or_default().iter();
        near.take_while(|(at, _)| *at < start + RECORD_BYTES).take(4).any(|(at, end)| {
            let mail = slice(self.text, *at..*end);
            let local = mail.split('@').next().unwrap_or_default();
            let Some(local) = Folded::of(slice(local, 0..24)) else { return false };
            // A part of the address itself proves nothing.
            let apart =
                start >= *end || start < *at && name.last().is_some_and(|word| word.end <= *at);
            apart
                && name.iter().any(|word| {
                    let letters = word.folded.as_bytes();
                    letters.len() >= 4 && memchr::memmem::find(local.as_bytes(), letters).is_some()
                })
        })
    }

    /// Whether identifiers stand near by.
    fn is_record(&self, start: usize) -> bool {
        let from = self.records.partition_point(|at| at + RECORD_BYTES < start);
        self.records.get(from).is_some_and(|at| *at < start + RECORD_BYTES)
    }

    /// The key right before the value.
    fn key(&self, start: usize) -> Option<Context> {
        // In prose a blank behind a letter stands before the word, and no key.
        let bytes = self.text.as_bytes();
        let prose = byte_before(bytes, start) == b' '
            && byte_before(bytes, start.saturating_sub(1)).is_ascii_alphabetic();
        let hit = self.lexed.before(start, if prose { 1 } else { 64 }).next()?;
        let gap = self.text.get(hit.end..start)?;
        let spoken = gap == " " && matches!(hit.cue, Cue::Owner | Cue::Patient);
        if !(is_key_gap(gap) || spoken) || !self.is_apt(hit) {
            return None;
        }
        let before = self.lexed.before(hit.start, 2).next();
        let telling = is_person(hit.cue)
            || before.is_some_and(|before| is_person(before.cue) && hit.cue == Cue::Name);
        let plain = hit.cue == Cue::Name;
        match (telling, plain) {
            (true, _)
                if hit.cue != Cue::Owner && hit.cue != Cue::Sender || is_joined(before, hit) =>
            {
                Some(Context::Key)
            }
            (true, _) => {
                Some(if self.is_record(start) { Context::Record } else { Context::PlainKey })
            }
            (_, true) if self.is_record(start) => Some(Context::Record),
            (_, true) => Some(Context::PlainKey),
            _ => None,
        }
    }

    /// Whether the word means people here: no `font-family`, no `from` of a sentence or a parameter.
    fn is_apt(&self, hit: &Hit) -> bool {
        let bytes = self.text.as_bytes();
        let word = self.text.get(hit.start..hit.end).unwrap_or_default();
        match hit.cue {
            Cue::Family => {
                !word.eq_ignore_ascii_case("family")
                    || byte_before(bytes, hit.start) == b'"' && byte(bytes, hit.end) == b'"'
            }
            Cue::Sender => {
                word.starts_with('F')
                    && matches!(byte_before(bytes, hit.start), b'\n' | b' ')
                    && byte(bytes, hit.end) == b':'
            }
            _ => true,
        }
    }

    /// Whether a phrase before the words says that a person follows.
    fn is_triggered(&self, start: usize) -> bool {
        // The last two letters before the words decide for most.
        let bytes = self.text.as_bytes();
        let sign = |byte: u8| {
            matches!(byte, b'"' | b'\'' | b'*' | b'_' | b'(' | b' ' | b':' | b'\n' | b',')
        };
        let mut end = start;
        while sign(byte_before(bytes, end)) && end > 0 {
            end -= 1;
        }
        let (first, last) = (byte_before(bytes, end.saturating_sub(1)), byte_before(bytes, end));
        if first.is_ascii() && last.is_ascii() && !TRIGGER_ENDS.may_end(first, last) {
            return false;
        }
        let head = slice(self.text, start.saturating_sub(28)..start);
        let head = head.trim_end_matches(['"', '\'', '*', '_', '(', ' ', ':']);
        let bare = head.trim_end_matches(['\n', ',']);
        let word = bare
            .rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '/')))
            .next()
            .unwrap_or_default();
        // The last word decides for almost all.
        let Some(folded) = Folded::of(word).filter(|_| (1..=15).contains(&word.len())) else {
            return false;
        };
        if !TRIGGER_ENDS.has(folded.as_bytes()) {
            return false;
        }
        let lower = head.to_lowercase();
        TRIGGERS.iter().any(|trigger| {
            lower.strip_suffix(trigger).is_some_and(|rest| !rest.ends_with(char::is_alphanumeric))
        })
    }

    /// Whether the words fill their line but for punctuation: a signature or a salutation.
    fn is_line(&self, start: usize, end: usize) -> bool {
        let before = byte_before(self.text.as_bytes(), start);
        if start > 0 && before != b'\n' && before != b' ' {
            return false;
        }
        let behind = byte_before(self.text.as_bytes(), start.saturating_sub(1));
        let opens = start == 0 || before == b'\n' || behind == b'\n';
        if !opens {
            return false;
        }
        let tail = slice(self.text, end..end.saturating_add(4));
        tail.is_empty()
            || tail.starts_with('\n')
            || tail
                .strip_prefix([',', '.', '!'])
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('\n'))
            || tail.starts_with(" -\n")
    }

    /// Whether the words belong to a place: `San Diego`, `Fort Collins`, `594 Hegedus Gyula`, `Jana Nerudy 894`.
    pub(crate) fn is_place(&self, start: usize, end: usize) -> bool {
        const PLACES: [&str; 14] = [
            "San", "Santa", "Los", "Las", "Fort", "Port", "Lake", "Mount", "Saint", "St",
            "S\u{e3}o", "New", "North", "South",
        ];
        let bytes = self.text.as_bytes();
        let head = slice(self.text, start.saturating_sub(7)..start);
        let numbered = byte(bytes, end) == b' ' && byte(bytes, end + 1).is_ascii_digit()
            || byte_before(bytes, start) == b' '
                && byte_before(bytes, start.saturating_sub(1)).is_ascii_digit();
        numbered
            || head
                .strip_suffix(' ')
                .is_some_and(|head| PLACES.iter().any(|place| head.ends_with(place)))
    }

    /// Whether a single name stands in prose: between words in lower case, or as a line of its own.
    pub(crate) fn is_prose(&self, start: usize, end: usize, context: Context) -> bool {
        if matches!(
            context,
            Context::Line | Context::Letterhead | Context::PlainKey | Context::Speech
        ) {
            return true;
        }
        let bytes = self.text.as_bytes();
        let small = |at: usize| byte(bytes, at).is_ascii_lowercase() || byte(bytes, at) >= 0x80;
        let next = byte(bytes, end);
        let ended =
            matches!(next, b' ' | b',' | b'.' | b'!' | b'?' | b'\'' | b';' | b')' | b'\n' | b':')
                || next >= 0x80;
        let path = matches!(next, b'.' | b':')
            && (byte(bytes, end + 1).is_ascii_alphanumeric() || byte(bytes, end + 1) == b':');
        let before = byte_before(bytes, start);
        let opened =
            start == 0 || matches!(before, b' ' | b'(' | b'\n' | b'"' | b'\'') || before >= 0x80;
        let after = next == b' ' && small(end + 1)
            || next == b'\'' && byte(bytes, end + 1) == b's' && byte(bytes, end + 2) == b' ';
        let behind = before == b' '
            && start.checked_sub(2).is_some_and(|at| small(at) || byte(bytes, at) == b',');
        ended && opened && !path && (after || behind)
    }
}

/// The last words of [`TRIGGERS`], folded, sorted.
static TRIGGER_ENDS: Words = Words::new(
    "am attn aunt best bonjour brother by c/o called cheers ciao colleague cordialement daughter dear faithfully father grusse grussen hallo hello her hey hi him hola \
     husband i'm is kid liebe lieber love me mother name's nephew niece regards saludos sincerely sister son thanks to uncle wife wishes you yours ",
);

/// Phrases after which a person's name stands, lower case, without what parts them from the name.
const TRIGGERS: [&str; 62] = [
    "name is",
    "name's",
    "i am",
    "i'm",
    "dear",
    "hello",
    "hey",
    "hi",
    "ciao",
    "hola",
    "bonjour",
    "hallo",
    "liebe",
    "lieber",
    "thanks",
    "thank you",
    "thanks,\n",
    "thank you,\n",
    "regards,\n",
    "regards\n",
    "best,\n",
    "sincerely,\n",
    "cheers,\n",
    "yours,\n",
    "love,\n",
    "faithfully,\n",
    "wishes,\n",
    "gr\u{fc}\u{df}en\n",
    "gr\u{fc}\u{df}e\n",
    "cordialement,\n",
    "saludos,\n",
    "signed by",
    "written by",
    "directed by",
    "authored by",
    "attn",
    "c/o",
    "wife",
    "husband",
    "daughter",
    "son",
    "brother",
    "sister",
    "mother",
    "father",
    "uncle",
    "aunt",
    "nephew",
    "niece",
    "kid",
    "colleague",
    "tribute to",
    "call me",
    "calls me",
    "named him",
    "named her",
    "was called",
    "bill to",
    "ship to",
    "sold to",
    "married to",
    "speak to",
];

/// Whether a cue speaks of a person's name.
fn is_person(cue: Cue) -> bool {
    matches!(cue, Cue::Given | Cue::Family | Cue::Patient | Cue::Owner | Cue::Sender)
}

/// Whether two cues make one key: `account holder`, `owner_name`.
fn is_joined(before: Option<&Hit>, hit: &Hit) -> bool {
    before.is_some_and(|before| hit.start - before.end <= 1)
}

/// Whether only the signs between a key and its value stand in `gap`.
fn is_key_gap(gap: &str) -> bool {
    let signs = gap.bytes().all(|byte| {
        matches!(
            byte,
            b' ' | b'\t'
                | b':'
                | b'='
                | b'"'
                | b'\''
                | b'>'
                | b'['
                | b'('
                | b'*'
                | b'_'
                | b'|'
                | b'-'
                | b'{'
                | b'`'
                | b'\n'
                | b'~'
        )
    });
    if !signs {
        return memchr::memchr_iter(b'v', gap.as_bytes())
            .any(|at| gap.get(at..).is_some_and(|rest| rest.starts_with("valueString")));
    }
    let solid = gap.bytes().filter(|byte| !byte.is_ascii_whitespace()).count();
    let short = gap.len() <= 48 && solid <= 8;
    let parted = gap.contains([':', '=', '"', '>', '|', '\'']);
    let lines = gap.matches('\n').count();
    short && parted && (lines == 0 || lines <= 2 && gap.contains('"'))
}

/// Adds names in medical claims (`NM1*IL*1*Last*First`, X12 837) and in HL7 segments (`PID|…|Last^First`).
pub(crate) fn scan_claims(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    if candidates.segments.is_empty() {
        return;
    }
    let mut push = |part: &str| {
        if part.chars().next().is_some_and(char::is_alphabetic) && part.len() <= 60 {
            let start = part.as_ptr().addr() - text.as_ptr().addr();
            let label = Label::fixed("pii/person");
            out.push(Finding {
                label,
                span: start..start + part.len(),
                confidence: 90,
                evidence: "claim",
                example: false,
            });
        }
    };
    let (claims, patients): (Vec<usize>, Vec<usize>) =
        candidates.segments.iter().partition(|at| text.as_bytes().get(**at) == Some(&b'N'));
    for at in claims {
        let segment = slice(text, at..at.saturating_add(120));
        let mut fields = segment.split(['~', '\n']).next().unwrap_or_default().split('*').skip(2);
        if fields.next() == Some("1") {
            fields.take(2).for_each(&mut push);
        }
    }
    for at in patients {
        let segment = slice(text, at..at.saturating_add(200));
        let name = segment.split(['\r', '\n']).next().unwrap_or_default().split('|').nth(5);
        name.into_iter().flat_map(|name| name.split('^').take(2)).for_each(&mut push);
    }
}

/// Adds names in lower case behind `name is`, when they are frequent given names.
pub(crate) fn scan_claimed(text: &str, lexed: &Lexed, out: &mut Vec<Finding>) {
    for hit in lexed.hits.iter().filter(|hit| hit.cue == Cue::Name) {
        let rest = slice(text, hit.end..hit.end.saturating_add(40));
        let Some(tail) = rest.strip_prefix(" is ").or_else(|| rest.strip_prefix("'s ")) else {
            continue;
        };
        let first = tail.split(' ').next().unwrap_or_default();
        let first = first.trim_end_matches(|c: char| !c.is_alphabetic());
        let lower = first.chars().next().is_some_and(char::is_lowercase);
        if lower && Folded::of(first).is_some_and(|folded| GIVEN.has(folded.as_bytes())) {
            let start = first.as_ptr().addr() - text.as_ptr().addr();
            let label = Label::fixed("pii/person");
            out.push(Finding {
                label,
                span: start..start + first.len(),
                confidence: 75,
                evidence: "context",
                example: false,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_each_phrase_is_in_its_list() {
        assert!(TRIGGER_ENDS.is_sound());
        for trigger in TRIGGERS {
            let bare = trigger.trim_end_matches(['\n', ',']);
            let word = bare.rsplit(' ').next().unwrap();
            assert!(TRIGGER_ENDS.has(Folded::of(word).unwrap().as_bytes()), "{trigger:?}");
        }
    }
}
