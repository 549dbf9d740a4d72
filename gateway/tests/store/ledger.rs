//! The ledger: every call is booked once, whatever is told twice and whoever crashes.

use domain::Cost;
use gateway::store::{
    Account, AnsweredCall, Booking, EndedCall, Page, Reserved, Settled, Store, StoreError,
};

use crate::place::on_both;

fn account(scope: &str, owner: &str) -> Account {
    Account { scope: scope.to_owned(), owner: owner.to_owned(), period: "2026-11-26".to_owned() }
}

fn booking(scope: &str, owner: &str, limit: Option<u64>) -> Booking {
    Booking { account: account(scope, owner), limit: limit.map(Cost) }
}

async fn stands(store: &Store, scope: &str, owner: &str) -> (u64, u64) {
    let balance = store.balance(&account(scope, owner)).await.unwrap();
    (balance.reserved.0, balance.settled.0)
}

#[tokio::test]
async fn a_call_is_set_aside_and_settled_on_all_its_accounts() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [booking("sandbox", "a", Some(100)), booking("workspace", "w", None)];
        let reserved = store.reserve("c1", Cost(60), &accounts, 1000).await.unwrap();
        let Reserved::Granted(balances) = &reserved else { panic!("{reserved:?}") };
        assert_eq!(balances.len(), 2);
        assert_eq!(balances[0].remaining(Cost(100)), Cost(40));
        assert_eq!(stands(store, "sandbox", "a").await, (60, 0));
        // The same again is the same, also for another process and when its answer was lost.
        assert_eq!(
            home.again().await.reserve("c1", Cost(60), &accounts, 1000).await.unwrap(),
            reserved
        );
        assert_eq!(store.settle("c1", Cost(25)).await.unwrap(), Settled::Now);
        assert_eq!(store.settle("c1", Cost(25)).await.unwrap(), Settled::Before);
        assert_eq!(store.release("c1").await.unwrap(), Settled::Before);
        assert_eq!(stands(store, "sandbox", "a").await, (0, 25));
        assert_eq!(stands(store, "workspace", "w").await, (0, 25));
        assert_eq!(store.reserve("c1", Cost(60), &accounts, 1000).await.unwrap(), Reserved::Closed);
        assert_eq!(store.settle("c2", Cost(1)).await.unwrap(), Settled::Unknown);
        store.reserve("c3", Cost(60), &accounts, 1000).await.unwrap();
        assert_eq!(store.release("c3").await.unwrap(), Settled::Now);
        assert_eq!(stands(store, "sandbox", "a").await, (0, 25));
    })
    .await;
}

#[tokio::test]
async fn what_is_above_a_limit_is_set_aside_nowhere() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [
            booking("workspace", "w", Some(50)),
            booking("sandbox", "a", Some(100)),
            booking("backend", "b", None),
        ];
        let refused = store.reserve("c1", Cost(51), &accounts, 1000).await.unwrap();
        let Reserved::Refused(balance) = refused else { panic!("{refused:?}") };
        assert_eq!((balance.account, balance.reserved), (account("workspace", "w"), Cost(0)));
        for (scope, owner) in [("workspace", "w"), ("sandbox", "a"), ("backend", "b")] {
            assert_eq!(stands(store, scope, owner).await, (0, 0));
        }
        // It was not booked, so it may be tried again for less.
        let again = store.reserve("c1", Cost(50), &accounts, 1000).await.unwrap();
        assert!(matches!(again, Reserved::Granted(_)), "{again:?}");
        assert_eq!(store.settle("c1", Cost(70)).await.unwrap(), Settled::Now);
        assert_eq!(stands(store, "workspace", "w").await, (0, 70));
        let refused = store.reserve("c2", Cost(1), &accounts, 1000).await.unwrap();
        assert!(matches!(&refused, Reserved::Refused(at) if at.settled == Cost(70)), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn many_at_once_never_set_aside_more_than_there_is() {
    on_both(async |home| {
        let (one, two) = (home.again().await, home.again().await);
        let reserve = async |store: &Store, from: u32| {
            let mut granted = 0;
            for number in from..from + 10 {
                // In opposite orders, which must not make them wait for each other.
                let mut accounts =
                    vec![booking("sandbox", "a", Some(15)), booking("workspace", "w", None)];
                if from.is_multiple_of(20) {
                    accounts.reverse();
                }
                let reserved = store.reserve(&format!("c{number}"), Cost(1), &accounts, 1000).await;
                granted += u32::from(matches!(reserved.unwrap(), Reserved::Granted(_)));
            }
            granted
        };
        let granted = tokio::join!(reserve(&one, 0), reserve(&two, 10), reserve(&home.store, 20));
        assert_eq!(granted.0 + granted.1 + granted.2, 15);
        assert_eq!(stands(&one, "sandbox", "a").await, (15, 0));
        assert_eq!(stands(&one, "workspace", "w").await, (15, 0));
    })
    .await;
}

#[tokio::test]
async fn what_nobody_settles_in_time_counts_as_spent() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [booking("sandbox", "a", None), booking("workspace", "w", None)];
        for number in 0..130 {
            let expires = if number < 125 { 1000 } else { 2000 };
            store.reserve(&format!("c{number}"), Cost(2), &accounts, expires).await.unwrap();
        }
        assert_eq!(store.expire_reservations(999).await.unwrap(), 0);
        assert_eq!(store.expire_reservations(1000).await.unwrap(), 125);
        assert_eq!(stands(store, "sandbox", "a").await, (10, 250));
        // A router that comes back late does not book it twice.
        assert_eq!(store.settle("c0", Cost(1)).await.unwrap(), Settled::Before);
        assert_eq!(store.settle("c129", Cost(1)).await.unwrap(), Settled::Now);
        assert_eq!(store.expire_reservations(2000).await.unwrap(), 4);
        assert_eq!(store.expire_reservations(3000).await.unwrap(), 0);
        assert_eq!(stands(store, "workspace", "w").await, (0, 259));
    })
    .await;
}

