//! Real sandboxes on this machine, attacked from inside: as root and as an ordinary user.
//!
//! A harness of its own, because a sandbox is made by a process with one thread. The same program is the agent: inside, it
//! is called with `probe NAME` and says by its exit code whether it was contained. Checks that this system cannot run are
//! listed as skipped with the reason.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::unnecessary_wraps,
    reason = "a test, which clippy cannot tell without the usual harness; every check has the same shape"
)]

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

mod bare;
mod callers;
mod calls;
mod files;
mod groups;
mod kernel;
mod life;
mod network;
mod probe;
mod support;

use support::{Check, World};

/// Who runs the checks when root asks for them as an ordinary user.
const NOBODY: u32 = 65534;
const AS_USER: &str = "--as-ordinary-user";
const CHECK_OF_ETC: &str = "etc_is_private_and_trusts_the_proxy";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["probe", name, rest @ ..] => probe::run(name, rest),
        ["namespaces", kind] => calls::try_namespaces(kind),
        ["mounts-in-etc"] => with_mounts_in_etc(),
        ["unserved", address] => callers::leave_unserved(address),
        ["under-a-listener"] => callers::start_under_a_listener(),
        ["in-empty-image", folder, rest @ ..] => bare::enter_image(folder, rest),
        ["without", call, errno, kind] => life::start_without(call, errno, kind),
        _ => run_checks(&words),
    }
}

fn run_checks(words: &[&str]) -> ExitCode {
    let filter = Filter::read(words);
    if words.contains(&"--list") {
        // What test runners ask first; none of the checks is an ignored one.
        let listed = all_checks().into_iter().filter(|_| !words.contains(&"--ignored"));
        listed.for_each(|(name, _)| say(&format!("{name}: test")));
        return ExitCode::SUCCESS;
    }
    let is_root = rustix::process::geteuid().is_root();
    let mut failed = checks_as(if is_root { "root" } else { "user" }, &filter);
    if is_root && !words.contains(&AS_USER) {
        failed |= !again_as_user(words);
    }
    ExitCode::from(u8::from(failed))
}

fn all_checks() -> Vec<Check> {
    let of_static = if bare::binary().is_some() { bare::CHECKS } else { &[] };
    [
        of_static,
        files::CHECKS,
        groups::CHECKS,
        kernel::CHECKS,
        life::CHECKS,
        network::CHECKS,
        callers::CHECKS,
    ]
    .concat()
}

/// Which checks to run, as the usual harness has it.
struct Filter<'a> {
    names: Vec<&'a str>,
    exact: bool,
}

impl<'a> Filter<'a> {
    fn read(words: &[&'a str]) -> Self {
        const TAKE_A_VALUE: [&str; 4] = ["--format", "--test-threads", "--color", "--skip"];
        let mut names = Vec::new();
        let mut words_left = words.iter();
        while let Some(word) = words_left.next() {
            if TAKE_A_VALUE.contains(word) {
                words_left.next();
            } else if !word.starts_with('-') {
                names.push(*word);
            }
        }
        Self { names, exact: words.contains(&"--exact") }
    }

    fn fits(&self, name: &str) -> bool {
        let fits = |asked: &&str| if self.exact { name == *asked } else { name.contains(asked) };
        self.names.is_empty() || self.names.iter().any(fits)
    }
}

/// Runs every check that fits the filter. True when one failed.
fn checks_as(who: &str, filter: &Filter<'_>) -> bool {
    let checks: Vec<Check> =
        all_checks().into_iter().filter(|(name, _)| filter.fits(name)).collect();
    let world = World::new(who);
    if let Some(reason) = world.cannot_isolate() {
        return skip(who, &format!("{} checks: {reason}", checks.len()));
    }
    let mut failures = Vec::new();
    for (name, check) in &checks {
        let outcome = std::panic::catch_unwind(|| check(&world));
        let word = match outcome {
            Ok(Ok(())) => "ok".to_owned(),
            Ok(Err(reason)) => {
                if skip(&format!("{who}::{name}"), &reason) {
                    failures.push(*name);
                }
                "skipped".to_owned()
            }
            Err(_) => {
                failures.push(*name);
                "FAILED".to_owned()
            }
        };
        say(&format!("test {who}::{name} ... {word}"));
    }
    say(&format!("\n{who}: {} checks, {} failed {failures:?}\n", checks.len(), failures.len()));
    !failures.is_empty()
}

/// Runs this program again as somebody without rights. The folders of the build may be closed to others, so it is copied.
fn again_as_user(words: &[&str]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("walls");
    fs::copy(env::current_exe().unwrap(), &copy).unwrap();
    let binary = folder.path().join("openshell-sandbox");
    fs::copy(env!("CARGO_BIN_EXE_openshell-sandbox"), binary).unwrap();
    // As in a container, which has mounts in /etc that an ordinary user can neither remove nor hide.
    let in_container = !Filter::read(words).fits(CHECK_OF_ETC)
        || Command::new(&copy).arg("mounts-in-etc").status().unwrap().success();
    in_container & as_user(&copy, words).status().unwrap().success()
}

/// Runs the check of `/etc` as an ordinary user, in a mount namespace with a mount in there.
fn with_mounts_in_etc() -> ExitCode {
    calls::mount_in_etc();
    let status = as_user(&env::current_exe().unwrap(), &[CHECK_OF_ETC]).status();
    ExitCode::from(u8::from(!status.unwrap().success()))
}

/// This program as somebody without rights.
fn as_user(program: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.arg(AS_USER).args(words);
    command.uid(NOBODY).gid(NOBODY).current_dir("/").env("TMPDIR", "/tmp");
    if let Some(notes) = env::var_os("OPENSHELL_SKIPPED").map(PathBuf::from) {
        let made = fs::create_dir_all(&notes);
        made.and_then(|()| std::os::unix::fs::chown(&notes, Some(NOBODY), None)).unwrap();
    }
    command
}

/// Notes what cannot be checked here where somebody collects such notes; test runners show nothing of a check that passes.
/// True on CI, where nothing may be skipped.
fn skip(what: &str, why: &str) -> bool {
    say(&format!("skipped: {what}: {why}"));
    // Root starts this program again as somebody who may write there.
    if let Some(notes) = env::var_os("OPENSHELL_SKIPPED").map(PathBuf::from) {
        fs::create_dir_all(&notes).unwrap();
        fs::write(notes.join(format!("walls.{}", what.replace("::", "."))), why).unwrap();
    }
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
