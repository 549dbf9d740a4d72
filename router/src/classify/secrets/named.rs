//! Credentials whose shape is told by more than a prefix (a marker in the middle, a suffix, a known neighbour), and
//! plain random values that a provider's name stands beside.

use std::ops::Range;

use memchr::memmem;

use super::{distinct, finding, looks_random};
use crate::classify::{
    Finding,
    candidates::{Candidates, slice},
    scan_words::{Lists, Words},
};

/// How the name of a client of Google ends.
const CLIENT_END: &str = ".apps.googleusercontent.com";
/// Longest run that is looked at.
const RUN_MAX: usize = 240;
/// How far before a value a provider's name may stand, in bytes.
const NEAR: usize = 40;

/// Adds what one token run is by its own markers.
pub(super) fn scan_run(text: &str, run: &Range<usize>, out: &mut Vec<Finding>) {
    if run.len() < 20 || run.len() > RUN_MAX {
        return;
    }
    let Some(token) = text.get(run.clone()) else { return };
    let bytes = token.as_bytes();
    // The shorter ones are names of hosts.
    if bytes.len() < MARKED_BYTES_MIN && !matches!(bytes, [.., b'm' | b'.']) {
        return;
    }
    // `NAME=value` is one run: the value is meant.
    let padding = bytes.iter().rev().take_while(|byte| **byte == b'=').count();
    let bare = bytes.get(..bytes.len() - padding).unwrap_or_default();
    let skip = memchr::memrchr(b'=', bare).map_or(0, |at| at + 1);
    let dots = bytes.iter().rev().take_while(|byte| **byte == b'.').count();
    let Some(value) = token.get(skip..token.len() - dots) else { return };
    if !is_marked_length(value) || value.bytes().filter(u8::is_ascii_digit).take(2).count() < 2 {
        return;
    }
    let start = run.start + skip;
    if let Some(label) = marked(value).or_else(|| telegram(text, start, value)) {
        out.push(finding(label, start..start + value.len(), 85, "shape"));
    }
}

/// The shortest value with a marker, but for names of hosts.
const MARKED_BYTES_MIN: usize = 34;

/// Whether a value is as long as one of those with a marker; a name of a host may have any length.
fn is_marked_length(value: &str) -> bool {
    matches!(value.len(), MARKED_BYTES_MIN..=37 | 40 | 44..) || value.ends_with(CLIENT_END)
}

/// The kind of a value that carries a marker of its provider.
fn marked(value: &str) -> Option<&'static str> {
    let bytes = value.as_bytes();
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit())
    };
    let plain = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let dashed = memchr::memchr(b'-', bytes).is_some();
    let dotted = memchr::memchr(b'.', bytes).is_some();
    if dashed
        && holds(bytes, b"-us")
        && let Some((key, data_center)) = value.split_once("-us")
    {
        return (hex(key, 32)
            && matches!(data_center.len(), 1 | 2)
            && looks_random(key.as_bytes()))
        .then_some("credential/mailchimp-key");
    }
    if dotted
        && holds(bytes, b".atlasv1.")
        && let Some((sid, secret)) = value.split_once(".atlasv1.")
    {
        return (plain(sid, 14) && secret.len() >= 60).then_some("credential/terraform-token");
    }
    if let Some(rest) = value.strip_prefix("SK") {
        return (hex(rest, 32) && looks_random(rest.as_bytes())).then_some("credential/twilio-key");
    }
    if value.ends_with("NRAL") && plain(value, 40) {
        return Some("credential/newrelic-key");
    }
    if value.ends_with("_mmk") && value.len() == 40 {
        return Some("credential/maxmind-key");
    }
    if value.len() == 40
        && bytes.get(3..).is_some_and(|rest| rest.starts_with(b"8Q~") || rest.starts_with(b"7Q~"))
    {
        return Some("credential/azure-client-secret");
    }
    if dotted && value.ends_with(CLIENT_END) {
        return Some("credential/google-client-id");
    }
    if is_azure(value) {
        return Some("credential/azure-key");
    }
    if dashed && let Some((head, tail)) = value.split_once('-') {
        let digits =
            !head.is_empty() && head.len() <= 4 && head.bytes().all(|b| b.is_ascii_digit());
        if digits && plain(tail, 64) && looks_random(tail.as_bytes()) {
            return Some("credential/truenas-key");
        }
    }
    if dotted && let Some((id, secret)) = value.split_once('.') {
        if hex(id, 32) && plain(secret, 16) && looks_random(secret.as_bytes()) {
            return Some("credential/zhipu-key");
        }
        return discord(id, secret).then_some("credential/discord-token");
    }
    None
}

