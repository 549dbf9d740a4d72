//! `openshell provider …`: services with their credentials, as a gateway keeps them (`kept`), or this user without one.
//!
//! Invariant: no value of a credential is ever written to a terminal, a log or an argument.

mod kept;

use std::{collections::BTreeMap, ffi::OsStr, io, os::unix::ffi::OsStrExt as _, process::ExitCode};

use sandbox::{
    providers::{self, Kind, Profile, Provider, Providers, Value},
    state::now,
};
use serde::Serialize;

use crate::{
    args::{
        ChoiceArgs,
        provider::{
            OutputArg, ProviderCommand, ProviderCreateArgs, ProviderGetArgs, ProviderListArgs,
            ProviderUpdateArgs,
        },
    },
    commands::{gateway::Whose, inference, sandbox::attached, sandbox::home},
    failure::Failure,
    output::{self, columns, point},
};

/// A provider as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    credential_keys: Vec<String>,
    config: BTreeMap<String, String>,
    created: String,
}

/// A provider by its name, and its type where this program knows it.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) kind: Option<Kind>,
}

/// Runs what was typed.
pub(crate) fn run(command: ProviderCommand, choice: &ChoiceArgs) -> Result<ExitCode, Failure> {
    let command = match command {
        ProviderCommand::ListProfiles(args) => {
            list_profiles(args)?;
            return Ok(ExitCode::SUCCESS);
        }
        command => command,
    };
    if let Whose::Gateway(gateway) = Whose::of(choice)? {
        return kept::run(&gateway, command);
    }
    match command {
        ProviderCommand::Create(args) => create(args)?,
        ProviderCommand::Get(args) => get(&args)?,
        ProviderCommand::List(args) => list(&args)?,
        ProviderCommand::Update(args) => update(args)?,
        ProviderCommand::Delete { names } => delete(&names)?,
        ProviderCommand::ListProfiles(args) => list_profiles(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Every provider that sandboxes may be given.
pub(crate) fn named(whose: &Whose) -> Result<Vec<Named>, Failure> {
    match whose {
        Whose::Gateway(gateway) => kept::named(gateway),
        Whose::Own => {
            let all = all()?.all()?.into_iter();
            Ok(all.map(|one| Named { name: one.name, kind: Some(one.kind) }).collect())
        }
    }
}

/// The providers of this user.
pub(crate) fn all() -> Result<Providers, Failure> {
    Ok(Providers::of(&home()?))
}

/// The provider of that name.
pub(crate) fn find(name: &str) -> Result<Provider, Failure> {
    checked(name)?;
    all()?.get(name)?.ok_or_else(|| {
        Failure::new(format!("provider '{name}' not found"))
            .hint("`openshell provider list` shows them, `openshell provider create` makes one")
    })
}

fn checked(name: &str) -> Result<(), Failure> {
    if providers::is_name(name) {
        return Ok(());
    }
    let hint = "letters, digits, '-', '_' and '.', the first one no punctuation, at most 63";
    Err(Failure::usage(format!("a provider cannot be called {name:?}")).hint(hint))
}

fn create(args: ProviderCreateArgs) -> Result<(), Failure> {
    checked(&args.name)?;
    let credentials = if args.from_existing {
        existing(args.kind)?
    } else {
        let (set, _) = given(&args.credential)?;
        set
    };
    let config = args.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let provider =
        Provider { name: args.name, kind: args.kind, credentials, config, created: now() };
    keep(&provider)?;
    output::line(&format!("✓ Created provider {}", provider.name))
}

/// Makes a provider of the credentials that this environment has of its type.
pub(crate) fn make(whose: &Whose, name: &str, kind: Kind) -> Result<(), Failure> {
    let name = name.to_owned();
    let credentials = existing(kind)?;
    if let Whose::Gateway(gateway) = whose {
        return kept::make(gateway, name, (kind, credentials, BTreeMap::new()));
    }
    keep(&Provider { name, kind, credentials, config: BTreeMap::new(), created: now() })
}

fn keep(provider: &Provider) -> Result<(), Failure> {
    sound(provider)?;
    all()?.create(provider).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(format!("provider '{}' already exists", provider.name))
                .hint(format!("change it with `openshell provider update {}`", provider.name))
        }
        _ => Failure::from(error),
    })
}

