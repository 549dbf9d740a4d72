use std::collections::BTreeMap;

use super::*;
use crate::{
    auth::{authority::Authority, revoked::Revocations},
    secrets::Keys,
    serve::live::Live,
    store::{NewToken, Page, Place},
    time,
};

struct Home {
    store: Store,
    doors: Doors,
    _folder: tempfile::TempDir,
}

impl Home {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::Sqlite(folder.path().join("gateway.db"));
        let store = Store::open(&place, Keys::random().unwrap()).await.unwrap();
        let authority = Authority::open(&folder.path().join("pki"), 1_800_000_000).unwrap();
        let doors = Doors {
            authority: authority.into(),
            revoked: Revocations::default().into(),
            live: Live::default().into(),
        };
        Self { store, doors, _folder: folder }
    }

    async fn user(&self, name: &str, role: Role, outside: Option<Outside>) {
        let record = UserRecord { role: Some(role), workspaces: BTreeMap::new(), outside };
        self.store.create(EVERYWHERE, name, &record).await.unwrap();
    }

    /// The user that somebody is let in as and the role, or the code of the refusal.
    async fn comes(&self, who: &Verified) -> Comes {
        let resolved = resolve(&self.store, &self.doors, who).await.unwrap();
        resolved
            .map(|(name, grants)| (name.to_string(), grants.everywhere))
            .map_err(|refused| refused.code)
    }

    async fn record(&self, name: &str) -> UserRecord {
        self.store.find::<UserRecord>(EVERYWHERE, name).await.unwrap().unwrap().body
    }
}

fn who(subject: &str, name: &str, role: Option<Role>, issued: u64) -> Verified {
    Verified {
        issuer: "https://issuer.example".into(),
        subject: subject.into(),
        name: name.parse().ok(),
        role,
        issued,
        expires: issued + 60,
    }
}

type Comes = Result<(String, Option<Role>), &'static str>;

fn in_as(name: &str, role: Role) -> Comes {
    Some((name.to_owned(), Some(role))).ok_or("")
}

#[tokio::test]
async fn nobody_takes_over_a_user_by_being_called_so() {
    let home = Home::new().await;
    home.user("root", Role::Admin, None).await;
    assert_eq!(home.comes(&who("1", "root", Some(Role::Admin), 10)).await, Err("oidc_name_taken"));
    // Nor that of another person there, nor with the same subject at another issuer.
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Viewer), 10)).await,
        in_as("ada", Role::Viewer)
    );
    assert_eq!(home.comes(&who("2", "ada", Some(Role::Admin), 11)).await, Err("oidc_name_taken"));
    let elsewhere = Verified {
        issuer: "https://evil.example".into(),
        ..who("1", "ada", Some(Role::Admin), 12)
    };
    assert_eq!(home.comes(&elsewhere).await, Err("oidc_name_taken"));
    assert_eq!(home.record("ada").await.role, Some(Role::Viewer));
}

#[tokio::test]
async fn a_person_stays_the_same_user_under_another_name() {
    let home = Home::new().await;
    home.user("ada", Role::Operator, Some(Outside::Awaited)).await;
    assert_eq!(home.comes(&who("1", "ada", None, 10)).await, in_as("ada", Role::Operator));
    assert_eq!(home.comes(&who("1", "lovelace", None, 11)).await, in_as("ada", Role::Operator));
    let nameless = Verified { name: None, ..who("1", "", None, 12) };
    assert_eq!(home.comes(&nameless).await, in_as("ada", Role::Operator));
    // The role is what the administrator gave, whatever the token says.
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Admin), 13)).await,
        in_as("ada", Role::Operator)
    );
    assert_eq!(home.comes(&who("2", "ada", None, 14)).await, Err("oidc_name_taken"));
}

#[tokio::test]
async fn who_is_given_no_role_is_refused_with_the_next_step() {
    let home = Home::new().await;
    assert_eq!(home.comes(&who("1", "ada", None, 10)).await, Err("oidc_user_unknown"));
    assert_eq!(home.store.find::<UserRecord>(EVERYWHERE, "ada").await.unwrap(), None);
    let nameless = Verified { name: None, ..who("1", "", Some(Role::Admin), 10) };
    assert_eq!(home.comes(&nameless).await, Err("oidc_nameless"));
}

#[tokio::test]
async fn the_newest_token_says_the_role() {
    let home = Home::new().await;
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Admin), 100)).await,
        in_as("ada", Role::Admin)
    );
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Viewer), 200)).await,
        in_as("ada", Role::Viewer)
    );
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Admin), 150)).await,
        in_as("ada", Role::Viewer),
        "an older one"
    );
    assert_eq!(home.comes(&who("1", "ada", None, 300)).await, Err("oidc_role_missing"));
    assert_eq!(home.record("ada").await.role, None, "also for what it has from here");
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Admin), 250)).await,
        Err("oidc_role_missing")
    );
    assert_eq!(
        home.comes(&who("1", "ada", Some(Role::Viewer), 301)).await,
        in_as("ada", Role::Viewer)
    );
}

#[tokio::test]
async fn a_user_who_was_removed_is_not_found_again_in_the_next_of_that_name() {
    let home = Home::new().await;
    let ada = who("1", "ada", Some(Role::Viewer), 10);
    assert_eq!(home.comes(&ada).await, in_as("ada", Role::Viewer));
    home.store.remove::<UserRecord>(EVERYWHERE, "ada", None).await.unwrap();
    // Killed before it was forgotten who that was, and before its tokens were revoked.
    let new = NewToken { hash: &[1; 32], holder: "ada", label: "", scopes: &[], expires_ms: None };
    home.store.create_token(&new).await.unwrap();
    home.user("ada", Role::Admin, None).await;
    assert_eq!(home.comes(&ada).await, Err("oidc_name_taken"));
    home.store.remove::<UserRecord>(EVERYWHERE, "ada", None).await.unwrap();
    assert_eq!(home.comes(&ada).await, in_as("ada", Role::Viewer));
    let tokens = home.store.tokens(Some("ada"), &Page { after: None, limit: 9 }).await.unwrap();
    assert!(tokens.items.iter().all(|token| !token.is_valid(time::now_ms())), "{tokens:?}");
}

#[tokio::test]
async fn who_was_forgotten_is_a_stranger() {
    let home = Home::new().await;
    home.user("ada", Role::Operator, Some(Outside::Awaited)).await;
    let ada = who("1", "ada", None, 10);
    assert_eq!(home.comes(&ada).await, in_as("ada", Role::Operator));
    let stored = home.store.find::<UserRecord>(EVERYWHERE, "ada").await.unwrap().unwrap();
    let record = UserRecord { outside: None, ..stored.body.clone() };
    home.store.replace(&stored, &record).await.unwrap();
    forget(&home.store, &stored.body).await.unwrap();
    assert_eq!(home.comes(&ada).await, Err("oidc_name_taken"));
}

#[tokio::test]
async fn two_that_come_at_once_under_one_name_are_not_both_let_in() {
    let home = Home::new().await;
    home.user("ada", Role::Operator, Some(Outside::Awaited)).await;
    let (one, two) = (who("1", "ada", None, 10), who("2", "ada", None, 10));
    let (one, two) = tokio::join!(home.comes(&one), home.comes(&two));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    // The same person twice at once is one.
    let three = who("3", "bob", Some(Role::Viewer), 10);
    let (first, second) = tokio::join!(home.comes(&three), home.comes(&three));
    assert!(first.is_ok() || second.is_ok());
    assert_eq!(home.comes(&three).await, in_as("bob", Role::Viewer));
}
