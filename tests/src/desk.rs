//! A folder with files in it, where commands are run as a user would run them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    process::{Finished, run},
    wait::LONG,
    world::openshell,
};

/// The folder; gone with its value.
#[derive(Debug)]
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    /// A desk with one file on it.
    pub fn with(name: &str, text: &str) -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        desk.write(name, text);
        desk
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts a file there.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// `openshell`, to be run in the folder, with a home of its own.
    pub fn openshell(&self) -> Command {
        let mut command = openshell(&self.path().join("home"));
        command.current_dir(self.path());
        command
    }

    /// Runs `openshell` with these arguments to its end.
    pub fn run(&self, args: &[&str]) -> Finished {
        run("openshell", self.openshell().args(args), LONG)
    }
}
