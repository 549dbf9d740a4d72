//! Placeholders in the head of a request: path segments, values of parameters, header values, and what `Basic` hides.
//!
//! Invariant: a head for which [`Scope::rewrite_head`] gives edits holds no placeholder once they are made.

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    CredentialError, Scope,
    secret::{Secret, encoded},
    text::{self, Coding, Found},
};

/// What becomes of a head. Holds secrets in the clear: for the request to the upstream only. `Debug` shows none.
#[derive(Default)]
pub struct Edits {
    /// The new path and query, where they change.
    pub target: Option<String>,
    /// All values of each header of which one changes, marked as sensitive; none where the header goes.
    pub headers: Vec<(HeaderName, Vec<HeaderValue>)>,
    /// How many placeholders were replaced.
    pub injected: usize,
}

impl std::fmt::Debug for Edits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edits").field("injected", &self.injected).finish_non_exhaustive()
    }
}

impl Edits {
    /// Makes the changes of headers.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, values) in &self.headers {
            headers.remove(name);
            for value in values {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// Where a placeholder stands, which decides how its value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A header's value, or the text in `Basic`.
    Header,
    /// A path.
    Path,
    /// The value of a parameter, in a query or a form.
    Parameter,
    /// A JSON document.
    Json,
    /// Plain text.
    Text,
}

impl Field {
    fn takes(self, coding: Coding) -> bool {
        match coding {
            Coding::Plain => true,
            Coding::Percent => matches!(self, Self::Path | Self::Parameter),
            Coding::Json => self == Self::Json,
            Coding::Mixed => false,
        }
    }

    fn write(self, secret: &Secret, out: &mut Vec<u8>) -> Result<(), CredentialError> {
        match self {
            Self::Header | Self::Text => out.extend_from_slice(secret.open().as_bytes()),
            Self::Path if !secret.fits_path() => return Err(CredentialError::Unfit("a path")),
            Self::Path | Self::Parameter => out.extend(encoded(secret.open())),
            Self::Json => {
                let mut text = String::new();
                router::json::escape_into(&mut text, secret.open());
                out.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }
}

/// Headers that say where a request goes and how it is framed.
const FRAMING: [HeaderName; 7] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const BASE64: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&STANDARD, LENIENT), GeneralPurpose::new(&URL_SAFE, LENIENT)];

impl Scope {
    /// What a head becomes: `target` is its path and query as they would be forwarded. Where the endpoint's requests are
    /// signed anew, the signature of the caller is taken out; `sigv4` makes the new one.
    ///
    /// # Errors
    /// Every placeholder that does not become a value.
    pub fn rewrite_head(
        &self,
        target: &str,
        headers: &HeaderMap,
    ) -> Result<Edits, CredentialError> {
        let mut edits = Edits::default();
        edits.target = self.rewrite_target(target, &mut edits.injected)?;
        for name in headers.keys() {
            if text::find(name.as_str().as_bytes(), 0, true).is_some() {
                return Err(CredentialError::Misplaced("the name of a header"));
            }
            if self.signing.is_some() && is_signature(name) {
                edits.headers.push((name.clone(), Vec::new()));
                continue;
            }
            if !headers.get_all(name).iter().any(may_hold_placeholder) {
                continue;
            }
            let before = edits.injected;
            let mut values = Vec::new();
            for value in headers.get_all(name) {
                let new = self.rewrite_header(name, value, &mut edits.injected)?;
                values.push(new.unwrap_or_else(|| value.clone()));
            }
            if edits.injected > before {
                edits.headers.push((name.clone(), values));
            }
        }
        Ok(edits)
    }