#[tokio::test]
async fn whatever_is_told_in_any_order_is_booked_once() {
    on_both(async |home| {
        let stores = [home.store.clone(), home.again().await];
        let accounts = [booking("sandbox", "a", None)];
        let (mut state, mut spent) = (12_345_u64, [None::<u64>; 8]);
        let mut held = [false; 8];
        for _ in 0..150 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (what, call, store) =
                (state >> 61 & 3, (state >> 40) as usize % 8, &stores[(state >> 50) as usize % 2]);
            let id = format!("c{call}");
            match what {
                0 | 1 => {
                    let reserved = store.reserve(&id, Cost(10), &accounts, 1000).await.unwrap();
                    assert_eq!(matches!(reserved, Reserved::Closed), spent[call].is_some());
                    held[call] |= spent[call].is_none();
                }
                _ => {
                    let cost = if what == 2 { 3 } else { 0 };
                    let settled = match cost {
                        0 => store.release(&id).await.unwrap(),
                        cost => store.settle(&id, Cost(cost)).await.unwrap(),
                    };
                    let expected = match (held[call], spent[call]) {
                        (true, _) => Settled::Now,
                        (false, Some(_)) => Settled::Before,
                        (false, None) => Settled::Unknown,
                    };
                    assert_eq!(settled, expected);
                    if settled == Settled::Now {
                        (held[call], spent[call]) = (false, Some(cost));
                    }
                }
            }
        }
        let reserved = 10 * u64::try_from(held.iter().filter(|held| **held).count()).unwrap();
        let settled = spent.iter().flatten().sum();
        assert_eq!(stands(&home.store, "sandbox", "a").await, (reserved, settled));
        assert!(settled > 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_was_not_set_aside_is_booked_once_too() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [account("sandbox", "a"), account("sandbox", "a"), account("backend", "b")];
        assert!(store.spend("c1", Cost(7), &accounts).await.unwrap());
        assert!(!store.spend("c1", Cost(7), &accounts).await.unwrap());
        assert!(store.spend("c2", Cost(3), &accounts).await.unwrap());
        assert_eq!(stands(store, "sandbox", "a").await, (0, 10));
        assert_eq!(stands(store, "backend", "b").await, (0, 10));
    })
    .await;
}

#[tokio::test]
async fn amounts_stop_at_a_limit_and_never_turn_over() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [booking("sandbox", "a", Some(u64::MAX))];
        for number in 0..6 {
            let id = format!("r{number}");
            assert!(matches!(
                store.reserve(&id, Cost(u64::MAX), &accounts, 1000).await.unwrap(),
                Reserved::Granted(_)
            ));
        }
        assert_eq!(stands(store, "sandbox", "a").await, (4_000_000_000_000_000_000, 0));
        for number in 0..6 {
            store.settle(&format!("r{number}"), Cost(u64::MAX)).await.unwrap();
        }
        assert_eq!(stands(store, "sandbox", "a").await, (0, 4_000_000_000_000_000_000));
        store.spend("s", Cost(u64::MAX), &[account("sandbox", "a")]).await.unwrap();
        assert_eq!(stands(store, "sandbox", "a").await, (0, 4_000_000_000_000_000_000));
        for wrong in [vec![], vec![booking("", "a", None)], many(17)] {
            let refused = store.reserve("x", Cost(1), &wrong, 1000).await;
            assert!(matches!(refused, Err(StoreError::Invalid(_))), "{refused:?}");
        }
    })
    .await;
}

fn many(accounts: u32) -> Vec<Booking> {
    (0..accounts).map(|number| booking("sandbox", &number.to_string(), None)).collect()
}