/// Whether a marker, told by its first byte, stands in a short value.
fn holds(value: &[u8], marker: &[u8]) -> bool {
    let first = marker.first().copied().unwrap_or_default();
    memchr::memchr_iter(first, value)
        .any(|at| value.get(at..).is_some_and(|rest| rest.starts_with(marker)))
}

/// A key of Azure: a marker at a fixed place, by length.
fn is_azure(value: &str) -> bool {
    // Length, place, marker: storage and batch, container registry, Cosmos DB, cognitive services, DevOps.
    const MARKS: [(usize, usize, &str); 8] = [
        (86, 76, "+ASt"),
        (86, 76, "+ABa"),
        (52, 42, "+ACR"),
        (84, 52, "JQQJ99"),
        (84, 76, "AZDO"),
        (54, 44, "AzFu"),
        (52, 42, "AzSe"),
        (44, 33, "AzCa"),
    ];
    // The shortest is 44 long, the longest 86 with two signs behind it.
    if !(44..=90).contains(&value.len()) {
        return false;
    }
    let bare = value.trim_end_matches('=');
    let marked = |(length, at, mark): &(usize, usize, &str)| {
        bare.len() == *length && bare.get(*at..).is_some_and(|rest| rest.starts_with(mark))
    };
    MARKS.iter().any(marked) && looks_random(bare.as_bytes())
}

/// A bot token of Discord: the bot's number in base64, a time, a signature.
fn discord(id: &str, rest: &str) -> bool {
    let Some((time, signature)) = rest.split_once('.') else { return false };
    let number = crate::classify::decode::base64(id.as_bytes());
    (24..=28).contains(&id.len())
        && time.len() == 6
        && (27..=40).contains(&signature.len())
        && (17..=20).contains(&number.len())
        && number.iter().all(u8::is_ascii_digit)
}

/// A bot token of Telegram: the bot's number, a colon, `AA` and 33 more.
fn telegram(text: &str, start: usize, value: &str) -> Option<&'static str> {
    if value.len() != 35 || !value.starts_with("AA") {
        return None;
    }
    let before = slice(text, start.saturating_sub(12)..start);
    let number = before.strip_suffix(':')?.bytes().rev().take_while(u8::is_ascii_digit).count();
    (8..=10).contains(&number).then_some("credential/telegram-token")
}

/// What the values of a provider look like when nothing but its name tells them.
struct Named {
    /// The name as it stands in keys, lower-case.
    name: &'static str,
    label: &'static str,
    /// Lengths of the value, bounds included.
    length: (usize, usize),
    /// Only hex digits.
    hex: bool,
}

const fn named(
    name: &'static str,
    label: &'static str,
    length: (usize, usize),
    hex: bool,
) -> Named {
    Named { name, label, length, hex }
}

