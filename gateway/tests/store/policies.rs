//! Policies: numbered, remembered, and a bad one never in the place of a good one.

use gateway::store::{Page, PolicyAdded, PolicyStatus, Store, StoreError};

use crate::place::on_both;

async fn add(store: &Store, scope: &str, text: &str) -> i64 {
    match store.add_policy(scope, text, None).await.unwrap() {
        PolicyAdded::New(revision) => revision.version,
        PolicyAdded::Unchanged(revision) => panic!("{revision:?}"),
    }
}

async fn statuses(store: &Store, scope: &str) -> Vec<(i64, PolicyStatus)> {
    let listed = store.policies(scope, &Page::default()).await.unwrap();
    listed.items.iter().map(|one| (one.version, one.status)).collect()
}

#[tokio::test]
async fn each_scope_counts_its_revisions() {
    on_both(async |home| {
        let store = &home.store;
        assert_eq!(add(store, "s1", "version: 1\n").await, 1);
        assert_eq!(add(store, "s1", "version: 1 # two\n").await, 2);
        assert_eq!(add(store, "s2", "version: 1\n").await, 1);
        let same = store.add_policy("s1", "version: 1 # two\n", None).await.unwrap();
        assert!(matches!(same, PolicyAdded::Unchanged(newest) if newest.version == 2));
        // Back to an earlier text is a change.
        assert_eq!(add(store, "s1", "version: 1\n").await, 3);
        let first = store.policy("s1", 1).await.unwrap().unwrap();
        assert_eq!(first.text, "version: 1\n");
        assert_eq!(first.hash.len(), 64);
        assert_eq!(store.newest_policy("s1").await.unwrap().unwrap().hash, first.hash);
        assert_eq!(store.policy("s1", 4).await.unwrap(), None);
        assert_eq!(store.forget_policies("s1").await.unwrap(), 3);
        assert_eq!(store.newest_policy("s1").await.unwrap(), None);
        assert_eq!(statuses(store, "s2").await.len(), 1);
        let zero = store.add_policy("s1", "a\0b", None).await;
        assert!(matches!(zero, Err(StoreError::Invalid(_))), "{zero:?}");
    })
    .await;
}

#[tokio::test]
async fn a_loaded_revision_supersedes_those_before_it() {
    use PolicyStatus::{Failed, Loaded, Pending, Superseded};
    on_both(async |home| {
        let store = &home.store;
        for text in ["a", "b", "c", "d", "e"] {
            add(store, "s", text).await;
        }
        assert!(store.policy_loaded("s", 1).await.unwrap());
        assert!(!store.policy_loaded("s", 1).await.unwrap());
        assert!(store.policy_failed("s", 2, "line 1: no\0 such field").await.unwrap());
        assert!(store.policy_loaded("s", 4).await.unwrap());
        let expected = [(5, Pending), (4, Loaded), (3, Superseded), (2, Failed), (1, Superseded)];
        assert_eq!(statuses(store, "s").await, expected);
        let failed = store.policy("s", 2).await.unwrap().unwrap();
        assert_eq!(failed.error.as_deref(), Some("line 1: no such field"));
        assert!(failed.decided_ms.is_some());
        // Reports that come late change nothing.
        for late in [1, 2, 3] {
            assert!(!store.policy_loaded("s", late).await.unwrap());
            assert!(!store.policy_failed("s", late, "x").await.unwrap());
        }
        assert!(!store.policy_failed("s", 4, "x").await.unwrap());
        assert!(!store.policy_loaded("s", 9).await.unwrap());
        assert_eq!(statuses(store, "s").await, expected);
    })
    .await;
}

#[tokio::test]
async fn a_failed_revision_leaves_the_good_one() {
    on_both(async |home| {
        let store = &home.store;
        assert_eq!(store.newest_good_policy("s").await.unwrap(), None);
        add(store, "s", "good").await;
        assert_eq!(store.newest_good_policy("s").await.unwrap(), None);
        store.policy_loaded("s", 1).await.unwrap();
        add(store, "s", "bad").await;
        store.policy_failed("s", 2, &"ä".repeat(5000)).await.unwrap();
        let good = home.again().await.newest_good_policy("s").await.unwrap().unwrap();
        assert_eq!((good.version, good.text.as_str()), (1, "good"));
        assert_eq!(store.policy("s", 2).await.unwrap().unwrap().error.unwrap().len(), 4096);
        // What failed once, such as for want of memory, may be loaded later.
        assert!(store.policy_loaded("s", 2).await.unwrap());
        let good = store.newest_good_policy("s").await.unwrap().unwrap();
        assert_eq!((good.version, good.error), (2, None));
    })
    .await;
}

#[tokio::test]
async fn of_two_policies_at_one_moment_both_count_or_one_is_told() {
    on_both(async |home| {
        let other = home.again().await;
        for round in 0..10 {
            let (left, right) = (format!("left {round}"), format!("right {round}"));
            let (left, right) = tokio::join!(
                home.store.add_policy("s", &left, None),
                other.add_policy("s", &right, None)
            );
            for result in [left, right] {
                assert!(matches!(result, Ok(_) | Err(StoreError::Stale)), "{result:?}");
            }
        }
        let versions: Vec<i64> =
            statuses(&other, "s").await.iter().rev().map(|one| one.0).collect();
        assert!(versions.len() >= 10);
        assert_eq!(versions, (1..).take(versions.len()).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn a_policy_takes_the_place_of_the_revision_that_was_read() {
    on_both(async |home| {
        let store = &home.store;
        let early = store.add_policy("s", "a", Some(1)).await;
        assert!(matches!(early, Err(StoreError::Stale)), "{early:?}");
        for (text, base) in [("a", 0), ("b", 1)] {
            let added = store.add_policy("s", text, Some(base)).await;
            assert!(
                matches!(&added, Ok(PolicyAdded::New(one)) if one.version == base + 1),
                "{added:?}"
            );
        }
        // Also where the text is the newest already: its writer has not seen it.
        let late = store.add_policy("s", "b", Some(1)).await;
        assert!(matches!(late, Err(StoreError::Stale)), "{late:?}");
        assert_eq!(statuses(store, "s").await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn old_revisions_go_but_never_the_one_in_force() {
    on_both(async |home| {
        let store = &home.store;
        add(store, "s", "in force").await;
        store.policy_loaded("s", 1).await.unwrap();
        for number in 0..205 {
            add(store, "s", &number.to_string()).await;
        }
        let mut page = Page { after: None, limit: 150 };
        let first = store.policies("s", &page).await.unwrap();
        page.after = first.next;
        let second = store.policies("s", &page).await.unwrap();
        let versions: Vec<i64> =
            first.items.iter().chain(&second.items).map(|one| one.version).collect();
        assert_eq!((versions.len(), versions[0], versions[199], versions[200]), (201, 206, 7, 1));
        assert!(second.next.is_none());
        assert_eq!(store.newest_good_policy("s").await.unwrap().unwrap().version, 1);
    })
    .await;
}
