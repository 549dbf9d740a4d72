//! `openshell sandbox create`: a sandbox with its policy and its files, and then its command.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use drivers::supervisor::Role;
use policy::PolicyFile;
use proxy::SandboxKey;
use sandbox::{
    WORKSPACE,
    control::{Request, client::Supervisor},
    policies::Policies,
    pool::TakeError,
    providers::Provider,
    state::{Folder, ProxyUrl, Record, Upstream, Whole, is_name, now},
};

use super::{
    attached, block_on, files, heard, home, life,
    line::Line,
    needed,
    pool::{self, Taken},
    programs, spawn, terminal,
};
use crate::{
    args::sandbox::{CreateArgs, UpstreamArgs},
    commands::{forward, gateway::Whose},
    failure::Failure,
    output,
};

/// How long a sandbox may prove to the router which one it is: a year.
const TOKEN_VALID_SECONDS: u64 = 365 * 24 * 3600;
/// How often a random name is drawn.
const NAMES_MAX: usize = 20;

/// Creates it, and stays with its command unless told otherwise.
pub(super) fn run(args: &CreateArgs) -> Result<ExitCode, Failure> {
    let policy = policy_text(args.policy.as_deref())?;
    run_with(args, &policy)
}

/// The same under this policy.
pub(crate) fn run_with(args: &CreateArgs, policy: &str) -> Result<ExitCode, Failure> {
    if args.sandbox_key.is_some() && args.router.is_none() {
        return Err(Failure::usage("--sandbox-key is of no use without --router").hint(
            "name the router whose key it is; the router of this user has a key of its own",
        ));
    }
    let uploads = uploads(args)?;
    let providers = attached::load(&needed::names(&Whose::Own, args)?)?;
    super::start_router(args.router.as_deref())?;
    let size = terminal::size(args.tty);
    let record = Record {
        workspace: String::new(),
        id: uuid::Uuid::new_v4().to_string(),
        name: String::new(),
        command: args.command.clone(),
        terminal: size.is_some(),
        environment: args.env.iter().cloned().collect(),
        labels: args.label.iter().cloned().collect(),
        providers: providers.iter().map(|provider| provider.name.clone()).collect(),
        router: args.router.as_deref().map(router).transpose()?,
        upstream: upstream(&args.upstream)?,
        learning: args.learning,
        strict_callers: args.strict_callers,
        limits: Whole {
            cpu_percent: args.limits.cpus,
            memory_bytes: args.limits.memory,
            processes: args.limits.pids,
        },
        created: now(),
    };
    // What is prepared in place of one that was taken is on its way when this returns, however it does.
    let Made { name, folder, taken } = make(args, &record, policy)?;
    let stands = taken.as_ref().is_some_and(|taken| taken.stands);
    let stood = prepare(&name, &folder, stands, policy, providers)
        .and_then(|()| super::find(Some(&name)).map(drop))
        .and_then(|()| fill(&name, &folder, args, &uploads))
        .and_then(|()| launch(&name, &folder, args));
    if let Err(failure) = stood {
        // Nobody has heard of it yet, so nobody would ever end it.
        life::remove(&name, &folder).ok();
        return Err(failure);
    }
    let done = begin(&name, &folder, args);
    if args.no_keep {
        life::remove(&name, &folder)?;
    }
    done
}

/// The policy that was named, checked; else the one that lets nothing through.
pub(super) fn policy_text(path: Option<&Path>) -> Result<String, Failure> {
    let Some(path) = path else {
        return Ok(PolicyFile::restrictive().to_yaml()?);
    };
    let (_, notices) = crate::commands::policy::load(path)?;
    crate::commands::policy::warn(path, &notices);
    let text = std::fs::read_to_string(path);
    Ok(text.with_context(|| format!("cannot read {}", path.display()))?)
}

/// Where the router is, as its supervisor finds it, which works in another folder.
fn router(at: &str) -> Result<String, Failure> {
    let Some(path) = at.strip_prefix("unix:") else { return Ok(at.to_owned()) };
    let path = std::path::absolute(path).context("the path of the router")?;
    Ok(format!("unix:{}", path.display()))
}

/// How the network outside is reached.
fn upstream(args: &UpstreamArgs) -> Result<Upstream, Failure> {
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Upstream {
        ca_pem: args.ca.as_ref().map(read).transpose()?,
        proxy: args.proxy.clone().map(ProxyUrl),
        no_proxy: args.no_proxy.clone(),
    })
}

/// What is to be uploaded, and where to.
pub(super) struct Upload {
    /// The file or the folder here.
    pub(super) path: PathBuf,
    /// The place in the sandbox.
    pub(super) to: String,
}

/// What is to be uploaded to a new sandbox.
pub(super) fn uploads(args: &CreateArgs) -> Result<Vec<Upload>, Failure> {
    args.upload.iter().map(|text| upload(text)).collect()
}

fn upload(text: &str) -> Result<Upload, Failure> {
    let (path, to) = match text.rsplit_once(':') {
        // A path with a colon in it that is there as a whole is meant as a whole.
        Some((path, to)) if !Path::new(text).exists() => (path, to),
        _ => (text, WORKSPACE),
    };
    if !Path::new(path).exists() {
        return Err(Failure::new(format!("{path} does not exist"))
            .hint("--upload takes a local path, or LOCAL_PATH:SANDBOX_PATH"));
    }
    Ok(Upload { path: path.into(), to: to.to_owned() })
}

