#![no_main]
//! What a backend says instead of an answer: any body gives facts of bounded length, and no header makes a wait too long.

use std::time::Duration;

use backends::{
    outcome::{self, Verdict},
    translate,
};
use libfuzzer_sys::fuzz_target;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fuzz_target!(|input: (u16, &str, &str, u64, &[u8])| {
    let (status, seconds, millis, now, body) = input;
    let wait = outcome::asked_wait(Some(seconds), Some(millis), now);
    assert!(wait.is_none_or(|wait| wait <= DAY));
    let verdict = outcome::judge(status, wait);
    assert_eq!(verdict == Verdict::Answer, (200..300).contains(&status));
    let facts = translate::read_error(status, body);
    assert!(!facts.message.is_empty() && !facts.kind.is_empty());
    assert!(facts.message.len() <= 4096, "{}", facts.message.len());
    let again = outcome::reconsider(status, &facts);
    assert!(matches!(again, Verdict::Final | Verdict::ModelMissing));
});
