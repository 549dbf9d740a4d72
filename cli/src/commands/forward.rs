//! `openshell forward …`: a port of this machine that leads to a port of a sandbox.
//!
//! A forward in the background is a process of its own; a file says which. The file is locked as long as the process lives,
//! so that a number that was given to another process since is never taken for it.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Stdio},
    sync::Arc,
};

use anyhow::Context as _;
use rustix::{
    fs::{FlockOperation, flock},
    process::{Pid, Signal, kill_process},
};
use serde::{Deserialize, Serialize};
use tokio::{io::copy_bidirectional, net::TcpListener, sync::Semaphore, task::JoinSet};

use super::{
    gateway::Whose,
    sandbox::{block_on, home, line, line::Line},
};
use crate::{
    args::{
        ChoiceArgs,
        sandbox::{ForwardCommand, ForwardStartArgs},
    },
    failure::Failure,
    output::{self, columns},
};

/// The most connections of one forward at once.
const CONNECTIONS_MAX: usize = 256;
/// How a forward in the background knows what it is.
const IN_BACKGROUND: &str = "OPENSHELL_FORWARD_IN_BACKGROUND";

/// A forward in the background.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    /// The gateway that keeps the sandbox, where one does.
    #[serde(default)]
    gateway: Option<String>,
    sandbox: String,
    bind: String,
    port: u16,
    pid: i32,
}

