//! Finds a backend's credential that is spelled out over several events of a stream, a few letters in each.
//!
//! The bytes of such a stream never hold it, but a caller that joins the fragments would. Events are held back while
//! their fragments may be the middle of it, and the stream is over when they are. Not here: a credential within one
//! event, which is replaced.
//! Invariant: the joined fragments of what passed never hold the whole credential.

use std::borrow::Cow;

use memchr::memmem;

use crate::mask::{Needle, overlap};

/// Letters of a credential that may pass before events are held back: its prefix is public, and words that end like the
/// start of it should not wait.
const START_BYTES: usize = 4;

/// Most bytes that are held back; no credential takes as many events.
const HELD_BYTES_MAX: usize = 256 << 10;

/// Names of members that hold a fragment of a text, in all dialects.
const FRAGMENTS: [&[u8]; 9] = [
    b"arguments",
    b"content",
    b"delta",
    b"partial_json",
    b"reasoning",
    b"reasoning_content",
    b"refusal",
    b"text",
    b"thinking",
];

/// The backend spells out its credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backend spells out its credential")]
pub(crate) struct Spelled;

/// Watches the fragments of one stream.
#[derive(Debug)]
pub(crate) struct Watch {
    needle: Option<Needle>,
    /// The end of all fragments so far, shorter than the credential.
    tail: Vec<u8>,
    held: Vec<u8>,
}

impl Watch {
    /// A watch for the credential `needle`.
    pub(crate) fn new(needle: Option<Needle>) -> Self {
        Self { needle, tail: Vec::new(), held: Vec::new() }
    }

    /// What of these whole events may go on.
    ///
    /// # Errors
    /// [`Spelled`] when the last letter has come; what was held back is gone then.
    pub(crate) fn push(&mut self, events: Vec<u8>) -> Result<Vec<u8>, Spelled> {
        let Some(needle) = &self.needle else { return Ok(events) };
        let secret = needle.secret();
        let (tail, most) = (&mut self.tail, secret.len().saturating_sub(1));
        let mut spelled = false;
        each_fragment(&events, |fragment| {
            if needle.is_in(fragment) {
                // Replaced elsewhere; what follows begins anew.
                tail.clear();
                return;
            }
            tail.extend_from_slice(fragment);
            spelled |= needle.is_in(tail);
            let surplus = tail.len().saturating_sub(most);
            tail.drain(..surplus);
        });
        if spelled {
            self.held.clear();
            return Err(Spelled);
        }
        let begun = overlap(tail, secret);
        self.held.extend_from_slice(&events);
        if begun >= START_BYTES && self.held.len() < HELD_BYTES_MAX {
            return Ok(Vec::new());
        }
        Ok(std::mem::take(&mut self.held))
    }

    /// What was held back, when the stream has ended.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

/// Gives every fragment of the events in order: strings that are members of a known name.
fn each_fragment(events: &[u8], mut take: impl FnMut(&[u8])) {
    for colon in memmem::find_iter(events, b"\":") {
        let (before, after) = events.split_at_checked(colon).unwrap_or_default();
        let name = before.rsplit(|byte| *byte == b'"').next().unwrap_or_default();
        if !FRAGMENTS.contains(&name) {
            continue;
        }
        let value = after.get(2..).unwrap_or_default().trim_ascii_start();
        if let Some(inside) = value.strip_prefix(b"\"")
            && let Some(end) = closing(inside)
        {
            let raw = inside.get(..end).unwrap_or_default();
            take(&unescaped(raw));
        }
    }
}

/// Where the string that began before `inside` ends.
fn closing(inside: &[u8]) -> Option<usize> {
    let mut escaped = false;
    inside.iter().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    })
}

fn unescaped(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    let quoted = [b"\"", raw, b"\""].concat();
    match serde_json::from_slice::<String>(&quoted) {
        Ok(text) => Cow::Owned(text.into_bytes()),
        Err(_) => Cow::Borrowed(raw),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"sk-aab-aab-0123";

    fn event(text: &str) -> Vec<u8> {
        format!("data: {{\"choices\":[{{\"delta\": {{\"content\": \"{text}\"}}}}]}}\n\n")
            .into_bytes()
    }

    fn pass(texts: &[&str]) -> Result<String, Spelled> {
        let mut watch = Watch::new(Needle::new(SECRET));
        let mut out = Vec::new();
        for text in texts {
            out.extend(watch.push(event(text))?);
        }
        out.extend(watch.finish());
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    #[test]
    fn a_credential_in_letters_ends_the_stream() {
        let letters = ["key ", "s", "k", "-", "a", "a", "b", "-aab", "-0", "12", "3"];
        assert_eq!(pass(&letters), Err(Spelled));
        assert_eq!(pass(&["sk-aab", "\\u002daab-0123"]), Err(Spelled));
        let mut watch = Watch::new(Needle::new(SECRET));
        let all = ["sk-aab-aab", "-0123", "sk-aab-aab-0123"].map(event).concat();
        assert_eq!(watch.push(all), Err(Spelled), "whatever comes after it");
    }

    #[test]
    fn what_only_begins_like_it_passes_whole_and_in_order() {
        let texts = ["words", "k-aa", "sk-aa", "b-", "else", "sk-aab-aab-012"];
        let expected: String =
            texts.iter().map(|text| String::from_utf8(event(text)).unwrap()).collect();
        assert_eq!(pass(&texts), Ok(expected));
    }

    #[test]
    fn ordinary_words_do_not_wait() {
        let mut watch = Watch::new(Needle::new(SECRET));
        for text in ["this", " is", " sk-"] {
            assert_eq!(watch.push(event(text)), Ok(event(text)));
        }
        assert_eq!(watch.push(event("a")), Ok(Vec::new()));
        assert_eq!(watch.push(event("x")).unwrap().len(), 2 * event("a").len());
    }

    #[test]
    fn a_whole_credential_in_one_event_is_left_to_the_mask() {
        assert!(pass(&["it is sk-aab-aab-0123", "!"]).is_ok());
    }
}