    fn rewrite_target(
        &self,
        target: &str,
        injected: &mut usize,
    ) -> Result<Option<String>, CredentialError> {
        if text::find(target.as_bytes(), 0, true).is_none() {
            return Ok(None);
        }
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut out = self.replaced(path.as_bytes(), Field::Path, injected)?;
        for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
            out.push(if index == 0 { b'?' } else { b'&' });
            let (name, value) =
                pair.split_once('=').map_or((pair, None), |(name, value)| (name, Some(value)));
            if text::find(name.as_bytes(), 0, true).is_some() {
                return Err(CredentialError::Misplaced("the name of a parameter"));
            }
            out.extend_from_slice(name.as_bytes());
            if let Some(value) = value {
                out.push(b'=');
                out.extend(self.replaced(value.as_bytes(), Field::Parameter, injected)?);
            }
        }
        String::from_utf8(out).map(Some).map_err(|_| CredentialError::Unfit("a path"))
    }

    fn rewrite_header(
        &self,
        name: &HeaderName,
        value: &HeaderValue,
        injected: &mut usize,
    ) -> Result<Option<HeaderValue>, CredentialError> {
        let before = *injected;
        let bytes = value.as_bytes();
        let new = match self.rewrite_basic(bytes, injected)? {
            Some(new) => new,
            None => self.replaced(bytes, Field::Header, injected)?,
        };
        if *injected == before {
            return Ok(None);
        }
        if FRAMING.contains(name) {
            return Err(CredentialError::Misplaced("a header that frames the request"));
        }
        let mut new =
            HeaderValue::from_bytes(&new).map_err(|_| CredentialError::Unfit("a header"))?;
        new.set_sensitive(true);
        Ok(Some(new))
    }

    /// `Basic` with what it hides rewritten; `None` if it is none or hides no placeholder.
    fn rewrite_basic(
        &self,
        value: &[u8],
        injected: &mut usize,
    ) -> Result<Option<Vec<u8>>, CredentialError> {
        let Some((scheme, rest)) = value.trim_ascii_start().split_at_checked(5) else {
            return Ok(None);
        };
        let hidden = rest.trim_ascii();
        if !scheme.eq_ignore_ascii_case(b"basic") || !rest.starts_with(b" ") {
            return Ok(None);
        }
        let Some(plain) = BASE64.iter().find_map(|engine| engine.decode(hidden).ok()) else {
            return Ok(None);
        };
        if text::find(&plain, 0, true).is_none() {
            return Ok(None);
        }
        let plain = self.replaced(&plain, Field::Header, injected)?;
        let mut out = b"Basic ".to_vec();
        out.extend(base64::engine::general_purpose::STANDARD.encode(plain).into_bytes());
        Ok(Some(out))
    }

    /// `bytes` with the values of its placeholders.
    pub(super) fn replaced(
        &self,
        bytes: &[u8],
        field: Field,
        injected: &mut usize,
    ) -> Result<Vec<u8>, CredentialError> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut from = 0;
        while let Some((at, found)) = text::find(bytes, from, true) {
            out.extend_from_slice(bytes.get(from..at).unwrap_or_default());
            from = self.put(&found, field, &mut out)?;
            *injected = injected.saturating_add(1);
        }
        out.extend_from_slice(bytes.get(from..).unwrap_or_default());
        Ok(out)
    }

    /// Writes the value of one placeholder and gives the place behind it.
    pub(super) fn put(
        &self,
        found: &Found,
        field: Field,
        out: &mut Vec<u8>,
    ) -> Result<usize, CredentialError> {
        match found {
            Found::Whole { end, key, coding } => {
                let secret = self.resolve(key)?;
                if !field.takes(*coding) {
                    return Err(CredentialError::Hidden);
                }
                field.write(secret, out)?;
                Ok(*end)
            }
            Found::Malformed | Found::Short => Err(CredentialError::Unknown),
        }
    }
}

/// Whether a value is worth a closer look: it holds a placeholder, or hides what may be one.
fn may_hold_placeholder(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    text::find(bytes, 0, true).is_some() || is_basic(bytes)
}

/// Whether a value is of the scheme `Basic`.
fn is_basic(value: &[u8]) -> bool {
    let scheme = value.trim_ascii_start().split_at_checked(5);
    scheme.is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic"))
}

/// Whether a header belongs to the caller's own signature, made with placeholders.
fn is_signature(name: &HeaderName) -> bool {
    *name == header::AUTHORIZATION || name == "x-amz-security-token"
}
