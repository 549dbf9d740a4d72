//! Passwords that a phrase or a command introduces instead of an assignment: `identified by 'x'`, `--password x`,
//! `curl -u user:x`, `login me password x`, `the password is x`.

use super::{finding, is_dummy};
use crate::classify::{
    Finding,
    candidates::slice,
    generic::{is_wordy, placeholder},
    scan_phrases::Phrases,
};

/// How the value follows the phrase.
#[derive(Clone, Copy, Debug)]
enum Follows {
    /// The next word, quoted or not.
    Word,
    /// The next word, only when it is in quotes.
    Quoted,
    /// The next word holds `user:password`.
    Pair,
    /// A flag's name, then its value, when the name is a cue.
    Flag,
    /// Like `Word`, when `login` and one name stand before it.
    AfterLogin,
    /// Like `Word`, when the word is no plain English.
    Sentence,
}

/// Phrases, case as written.
const PHRASES: [(&str, Follows); 24] = [
    ("identified by ", Follows::Quoted),
    ("IDENTIFIED BY ", Follows::Quoted),
    ("dentified with mysql_native_password by ", Follows::Quoted),
    ("curl -u ", Follows::Pair),
    (" -u ", Follows::Pair),
    (" --user ", Follows::Pair),
    (" --", Follows::Flag),
    ("sshpass -p ", Follows::Word),
    ("sshpass -p", Follows::Word),
    (" password ", Follows::AfterLogin),
    ("password is ", Follows::Sentence),
    ("Password is ", Follows::Sentence),
    ("assword to ", Follows::Sentence),
    ("passphrase is ", Follows::Sentence),
    ("passcode is ", Follows::Sentence),
    ("secret is ", Follows::Sentence),
    ("token is ", Follows::Sentence),
    ("API key is ", Follows::Sentence),
    ("api key is ", Follows::Sentence),
    ("WITH PASSWORD ", Follows::Quoted),
    ("with password ", Follows::Quoted),
    ("ENCRYPTED PASSWORD ", Follows::Quoted),
    ("PASSWORD(", Follows::Quoted),
    ("requirepass ", Follows::Word),
];

/// Longest value.
const VALUE_MAX: usize = 128;

/// The phrases, compiled.
#[derive(Debug)]
pub(super) struct Context {
    phrases: Phrases,
}

impl Context {
    /// Compiles the phrases.
    pub(super) fn new() -> Self {
        Self { phrases: Phrases::new(&PHRASES.map(|(phrase, _)| phrase)) }
    }

    /// Adds the password after every phrase.
    pub(super) fn scan(&self, text: &str, out: &mut Vec<Finding>) {
        self.phrases.each(text, |phrase, place| {
            let Some((_, follows)) = PHRASES.get(phrase) else { return };
            if let Some((start, value)) = value_after(text, place.start, place.end, *follows)
                && value.len() >= 3
                && !placeholder(value)
                && !is_dummy(value.as_bytes())
            {
                out.push(finding("credential/password", start..start + value.len(), 75, "context"));
            }
        });
    }
}

/// The value that a phrase from `begin` to `end` introduces, and where it begins.
fn value_after(text: &str, begin: usize, end: usize, follows: Follows) -> Option<(usize, &str)> {
    let (start, value, quoted) = word_at(text, end)?;
    match follows {
        Follows::Word => Some((start, value)),
        // Backticks quote code in prose: "identified by `name`".
        Follows::Quoted => (quoted && !text.get(end..)?.starts_with('`')).then_some((start, value)),
        Follows::Pair => {
            let (user, password) = value.split_once(':')?;
            let in_name = |b: u8| b.is_ascii_alphanumeric() || b"._-@\\".contains(&b);
            let name = user.starts_with(|c: char| c.is_ascii_alphanumeric())
                && user.bytes().all(in_name)
                && !password.starts_with('/');
            let number = password.bytes().all(|byte| byte.is_ascii_digit());
            (name && !number && password != "pass" && password != "password")
                .then_some((start + user.len() + 1, password))
        }
        Follows::Flag => flag_value(text, end),
        Follows::AfterLogin => {
            let before = slice(text, begin.saturating_sub(80)..begin);
            let name = before.rsplit_once("login ").map_or("", |(_, name)| name);
            (name.split_ascii_whitespace().count() == 1).then_some((start, value))
        }
        Follows::Sentence => {
            let odd = quoted
                || value.bytes().any(|b| b.is_ascii_digit())
                || value.bytes().any(|b| b"!@#$%^*".contains(&b));
            (odd && !is_wordy(value)).then_some((start, value.trim_end_matches(['.', '?'])))
        }
    }
}

/// The value of the flag whose name begins at `start`, when the name asks for a secret.
fn flag_value(text: &str, start: usize) -> Option<(usize, &str)> {
    let name: &str = slice(text, start..start + 40);
    let length = name.bytes().take_while(|b| b.is_ascii_lowercase() || *b == b'-').count();
    let name = name.get(..length)?;
    let asks =
        ["password", "passwd", "passphrase", "secret", "token", "api-key", "apikey", "access-key"]
            .iter()
            .any(|cue| name.ends_with(cue));
    let next = text.as_bytes().get(start + length)?;
    if !asks || *next != b' ' {
        return None;
    }
    let (at, value, quoted) = word_at(text, start + length + 1)?;
    let odd = quoted || value.bytes().any(|b| b.is_ascii_digit());
    (odd && !value.starts_with('-')).then_some((at, value))
}

/// The word at `start`: where it begins, the word, whether it was quoted.
fn word_at(text: &str, start: usize) -> Option<(usize, &str, bool)> {
    let window = slice(text, start..start.saturating_add(VALUE_MAX));
    let quote = window.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'));
    if let Some(quote) = quote {
        let inner = window.get(1..)?;
        let end = inner.find([quote, '\n'])?;
        let value = inner.get(..end)?.trim_end_matches('\\');
        return Some((start + 1, value, true));
    }
    let end = window
        .find(|c: char| {
            c.is_whitespace() || matches!(c, ',' | ';' | '"' | '\'' | '`' | '<' | '>' | ')')
        })
        .unwrap_or(window.len());
    Some((start, window.get(..end)?, false))
}
