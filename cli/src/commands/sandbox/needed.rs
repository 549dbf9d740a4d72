//! The providers that the command of a new sandbox looks for: those that were named, and the one of its type.
//!
//! Invariant: a sandbox gets no provider that nobody asked for, by its name, by `--auto-providers` or with a yes.

use std::io::{self, BufRead as _, IsTerminal as _};

use api::gateway::Info;
use sandbox::providers::Kind;

use crate::{
    args::sandbox::CreateArgs,
    commands::{
        gateway::Whose,
        inference::service::Service,
        provider::{self, Named},
        sandbox::home,
    },
    failure::Failure,
    output,
};

/// How many names are tried for a provider whose usual one is taken by another type.
const NAMES_MAX: u32 = 9;

/// The names of the providers of a new sandbox; those that are missing are made where that is asked for.
pub(super) fn names(whose: &Whose, args: &CreateArgs) -> Result<Vec<String>, Failure> {
    let mut names = args.provider.clone();
    if args.auto.no_auto_providers {
        return Ok(names);
    }
    let known = provider::named(whose)?;
    if args.auto.auto_providers {
        for name in &names {
            let kind =
                name.parse::<Kind>().ok().filter(|_| !known.iter().any(|one| one.name == *name));
            if let Some(kind) = kind {
                provider::make(whose, name, kind)?;
                output::complain(&format!("✓ Created provider {name}"));
            }
        }
    }
    let program = args.command.first().map_or("", String::as_str);
    let Some(kind) = Kind::of_program(program).filter(|kind| !has(*kind, &names, &known)) else {
        return Ok(names);
    };
    if args.auto.auto_providers {
        names.extend(find_or_make(whose, kind, &known)?);
        if kind.profile().model.is_some() && !finds_models(whose, args)? {
            output::complain(
                "! Model calls are not answered yet: `openshell inference set --provider NAME --model MODEL` says where they go",
            );
        }
    } else if is_useful(whose, kind, args)? && agrees(program, kind)? {
        names.extend(find_or_make(whose, kind, &known)?);
    }
    Ok(names)
}

/// Whether a provider of that type is among those that were named.
fn has(kind: Kind, names: &[String], known: &[Named]) -> bool {
    let of_kind = |name: &String| match known.iter().find(|one| one.name == *name) {
        Some(one) => one.kind == Some(kind),
        None => name.parse() == Ok(kind),
    };
    names.iter().any(of_kind)
}

/// The provider of that type, made from this environment where there is none; none, with a word, where that has nothing.
fn find_or_make(whose: &Whose, kind: Kind, known: &[Named]) -> Result<Option<String>, Failure> {
    let of_kind = || known.iter().filter(|one| one.kind == Some(kind));
    // Among several the one that is called like its type, else the first by name.
    let usual = of_kind().find(|one| one.name == kind.profile().name);
    if let Some(found) = usual.or_else(|| of_kind().next()) {
        output::complain(&format!("• Provider {} is attached", found.name));
        return Ok(Some(found.name.clone()));
    }
    if !provider::has_existing(kind) {
        let variables: Vec<&str> = kind.variables().collect();
        output::complain(&format!(
            "! No credential of type '{kind}' is in this environment ({}); the command goes without",
            variables.join(", ")
        ));
        return Ok(None);
    }
    let name = free_name(kind, known)?;
    provider::make(whose, &name, kind)?;
    output::complain(&format!("✓ Created provider {name} from this environment"));
    Ok(Some(name))
}

fn free_name(kind: Kind, known: &[Named]) -> Result<String, Failure> {
    let name = |number: u32| match number {
        1 => kind.to_string(),
        _ => format!("{kind}-{number}"),
    };
    (1..=NAMES_MAX).map(name).find(|name| !known.iter().any(|one| one.name == *name)).ok_or_else(
        || {
            Failure::new(format!("every usual name of a provider of type '{kind}' is taken"))
                .hint("make one with `openshell provider create`, and name it with --provider")
        },
    )
}

/// Whether model calls of the sandbox lead anywhere.
fn finds_models(whose: &Whose, args: &CreateArgs) -> Result<bool, Failure> {
    match whose {
        Whose::Own => Ok(args.router.is_some() || Service::of(&home()?).is_configured()),
        Whose::Gateway(gateway) => Ok(gateway.get::<Info>("/v1/info")?.router),
    }
}

/// Whether there is anything to ask about: at a terminal, something to give, and something that it gives. Where model calls
/// lead somewhere already, an agent that needs nothing else is complete.
fn is_useful(whose: &Whose, kind: Kind, args: &CreateArgs) -> Result<bool, Failure> {
    let is_seen = io::stdin().is_terminal() && io::stderr().is_terminal();
    Ok(is_seen
        && !args.learning
        && provider::has_existing(kind)
        && (kind.profile().model.is_none() || !finds_models(whose, args)?))
}

fn agrees(program: &str, kind: Kind) -> Result<bool, Failure> {
    output::complain(&format!(
        "{program} looks for a credential of type '{kind}', and this environment has one. Give it to the sandbox as a provider, \
         which it uses without seeing it? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
