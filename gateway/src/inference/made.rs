//! Router files that are made of a provider and a model.
//!
//! The first line says what the file is made of, and a hash over all that follows, so that what people have changed is told from
//! what was made. Not here: where a file is kept. Invariant: what is made is sound, and holds no secret.

use std::{fmt::Write as _, time::Duration};

use backends::file::parse;
use sandbox::providers::Provider;
use serde::{Deserialize, Serialize};

/// What begins the first line of a file that was made.
const MADE: &str = "# made by openshell inference set: ";

/// What a model costs that runs on this machine.
const PRICE_LOCAL: &str = "{input: 0, output: 0}";
/// What a model costs that nobody knows: that of the dearest that are common.
const PRICE_ASSUMED: &str = "{input: 15, output: 75}";

/// What a file is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// The provider.
    pub provider: String,
    /// The model, as the provider knows it.
    pub model: String,
    /// What a request may take, in seconds; 0 for what is usual.
    pub timeout_secs: u64,
    /// Its number, from 1.
    pub version: u64,
}

/// What a request may take when nothing else is asked for, in seconds.
pub const TIMEOUT_DEFAULT: u64 = 60;

impl Wanted {
    /// What a request may take.
    pub fn timeout(&self) -> Duration {
        let seconds = if self.timeout_secs == 0 { TIMEOUT_DEFAULT } else { self.timeout_secs };
        Duration::from_secs(seconds)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    wanted: Wanted,
    hash: String,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What of.
    pub wanted: Wanted,
    /// Whether somebody has changed it since.
    pub edited: bool,
}

/// Why no file can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MakeError {
    /// What is wrong, for people.
    pub message: String,
    /// What would help.
    pub hint: String,
}

/// A file with what people should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The file.
    pub text: String,
    /// Whether nobody knows what the model costs, and it is booked as dear as the dearest.
    pub price_assumed: bool,
}

/// Where the rest of a file is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'a> {
    /// The credential, as the file writes it, such as `{file: /a}`; none where it needs none.
    pub credential: Option<&'a str>,
    /// Where calls go on record; nothing is said of it where somebody else decides that.
    pub audit: Option<&'a str>,
}

/// What a file was made of, if it was.
pub fn read(text: &str) -> Option<Made> {
    let (first, rest) = text.split_once('\n')?;
    let head: Head = serde_json::from_str(first.strip_prefix(MADE)?).ok()?;
    let edited = head.hash != hash(rest);
    Some(Made { wanted: head.wanted, edited })
}

/// Tells changes of people from ours; nobody has a reason to forge it.
fn hash(text: &str) -> String {
    // FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, step))
}

/// The file for one provider and one model, checked.
///
/// # Errors
/// A provider that answers no model calls, or says of itself what cannot be.
pub fn text(wanted: &Wanted, provider: &Provider, places: Places<'_>) -> Result<Text, MakeError> {
    let is_local = provider.kind.profile().model.is_some_and(|model| model.local);
    let told = price(provider)?.or_else(|| is_local.then(|| PRICE_LOCAL.to_owned()));
    let text = text_with(wanted, provider, places, told.as_deref())?;
    let Err(faults) = parse(&text) else { return Ok(Text { text, price_assumed: false }) };
    let assumed = text_with(wanted, provider, places, Some(PRICE_ASSUMED))?;
    if told.is_none() && parse(&assumed).is_ok() {
        // An unknown price is never nothing: budgets would not hold.
        return Ok(Text { text: assumed, price_assumed: true });
    }
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let name = &provider.name;
    Err(MakeError {
        message: format!("provider '{name}' makes no sound router file: {}", told.join("; ")),
        hint: format!(
            "`openshell provider update {name} --config KEY=VALUE` changes zone, base_url and price"
        ),
    })
}

/// The price in the configuration of a provider, as the router file has it.
fn price(provider: &Provider) -> Result<Option<String>, MakeError> {
    let Some(text) = provider.config.get("price") else { return Ok(None) };
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|one| one.is_finite() && *one >= 0.0);
    let sides = text.split_once('/').and_then(|(one, two)| Some((number(one)?, number(two)?)));
    let (input, output) = sides.ok_or_else(|| MakeError {
        message: format!("{text:?} is no price"),
        hint: "write what a million tokens cost in USD as price=INPUT/OUTPUT, such as price=0.25/2"
            .to_owned(),
    })?;
    Ok(Some(format!("{{input: {input}, output: {output}}}")))
}

fn text_with(
    wanted: &Wanted,
    provider: &Provider,
    places: Places<'_>,
    price: Option<&str>,
) -> Result<String, MakeError> {
    let model = provider.kind.profile().model.ok_or_else(|| MakeError {
        message: format!(
            "provider '{}' of type {} has no model API that the router speaks to",
            provider.name, provider.kind
        ),
        hint: "`openshell provider list-profiles` shows the types that have one".to_owned(),
    })?;
    let zone = match provider.config.get("zone").map(String::as_str) {
        Some(zone @ ("local" | "private" | "public")) => zone,
        Some(other) => {
            return Err(MakeError {
                message: format!("{other:?} is no zone"),
                hint: format!("openshell provider update {} --config zone=private", provider.name),
            });
        }
        None if model.local => "local",
        None => "public",
    };
    let base_url = provider.base_url().or(model.base_url);
    let mut rest = String::from(
        "# Change it by `openshell inference set` and `update`, or by hand: from then on it is yours.\n",
    );
    rest.push_str("version: 1\nbackends:\n");
    let mut put = |line: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        writeln!(rest, "{line}").unwrap_or_default();
    };
    put(format_args!("  - name: {}", quoted(&provider.name)));
    put(format_args!("    provider: {}\n    zone: {zone}", model.provider));
    if let Some(url) = base_url {
        put(format_args!("    base_url: {}", quoted(url)));
    }
    if let Some(credential) = places.credential {
        put(format_args!("    credential: {credential}"));
    }
    let price = price.map(|price| format!(", price: {price}")).unwrap_or_default();
    put(format_args!("    models: [{{id: {}{price}}}]", quoted(&wanted.model)));
    if wanted.timeout_secs > 0 {
        let seconds = wanted.timeout_secs;
        put(format_args!("timeouts: {{first_byte: {seconds}s, answer: {seconds}s}}"));
    }
    if let Some(audit) = places.audit {
        put(format_args!("audit: {{file: {}}}", quoted(audit)));
    }
    let head = Head { wanted: wanted.clone(), hash: hash(&rest) };
    let head = serde_json::to_string(&head).unwrap_or_default();
    Ok(format!("{MADE}{head}\n{rest}"))
}

/// A text as JSON, which is YAML without any rules for quoting.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
