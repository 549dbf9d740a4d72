//! Which user of the gateway somebody is who logged in at the OIDC issuer.
//!
//! A person is known by issuer and subject together, which are bound to one user for ever: a name is only what the first visit
//! goes by. A user that an administrator made is given to nobody, unless the administrator said that it waits for such a visit;
//! one that there is not is made where the issuer says which role it has. Everybody else is refused.

use api::user::Role;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::{
        oidc::Verified,
        peer::Identity,
        principal::{Grants, UserName, Workspace},
        refused::Refused,
    },
    http::{Doors, revoke_all},
    records::{EVERYWHERE, UserRecord},
    store::{Object, Store, StoreError, Stored},
};

/// How old what is known of a role may be before it is written down again that it is still so, seconds.
const ROLE_AGE_S: u64 = 300;

/// Who a user is at the issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum Outside {
    /// Whoever the issuer calls so and comes first.
    Awaited,
    /// This one, for ever.
    Bound {
        /// The issuer.
        issuer: String,
        /// What tells it from every other person there.
        subject: String,
        /// When the token was made that gave the user its role, seconds since 1970; `None` where an administrator gives it.
        role_of: Option<u64>,
    },
}

impl Outside {
    fn is(&self, who: &Verified) -> bool {
        match self {
            Self::Awaited => false,
            Self::Bound { issuer, subject, .. } => {
                **issuer == *who.issuer && *subject == who.subject
            }
        }
    }
}

/// The user of a person at an issuer, named by a hash of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct IdentityRecord {
    user: String,
}

impl Object for IdentityRecord {
    const KIND: &'static str = "identity";
}

/// Who is let in, or why not.
pub(crate) type Resolved = Result<(UserName, Grants), Refused>;

/// The user of this person.
///
/// # Errors
/// When the store fails.
pub(crate) async fn resolve(
    store: &Store,
    doors: &Doors,
    who: &Verified,
) -> Result<Resolved, StoreError> {
    let key = key(who);
    if let Some(identity) = store.find::<IdentityRecord>(EVERYWHERE, &key).await? {
        let user = store.find::<UserRecord>(EVERYWHERE, &identity.body.user).await?;
        // A user of that name who came later is somebody else.
        if let Some(user) = user.filter(|user| is(user, who)) {
            return admit(store, doors, &user, who).await;
        }
    }
    let Some(name) = &who.name else { return Ok(Err(nameless())) };
    let user = match store.find::<UserRecord>(EVERYWHERE, name.as_str()).await? {
        Some(user) if is(&user, who) => user,
        Some(user) if user.body.outside == Some(Outside::Awaited) => {
            let body = UserRecord { outside: Some(bound(who, None)), ..user.body.clone() };
            match store.replace(&user, &body).await {
                // Somebody else was let in as this one, or it was changed: the next request sees that.
                Err(StoreError::Stale) => return Ok(Err(taken())),
                user => user?,
            }
        }
        Some(_) => return Ok(Err(taken())),
        None => {
            let Some(role) = who.role else { return Ok(Err(unknown())) };
            // Whoever had that name before proves nothing under it.
            revoke_all(store, doors, name.as_str()).await?;
            let outside = Some(bound(who, Some(who.issued)));
            let body = UserRecord { role: Some(role), outside, ..UserRecord::default() };
            match store.create(EVERYWHERE, name.as_str(), &body).await {
                Err(StoreError::Exists) => return Ok(Err(taken())),
                user => user?,
            }
        }
    };
    keep(store, &key, &user.name).await?;
    admit(store, doors, &user, who).await
}

/// Lets somebody in as the user that it is bound to.
async fn admit(
    store: &Store,
    doors: &Doors,
    user: &Stored<UserRecord>,
    who: &Verified,
) -> Result<Resolved, StoreError> {
    let Ok(name) = user.name.parse::<UserName>() else { return Ok(Err(taken())) };
    let mut role = user.body.role;
    if let Some(Outside::Bound { role_of: Some(told), .. }) = user.body.outside
        // What the newer token says counts, also for what the user has from here.
        && who.issued >= told
    {
        role = who.role;
        if role != user.body.role || who.issued - told >= ROLE_AGE_S {
            let outside = Some(bound(who, Some(who.issued)));
            let body = UserRecord { role, outside, ..user.body.clone() };
            match store.replace(user, &body).await {
                Ok(_) if role < user.body.role => {
                    doors.live.end(&Identity::User(name.clone()));
                }
                Ok(_) | Err(StoreError::Stale) => {}
                Err(error) => return Err(error),
            }
        }
    }
    if role.is_none() && user.body.workspaces.is_empty() {
        return Ok(Err(roleless()));
    }
    Ok(Ok((name, grants(&user.body, role))))
}

async fn keep(store: &Store, key: &str, user: &str) -> Result<(), StoreError> {
    let record = IdentityRecord { user: user.to_owned() };
    match store.find::<IdentityRecord>(EVERYWHERE, key).await? {
        Some(found) if found.body == record => Ok(()),
        Some(found) => store.replace(&found, &record).await.map(drop),
        None => store.create(EVERYWHERE, key, &record).await.map(drop),
    }
    // Another request of the same person was faster.
    .or_else(|error| match error {
        StoreError::Exists | StoreError::Stale => Ok(()),
        error => Err(error),
    })
}

/// What is known by the record of a user, with that role in every workspace.
pub(crate) fn grants(record: &UserRecord, everywhere: Option<Role>) -> Grants {
    let workspaces = record.workspaces.iter().filter_map(|(name, role)| {
        // A name that is none opens nothing.
        name.parse::<Workspace>().ok().map(|name| (name, *role))
    });
    Grants { everywhere, workspaces: workspaces.collect() }
}

/// Forgets who somebody was, for a user that is removed or given to nobody.
///
/// # Errors
/// When the store fails.
pub(crate) async fn forget(store: &Store, user: &UserRecord) -> Result<(), StoreError> {
    let Some(Outside::Bound { issuer, subject, .. }) = &user.outside else { return Ok(()) };
    store.remove::<IdentityRecord>(EVERYWHERE, &hash(issuer, subject), None).await.map(drop)
}

fn is(user: &Stored<UserRecord>, who: &Verified) -> bool {
    user.body.outside.as_ref().is_some_and(|outside| outside.is(who))
}

fn bound(who: &Verified, role_of: Option<u64>) -> Outside {
    Outside::Bound { issuer: who.issuer.to_string(), subject: who.subject.clone(), role_of }
}

fn key(who: &Verified) -> String {
    hash(&who.issuer, &who.subject)
}

fn hash(issuer: &str, subject: &str) -> String {
    let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes();
    let digest = Sha256::new().chain_update(length).chain_update(issuer).chain_update(subject);
    hex::encode(digest.finalize())
}

fn nameless() -> Refused {
    let detail = "the token names nobody in the claim that this gateway takes names from; ask an administrator which one that is";
    Refused::forbidden("oidc_nameless", detail)
}

fn unknown() -> Refused {
    let detail = "nobody gave you a role here; ask an administrator to make you a user with `oidc`, or your issuer for a group that has one";
    Refused::forbidden("oidc_user_unknown", detail)
}

fn roleless() -> Refused {
    let detail = "you have no role here any more; ask an administrator, or your issuer for a group that has one";
    Refused::forbidden("oidc_role_missing", detail)
}

fn taken() -> Refused {
    let detail = "the user of your name is somebody else; if it is you, ask an administrator to set `oidc` on it";
    Refused::forbidden("oidc_name_taken", detail)
}

#[cfg(test)]
mod tests;
