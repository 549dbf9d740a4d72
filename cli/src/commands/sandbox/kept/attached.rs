//! The providers of a sandbox that a gateway keeps.

use api::sandbox::{ProviderNames, Sandbox};
use reqwest::Method;

use super::{find, named};
use crate::{
    args::sandbox::{AttachArgs, AttachedCommand},
    commands::{gateway::Chosen, sandbox::attached},
    failure::Failure,
    output,
};

/// Runs what was typed.
pub(super) fn run(gateway: &Chosen, command: AttachedCommand) -> Result<(), Failure> {
    match command {
        AttachedCommand::List(args) => {
            let sandbox = find(gateway, args.sandbox.name.as_deref())?;
            attached::listed(args.output, &sandbox.spec.providers)
        }
        AttachedCommand::Attach(args) => {
            let name = change(gateway, &args, "attach")?;
            args.providers.iter().try_for_each(|provider| {
                output::line(&format!("✓ Attached provider {provider} to sandbox {name}"))
            })
        }
        AttachedCommand::Detach(args) => {
            let known = find(gateway, Some(&args.sandbox))?.spec.providers;
            if let Some(missing) = args.providers.iter().find(|one| !known.contains(one)) {
                return Err(attached::not_attached(missing, &args.sandbox));
            }
            change(gateway, &args, "detach")?;
            args.providers.iter().try_for_each(|provider| {
                output::line(&format!(
                    "✓ Detached provider {provider} from sandbox {}",
                    args.sandbox
                ))
            })
        }
    }
}

fn change(gateway: &Chosen, args: &AttachArgs, how: &str) -> Result<String, Failure> {
    let name = named(gateway, Some(&args.sandbox))?;
    let names = ProviderNames { providers: args.providers.clone() };
    let path = format!("/v1/sandboxes/{name}/providers/{how}");
    drop(gateway.send::<Sandbox>(Method::POST, &path, &names)?);
    Ok(name)
}
