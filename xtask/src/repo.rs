//! Where the repository is and which files belong to it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::cargo;

/// The root of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Repo {
    root: PathBuf,
}

impl Repo {
    /// The repository that cargo runs this program in, else the one that it was compiled in.
    ///
    /// # Errors
    /// When the folder is gone, such as after a move without a rebuild.
    pub(crate) fn find() -> anyhow::Result<Self> {
        // Cargo says at run time where it runs us; what was compiled in may be another checkout with the same target folder.
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("xtask has no folder above it")?.to_owned();
        ensure!(root.join("Cargo.toml").is_file(), "{} holds no Cargo.toml", root.display());
        Ok(Self { root })
    }

    /// The root folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Where cargo puts what it builds: `CARGO_TARGET_DIR`, else `target` at the root.
    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.root.join("target"), |dir| self.root.join(dir))
    }

    /// Every text file of the repository, as paths with `/` below the root, sorted.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<String>> {
        match self.tracked() {
            Some(files) => Ok(files),
            None => self.walked(),
        }
    }

    /// The text of a file, or `None` when it is no UTF-8 text.
    pub(crate) fn text(&self, below: &str) -> Option<String> {
        fs::read_to_string(self.root.join(below)).ok()
    }

    /// What git tracks or would add; `None` outside a git checkout.
    fn tracked(&self) -> Option<Vec<String>> {
        let mut git = std::process::Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root);
        let listed = cargo::output(&mut git).ok()?;
        let mut files: Vec<String> = listed.lines().map(str::to_owned).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        (!files.is_empty()).then_some(files)
    }

    fn walked(&self) -> anyhow::Result<Vec<String>> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)
                .with_context(|| format!("cannot list {}", folder.display()))?
            {
                let path = entry?.path();
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
                if path.is_dir() {
                    if !matches!(name.as_deref(), Some("target" | ".git" | "node_modules")) {
                        folders.push(path);
                    }
                } else if let Ok(below) = path.strip_prefix(&self.root) {
                    files.push(below.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        files.sort();
        Ok(files)
    }
}
