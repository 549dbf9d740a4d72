//! The environment, read in one place. `cargo xtask e2e` sets all of it; plain `cargo test` works without.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The binary under test: `OPENSHELL_BIN`, else the one beside this test, freshly built.
pub fn openshell() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = env::var_os("OPENSHELL_BIN") {
            return PathBuf::from(path);
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "cli", "--bin", "openshell"])
            .current_dir(repository())
            .status()
            .expect("cargo starts");
        assert!(built.success(), "`cargo build -p cli` failed");
        target().join("debug/openshell")
    })
}

/// The folder that holds the installed clients.
pub fn clients() -> PathBuf {
    env::var_os("OPENSHELL_CLIENTS").map_or_else(|| target().join("clients"), PathBuf::from)
}

/// Where a test notes that it skipped, when somebody collects the notes.
pub fn skipped_notes() -> Option<PathBuf> {
    env::var_os("OPENSHELL_SKIPPED").map(PathBuf::from)
}

/// Whether a missing client fails its test instead of skipping it.
pub fn on_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// A variable that every child may need, such as `PATH`.
pub fn inherited(name: &str) -> Option<String> {
    env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    let package = PACKAGE.get_or_init(|| {
        let told = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        told.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")))
    });
    package.parent().expect("tests/ lies in the repository")
}

/// Cargo's target folder: the test itself runs from `TARGET/debug/deps/`.
fn target() -> PathBuf {
    let me = env::current_exe().expect("a test knows its own path");
    me.ancestors().nth(3).expect("a test lies in TARGET/PROFILE/deps").to_owned()
}
