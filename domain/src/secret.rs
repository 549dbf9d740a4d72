//! Secrets as types: no byte of them can be printed, compared or serialised by accident.

use std::fmt;

use secrecy::SecretString;

/// A credential of a backend. Zeroed on drop; `Debug` prints no byte of it.
#[derive(Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// Takes over the text of a credential; surrounding white space (a file's last line end) is dropped.
    /// `None` if nothing remains or a control character would break a header.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        fits.then(|| Self(SecretString::from(text.to_owned())))
    }

    /// The secret, for the one place that writes it into a request to its backend.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = ApiKey::new("sk-very-secret\n").unwrap();
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
    }

    #[test]
    fn keys_that_would_break_a_header_are_refused() {
        for text in ["", "  \n", "a\r\nb", "sk-ä"] {
            assert!(ApiKey::new(text).is_none(), "{text:?}");
        }
    }
}
