//! Passwords that a phrase or a command introduces instead of an assignment: `identified by 'x'`, `--password x`,
//! `curl -u user:x`, `login me password x`, `the password is x`.

use super::{finding, is_dummy};
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
    generic::{is_wordy, placeholder},
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

/// Phrases, case as written, each with the place of the byte that is marked in it.
const PHRASES: [(&str, usize, Follows); 24] = [
    ("identified by ", 11, Follows::Quoted),
    ("IDENTIFIED BY ", 11, Follows::Quoted),
    ("dentified with mysql_native_password by ", 37, Follows::Quoted),
    ("curl -u ", 5, Follows::Pair),
    (" -u ", 1, Follows::Pair),
    (" --user ", 1, Follows::Pair),
    (" --", 1, Follows::Flag),
    ("sshpass -p ", 8, Follows::Word),
    ("sshpass -p", 8, Follows::Word),
    (" password ", 5, Follows::AfterLogin),
    ("password is ", 4, Follows::Sentence),
    ("Password is ", 4, Follows::Sentence),
    ("assword to ", 3, Follows::Sentence),
    ("passphrase is ", 11, Follows::Sentence),
    ("passcode is ", 9, Follows::Sentence),
    ("secret is ", 7, Follows::Sentence),
    ("token is ", 6, Follows::Sentence),
    ("API key is ", 8, Follows::Sentence),
    ("api key is ", 8, Follows::Sentence),
    ("WITH PASSWORD ", 9, Follows::Quoted),
    ("with password ", 9, Follows::Quoted),
    ("ENCRYPTED PASSWORD ", 14, Follows::Quoted),
    ("PASSWORD(", 4, Follows::Quoted),
    ("requirepass ", 10, Follows::Word),
];

/// Longest value.
const VALUE_MAX: usize = 128;

/// Adds the password after every phrase.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    let mut told: Vec<(usize, usize)> = Vec::new();
    for &at in &candidates.phrases {
        let marked = text.as_bytes().get(at);
        for (number, (phrase, inside, _)) in PHRASES.iter().enumerate() {
            if phrase.as_bytes().get(*inside) != marked {
                continue;
            }
            let start = at.checked_sub(*inside);
            let told_here =
                |start: &usize| text.get(*start..).is_some_and(|rest| rest.starts_with(phrase));
            told.extend(start.filter(told_here).map(|start| (start, number)));
        }
    }
    told.sort_unstable();
    // Phrases do not overlap; of those that begin at the same place the first in the list counts.
    let mut done = 0;
    for (start, number) in told {
        let Some((phrase, _, follows)) = PHRASES.get(number).filter(|_| start >= done) else {
            continue;
        };
        done = start + phrase.len();
        if let Some((start, value)) = value_after(text, start, done, *follows)
            && value.len() >= 3
            && !placeholder(value)
            && !is_dummy(value.as_bytes())
        {
            out.push(finding("credential/password", start..start + value.len(), 75, "context"));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phrase_is_marked_wherever_the_blocks_cut_it() {
        for (phrase, inside, _) in PHRASES {
            for pad in 0..130 {
                let text = format!("{}{phrase}xyz", ".".repeat(pad));
                let marks = Candidates::of(&text);
                assert!(marks.phrases.contains(&(pad + inside)), "{phrase:?} behind {pad}");
            }
        }
    }

    #[test]
    fn of_phrases_in_one_another_the_first_introduces_the_value() {
        let found = |text: &str| {
            let mut out = Vec::new();
            scan(text, &Candidates::of(text), &mut out);
            out.iter().map(|one| text.get(one.span.clone()).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("curl -u ana:q8Zr2vX5 --token 'k3Jd9wQ1' x"), ["q8Zr2vX5", "k3Jd9wQ1"]);
        assert_eq!(found("user IDENTIFIED BY 'q8Zr2vX5'; identified by x"), ["q8Zr2vX5"]);
    }
}
