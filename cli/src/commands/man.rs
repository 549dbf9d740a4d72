//! `openshell man`: the manual, a page for each command.

use std::{fs, process::ExitCode};

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};

use crate::{
    args::{Cli, ManArgs},
    failure::Failure,
    output,
};

/// Writes every page into a folder.
pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, Failure> {
    fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot make {}", args.folder.display()))?;
    let mut root = Cli::command();
    root.build();
    let mut pages = 0_usize;
    for (name, command) in pages_of(&root, "") {
        let path = args.folder.join(format!("{name}.1"));
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
        pages = pages.saturating_add(1);
    }
    output::line(&format!("✓ Wrote {pages} pages to {}", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// A command and all below it that are shown, with the names of their pages.
fn pages_of<'a>(command: &'a Command, above: &str) -> Vec<(String, &'a Command)> {
    let name = if above.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{above}-{}", command.get_name())
    };
    let below = command.get_subcommands();
    let below = below.filter(|one| !one.is_hide_set() && one.get_name() != "help");
    let below: Vec<_> = below.flat_map(|one| pages_of(one, &name)).collect();
    std::iter::once((name, command)).chain(below).collect()
}
