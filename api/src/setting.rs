//! Typed settings. One of the gateway is stronger than one of a sandbox, and locks it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SettingValue {
    /// Yes or no.
    Switch(bool),
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

/// Whose value is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingScope {
    /// Nobody's: the value that the program has by itself.
    Default,
    /// The gateway's.
    Gateway,
    /// The sandbox's.
    Sandbox,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// What is in force.
    pub value: SettingValue,
    /// Whose it is.
    pub scope: SettingScope,
    /// What it does.
    pub about: String,
}

/// A value to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSetting {
    /// The value, of the setting's own type.
    pub value: SettingValue,
}
