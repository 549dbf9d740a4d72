//! People, and what they prove themselves with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::secret::Secret;

/// What somebody may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Make and run sandboxes.
    Operator,
    /// Everything, also who else may do what.
    Admin,
}

/// A person or a program that uses the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// The name.
    pub name: String,
    /// What it may do in every workspace; none when only in those below.
    pub role: Option<Role>,
    /// What it may do in single workspaces.
    pub workspaces: BTreeMap<String, Role>,
    /// Who it is at the OIDC issuer; none when it cannot log in there.
    pub oidc: Option<OidcUser>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
}

/// Who a user is at the OIDC issuer of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OidcUser {
    /// The issuer; none as long as nobody has logged in under the name of the user: whoever the issuer calls so and comes first.
    pub issuer: Option<String>,
    /// What tells the person from every other there.
    pub subject: Option<String>,
    /// Whether the role is what the newest token says.
    pub role_by_issuer: bool,
}

/// A user to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name: letters, digits, `-`, `_`, `.` and `@`, at most 63.
    pub name: String,
    /// What it may do in every workspace.
    #[serde(default)]
    pub role: Option<Role>,
    /// What it may do in single workspaces.
    #[serde(default)]
    pub workspaces: BTreeMap<String, Role>,
    /// Whether it is who the OIDC issuer calls so. The first one who logs in under that name is it from then on.
    #[serde(default)]
    pub oidc: bool,
}

/// What changes of a user; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserChange {
    /// What it may do in every workspace; `null` takes that away.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<Role>)]
    pub role: Option<Option<Role>>,
    /// What it may do in single workspaces, all of them.
    pub workspaces: Option<BTreeMap<String, Role>>,
    /// Whether it is who the OIDC issuer calls so; `false` also forgets who that was.
    pub oidc: Option<bool>,
}

/// A value that was given, be it `null`.
#[expect(clippy::option_option, reason = "left out, taken away, given: three things")]
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Role>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// The name.
    pub name: String,
    /// How it proved itself: `certificate`, `token`, `oidc` or `local`.
    pub by: String,
    /// What it may do in every workspace.
    pub role: Option<Role>,
    /// What it may do in single workspaces.
    pub workspaces: BTreeMap<String, Role>,
    /// What the proof is for.
    pub scopes: Vec<String>,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What tells it from others.
    pub id: String,
    /// Whose it is.
    pub user: String,
    /// What its owner noted on it.
    pub label: String,
    /// What it is for; everything that its owner may do when empty.
    pub scopes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// When it was last used, to the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used: Option<Timestamp>,
}

/// A token to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewToken {
    /// What to note on it.
    pub label: String,
    /// What it is for; everything that its owner may do when empty.
    pub scopes: Vec<String>,
    /// How many days it is good for: 1 to 365; 30 when not given.
    #[schema(minimum = 1, maximum = 365)]
    pub days: Option<u32>,
}

/// A token that was just made, with its secret: the only answer that has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// What is sent as `Authorization: Bearer …`.
    #[schema(value_type = String)]
    pub secret: Secret,
}

/// A client certificate, without its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Certificate {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Whose it is.
    pub user: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A client certificate that was just made, with its key: the only answer that has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IssuedCertificate {
    /// Whose it is.
    pub user: String,
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
    /// The authority that vouches for gateway and users, PEM.
    pub ca_pem: String,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its private key, PEM.
    #[schema(value_type = String)]
    pub key_pem: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_is_null_is_taken_away_and_one_that_is_left_out_stays() {
        let change = |text: &str| serde_json::from_str::<UserChange>(text).unwrap().role;
        assert_eq!(change("{}"), None);
        assert_eq!(change(r#"{"role":null}"#), Some(None));
        assert_eq!(change(r#"{"role":"viewer"}"#), Some(Some(Role::Viewer)));
    }
}
