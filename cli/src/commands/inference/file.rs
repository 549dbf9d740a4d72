//! A router file in the home: made here, or written by somebody and then left alone.
//!
//! The first line of a file that is made says what it is made of, and a hash over all that follows.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use backends::file::parse;
use sandbox::providers::Provider;
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, output};

/// What begins the first line of a file that was made.
const MADE: &str = "# made by openshell inference set: ";

/// What a model costs that runs on this machine.
const PRICE_LOCAL: &str = "{input: 0, output: 0}";
/// What a model costs that nobody knows: that of the dearest that are common.
const PRICE_ASSUMED: &str = "{input: 15, output: 75}";

/// What a file is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) timeout_secs: u64,
    pub(super) version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    #[serde(flatten)]
    wanted: Wanted,
    hash: String,
}

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    /// What of.
    pub(super) wanted: Wanted,
    /// Whether somebody has changed it since.
    pub(super) edited: bool,
}

/// The file in force, if it was made here.
pub(super) fn made(file: &Path) -> Result<Option<Made>, Failure> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(read(&other?)),
    }
}

fn read(text: &str) -> Option<Made> {
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

/// Refuses to go on where the file in force was written by somebody.
pub(super) fn refuse_by_hand(file: &Path) -> Result<(), Failure> {
    if !file.exists() || made(file)?.is_some_and(|made| !made.edited) {
        return Ok(());
    }
    Err(Failure::new(format!("{} was written by hand and is not overwritten", file.display()))
        .hint("edit it (it is in force as it is), replace it with `openshell inference set --config FILE`, or move it away"))
}

/// Keeps a file that was written by somebody under another name as well; which.
pub(super) fn set_aside(file: &Path) -> Result<Option<PathBuf>, Failure> {
    if refuse_by_hand(file).is_ok() {
        return Ok(None);
    }
    // Beside those that were set aside before: none of them can be made again.
    let mut number = 0_u32;
    loop {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let to = file.with_extension(format!("yaml.before{suffix}"));
        match fs::hard_link(file, &to) {
            Ok(()) => return Ok(Some(to)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                number = number.saturating_add(1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Puts a file in force, and what was there before again where `works` says no.
pub(super) fn replace(
    file: &Path,
    text: &str,
    works: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let before = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        other => Some(other?),
    };
    write(file, text)?;
    let worked = works();
    if worked.is_err() {
        match before {
            Some(before) => write(file, &before)?,
            None => fs::remove_file(file)?,
        }
    }
    worked
}

/// Writes a file for its owner alone, whole or not at all.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    Ok(fs::rename(beside, path)?)
}

/// The file for one provider and one model, checked.
pub(super) fn text(
    wanted: &Wanted,
    provider: &Provider,
    key: Option<&Path>,
    audit: &Path,
) -> Result<String, Failure> {
    let is_local = provider.kind.profile().model.is_some_and(|model| model.local);
    let told = price(provider)?.or_else(|| is_local.then(|| PRICE_LOCAL.to_owned()));
    let text = text_with(wanted, provider, key, (audit, told.as_deref()))?;
    let Err(faults) = parse(&text) else { return Ok(text) };
    let assumed = text_with(wanted, provider, key, (audit, Some(PRICE_ASSUMED)))?;
    if told.is_none() && parse(&assumed).is_ok() {
        // An unknown price is never nothing: budgets would not hold.
        output::complain(&format!(
            "! Nobody knows what {} costs; it is booked as dear as the dearest. Say what it costs in USD per million tokens: openshell provider update {} --config price=INPUT/OUTPUT",
            wanted.model, provider.name
        ));
        return Ok(assumed);
    }
    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let name = &provider.name;
    let failure = format!("provider '{name}' makes no sound router file: {}", told.join("; "));
    Err(Failure::new(failure).hint(format!(
        "`openshell provider update {name} --config KEY=VALUE` changes zone, base_url and price"
    )))
}

/// The price in the configuration of a provider, as the router file has it.
fn price(provider: &Provider) -> Result<Option<String>, Failure> {
    let Some(text) = provider.config.get("price") else { return Ok(None) };
    let number =
        |text: &str| text.trim().parse::<f64>().ok().filter(|one| one.is_finite() && *one >= 0.0);
    let sides = text.split_once('/').and_then(|(one, two)| Some((number(one)?, number(two)?)));
    let (input, output) = sides.ok_or_else(|| {
        Failure::new(format!("{text:?} is no price")).hint(
            "write what a million tokens cost in USD as price=INPUT/OUTPUT, such as price=0.25/2",
        )
    })?;
    Ok(Some(format!("{{input: {input}, output: {output}}}")))
}

fn text_with(
    wanted: &Wanted,
    provider: &Provider,
    key: Option<&Path>,
    (audit, price): (&Path, Option<&str>),
) -> Result<String, Failure> {
    let model = provider.kind.profile().model.ok_or_else(|| {
        Failure::new(format!(
            "provider '{}' of type {} has no model API that the router speaks to",
            provider.name, provider.kind
        ))
        .hint("`openshell provider list-profiles` shows the types that have one")
    })?;
    let zone = match provider.config.get("zone").map(String::as_str) {
        Some(zone @ ("local" | "private" | "public")) => zone,
        Some(other) => {
            return Err(Failure::new(format!("{other:?} is no zone")).hint(format!(
                "openshell provider update {} --config zone=private",
                provider.name
            )));
        }
        None if model.local => "local",
        None => "public",
    };
    let base_url = provider.base_url().or(model.base_url);
    let mut rest = String::from(
        "# Change it by `openshell inference set` and `update`, or by hand: from then on it is yours.\n",
    );
    rest.push_str("version: 1\nbackends:\n");
    writeln!(rest, "  - name: {}", quoted(&provider.name)?)?;
    writeln!(rest, "    provider: {}\n    zone: {zone}", model.provider)?;
    if let Some(url) = base_url {
        writeln!(rest, "    base_url: {}", quoted(url)?)?;
    }
    if let Some(key) = key {
        writeln!(rest, "    credential: {{file: {}}}", quoted(&key.display().to_string())?)?;
    }
    let price = price.map(|price| format!(", price: {price}")).unwrap_or_default();
    writeln!(rest, "    models: [{{id: {}{price}}}]", quoted(&wanted.model)?)?;
    if wanted.timeout_secs > 0 {
        let seconds = wanted.timeout_secs;
        writeln!(rest, "timeouts: {{first_byte: {seconds}s, answer: {seconds}s}}")?;
    }
    writeln!(rest, "audit: {{file: {}}}", quoted(&audit.display().to_string())?)?;
    let head = Head { wanted: wanted.clone(), hash: hash(&rest) };
    Ok(format!("{MADE}{}\n{rest}", serde_json::to_string(&head)?))
}

/// A text as JSON, which is YAML without any rules for quoting.
fn quoted(text: &str) -> Result<String, Failure> {
    Ok(serde_json::to_string(text)?)
}

#[cfg(test)]
mod tests {
    use sandbox::providers::Value;

    use super::*;

    fn provider(kind: &str, config: &[(&str, &str)]) -> Provider {
        Provider {
            name: "p".to_owned(),
            kind: kind.parse().unwrap(),
            credentials: [("KEY".to_owned(), Value::new("sk-value").unwrap())].into(),
            config: config.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            created: 1,
        }
    }

    fn made_of(kind: &str, config: &[(&str, &str)]) -> Result<String, Failure> {
        let wanted =
            Wanted { provider: "p".into(), model: "m-1:8b".into(), timeout_secs: 5, version: 3 };
        let (key, audit) = (Path::new("/a \"b\"/key"), Path::new("/h/audit.jsonl"));
        text(&wanted, &provider(kind, config), Some(key), audit)
    }

    #[test]
    fn a_file_knows_what_it_was_made_of_and_whether_it_was_changed() {
        let text = made_of("openai", &[]).unwrap();
        assert!(!text.contains("sk-value") && text.contains("zone: public"), "{text}");
        let made = read(&text).unwrap();
        assert_eq!((made.wanted.version, made.edited), (3, false));
        assert!(read(&text.replace("first_byte: 5s", "first_byte: 6s")).unwrap().edited);
        assert_eq!(read("version: 1\n"), None);
    }

    #[test]
    fn what_does_not_work_leaves_what_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("router.yaml");
        let fails = || Err(Failure::new("no"));
        replace(&file, "new", fails).unwrap_err();
        assert!(!file.exists());
        replace(&file, "old", || Ok(())).unwrap();
        replace(&file, "new", fails).unwrap_err();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    }

    #[test]
    fn every_type_with_a_model_api_makes_a_sound_file() {
        for profile in sandbox::providers::ALL.iter().filter(|one| one.model.is_some()) {
            let url = match profile.name {
                "azure-openai" => "https://a.openai.azure.com",
                "openai-compatible" => "https://a.example.com/v1",
                _ => "",
            };
            let config = [("base_url", url)];
            made_of(profile.name, if url.is_empty() { &[] } else { &config }).unwrap();
        }
        let local = made_of("ollama", &[]).unwrap();
        assert!(
            local.contains("zone: local") && local.contains("{input: 0, output: 0}"),
            "{local}"
        );
        assert!(made_of("openai", &[("zone", "private")]).unwrap().contains("zone: private"));
    }

    #[test]
    fn what_makes_no_file_is_told() {
        assert!(made_of("github", &[]).unwrap_err().to_string().contains("no model API"));
        assert!(
            made_of("openai", &[("zone", "mine")]).unwrap_err().to_string().contains("no zone")
        );
        assert!(made_of("openai", &[("price", "x")]).unwrap_err().to_string().contains("no price"));
        assert!(
            made_of("openai", &[("price", "0.5/2")])
                .unwrap()
                .contains("price: {input: 0.5, output: 2}")
        );
        assert!(made_of("openai", &[]).unwrap().contains("price: {input: 15"), "never nothing");
        assert!(made_of("openai-compatible", &[]).unwrap_err().to_string().contains("base_url"));
    }
}
