//! Objects: one of a name, in order, and never two winners.

use gateway::store::{Listed, Object, Page, Store, StoreError, Stored};
use serde::{Deserialize, Serialize};

use crate::place::on_both;

/// A kind of these tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Thing {
    pub(crate) text: String,
}

impl Object for Thing {
    const KIND: &'static str = "thing";
}

#[derive(Debug, Serialize, Deserialize)]
struct Other;

impl Object for Other {
    const KIND: &'static str = "other";
}

pub(crate) fn thing(text: &str) -> Thing {
    Thing { text: text.to_owned() }
}

async fn names(store: &Store, workspace: Option<&str>, limit: u32) -> Vec<String> {
    let (mut names, mut page) = (Vec::new(), Page { after: None, limit });
    loop {
        let listed: Listed<Stored<Thing>> = store.list(workspace, &page).await.unwrap();
        assert!(listed.items.len() <= usize::try_from(limit).unwrap());
        names.extend(listed.items.iter().map(|one| format!("{}/{}", one.workspace, one.name)));
        page.after = listed.next;
        if page.after.is_none() {
            return names;
        }
    }
}

#[tokio::test]
async fn what_is_stored_is_found_by_name_and_by_identity() {
    on_both(async |home| {
        let store = &home.store;
        let made = store.create("default", "one", &thing("ä \u{0} \"quoted\"")).await.unwrap();
        assert_eq!((made.version, made.id.get_version_num()), (1, 7));
        assert!(made.created_ms > 1_700_000_000_000 && made.created_ms == made.updated_ms);
        assert_eq!(store.find("default", "one").await.unwrap().as_ref(), Some(&made));
        assert_eq!(store.find_by_id(made.id).await.unwrap().as_ref(), Some(&made));
        assert_eq!(home.again().await.find("default", "one").await.unwrap(), Some(made.clone()));
        assert!(store.find::<Thing>("default", "two").await.unwrap().is_none());
        assert!(store.find::<Thing>("other", "one").await.unwrap().is_none());
        assert!(store.find::<Other>("default", "one").await.unwrap().is_none());
        assert!(store.find_by_id::<Other>(made.id).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_name_is_taken_once_in_each_workspace_and_kind() {
    on_both(async |home| {
        let store = &home.store;
        store.create("a", "one", &thing("first")).await.unwrap();
        let again = store.create("a", "one", &thing("second")).await;
        assert!(matches!(again, Err(StoreError::Exists)), "{again:?}");
        let kept = store.find::<Thing>("a", "one").await.unwrap().unwrap();
        assert_eq!(kept.body, thing("first"));
        store.create("b", "one", &thing("")).await.unwrap();
        store.create("a", "one", &Other).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn names_that_no_terminal_could_show_are_refused() {
    on_both(async |home| {
        for name in ["", "a\nb", "\u{0}", "\u{9b}1m", &"x".repeat(254)] {
            let made = home.store.create("default", name, &thing("")).await;
            assert!(matches!(made, Err(StoreError::Invalid(_))), "{name:?}: {made:?}");
        }
        let large = home.store.create("default", "large", &thing(&"x".repeat(1 << 20))).await;
        assert!(matches!(large, Err(StoreError::Invalid(_))), "{large:?}");
        assert!(names(&home.store, None, 10).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn of_two_writers_one_is_told_that_it_was_late() {
    on_both(async |home| {
        let store = &home.store;
        let old = store.create("default", "one", &thing("old")).await.unwrap();
        let other = home.again().await;
        let (left, right) = (thing("left"), thing("right"));
        let (first, second) = tokio::join!(store.replace(&old, &left), other.replace(&old, &right));
        let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
        let won = won.unwrap();
        assert!(matches!(lost, Err(StoreError::Stale)), "{lost:?}");
        assert_eq!(won.version, 2);
        assert_eq!(store.find("default", "one").await.unwrap(), Some(won.clone()));
        assert_eq!(store.replace(&won, &thing("third")).await.unwrap().version, 3);
    })
    .await;
}

#[tokio::test]
async fn many_writers_lose_no_change() {
    on_both(async |home| {
        home.store.create("default", "count", &thing("0")).await.unwrap();
        let add = async |store: Store| {
            for _ in 0..10 {
                loop {
                    let old = store.find::<Thing>("default", "count").await.unwrap().unwrap();
                    let more = old.body.text.parse::<u32>().unwrap() + 1;
                    match store.replace(&old, &thing(&more.to_string())).await {
                        Ok(_) => break,
                        Err(StoreError::Stale) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        };
        let (one, two) = (home.again().await, home.again().await);
        tokio::join!(add(home.store.clone()), add(home.store.clone()), add(one), add(two));
        let end = home.store.find::<Thing>("default", "count").await.unwrap().unwrap();
        assert_eq!((end.body.text.as_str(), end.version), ("40", 41));
    })
    .await;
}

#[tokio::test]
async fn a_removed_object_is_gone_and_its_name_free() {
    on_both(async |home| {
        let store = &home.store;
        let old = store.create("default", "one", &thing("old")).await.unwrap();
        let wrong = store.remove::<Thing>("default", "one", Some(2)).await;
        assert!(matches!(wrong, Err(StoreError::Stale)), "{wrong:?}");
        assert!(store.remove::<Thing>("default", "one", Some(1)).await.unwrap());
        assert!(!store.remove::<Thing>("default", "one", Some(1)).await.unwrap());
        assert!(!store.remove::<Thing>("default", "one", None).await.unwrap());
        let new = store.create("default", "one", &thing("new")).await.unwrap();
        assert_ne!(new.id, old.id);
        // Whoever still has the old one does not change the new one.
        assert!(matches!(store.replace(&old, &thing("late")).await, Err(StoreError::Stale)));
        assert!(store.remove::<Thing>("default", "one", None).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn lists_are_sorted_by_bytes_and_whole_whatever_the_page() {
    on_both(async |home| {
        let store = &home.store;
        for (workspace, name) in
            [("b", "x"), ("a", "x"), ("a", "Z"), ("a", "a-b"), ("a", "ab"), ("a", "ä"), ("b", "B")]
        {
            store.create(workspace, name, &thing("")).await.unwrap();
        }
        store.create("a", "other", &Other).await.unwrap();
        for limit in [1, 2, 3, 100] {
            assert_eq!(
                names(store, None, limit).await,
                ["b/B", "a/Z", "a/a-b", "a/ab", "a/x", "b/x", "a/ä"]
            );
            let in_a = ["a/Z", "a/a-b", "a/ab", "a/x", "a/ä"];
            assert_eq!(names(store, Some("a"), limit).await, in_a);
        }
        assert!(names(store, Some("c"), 1).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_page_of_large_bodies_ends_before_it_is_too_large() {
    on_both(async |home| {
        let large = thing(&"x".repeat(1_000_000));
        for number in 0..20 {
            home.store.create("default", &format!("{number:02}"), &large).await.unwrap();
        }
        let (mut sizes, mut page) = (Vec::new(), Page { after: None, limit: 1000 });
        loop {
            let listed: Listed<Stored<Thing>> = home.store.list(None, &page).await.unwrap();
            sizes.push(listed.items.len());
            page.after = listed.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(sizes, [17, 3]);
    })
    .await;
}

#[tokio::test]
async fn what_comes_and_goes_between_pages_moves_nothing_else() {
    on_both(async |home| {
        let store = &home.store;
        for name in ["b", "d", "f", "h"] {
            store.create("w", name, &thing("")).await.unwrap();
        }
        let page = Page { after: None, limit: 2 };
        let first: Listed<Stored<Thing>> = store.list(Some("w"), &page).await.unwrap();
        for name in ["a", "c", "g"] {
            store.create("w", name, &thing("")).await.unwrap();
        }
        store.remove::<Thing>("w", "d", None).await.unwrap();
        let page = Page { after: first.next, limit: 10 };
        let rest: Listed<Stored<Thing>> = store.list(Some("w"), &page).await.unwrap();
        assert_eq!(rest.items.iter().map(|one| &one.name).collect::<Vec<_>>(), ["f", "g", "h"]);
        let wrong = Page { after: Some("x".to_owned()), limit: 1 };
        let wrong = store.list::<Thing>(None, &wrong).await;
        assert!(matches!(wrong, Err(StoreError::Invalid(_))), "{wrong:?}");
    })
    .await;
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_without_its_content() {
    on_both(async |home| {
        home.store.create("default", "one", &thing("")).await.unwrap();
        home.run("UPDATE objects SET body = '{\"text\":\"\",\"hunter2\":1}'").await;
        let error = home.store.find::<Thing>("default", "one").await.unwrap_err();
        assert!(matches!(error, StoreError::Body { kind: "thing", line: 1, .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    })
    .await;
}
