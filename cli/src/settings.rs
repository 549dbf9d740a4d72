//! Reads router files for the commands, and makes engines that decide nothing but on paper.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use backends::{
    configuration::Configuration,
    file::{Notice, parse},
};
use router::{
    classify::Term,
    decide::{Engine, Keys, Memory},
    hash::HashKey,
};

use crate::{args::audit::AuditFile, failure::Failure, output};

/// A router file with its configuration.
pub(crate) fn load(path: &Path) -> Result<(Configuration, Vec<Notice>), Failure> {
    parse(&text(path)?).map_err(|faults| {
        for fault in &faults {
            output::complain(&format!("{}:{fault}", path.display()));
        }
        let count = faults.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        Failure::new(format!("{} has {count} {noun}", path.display()))
            .hint("docs/router.md describes every field")
    })
}

/// The text of a router file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the router file {}", path.display()));
    text.map_err(|error| {
        Failure::from(error)
            .hint("name your router file, or write one as docs/router.md tells; `openshell demo` needs none")
    })
}

/// The operator's terms as detectors take them.
pub(crate) fn terms(configuration: &Configuration) -> Vec<Term> {
    let terms = configuration.terms.iter();
    terms.map(|(name, patterns)| Term { name: name.clone(), patterns: patterns.clone() }).collect()
}

/// An engine for a configuration, with an empty memory.
pub(crate) fn engine(configuration: &Configuration) -> Result<(Engine, Memory), Failure> {
    let engine = Engine::new(configuration.settings.clone(), terms(configuration), 0)?;
    Ok((engine, Memory::new(random_keys())))
}

/// Keys that nobody else has.
pub(crate) fn random_keys() -> Keys {
    let half = || uuid::Uuid::new_v4().into_bytes();
    let mut mask = [0; 32];
    let random = half().into_iter().chain(half());
    for (to, from) in mask.iter_mut().zip(random) {
        *to = from;
    }
    Keys { hash: HashKey::new(half()), mask }
}

/// The audit file that was named, or the one that the router file names.
pub(crate) fn audit_path(wanted: &AuditFile) -> Result<PathBuf, Failure> {
    if let Some(file) = &wanted.file {
        return Ok(file.clone());
    }
    let config = &wanted.config.config;
    if !config.exists() {
        return Err(Failure::new(format!(
            "no audit file is named, and there is no {} that could name one",
            config.display()
        ))
        .hint("give the audit file with --file, or the router file that names it with --config"));
    }
    let (configuration, _) = load(config)?;
    configuration.audit.file.map(PathBuf::from).ok_or_else(|| {
        Failure::usage("the router file names no audit file")
            .hint("add `audit: {file: PATH}` to it, or give the file with --file")
    })
}
