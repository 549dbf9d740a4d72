//! What a token says of a person.

use std::{collections::BTreeMap, fmt, str::FromStr};

use api::user::Role;
use serde::Deserialize;
use serde_json::{Map, Number, Value};

use crate::auth::principal::UserName;

/// The claim that names a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserClaim {
    /// What the issuer has given for ever.
    Subject,
    /// What the person is called there.
    #[default]
    PreferredUsername,
    /// The address, if the issuer has verified it.
    Email,
}

/// A word that is no such claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user is named by sub, preferred_username or email")]
pub struct UnknownClaim;

impl FromStr for UserClaim {
    type Err = UnknownClaim;
    fn from_str(text: &str) -> Result<Self, UnknownClaim> {
        match text {
            "sub" => Ok(Self::Subject),
            "preferred_username" => Ok(Self::PreferredUsername),
            "email" => Ok(Self::Email),
            _ => Err(UnknownClaim),
        }
    }
}

impl fmt::Display for UserClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Subject => "sub",
            Self::PreferredUsername => "preferred_username",
            Self::Email => "email",
        })
    }
}

/// The claims of a token whose signature is good.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "iss")]
    pub(super) issuer: String,
    #[serde(rename = "sub")]
    pub(super) subject: String,
    iat: Number,
    exp: Number,
    azp: Option<String>,
    client_id: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Claims {
    /// When it was made and when it ends, seconds since 1970.
    pub(super) fn times(&self) -> Option<(u64, u64)> {
        Some((seconds(&self.iat)?, seconds(&self.exp)?))
    }

    /// Whether it was made for one of these clients. What an id token names as its audience is the client.
    pub(super) fn is_for(&self, clients: &[String], audience: &str) -> bool {
        let mut named = [&self.azp, &self.client_id].into_iter().flatten().peekable();
        if clients.is_empty() {
            return true;
        }
        if named.peek().is_none() {
            return clients.iter().any(|client| client == audience);
        }
        named.all(|named| clients.contains(named))
    }

    /// What the person is called, if a user may be called so.
    pub(super) fn name(&self, claim: UserClaim) -> Option<UserName> {
        let text = |name: &str| self.rest.get(name).and_then(Value::as_str);
        let name = match claim {
            UserClaim::Subject => Some(self.subject.as_str()),
            UserClaim::PreferredUsername => text("preferred_username"),
            // Whoever may write any address there is not who it belongs to.
            UserClaim::Email => {
                let verified = self.rest.get("email_verified") == Some(&Value::Bool(true));
                text("email").filter(|_| verified)
            }
        };
        name.and_then(|name| name.parse().ok())
    }

    /// The highest role that the words in this claim give.
    pub(super) fn role(&self, claim: &str, roles: &BTreeMap<String, Role>) -> Option<Role> {
        let role = |word: &str| roles.get(word).copied();
        match self.at(claim)? {
            Value::String(words) => words.split(' ').filter_map(role).max(),
            Value::Array(words) => words.iter().filter_map(Value::as_str).filter_map(role).max(),
            _ => None,
        }
    }

    /// The claim of that name, which may hold dots and be an address; else that at the end of the path.
    fn at(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.rest.get(path) {
            return Some(value);
        }
        let mut steps = path.split('.');
        let first = self.rest.get(steps.next()?)?;
        steps.try_fold(first, |value, step| value.get(step))
    }
}

/// A point of time (RFC 7519 §2): seconds since 1970, which may have a fraction.
fn seconds(number: &Number) -> Option<u64> {
    let whole = || {
        let text = number.to_string();
        let (whole, fraction) = text.split_once('.')?;
        fraction.bytes().all(|byte| byte.is_ascii_digit()).then(|| whole.parse().ok())?
    };
    number.as_u64().or_else(whole)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(more: &Value) -> Claims {
        let mut all = json!({"iss": "https://i", "sub": "s-1", "iat": 1, "exp": 2.5});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn a_name_is_taken_from_the_claim_that_was_chosen_and_no_other() {
        let name = |claim, more: Value| claims(&more).name(claim).map(|name| name.to_string());
        assert_eq!(name(UserClaim::Subject, json!({})), Some("s-1".into()));
        let who = json!({"preferred_username": "ada", "email": "ada@example.com"});
        assert_eq!(name(UserClaim::PreferredUsername, who.clone()), Some("ada".into()));
        assert_eq!(name(UserClaim::Email, who), None, "nobody verified it");
        for verified in [json!(false), json!("true"), json!(null)] {
            let who = json!({"email": "ada@example.com", "email_verified": verified});
            assert_eq!(name(UserClaim::Email, who), None);
        }
        let who = json!({"email": "ada@example.com", "email_verified": true});
        assert_eq!(name(UserClaim::Email, who), Some("ada@example.com".into()));
        for bad in [json!("a/b"), json!(""), json!(7), json!(["ada"]), json!("x".repeat(64))] {
            assert_eq!(
                name(UserClaim::PreferredUsername, json!({"preferred_username": bad})),
                None
            );
        }
    }

    #[test]
    fn the_highest_role_counts_and_unknown_words_give_none() {
        let roles = BTreeMap::from([
            ("watchers".to_owned(), Role::Viewer),
            ("owners".to_owned(), Role::Admin),
        ]);
        let role = |claim, more: Value| claims(&more).role(claim, &roles);
        assert_eq!(
            role("groups", json!({"groups": ["x", "watchers", "owners"]})),
            Some(Role::Admin)
        );
        assert_eq!(role("groups", json!({"groups": "watchers x"})), Some(Role::Viewer));
        let nested = json!({"realm_access": {"roles": ["watchers"]}});
        assert_eq!(role("realm_access.roles", nested), Some(Role::Viewer));
        let address = json!({"https://a.example/roles": ["owners"]});
        assert_eq!(role("https://a.example/roles", address), Some(Role::Admin));
        for none in [json!({}), json!({"groups": ["Owners"]}), json!({"groups": {"owners": 1}})] {
            assert_eq!(role("groups", none), None);
        }
    }

    #[test]
    fn a_token_is_for_a_client_by_what_it_says_itself() {
        let clients = ["cli".to_owned(), "ci".to_owned()];
        let is_for = |more: Value, audience| claims(&more).is_for(&clients, audience);
        assert!(is_for(json!({"azp": "ci"}), "gateway"));
        assert!(is_for(json!({"client_id": "cli"}), "gateway"));
        assert!(is_for(json!({}), "cli"), "an id token");
        assert!(!is_for(json!({}), "gateway"));
        assert!(!is_for(json!({"azp": "other"}), "cli"));
        assert!(!is_for(json!({"azp": "cli", "client_id": "other"}), "gateway"));
        assert!(claims(&json!({"azp": "other"})).is_for(&[], "gateway"));
    }

    #[test]
    fn times_may_have_fractions_and_nothing_else() {
        assert_eq!(claims(&json!({})).times(), Some((1, 2)));
        for bad in [json!(-1), json!(-0.5), json!(1e300)] {
            assert_eq!(claims(&json!({ "exp": bad })).times(), None);
        }
    }
}