fn sound(provider: &Provider) -> Result<(), Failure> {
    providers::check(std::slice::from_ref(provider))
        .map_err(|failed| Failure::usage(failed.message).hint(failed.hint))
}

/// The credentials that this environment has of a type.
fn existing(kind: Kind) -> Result<BTreeMap<String, Value>, Failure> {
    let mut found = BTreeMap::new();
    for key in kind.variables() {
        if let Some(value) = from_environment(key)? {
            found.insert(key.to_owned(), value);
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<&str> = kind.variables().collect();
    let failure = Failure::new(format!("no existing credentials found for type '{kind}'"));
    Err(if known.is_empty() {
        failure
            .hint("this type knows no variables; give its credential with --credential KEY=VALUE")
    } else {
        failure.hint(format!("set {}, or use --credential KEY=VALUE", known.join(" or ")))
    })
}

/// Whether this environment has a credential of that type.
pub(crate) fn has_existing(kind: Kind) -> bool {
    kind.variables().any(|key| std::env::var_os(key).is_some_and(|text| !text.is_empty()))
}

fn from_environment(key: &str) -> Result<Option<Value>, Failure> {
    let Some(text) = std::env::var_os(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    value(key, &text).map(Some)
}

fn value(key: &str, text: &OsStr) -> Result<Value, Failure> {
    let unfit = |why: String| Failure::usage(format!("the value of {key} cannot be used: {why}"));
    let text = text.to_str().ok_or_else(|| unfit("it is not UTF-8 text".to_owned()))?;
    Value::new(text).map_err(|error| unfit(error.to_string()))
}

/// What was given as `KEY=VALUE` or `KEY`, and the keys that were given an empty value.
fn given(pairs: &[std::ffi::OsString]) -> Result<(BTreeMap<String, Value>, Vec<String>), Failure> {
    let mut set = BTreeMap::new();
    let mut emptied = Vec::new();
    for pair in pairs {
        let mut parts = pair.as_bytes().splitn(2, |byte| *byte == b'=');
        let key = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        if !is_variable(&key) {
            // It may be a value whose key was forgotten, so it is not repeated.
            return Err(Failure::usage("a credential begins with the name of its variable")
                .hint("write --credential KEY=VALUE, or --credential KEY to take it from this environment"));
        }
        match parts.next() {
            Some([]) => emptied.push(key),
            Some(text) => drop(set.insert(key.clone(), value(&key, OsStr::from_bytes(text))?)),
            None => {
                let found = from_environment(&key)?.ok_or_else(|| {
                    Failure::new(format!("the variable {key} is not set"))
                        .hint(format!("export it, or write --credential {key}=VALUE"))
                })?;
                set.insert(key, found);
            }
        }
    }
    if set.is_empty() && emptied.is_empty() {
        return Err(Failure::usage("no credential is given"));
    }
    Ok((set, emptied))
}

fn is_variable(key: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !key.is_empty()
        && key.len() <= 128
        && key.chars().all(plain)
        && !key.starts_with(|c: char| c.is_ascii_digit())
}

fn get(args: &ProviderGetArgs) -> Result<(), Failure> {
    one(args, &show(find(&args.name)?))
}

/// Shows a provider.
fn one(args: &ProviderGetArgs, shown: &Shown) -> Result<(), Failure> {
    output::emit(args.output.output, shown, |shown| {
        let config: Vec<&str> = shown.config.keys().map(String::as_str).collect();
        let list = |keys: String| if keys.is_empty() { "<none>".to_owned() } else { keys };
        format!(
            "Provider:\n  Name: {}\n  Type: {}\n  Credential keys: {}\n  Config keys: {}\n  Created: {}",
            shown.name,
            shown.kind,
            list(shown.credential_keys.join(", ")),
            list(config.join(", ")),
            shown.created
        )
    })
}

fn show(provider: Provider) -> Shown {
    Shown {
        name: provider.name,
        kind: provider.kind.to_string(),
        credential_keys: provider.credentials.into_keys().collect(),
        config: provider.config,
        created: point(provider.created),
    }
}

fn list(args: &ProviderListArgs) -> Result<(), Failure> {
    listed(args, all()?.all()?.into_iter().map(show))
}

/// Shows a list of providers.
fn listed(args: &ProviderListArgs, all: impl Iterator<Item = Shown>) -> Result<(), Failure> {
    let shown: Vec<Shown> = all.skip(args.offset).take(args.limit).collect();
    if args.names {
        return shown.iter().try_for_each(|one| output::line(&one.name));
    }
    output::emit(args.output.output, &shown, |shown| {
        if shown.is_empty() {
            return "No providers found.".to_owned();
        }
        let row = |one: &Shown| {
            let (credentials, config) = (one.credential_keys.len(), one.config.len());
            vec![one.name.clone(), one.kind.clone(), credentials.to_string(), config.to_string()]
        };
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        columns(&["NAME", "TYPE", "CREDENTIAL_KEYS", "CONFIG_KEYS"], &rows)
    })
}

fn update(args: ProviderUpdateArgs) -> Result<(), Failure> {
    let mut provider = find(&args.name)?;
    if args.from_existing {
        provider.credentials.extend(existing(provider.kind)?);
    }
    if !args.credential.is_empty() {
        let (set, emptied) = given(&args.credential)?;
        provider.credentials.extend(set);
        provider.credentials.retain(|key, _| !emptied.contains(key));
    }
    for (key, value) in args.config {
        if value.is_empty() {
            provider.config.remove(&key);
        } else {
            provider.config.insert(key, value);
        }
    }
    sound(&provider)?;
    all()?.replace(&provider)?;
    inference::provider_changed(&provider)?;
    for sandbox in attached::renew(&provider.name)? {
        output::complain(&format!("• Sandbox {sandbox} uses it from now on"));
    }
    output::line(&format!("✓ Updated provider {}", provider.name))
}

fn delete(names: &[String]) -> Result<(), Failure> {
    for name in names {
        checked(name)?;
        if let Some(sandbox) = attached::users(name)?.into_iter().next() {
            return Err(Failure::new(format!(
                "provider '{name}' is attached to sandbox {sandbox}"
            ))
            .hint(format!("`openshell sandbox provider detach {sandbox} {name}` takes it away")));
        }
        if inference::uses(name)? {
            return Err(Failure::new(format!("model calls go to provider '{name}'"))
                .hint("set another one with `openshell inference set` first"));
        }
        inference::forget_key(name)?;
        if all()?.remove(name)? {
            output::line(&format!("✓ Deleted provider {name}"))?;
        } else {
            output::line(&format!("! Provider {name} not found"))?;
        }
    }
    Ok(())
}

fn list_profiles(args: OutputArg) -> Result<(), Failure> {
    output::emit(args.output, &providers::ALL.as_slice(), |all| {
        let rows: Vec<Vec<String>> = all.iter().map(profile).collect();
        columns(&["TYPE", "VARIABLES", "ENDPOINTS", "ROUTER"], &rows)
    })
}

fn profile(profile: &Profile) -> Vec<String> {
    let variables = profile.credentials.iter().flat_map(|one| one.variables);
    let places = profile.credentials.iter().flat_map(|one| one.places);
    let variables: Vec<&str> = variables.copied().collect();
    let places: Vec<String> =
        places.map(|place| format!("{}:{}", place.host, place.port)).collect();
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    vec![
        profile.name.to_owned(),
        or_none(variables.join(",")),
        or_none(places.join(",")),
        profile.model.map_or("-", |model| model.provider).to_owned(),
    ]
}
