//! Providers that a gateway keeps: their credentials go to it, and never come back.

use std::{collections::BTreeMap, process::ExitCode};

use api::{
    provider::{NewProvider, Provider, ProviderChange},
    secret::Secret,
};
use reqwest::Method;
use sandbox::providers::{Kind, Value};

use super::{Named, Shown, checked, existing, given, listed, one};
use crate::{
    args::provider::{ProviderCommand, ProviderCreateArgs, ProviderUpdateArgs},
    commands::gateway::Chosen,
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(super) fn run(gateway: &Chosen, command: ProviderCommand) -> Result<ExitCode, Failure> {
    match command {
        ProviderCommand::Create(args) => create(gateway, args)?,
        ProviderCommand::Get(args) => one(&args, &shown(find(gateway, &args.name)?))?,
        ProviderCommand::List(args) => {
            let all: Vec<Provider> = gateway.all("/v1/providers")?;
            listed(&args, all.into_iter().map(shown))?;
        }
        ProviderCommand::Update(args) => update(gateway, args)?,
        ProviderCommand::Delete { names } => {
            names.iter().try_for_each(|name| delete(gateway, name))?;
        }
        ProviderCommand::ListProfiles(_) => {
            return Err(Failure::new("this is not asked of a gateway"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every provider of the workspace.
pub(super) fn named(gateway: &Chosen) -> Result<Vec<Named>, Failure> {
    let all: Vec<Provider> = gateway.all("/v1/providers")?;
    Ok(all
        .into_iter()
        .map(|provider| Named { kind: provider.kind.parse().ok(), name: provider.name })
        .collect())
}

/// Makes a provider of a type with these credentials and this configuration.
pub(super) fn make(
    gateway: &Chosen,
    name: String,
    (kind, credentials, config): (Kind, BTreeMap<String, Value>, BTreeMap<String, String>),
) -> Result<(), Failure> {
    let credentials = credentials.into_iter().map(|(key, value)| (key, secret(value))).collect();
    let new = NewProvider { name, kind: kind.to_string(), credentials, config };
    drop(gateway.send::<Provider>(Method::POST, "/v1/providers", &new)?);
    Ok(())
}

fn create(gateway: &Chosen, args: ProviderCreateArgs) -> Result<(), Failure> {
    checked(&args.name)?;
    let credentials =
        if args.from_existing { existing(args.kind)? } else { given(&args.credential)?.0 };
    let config = args.config.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    make(gateway, args.name.clone(), (args.kind, credentials, config))?;
    output::line(&format!("✓ Created provider {}", args.name))
}

fn update(gateway: &Chosen, args: ProviderUpdateArgs) -> Result<(), Failure> {
    let known = find(gateway, &args.name)?;
    let mut credentials = BTreeMap::new();
    if args.from_existing {
        let kind = known.kind.parse::<Kind>().map_err(|_| {
            Failure::new(format!("this program does not know providers of type '{}'", known.kind))
                .hint("use one of the version of the gateway, or --credential KEY=VALUE")
        })?;
        credentials.extend(existing(kind)?.into_iter().map(|(key, value)| (key, Some(value))));
    }
    if !args.credential.is_empty() {
        let (set, emptied) = given(&args.credential)?;
        credentials.extend(set.into_iter().map(|(key, value)| (key, Some(value))));
        credentials.extend(emptied.into_iter().map(|key| (key, None)));
    }
    let credentials =
        credentials.into_iter().map(|(key, value)| (key, value.map(secret))).collect();
    let config = args
        .config
        .into_iter()
        .map(|(key, value)| (key, Some(value).filter(|value| !value.is_empty())))
        .collect();
    let change = ProviderChange { credentials, config };
    let path = format!("/v1/providers/{}", args.name);
    drop(gateway.send::<Provider>(Method::PATCH, &path, &change)?);
    output::line(&format!("✓ Updated provider {}", args.name))
}

fn delete(gateway: &Chosen, name: &str) -> Result<(), Failure> {
    checked(name)?;
    let path = format!("/v1/providers/{name}");
    if gateway.find::<Provider>(&path)?.is_none() {
        return output::line(&format!("! Provider {name} not found"));
    }
    gateway.order(Method::DELETE, &path)?;
    output::line(&format!("✓ Deleted provider {name}"))
}

fn find(gateway: &Chosen, name: &str) -> Result<Provider, Failure> {
    checked(name)?;
    gateway.find(&format!("/v1/providers/{name}"))?.ok_or_else(|| {
        Failure::new(format!("provider '{name}' not found"))
            .hint("`openshell provider list` shows them, `openshell provider create` makes one")
    })
}

fn secret(value: Value) -> Secret {
    Secret::from(value.into_inner())
}

fn shown(provider: Provider) -> Shown {
    Shown {
        name: provider.name,
        kind: provider.kind,
        credential_keys: provider.credential_keys,
        config: provider.config,
        created: provider.created.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    }
}
