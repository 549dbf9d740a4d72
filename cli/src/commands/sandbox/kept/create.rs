//! `openshell sandbox create` with a gateway: it makes the sandbox, and here its files are brought and its command stayed with.

use std::{process::ExitCode, sync::Arc};

use api::sandbox::{NewSandbox, Phase, Sandbox, SandboxLimits, SandboxSpec};
use reqwest::Method;
use sandbox::control::Request;

use super::{CHANGE_MAX, remove, settled};
use crate::{
    args::sandbox::CreateArgs,
    commands::{
        forward,
        gateway::{Chosen, Whose},
        sandbox::{
            create::{policy_text, uploads},
            files,
            line::Line,
            needed, programs, terminal,
        },
    },
    failure::Failure,
    output,
};

/// Creates it, and stays with its command unless told otherwise.
pub(super) fn run(gateway: &Arc<Chosen>, args: &CreateArgs) -> Result<ExitCode, Failure> {
    refuse(args)?;
    let uploads = uploads(args)?;
    let policy = args.policy.as_deref().map(|path| policy_text(Some(path))).transpose()?;
    let whose = Whose::Gateway(Arc::clone(gateway));
    let mut providers = needed::names(&whose, args)?;
    providers.sort_unstable();
    providers.dedup();
    let stays = !args.detach;
    let new = NewSandbox {
        name: args.name.clone(),
        spec: SandboxSpec {
            command: args.command.clone(),
            terminal: terminal::size(args.tty).is_some(),
            environment: args.env.iter().cloned().collect(),
            labels: args.label.iter().cloned().collect(),
            providers,
            strict_callers: args.strict_callers,
            limits: SandboxLimits {
                cpu_percent: args.limits.cpus,
                memory_bytes: args.limits.memory,
                processes: args.limits.pids,
            },
        },
        policy,
        // Whoever stays with the command starts it, and files are there before it.
        hold: !args.command.is_empty() && (stays || !uploads.is_empty()),
    };
    let held = new.hold;
    let made: Sandbox = gateway.send(Method::POST, "/v1/sandboxes", &new)?;
    let name = made.name;
    gateway.remember(&name);
    let line = Line::through(gateway, &name);
    let stood = settled(gateway, &name, (Phase::Ready, CHANGE_MAX))
        .and_then(|()| {
            uploads.iter().try_for_each(|upload| {
                files::send(&line, &upload.path, (&upload.to, args.no_git_ignore))
            })
        })
        .and_then(|()| match &args.forward {
            Some(port) => forward::background(port, &whose, &name),
            None => Ok(()),
        })
        .and_then(|()| if held && !stays { launch(gateway, &name) } else { Ok(()) });
    if let Err(failure) = stood {
        // Nobody has heard of it yet, so nobody would ever end it.
        remove(gateway, &name).ok();
        return Err(failure);
    }
    let done = begin(&line, args);
    if args.no_keep {
        remove(gateway, &name)?;
    }
    done
}

/// What its gateway decides, not whoever creates a sandbox.
fn refuse(args: &CreateArgs) -> Result<(), Failure> {
    let flags = [
        ("--router", args.router.is_some()),
        ("--sandbox-key", args.sandbox_key.is_some()),
        ("--upstream-ca", args.upstream.ca.is_some()),
        ("--upstream-proxy", args.upstream.proxy.is_some()),
        ("--upstream-no-proxy", !args.upstream.no_proxy.is_empty()),
    ];
    match flags.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::usage(format!("{flag} is for its gateway to decide"))
            .hint("`--gateway none` creates a sandbox without a gateway")),
    }
}

fn launch(gateway: &Chosen, name: &str) -> Result<(), Failure> {
    drop(gateway.send::<Sandbox>(Method::POST, &format!("/v1/sandboxes/{name}/launch"), &())?);
    Ok(())
}

/// Runs the command, or a shell, or nothing.
fn begin(line: &Line, args: &CreateArgs) -> Result<ExitCode, Failure> {
    let size = terminal::size(args.tty);
    let created = format!("✓ Created sandbox {}", line.name);
    if args.detach {
        output::line(&created)?;
        return Ok(ExitCode::SUCCESS);
    }
    output::complain(&created);
    if args.command.is_empty() {
        return programs::shell(line, size);
    }
    let request = Request::Launch { attach: true, once: false, terminal: size };
    // Who leaves a sandbox that is not kept would find nothing to come back to.
    let keys = if args.no_keep { terminal::Keys::Plain } else { terminal::Keys::Detach };
    programs::stay(line, &request, keys)
}
