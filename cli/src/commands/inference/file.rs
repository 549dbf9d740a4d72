//! A router file in the home: made here, or written by somebody and then left alone.
//!
//! The first line of a file that is made says what it is made of, and a hash over all that follows.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

pub(super) use gateway::inference::made::{Made, Wanted};
use gateway::inference::made::{Places, quoted, read};
use sandbox::providers::Provider;

use crate::{failure::Failure, output};

/// The file in force, if it was made here.
pub(super) fn made(file: &Path) -> Result<Option<Made>, Failure> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(read(&other?)),
    }
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
    let key = key.map(|key| format!("{{file: {}}}", quoted(&key.display().to_string())));
    let audit = audit.display().to_string();
    let places = Places { credential: key.as_deref(), audit: Some(&audit) };
    let made = gateway::inference::made::text(wanted, provider, places)
        .map_err(|error| Failure::new(error.message).hint(error.hint))?;
    if made.price_assumed {
        output::complain(&price_assumed(&wanted.model, &provider.name));
    }
    Ok(made.text)
}

/// What is said of a model that nobody knows the price of.
pub(super) fn price_assumed(model: &str, provider: &str) -> String {
    format!(
        "! Nobody knows what {model} costs; it is booked as dear as the dearest. Say what it costs in USD per million tokens: openshell provider update {provider} --config price=INPUT/OUTPUT"
    )
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