/// Runs what was typed.
pub(crate) fn run(command: ForwardCommand, choice: &ChoiceArgs) -> Result<ExitCode, Failure> {
    match command {
        ForwardCommand::Start(args) => start(&Whose::of(choice)?, &args),
        ForwardCommand::Stop { port, name } => stop(port, name.as_deref()),
        ForwardCommand::List { output } => {
            let all: Vec<Known> = known()?.into_iter().map(|(_, known)| known).collect();
            output::emit(output, &all, |all| {
                if all.is_empty() {
                    return "No active forwards.".to_owned();
                }
                let rows: Vec<Vec<String>> = all
                    .iter()
                    .map(|one| {
                        let pid = one.pid.to_string();
                        vec![
                            one.sandbox.clone(),
                            one.bind.clone(),
                            one.port.to_string(),
                            pid,
                            "running".into(),
                        ]
                    })
                    .collect();
                columns(&["SANDBOX", "BIND", "PORT", "PID", "STATUS"], &rows)
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn start(whose: &Whose, args: &ForwardStartArgs) -> Result<ExitCode, Failure> {
    let sandbox = line(whose, args.sandbox.name.as_deref())?;
    let name = &sandbox.name;
    if args.background {
        background(&args.port, whose, name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let at = address(&args.port)?;
    let in_background = std::env::var_os(IN_BACKGROUND).is_some();
    block_on(async {
        let listener = TcpListener::bind(at).await.map_err(|error| {
            Failure::from(anyhow::Error::new(error).context(format!("cannot listen on {at}")))
                .hint("choose another port, or see `openshell forward list`")
        })?;
        // Held until this process ends.
        let _kept = if in_background { Some(keep(whose, name, at)?) } else { None };
        output::line(&format!("✓ Forwarding {at} to port {} of sandbox {name}", at.port()))?;
        serve(&listener, &sandbox, at.port()).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Carries connections for ever; one that the sandbox refuses is closed.
async fn serve(listener: &TcpListener, sandbox: &Line, port: u16) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok((mut outside, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let sandbox = sandbox.clone();
        connections.spawn(async move {
            match sandbox.connect_to(port).await {
                // How a connection ends is between its two ends.
                Ok((mut inside, mut carriers)) => {
                    copy_bidirectional(&mut outside, &mut inside).await.ok();
                    drop(inside);
                    while carriers.join_next().await.is_some() {}
                }
                Err(failure) => output::complain(&format!("! {}", failure.message())),
            }
            drop(place);
        });
    }
}

/// Starts a forward as a process of its own and waits until it listens.
pub(crate) fn background(port: &str, whose: &Whose, name: &str) -> Result<(), Failure> {
    let at = address(port)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("openshell").args(["forward", "start", port, name]);
    command.env(IN_BACKGROUND, "1").current_dir("/").process_group(0);
    command.env("OPENSHELL_HOME", std::path::absolute(home()?.path())?);
    command.args(["--gateway", whose.name()]);
    if let Whose::Gateway(gateway) = whose
        && let Some(workspace) = &gateway.workspace
    {
        command.args(["--workspace", workspace]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start the forward")?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    if line.is_empty() {
        let mut why = String::new();
        if let Some(errors) = child.stderr.take() {
            errors.take(4096).read_to_string(&mut why)?;
        }
        child.wait()?;
        let why = why.trim().strip_prefix("error: ").unwrap_or(why.trim()).to_owned();
        return Err(Failure::new(why));
    }
    output::line(&format!(
        "✓ Forwarding {at} to port {} of sandbox {name} in the background",
        at.port()
    ))?;
    output::line(&format!("  stop it with: openshell forward stop {} {name}", at.port()))
}

fn stop(port: u16, name: Option<&str>) -> Result<ExitCode, Failure> {
    let fits = |known: &Known| known.port == port && name.is_none_or(|name| known.sandbox == name);
    let mut stopped = false;
    for (_, known) in known()?.into_iter().filter(|(_, known)| fits(known)) {
        end(&known);
        output::line(&format!("✓ Stopped forward of port {port} to sandbox {}", known.sandbox))?;
        stopped = true;
    }
    if !stopped {
        output::line(&format!("! No active forward found for port {port}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops every forward to a sandbox of that gateway, or of this user.
pub(crate) fn stop_all(gateway: Option<&str>, name: &str) -> Result<(), Failure> {
    let is_its = |known: &Known| known.sandbox == name && known.gateway.as_deref() == gateway;
    for (path, known) in known()?.into_iter().filter(|(_, known)| is_its(known)) {
        end(&known);
        fs::remove_file(path).ok();
    }
    Ok(())
}

fn end(known: &Known) {
    if let Some(pid) = Pid::from_raw(known.pid) {
        // One that has ended meanwhile is what was wanted.
        kill_process(pid, Signal::TERM).ok();
    }
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let unusable = || {
        Failure::usage(format!("{text:?} is no port to forward"))
            .hint("write it as PORT or BIND:PORT, such as 8080 or 0.0.0.0:8080")
    };
    if let Ok(port) = text.parse::<u16>() {
        return (port > 0).then(|| (Ipv4Addr::LOCALHOST, port).into()).ok_or_else(unusable);
    }
    let (bind, port) = text.rsplit_once(':').ok_or_else(unusable)?;
    let bind = match bind.trim_matches(['[', ']']) {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other.parse().map_err(|_| unusable())?,
    };
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(unusable)?;
    Ok((bind, port).into())
}

fn folder() -> Result<PathBuf, Failure> {
    Ok(home()?.path().join("forwards"))
}

/// Notes this process as a forward. The file is locked as long as it is open.
fn keep(whose: &Whose, name: &str, at: SocketAddr) -> Result<File, Failure> {
    let folder = folder()?;
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}-{}.pid", at.port()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(std::io::Error::from)
        .with_context(|| format!("port {} is forwarded already", at.port()))?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let gateway = match whose {
        Whose::Own => None,
        Whose::Gateway(gateway) => Some(gateway.name.clone()),
    };
    let (sandbox, bind, port) = (name.to_owned(), at.ip().to_string(), at.port());
    let known = Known { gateway, sandbox, bind, port, pid };
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&serde_json::to_vec(&known)?)?;
    Ok(file)
}

/// The forwards that run; files of those that are gone are removed.
fn known() -> Result<Vec<(PathBuf, Known)>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder()?).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(file) = File::open(&path) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            fs::remove_file(&path).ok();
            continue;
        }
        let mut text = String::new();
        file.take(4096).read_to_string(&mut text)?;
        if let Ok(known) = serde_json::from_str(&text) {
            all.push((path, known));
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_may_say_where_it_listens() {
        let shown = |text: &str| address(text).map(|at| at.to_string()).ok();
        assert_eq!(shown("8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(shown("0.0.0.0:80").as_deref(), Some("0.0.0.0:80"));
        assert_eq!(shown("[::1]:80").as_deref(), Some("[::1]:80"));
        for text in ["0", "x", "a.example.com:80", "127.0.0.1:0"] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
