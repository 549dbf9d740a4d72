//! What is set for the whole gateway, and for single sandboxes.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// What an administrator has set for the whole gateway. What is not set, each sandbox has as it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settings {
    /// How many days the audit is kept.
    pub audit_days: Option<u32>,
    /// How many bytes of the audit are kept.
    pub audit_bytes: Option<u64>,
    /// The policy of sandboxes that are made without one, YAML.
    pub default_policy: Option<String>,
    /// Whether programs that run code from where the sandbox can write open no connection, in every sandbox.
    pub strict_callers: Option<bool>,
}

/// What changes of the settings: what is left out stays, what is `null` is no longer set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsChange {
    /// How many days the audit is kept, 1 to 3650.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    pub audit_days: Option<Option<u32>>,
    /// How many bytes of the audit are kept, at least 1 MiB.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1_048_576)]
    pub audit_bytes: Option<Option<u64>>,
    /// The policy of sandboxes that are made without one, YAML.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub default_policy: Option<Option<String>>,
    /// Whether callers are held to the code that they run, in every sandbox from its next start.
    #[serde(deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<bool>)]
    pub strict_callers: Option<Option<bool>>,
}

/// Who has set something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SettingSource {
    /// An administrator, for the whole gateway.
    Gateway,
    /// Somebody, for this sandbox.
    Sandbox,
}

/// A setting as it is for one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BoolSetting {
    /// What it is, from the sandbox's next start.
    pub value: bool,
    /// Who has set it.
    pub source: SettingSource,
}

/// The settings of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SandboxSettings {
    /// Whether programs that run code from where the sandbox can write open no connection.
    pub strict_callers: BoolSetting,
}

/// What changes of a sandbox's settings; what is left out stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxSettingsChange {
    /// Whether programs that run code from where the sandbox can write open no connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict_callers: Option<bool>,
}

/// A value that was given, be it `null`.
#[expect(clippy::option_option, reason = "left out, taken away, given: three things")]
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}
