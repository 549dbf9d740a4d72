//! Texts with something to protect, and searches for what must not be there.

/// A mail address that no other part of a request holds.
pub const EMAIL: &str = "greta.lindqvist@northwind-labs.com";
/// A second one.
pub const OTHER_EMAIL: &str = "tomas.okafor@fabrikam-retail.com";
/// A card number that passes the Luhn check, made up, and none of those that documents use as examples.
pub const CARD: &str = "4539 1488 0343 6467";
/// A key in the shape of a cloud provider's example key pair.
pub const CLOUD_KEY: &str = "AKIA2E0A8F3B244C9986";
/// A phone number with a country code.
pub const PHONE: &str = "+49 30 901820 47";

/// Fails when `needle`, or a form of it that a reader could undo, stands in `haystack`.
pub fn assert_absent(needle: &str, haystack: &[u8], place: &str) {
    for (form, bytes) in forms(needle) {
        assert!(
            !contains(haystack, &bytes),
            "{place} holds {needle:?} ({form}): {}",
            shown(haystack)
        );
    }
}

/// Whether `needle` stands in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

fn forms(needle: &str) -> Vec<(&'static str, Vec<u8>)> {
    let reversed: String = needle.chars().rev().collect();
    vec![
        ("plain", needle.as_bytes().to_vec()),
        ("upper case", needle.to_uppercase().into_bytes()),
        ("reversed", reversed.into_bytes()),
        ("percent-encoded", percent(needle).into_bytes()),
        ("hexadecimal", hexadecimal(needle).into_bytes()),
        ("base64", base64(needle.as_bytes()).into_bytes()),
    ]
}

fn hexadecimal(text: &str) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or_default();
    text.bytes().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn percent(text: &str) -> String {
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    text.bytes().map(encode).collect()
}

/// Base64 with the usual alphabet, without the padding and what depends on it.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for triple in bytes.chunks_exact(3) {
        let word = triple.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        for shift in [18u32, 12, 6, 0] {
            let digit = usize::try_from(word >> shift & 63).unwrap_or_default();
            text.extend(ALPHABET.get(digit).map(|letter| char::from(*letter)));
        }
    }
    text
}

/// The start of a text, for a message that a person reads.
pub fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(2000).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_the_usual_ones() {
        assert_eq!(base64(b"abcdef"), "YWJjZGVm");
        assert_eq!(percent("a@b"), "a%40b");
    }

    #[test]
    fn a_hidden_value_is_still_found() {
        for hidden in
            [EMAIL.to_owned(), EMAIL.to_uppercase(), percent(EMAIL), format!("xx{EMAIL}yy")]
        {
            let found =
                std::panic::catch_unwind(|| assert_absent(EMAIL, hidden.as_bytes(), "text"));
            assert!(found.is_err(), "{hidden}");
        }
        assert_absent(EMAIL, b"<EMAIL_1_k7q>", "text");
    }
}
