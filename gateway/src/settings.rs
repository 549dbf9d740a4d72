//! What an administrator sets for the whole gateway. Whatever is set here is managed here: no sandbox has it otherwise.

use serde::{Deserialize, Serialize};

use crate::{
    broker::Kept,
    records::EVERYWHERE,
    store::{Object, Store, StoreError, Stored},
};

/// The only one there is.
const NAME: &str = "gateway";

/// The settings; what is none was never set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SettingsRecord {
    /// How many days the audit is kept.
    pub(crate) audit_days: Option<u32>,
    /// How many bytes of the audit are kept.
    pub(crate) audit_bytes: Option<u64>,
    /// The policy of sandboxes that are made without one, YAML.
    pub(crate) default_policy: Option<String>,
    /// Whether programs that run code from where the sandbox can write open no connection.
    pub(crate) strict_callers: Option<bool>,
}

impl Object for SettingsRecord {
    const KIND: &'static str = "settings";
}

impl SettingsRecord {
    /// How much of the audit is kept: what is set, else what the gateway was started with.
    pub(crate) fn kept(&self, started: Kept) -> Kept {
        Kept {
            days: self.audit_days.unwrap_or(started.days),
            bytes: self.audit_bytes.unwrap_or(started.bytes),
        }
    }
}

/// The settings as they are.
pub(crate) async fn current(store: &Store) -> Result<SettingsRecord, StoreError> {
    Ok(find(store).await?.map(|stored| stored.body).unwrap_or_default())
}

/// The settings as they are stored; none before anything was set.
pub(crate) async fn find(store: &Store) -> Result<Option<Stored<SettingsRecord>>, StoreError> {
    store.find(EVERYWHERE, NAME).await
}

/// Stores other settings in place of those that were read.
///
/// # Errors
/// [`StoreError::Stale`] when somebody else was faster.
pub(crate) async fn keep(
    store: &Store,
    old: Option<&Stored<SettingsRecord>>,
    new: &SettingsRecord,
) -> Result<Stored<SettingsRecord>, StoreError> {
    match old {
        Some(old) => store.replace(old, new).await,
        None => match store.create(EVERYWHERE, NAME, new).await {
            Err(StoreError::Exists) => Err(StoreError::Stale),
            other => other,
        },
    }
}
