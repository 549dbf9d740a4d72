//! Care of what a gateway keeps: backups, and another key above its secrets.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use api::gateway::Rotated;
use gateway::{
    secrets::KeySource,
    store::{Place, PlaceClaim, Store, StoreError},
};
use reqwest::Method;

use super::{Registry, refused, serve::folder, service::is_running};
use crate::{
    args::gateway::{GatewayBackupArgs, GatewayChoice, GatewayRestoreArgs},
    commands::sandbox::block_on,
    failure::Failure,
    output,
};

/// Bytes between two words about how far a backup is.
const WORD_EVERY: u64 = 16 << 20;

/// `openshell gateway rotate-key`
pub(super) fn rotate_key(args: &GatewayChoice) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let known = registry.chosen(args.name.as_deref())?;
    let client = registry.client(&known)?;
    let rotated: Rotated = block_on(async {
        client.send(Method::POST, "/v1/key/rotate", &()).await.map_err(refused)
    })?;
    let count = rotated.resealed;
    output::line(&format!(
        "✓ Gateway '{}' has another key; {count} secrets are sealed under it",
        known.name
    ))?;
    output::complain("• Backups of before need the key of before");
    Ok(())
}

/// `openshell gateway backup`
pub(super) fn backup(args: &GatewayBackupArgs) -> Result<(), Failure> {
    let registry = Registry::open()?;
    let known = registry.chosen(args.name.as_deref())?;
    if fs::symlink_metadata(&args.file).is_ok() {
        return Err(Failure::new(format!("{} is there already", args.file.display()))
            .hint("a backup never replaces anything; choose another name"));
    }
    let client = registry.client(&known)?;
    // Its name says that it is not finished, until it is.
    let mut name = args.file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = args.file.with_file_name(name);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&part);
    let file = file.with_context(|| format!("cannot make {}", part.display()))?;
    let (shows, mut told) = (io::stderr().is_terminal(), 0);
    let taken = block_on(async {
        let took = |bytes: u64, all: Option<u64>| {
            if shows && bytes - told >= WORD_EVERY {
                told = bytes;
                let all = all.map_or(String::new(), |all| format!(" of {}", all >> 20));
                output::complain(&format!("• {}{all} MiB", bytes >> 20));
            }
        };
        client.download("/v1/backup", &file, took).await.map_err(refused)
    });
    let kept = taken.and_then(|bytes| {
        file.sync_all().context("cannot write the backup")?;
        // A link never replaces what is there, unlike a rename.
        fs::hard_link(&part, &args.file)
            .with_context(|| format!("cannot make {}", args.file.display()))?;
        Ok(bytes)
    });
    fs::remove_file(&part).ok(); // its name says what it is
    let bytes = kept?;
    output::line(&format!(
        "✓ Backup of gateway '{}': {}, {bytes} bytes",
        known.name,
        args.file.display()
    ))?;
    output::complain(
        "• Keep the key of its secrets elsewhere: it is not in there, and neither are the files of sandboxes",
    );
    Ok(())
}

/// `openshell gateway restore`
pub(super) fn restore(args: GatewayRestoreArgs) -> Result<(), Failure> {
    let name = &args.gateway.name;
    let state = folder(name)?;
    if is_running(&state) {
        return Err(Failure::new(format!("gateway {name} runs")).hint(format!(
            "`openshell gateway stop --name {name}`; a backup goes into an empty one"
        )));
    }
    let place = args.db.unwrap_or_else(|| Place::Sqlite(state.join("gateway.db")));
    let source = args.key.unwrap_or_else(|| KeySource::File(state.join("secrets.key")));
    if let KeySource::File(path) = &source {
        has_key(path)?;
    }
    output::complain("• Restoring");
    block_on(async {
        let _claim = PlaceClaim::take(&place).await?;
        let keys = source.load().await?;
        let store =
            Store::restore(&place, keys, &args.file).await.map_err(|error| told(error, name))?;
        store.close().await;
        Ok(())
    })?;
    output::line(&format!(
        "✓ Gateway '{name}' has what the backup has; `openshell gateway start --name {name}` starts it"
    ))?;
    output::complain("• Its sandboxes are made again, without the files that were in them");
    if !state.join("pki").exists() {
        output::complain(
            "• Its authority is a new one: people need other certificates, unless you put back its folder pki",
        );
    }
    Ok(())
}

/// A key that is made now opens nothing.
fn has_key(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    Err(Failure::new(format!("there is no key at {}", path.display())).hint(
        "put the key there that the backup was made under, with mode 0600, or name it with --key",
    ))
}

fn told(error: StoreError, name: &str) -> Failure {
    let hint = match &error {
        StoreError::NotEmpty => {
            format!(
                "`openshell gateway destroy --name {name}` empties it; --name takes another one"
            )
        }
        StoreError::Damaged => "it is no backup of a gateway, or was cut or changed".to_owned(),
        StoreError::Key(_) => "give the key that the backup was made under with --key".to_owned(),
        _ => return error.into(),
    };
    Failure::from(error).hint(hint)
}
