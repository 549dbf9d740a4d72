//! Postgres, which the tests of the gateway's store start for themselves: installed where the system can install it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    cargo::{self, answers},
    say,
};

/// What the tests are told when they have to go without.
pub(crate) const WITHOUT: &str = "OPENSHELL_WITHOUT_POSTGRES";

/// Installs it if it is not there; why it is not, if it cannot be installed.
pub(crate) fn prepare() -> Result<(), String> {
    if is_installed() {
        return Ok(());
    }
    if !answers("apt-get", &["--version"]) {
        return Err("Postgres is not installed, and there is no apt-get to install it".to_owned());
    }
    say::line("postgres: installing it with apt-get");
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends", "postgresql"]);
    let installed = cargo::output(install.env("DEBIAN_FRONTEND", "noninteractive"));
    match installed {
        Err(error) => Err(format!("Postgres is not installed, and cannot be: {error:#}")),
        Ok(_) if is_installed() => Ok(()),
        Ok(_) => Err("apt-get has installed Postgres where nobody finds it".to_owned()),
    }
}

/// Whether the tests find it: what `PATH` knows, or where Debian puts it.
fn is_installed() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let installed = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    env::split_paths(&path).chain(installed).any(|folder: PathBuf| has_server(&folder))
}

fn has_server(folder: &Path) -> bool {
    ["initdb", "postgres", "createdb", "pg_isready"].iter().all(|name| folder.join(name).is_file())
}