/// Providers whose keys are plain hex or plain letters and digits.
const NAMED: [Named; 62] = [
    named("aws", "credential/aws-secret-key", (40, 40), false),
    named("adobe", "credential/adobe-client-id", (32, 32), true),
    named("algolia", "credential/algolia-key", (32, 32), true),
    named("amplitude", "credential/amplitude-key", (32, 32), true),
    named("artifactory", "credential/jfrog-token", (64, 80), false),
    named("asana", "credential/asana-secret", (32, 32), false),
    named("assemblyai", "credential/assemblyai-key", (32, 32), true),
    named("auth0", "credential/auth0-secret", (48, 70), false),
    named("azure", "credential/azure-key", (32, 88), false),
    named("bitbucket", "credential/bitbucket-secret", (32, 64), false),
    named("bittrex", "credential/bittrex-key", (32, 32), false),
    named("blynk", "credential/blynk-token", (32, 40), false),
    named("circle", "credential/circleci-token", (40, 40), true),
    named("cloudflare", "credential/cloudflare-token", (37, 40), false),
    named("codecov", "credential/codecov-token", (32, 36), false),
    named("codeclimate", "credential/codeclimate-token", (64, 64), true),
    named("cohere", "credential/cohere-key", (40, 40), false),
    named("coinbase", "credential/coinbase-token", (16, 64), false),
    named("confluent", "credential/confluent-secret", (16, 64), false),
    named("contentful", "credential/contentful-token", (43, 43), false),
    named("datadog", "credential/datadog-key", (32, 40), false),
    named("deepgram", "credential/deepgram-key", (40, 40), true),
    named("deepseek", "credential/deepseek-key", (35, 35), false),
    named("discord", "credential/discord-secret", (32, 64), false),
    named("drone", "credential/drone-token", (32, 32), false),
    named("dropbox", "credential/dropbox-token", (15, 160), false),
    named("etsy", "credential/etsy-token", (24, 24), false),
    named("facebook", "credential/facebook-secret", (32, 32), true),
    named("fastly", "credential/fastly-token", (32, 32), false),
    named("finicity", "credential/finicity-secret", (20, 32), false),
    named("finnhub", "credential/finnhub-token", (20, 20), false),
    named("flickr", "credential/flickr-key", (32, 32), false),
    named("freshbooks", "credential/freshbooks-secret", (64, 64), false),
    named("gitter", "credential/gitter-token", (40, 40), false),
    named("heroku", "credential/heroku-key", (36, 36), false),
    named("jenkins", "credential/jenkins-token", (32, 36), false),
    named("kraken", "credential/kraken-key", (80, 90), false),
    named("kucoin", "credential/kucoin-key", (24, 36), false),
    named("linkedin", "credential/linkedin-secret", (14, 16), false),
    named("looker", "credential/looker-secret", (20, 24), false),
    named("mattermost", "credential/mattermost-token", (26, 26), false),
    named("meraki", "credential/meraki-key", (40, 40), true),
    named("messagebird", "credential/messagebird-token", (25, 36), false),
    named("mistral", "credential/mistral-key", (32, 32), false),
    named("nytimes", "credential/nytimes-key", (32, 32), false),
    named("okta", "credential/okta-token", (42, 42), false),
    named("openweather", "credential/openweather-key", (32, 32), true),
    named("pagerduty", "credential/pagerduty-key", (20, 32), false),
    named("plaid", "credential/plaid-secret", (24, 30), false),
    named("postmark", "credential/postmark-token", (36, 36), false),
    named("rapidapi", "credential/rapidapi-key", (50, 50), false),
    named("sendbird", "credential/sendbird-token", (36, 40), false),
    named("snyk", "credential/snyk-token", (36, 36), false),
    named("sonar", "credential/sonarqube-token", (40, 40), false),
    named("sumo", "credential/sumologic-key", (14, 64), false),
    named("telegram", "credential/telegram-token", (43, 46), false),
    named("travis", "credential/travis-token", (20, 22), false),
    named("trello", "credential/trello-key", (32, 64), true),
    named("twitch", "credential/twitch-token", (30, 30), false),
    named("twitter", "credential/twitter-secret", (25, 120), false),
    named("yandex", "credential/yandex-key", (32, 60), false),
    named("zendesk", "credential/zendesk-token", (40, 64), false),
];

/// The names alone.
const NAMES: [&str; NAMED.len()] = names();
/// The names, as words to look for.
static PROVIDERS: Lists = Lists::new(&PROVIDER_WORDS);
static PROVIDER_WORDS: [Words; 1] = [Words::new(&NAMES)];

#[expect(clippy::indexing_slicing, reason = "runs in the compiler; a wrong index fails the build")]
const fn names() -> [&'static str; NAMED.len()] {
    let mut names = [""; NAMED.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = NAMED[at].name;
        at += 1;
    }
    names
}

/// Adds plain random values whose assignment, or the words before it, names a provider.
pub(super) fn scan(text: &str, candidates: &Candidates, out: &mut Vec<Finding>) {
    for assign in candidates.inner_assigns() {
        let Some(value) = text.get(assign.value.clone()) else { continue };
        if value.len() < 14 || value.len() > RUN_MAX || !is_plain(value) {
            continue;
        }
        let near = slice(text, assign.key.start.saturating_sub(NEAR)..assign.key.end).as_bytes();
        if PROVIDERS.in_text(near) == 0 {
            continue;
        }
        if let Some(label) = provider(near, value) {
            out.push(finding(label, assign.value.clone(), 80, "context"));
        }
    }
}

/// Whether the value is one word that looks random.
fn is_plain(value: &str) -> bool {
    let word = |b: u8| {
        b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'+' | b'/' | b'=' | b'.' | b'~')
    };
    value.bytes().all(word)
        && distinct(value.as_bytes()) >= 8
        && !crate::classify::generic::is_wordy(value)
        && looks_random(value.as_bytes())
}

/// The label of the provider that is named in the key or shortly before it.
fn provider(near: &[u8], value: &str) -> Option<&'static str> {
    let hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let near = near.to_ascii_lowercase();
    let fits = |named: &&Named| {
        let (least, most) = named.length;
        (least..=most).contains(&value.len())
            && (hex || !named.hex)
            && memmem::find(&near, named.name.as_bytes()).is_some()
    };
    NAMED.iter().find(fits).map(|named| named.label)
}
