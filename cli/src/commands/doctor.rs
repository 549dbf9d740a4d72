//! `openshell doctor check`: whether this machine can do what is asked of it, found out by doing it.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use api::gateway::Info;
use drivers::{Local, Order};
use policy::PolicyFile;
use sandbox::{
    control::{
        Request,
        client::{Said, Supervisor},
    },
    state::{Home, Record, now},
};
use serde::Serialize;
use x509_parser::pem::Pem;

use super::{
    gateway::{Registry, refused},
    sandbox::{block_on, heard, home},
};
use crate::{args::DoctorArgs, failure::Failure, output};

/// How wide the names of checks are with their dots.
const NAME_WIDTH: usize = 20;
/// How long before its end a certificate is worth a word.
const RENEW: Duration = Duration::from_hours(24 * 14);

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// It works, and something is to be known.
    Warning,
    Failed,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn of(name: &'static str, found: Result<(Status, String), Failure>) -> Self {
        match found {
            Ok((status, detail)) => Self { name, status, detail, hint: None },
            Err(failure) => {
                let (detail, hint) = (failure.whole(), failure.next_step().map(str::to_owned));
                Self { name, status: Status::Failed, detail, hint }
            }
        }
    }

    fn line(&self) -> String {
        let dots = ".".repeat(NAME_WIDTH.saturating_sub(self.name.len()));
        let word = match self.status {
            Status::Ok => "ok",
            Status::Warning => "! ok",
            Status::Failed => "✗ failed",
        };
        let hint = self.hint.as_ref().map_or(String::new(), |hint| format!("\n  hint: {hint}"));
        format!("{} {dots} {word} ({}){hint}", self.name, self.detail)
    }
}

/// Makes every check; exit code 1 when one failed.
pub(crate) fn run(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let all = [
        Check::of("Home", writable()),
        Check::of("Sandbox", stands()),
        Check::of("Limits", Ok(limits())),
        Check::of("Gateway", gateway()),
        Check::of("Keys of gateways", keys()),
    ];
    let failed = all.iter().filter(|check| check.status == Status::Failed).count();
    output::emit(args.output, &all, |all| {
        let mut lines: Vec<String> = all.iter().map(Check::line).collect();
        lines.push(String::new());
        lines.push(match failed {
            0 => "All checks passed.".to_owned(),
            1 => "1 check failed.".to_owned(),
            many => format!("{many} checks failed."),
        });
        lines.join("\n")
    })?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the home can be written.
fn writable() -> Result<(Status, String), Failure> {
    let home = home()?;
    let shown = home.path().display().to_string();
    let tried = fs::create_dir_all(home.path())
        .and_then(|()| tempfile::tempfile_in(home.path()))
        .and_then(|mut file| file.write_all(b"x"));
    tried.with_context(|| format!("cannot write {shown}")).map_err(|error| {
        Failure::from(error).hint("set OPENSHELL_HOME to a folder that you can write")
    })?;
    Ok((Status::Ok, shown))
}

/// Whether a sandbox stands, and a program runs in it.
fn stands() -> Result<(Status, String), Failure> {
    let folder = tempfile::tempdir().context("cannot make a folder for a sandbox")?;
    let driver = Local::new(Home::new(folder.path()));
    let record = Record { id: "doctor".into(), name: "doctor".into(), ..Record::default() };
    let record = Record { created: now(), ..record };
    let policy = PolicyFile::restrictive().to_yaml()?;
    let begun = Instant::now();
    let tried = block_on(async {
        driver.create("doctor", Order { record, policy, token: None }).await?;
        driver.start("doctor").await?;
        ran(&driver.supervisor("doctor")).await
    });
    let took = begun.elapsed();
    let removed = block_on(async { Ok(driver.delete("doctor").await?) });
    tried.and(removed).map_err(|failure| {
        failure.hint("docs/sandbox.md says what a machine needs: user namespaces, Landlock, seccomp, nftables")
    })?;
    Ok((Status::Ok, format!("one stood and ran a program after {} ms", took.as_millis())))
}

async fn ran(supervisor: &Supervisor) -> Result<(), Failure> {
    let request = Request::Exec {
        command: vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 0".to_owned()],
        environment: std::collections::BTreeMap::new(),
        folder: None,
        terminal: None,
    };
    let mut conversation = heard("doctor", supervisor.open(&request).await)?;
    loop {
        match heard("doctor", conversation.listener.next().await)? {
            Said::Ended(0) => return Ok(()),
            Said::Ended(code) => return Err(Failure::new(format!("a shell ended with {code}"))),
            Said::Output(_) | Said::Errors(_) => {}
        }
    }
}

/// What of a sandbox can be limited here.
fn limits() -> (Status, String) {
    let missing = sandbox::not_granted();
    if missing.is_empty() {
        (Status::Ok, "processor time, memory and processes".to_owned())
    } else {
        (Status::Warning, missing.join("; "))
    }
}

/// Whether the active gateway answers.
fn gateway() -> Result<(Status, String), Failure> {
    let registry = Registry::open()?;
    let Some(known) = registry.active()? else {
        return Ok((Status::Warning, "none yet; `openshell gateway start` starts one".to_owned()));
    };
    let client = registry.client(&known)?;
    let info: Info = block_on(async { client.get("/v1/info").await.map_err(refused) })?;
    let own = env!("CARGO_PKG_VERSION");
    if info.version != own {
        let detail =
            format!("{} is of version {}, this program of {own}", known.name, info.version);
        return Ok((Status::Warning, detail));
    }
    Ok((Status::Ok, format!("{} answers, version {own}", known.name)))
}

/// Whether keys of this user are for nobody else, and certificates still good.
fn keys() -> Result<(Status, String), Failure> {
    let registry = Registry::open()?;
    let (mut looked, mut words) = (0_usize, Vec::new());
    for known in registry.all()? {
        let folder = registry.folder(&known.name);
        for secret in ["mtls/tls.key", "token", "login.json"] {
            let path = folder.join(secret);
            let Ok(found) = fs::metadata(&path) else { continue };
            if found.permissions().mode() & 0o077 != 0 {
                return Err(Failure::new(format!("{} can be read by others", path.display()))
                    .hint(format!("chmod 600 {}", path.display())));
            }
            looked = looked.saturating_add(1);
        }
        words.extend(ends_soon(&known.name, &folder.join("mtls/tls.crt"))?);
    }
    Ok(if words.is_empty() {
        (Status::Ok, format!("{looked} looked at"))
    } else {
        (Status::Warning, words.join("; "))
    })
}

/// What is to be said of the end of a certificate.
fn ends_soon(name: &str, path: &Path) -> Result<Option<String>, Failure> {
    let Ok(text) = fs::read(path) else { return Ok(None) };
    let damaged = || Failure::new(format!("{} is no certificate", path.display()));
    let (pem, _) = Pem::read(std::io::Cursor::new(text)).map_err(|_| damaged())?;
    let ends = pem.parse_x509().map_err(|_| damaged())?.validity().not_after.timestamp();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(u64::try_from(ends).unwrap_or_default()).checked_sub(now);
    match left {
        None => Err(Failure::new(format!("the certificate for gateway {name} has ended"))
            .hint(format!("`openshell gateway login {name}` brings the next one"))),
        Some(left) if left < RENEW => Ok(Some(format!(
            "the certificate for gateway {name} ends in {} days; `openshell gateway login {name}` brings the next one",
            left.as_secs() / (24 * 3600)
        ))),
        Some(_) => Ok(None),
    }
}