#[tokio::test]
async fn accounts_are_listed_and_forgotten() {
    on_both(async |home| {
        let store = &home.store;
        for owner in ["c", "a", "b"] {
            store
                .spend(&format!("call-{owner}"), Cost(1), &[account("sandbox", owner)])
                .await
                .unwrap();
        }
        store.reserve("open", Cost(1), &[booking("workspace", "w", None)], 1000).await.unwrap();
        let page = Page { after: None, limit: 2 };
        let first = store.balances("sandbox", "2026-11-26", &page).await.unwrap();
        let page = Page { after: first.next, limit: 2 };
        let second = store.balances("sandbox", "2026-11-26", &page).await.unwrap();
        let owners: Vec<_> =
            first.items.iter().chain(&second.items).map(|one| one.account.owner.as_str()).collect();
        assert_eq!(owners, ["a", "b", "c"]);
        assert!(
            store.balances("sandbox", "2026-11", &Page::default()).await.unwrap().items.is_empty()
        );
        assert_eq!(store.forget_ledger(0, 0).await.unwrap(), 0);
        assert_eq!(store.forget_ledger(i64::MAX, i64::MAX).await.unwrap(), 3);
        assert_eq!(stands(store, "sandbox", "a").await, (0, 0));
        // What is under way is never forgotten.
        assert_eq!(stands(store, "workspace", "w").await, (1, 0));
        assert_eq!(store.settle("open", Cost(1)).await.unwrap(), Settled::Now);
    })
    .await;
}

fn ended(id: &str, backend: &str, cost: Option<u64>) -> EndedCall {
    let answered = cost.map(|cost| AnsweredCall {
        backend: backend.to_owned(),
        model: "m".to_owned(),
        zone: "public".to_owned(),
        tokens: [10, 4, 2],
        cost: Cost(cost),
        saved: Cost(1),
    });
    EndedCall {
        id: id.to_owned(),
        time_ms: 1000,
        workspace: "w".to_owned(),
        caller: "sandbox/a".to_owned(),
        answered,
        accounts: vec![account("sandbox", "a"), account("backend", backend)],
    }
}

#[tokio::test]
async fn a_call_that_ended_is_booked_once_and_on_who_answered() {
    on_both(async |home| {
        let store = &home.store;
        let first = [booking("sandbox", "a", None), booking("backend", "b", None)];
        store.reserve("i/1", Cost(60), &first, 1000).await.unwrap();
        let (one, free) = (ended("i/1", "c", Some(25)), ended("i/2", "c", Some(0)));
        store.book_calls(&[one.clone(), free]).await.unwrap();
        home.again().await.book_calls(&[one]).await.unwrap();
        assert_eq!(stands(store, "sandbox", "a").await, (0, 25));
        assert_eq!(stands(store, "backend", "b").await, (0, 0), "it was asked, and did not answer");
        assert_eq!(stands(store, "backend", "c").await, (0, 25));

        // Nobody answered: what was set aside is given back, and there is no call to report.
        store.reserve("i/3", Cost(60), &first, 1000).await.unwrap();
        store.book_calls(&[ended("i/3", "b", None), ended("i/3", "b", None)]).await.unwrap();
        assert_eq!(stands(store, "sandbox", "a").await, (0, 25));

        let lines = store.spending("w", None, 0, 10).await.unwrap();
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!((line.calls, line.tokens, line.cost), (2, [20, 8, 4], Cost(25)));
        for (workspace, caller, since) in
            [("v", None, 0), ("w", Some("sandbox/b"), 0), ("w", None, 1001)]
        {
            assert_eq!(store.spending(workspace, caller, since, 10).await.unwrap(), []);
        }
        assert_eq!(store.forget_calls(1001).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_router_has_set_aside_is_spent_and_others_keep_theirs() {
    on_both(async |home| {
        let store = &home.store;
        let accounts = [booking("sandbox", "a", None)];
        for id in ["i/1", "i/2", "j/1"] {
            store.reserve(id, Cost(10), &accounts, i64::MAX).await.unwrap();
        }
        assert_eq!(store.expire_reservations_of("i/").await.unwrap(), 2);
        assert_eq!(store.expire_reservations_of("i/").await.unwrap(), 0);
        assert_eq!(stands(store, "sandbox", "a").await, (10, 20));
        // It had ended after all: counted in full, and not a second time.
        store.book_calls(&[ended("i/1", "c", Some(5))]).await.unwrap();
        assert_eq!(stands(store, "sandbox", "a").await, (10, 20));
        let balances = store.balances_in(["2026-11-26", "2026-11"]).await.unwrap();
        assert_eq!(balances.len(), 1);
        for beginning in ["", "%", "i_"] {
            assert!(store.expire_reservations_of(beginning).await.is_err());
        }
    })
    .await;
}
