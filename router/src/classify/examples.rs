//! Values that documentation uses: noted as examples, never acted upon.

use super::scan_words::Words;

/// Documented credentials, by the providers' own pages. A value that holds one of them is an example.
const CREDENTIALS: [&str; 14] = [
    "AKIAIOSFODNN7EXAMPLE",
    "AKIAI44QH8DHBEXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
    // Stripe's test key of its public documentation, and JWT.io's token.
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "sk_test_BQokikJOvBiI2HlWgH4olfQ2",
    "pk_test_TYooMQauvdEDq54NiTphI7jx",
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    // Microsoft's storage emulator.
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    // RFC 6749, RFC 6750, RFC 7617.
    "2YotnFZFEjr1zCsicMWpAA",
    "mF_9.B5f-4.1JqM",
    "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "czZCaGRSa3F0MzpnWDFmQmF0M2JW",
];

/// All of them, and what a value says of itself: a quick look for almost every value.
static DOCUMENTED: [Words; 2] = [Words::new(&["EXAMPLE"]), Words::new(&CREDENTIALS)];

/// Whether `value` is, or holds, a credential that documentation uses, or says of itself that it is an example
/// (`ghp_EXAMPLE…` in the very shape of a token).
pub(crate) fn is_documented(value: &str) -> bool {
    let [example, credentials] = &DOCUMENTED;
    example.in_text(value.as_bytes()) && value.contains("EXAMPLE")
        || credentials.in_text(value.as_bytes())
            && CREDENTIALS.iter().any(|known| value.contains(known))
}

#[cfg(test)]
mod tests {
    use super::is_documented;

    #[test]
    fn documented_values_are_known_and_others_are_not() {
        assert!(is_documented("AKIAIOSFODNN7EXAMPLE"));
        assert!(is_documented("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"));
        assert!(is_documented("xoxb-00000-00000-EXAMPLENOTAREALTOKEN"));
        assert!(!is_documented("AKIAIOSFODNN7EXAMPLF"));
    }
}
