#![no_main]
//! Headers on their way out and back: only names of the list pass, only parts of the value, nothing that ends a line.

use backends::headers;
use libfuzzer_sys::fuzz_target;
use router::wire::Dialect;

const DIALECTS: [Dialect; 4] = [
    Dialect::OpenAiChat,
    Dialect::OpenAiResponses,
    Dialect::AnthropicMessages,
    Dialect::OpenAiEmbeddings,
];

/// What must never pass in either direction, whatever is written around it.
const SECRET: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "set-cookie",
    "x-goog-api-key",
    "openai-organization",
];

fuzz_target!(|input: (u8, u8, &str, &str)| {
    let (choice, known, name, value) = input;
    let to = DIALECTS[usize::from(choice) % DIALECTS.len()];
    let names = ["anthropic-beta", "openai-beta", "anthropic-version", "accept", name];
    let name = names[usize::from(known) % names.len()];
    if let Some(passed) = headers::forward(name, value, to) {
        assert!(headers::forwarded(name));
        assert!(!SECRET.contains(&name.to_ascii_lowercase().as_str()));
        assert!(passed.len() <= value.len());
        for entry in passed.split(',') {
            assert!(value.contains(entry), "nothing is made up");
        }
        assert!(passed.bytes().all(|byte| (b' '..0x7f).contains(&byte) || byte == b'\t'));
        if name.ends_with("-beta") {
            assert!(!passed.split(',').any(|entry| entry.trim().starts_with("oauth-")));
        }
    }
    let lower = name.to_ascii_lowercase();
    if headers::returned(name) {
        assert!(!SECRET.contains(&lower.as_str()));
    }
    if headers::is_name(name) {
        assert!(!name.is_empty() && name.is_ascii() && name == lower);
    }
});