/// A sandbox with its folder, which stands already when it was taken from those that are prepared.
struct Made {
    name: String,
    folder: Folder,
    taken: Option<Taken>,
}

/// The folder of a new sandbox, under the name asked for or one that is free.
fn make(args: &CreateArgs, record: &Record, policy: &str) -> Result<Made, Failure> {
    let home = home()?;
    let asked = args.name.as_deref();
    if let Some(name) = asked.filter(|name| !is_name(name)) {
        return Err(Failure::usage(format!("a sandbox cannot be called {name:?}"))
            .hint("lower-case letters, digits and hyphens between them, at most 63"));
    }
    for number in 0..NAMES_MAX {
        let name = asked.map_or_else(|| drivers::random_name(number), str::to_owned);
        let folder = home.sandbox(&name);
        let record = Record { name: name.clone(), ..record.clone() };
        // The proof of who it is must be there before its supervisor reads it.
        let taken = match args.sandbox_key {
            Some(_) => Ok(None),
            None => pool::take(&record, policy, &folder),
        };
        let made = match taken {
            Ok(None) => folder.create(&record).map(|()| None),
            Ok(taken) => Ok(taken),
            Err(TakeError::Disk(error)) => Err(error),
            Err(TakeError::Policy(failed)) => {
                return Err(Failure::new(failed.message).hint(failed.hint));
            }
        };
        match made {
            Ok(taken) => {
                let made = prove(&name, &folder, args);
                if made.is_err() {
                    folder.remove().ok();
                }
                return made.map(|()| Made { name, folder, taken });
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let failure = Failure::from(
                    anyhow::Error::new(error)
                        .context(format!("cannot make {}", folder.path().display())),
                );
                return Err(failure.hint("set OPENSHELL_HOME to a folder that you can write"));
            }
            // Another random name may be free; one that was asked for is not.
            Err(_) if asked.is_none() => {}
            Err(_) => break,
        }
    }
    let taken = asked.map_or_else(|| "every name".to_owned(), |name| format!("sandbox {name}"));
    Err(Failure::new(format!("{taken} exists already"))
        .hint("choose another --name, or delete it with `openshell sandbox delete`"))
}

/// Gives the supervisor what proves to the router which sandbox it is.
fn prove(name: &str, folder: &Folder, args: &CreateArgs) -> Result<(), Failure> {
    let Some(path) = &args.sandbox_key else { return Ok(()) };
    let key =
        SandboxKey::open(path).with_context(|| format!("cannot use the key {}", path.display()))?;
    let token = key
        .mint(name, now().saturating_add(TOKEN_VALID_SECONDS))
        .ok_or_else(|| Failure::new(format!("no token can be made for {name}")))?;
    Ok(folder.keep_token(token.as_bytes())?)
}

/// Lets it stand, with what it was to have.
fn prepare(
    name: &str,
    folder: &Folder,
    stands: bool,
    policy: &str,
    providers: Vec<Provider>,
) -> Result<(), Failure> {
    if !stands {
        let set = Policies::open(folder)?.set(policy);
        set.map_err(|failed| Failure::new(failed.message).hint(failed.hint))?;
        spawn(name, folder, Role::Sandbox)?;
    }
    attached::supply(name, folder, providers)
}

fn fill(name: &str, folder: &Folder, args: &CreateArgs, uploads: &[Upload]) -> Result<(), Failure> {
    let line = Line::own(name, Supervisor::of(folder));
    for upload in uploads {
        files::send(&line, &upload.path, (&upload.to, args.no_git_ignore))?;
    }
    match &args.forward {
        Some(port) => forward::background(port, &Whose::Own, name),
        None => Ok(()),
    }
}

/// Starts the command where nobody stays with it.
fn launch(name: &str, folder: &Folder, args: &CreateArgs) -> Result<(), Failure> {
    if !args.detach || args.command.is_empty() {
        return Ok(());
    }
    let request =
        Request::Launch { attach: false, once: false, terminal: terminal::size(args.tty) };
    let supervisor = Supervisor::of(folder);
    block_on(async { heard(name, supervisor.ask(&request).await) }).map(drop)
}

/// Runs the command, or a shell, or nothing.
fn begin(name: &str, folder: &Folder, args: &CreateArgs) -> Result<ExitCode, Failure> {
    let size = terminal::size(args.tty);
    let line = Line::own(name, Supervisor::of(folder));
    if args.detach {
        output::line(&format!("✓ Created sandbox {name}"))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::complain(&format!("✓ Created sandbox {name}"));
    if args.command.is_empty() {
        return programs::shell(&line, size);
    }
    let request = Request::Launch { attach: true, once: false, terminal: size };
    // Who leaves a sandbox that is not kept would find nothing to come back to.
    let stays = !args.no_keep && !args.learning;
    let keys = if stays { terminal::Keys::Detach } else { terminal::Keys::Plain };
    programs::stay(&line, &request, keys)
}
