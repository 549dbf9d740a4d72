//! The audit: in order, once, with gaps counted, and nobody takes a line out unseen.

use gateway::store::{
    AuditEvent, AuditFault, AuditOrder, AuditQuery, AuditRecord, AuditRetention, AuditStream,
    GAP_KIND, Page, Store, StoreError,
};

use crate::place::{Home, on_both};

const A: AuditStream<'_> = AuditStream { sandbox: "sandbox-a", instance: "run-1" };
const B: AuditStream<'_> = AuditStream { sandbox: "sandbox-b", instance: "run-1" };

fn event(sequence: i64) -> AuditEvent {
    let kind = if sequence % 2 == 0 { "http" } else { "network" }.to_owned();
    AuditEvent {
        sequence,
        kind,
        at_ms: sequence.saturating_mul(1000),
        line: format!("{{\"n\":{sequence}}}"),
    }
}

fn events(sequences: impl IntoIterator<Item = i64>) -> Vec<AuditEvent> {
    sequences.into_iter().map(event).collect()
}

async fn append(store: &Store, stream: AuditStream<'_>, sequences: impl IntoIterator<Item = i64>) {
    store.append_audit(stream, &events(sequences)).await.unwrap();
}

async fn all(store: &Store, query: AuditQuery) -> Vec<AuditRecord> {
    let (mut records, mut page) = (Vec::new(), Page { after: None, limit: 3 });
    loop {
        let listed = store.audit(&query, &page).await.unwrap();
        let is_end = listed.items.is_empty() || listed.next.is_none();
        records.extend(listed.items);
        page.after = listed.next;
        if is_end {
            return records;
        }
    }
}

fn positions(records: &[AuditRecord]) -> Vec<i64> {
    records.iter().map(|record| record.position).collect()
}

#[tokio::test]
async fn events_are_kept_once_and_in_order() {
    on_both(async |home| {
        let store = &home.store;
        let first = store.append_audit(A, &events(1..=3)).await.unwrap();
        assert_eq!((first.next_sequence, first.stored, first.repeated, first.lost), (4, 3, 0, 0));
        append(store, B, 1..=1).await;
        // What was sent again because its answer was lost is there once.
        let again = home.again().await.append_audit(A, &events(2..=5)).await.unwrap();
        assert_eq!((again.next_sequence, again.stored, again.repeated, again.lost), (6, 2, 2, 0));
        let nothing = store.append_audit(A, &[]).await.unwrap();
        assert_eq!((nothing.next_sequence, nothing.stored), (6, 0));
        let records = all(store, AuditQuery::default()).await;
        assert_eq!(positions(&records), [1, 2, 3, 4, 5, 6]);
        let of_a: Vec<_> = records.iter().filter(|record| record.sandbox == A.sandbox).collect();
        assert_eq!(of_a.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!((of_a[4].line.as_str(), of_a[4].at_ms), ("{\"n\":5}", 5000));
        assert_eq!(store.verify_audit().await.unwrap().fault, None);
    })
    .await;
}

#[tokio::test]
async fn what_never_arrived_is_counted_where_it_would_have_been() {
    on_both(async |home| {
        let store = &home.store;
        append(store, A, [1, 2]).await;
        let appended = store.append_audit(A, &events([5, 6, 9])).await.unwrap();
        assert_eq!((appended.next_sequence, appended.stored, appended.lost), (10, 3, 4));
        // It was given up: what comes late would be out of order.
        assert_eq!(store.append_audit(A, &events([3, 4])).await.unwrap().repeated, 2);
        let records =
            all(store, AuditQuery { sandbox: Some(A.sandbox.into()), ..Default::default() }).await;
        let sequences: Vec<_> = records.iter().map(|record| record.sequence).collect();
        assert_eq!(sequences, [1, 2, 4, 5, 6, 8, 9]);
        let gaps: Vec<_> = records.iter().filter(|record| record.kind == GAP_KIND).collect();
        assert_eq!(gaps[0].line, "{\"lost\":2,\"from\":3,\"to\":4}");
        assert_eq!(gaps[1].line, "{\"lost\":2,\"from\":7,\"to\":8}");
        let progress = store.audit_progress(A.sandbox).await.unwrap();
        assert_eq!((progress.len(), progress[0].next_sequence, progress[0].lost), (1, 10, 4));
        // Another run of the same sandbox numbers anew.
        let second = AuditStream { instance: "run-2", ..A };
        assert_eq!(store.append_audit(second, &events([1])).await.unwrap().lost, 0);
        assert_eq!(store.audit_progress(A.sandbox).await.unwrap().len(), 2);
        assert_eq!(store.forget_audit_progress(A.sandbox).await.unwrap(), 2);
        assert_eq!(store.verify_audit().await.unwrap().fault, None);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_event_is_refused_as_a_whole() {
    on_both(async |home| {
        let with_line = |line: String| vec![event(1), AuditEvent { line, ..event(2) }];
        for bad in [
            events([2, 1]),
            events([1, 1]),
            events([0]),
            events([i64::MAX]),
            events(1..=1001),
            with_line("two\nlines".to_owned()),
            with_line("\0".to_owned()),
            with_line("x".repeat((64 << 10) + 1)),
            vec![AuditEvent { kind: String::new(), ..event(1) }],
        ] {
            let appended = home.store.append_audit(A, &bad).await;
            assert!(matches!(appended, Err(StoreError::Invalid(_))), "{appended:?}");
        }
        assert!(all(&home.store, AuditQuery::default()).await.is_empty());
        let huge = home.store.append_audit(A, &events([i64::MAX - 1])).await.unwrap();
        assert_eq!(huge.lost, i64::MAX.unsigned_abs() - 2);
    })
    .await;
}

#[tokio::test]
async fn many_senders_share_one_chain() {
    on_both(async |home| {
        let (one, two) = (home.again().await, home.again().await);
        let send = async |store: &Store, stream: AuditStream<'_>| {
            for batch in 0..10 {
                append(store, stream, batch * 5 + 1..=batch * 5 + 5).await;
            }
        };
        let own = async {
            for number in 0..10 {
                home.store.record_audit("user", number, "{}").await.unwrap();
            }
        };
        tokio::join!(
            send(&one, A),
            send(&two, B),
            send(&one, AuditStream { sandbox: "c", ..A }),
            own
        );
        let report = one.verify_audit().await.unwrap();
        assert_eq!((report.lines, report.last_position, report.fault), (160, 160, None));
        let own =
            all(&one, AuditQuery { sandbox: Some("gateway".into()), ..Default::default() }).await;
        assert_eq!(
            own.iter().map(|record| record.sequence).collect::<Vec<_>>(),
            (1..=10).collect::<Vec<_>>()
        );
    })
    .await;
}

#[tokio::test]
async fn of_many_that_begin_the_chain_at_once_all_succeed() {
    on_both(async |home| {
        let (one, two) = (home.again().await, home.again().await);
        for _ in 0..15 {
            let (left, right, third) = tokio::join!(
                one.append_audit(A, &[]),
                two.append_audit(B, &[]),
                home.store.record_audit("user", 0, "{}"),
            );
            assert!(left.is_ok() && right.is_ok() && third.is_ok(), "{left:?} {right:?} {third:?}");
            let tables = ["audit_events", "audit_chain", "audit_streams", "secrets"];
            home.run(&tables.map(|table| format!("DELETE FROM {table}")).join(";")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn events_are_found_by_sandbox_kind_time_and_direction() {
    on_both(async |home| {
        let store = &home.store;
        append(store, A, 1..=4).await;
        append(store, B, 1..=4).await;
        let find = async |query: AuditQuery| positions(&all(store, query).await);
        let query = AuditQuery::default;
        assert_eq!(
            find(AuditQuery { sandbox: Some("sandbox-b".into()), ..query() }).await,
            [5, 6, 7, 8]
        );
        assert_eq!(find(AuditQuery { kind: Some("http".into()), ..query() }).await, [2, 4, 6, 8]);
        let both =
            AuditQuery { sandbox: Some("sandbox-a".into()), kind: Some("http".into()), ..query() };
        assert_eq!(find(both.clone()).await, [2, 4]);
        let newest = AuditQuery { order: AuditOrder::NewestFirst, ..query() };
        assert_eq!(find(newest.clone()).await, [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(
            find(AuditQuery { since_ms: Some(2000), until_ms: Some(4000), ..newest }).await,
            [7, 6, 3, 2]
        );
        assert_eq!(find(AuditQuery { since_ms: Some(4000), ..both }).await, [4]);
        // What was stored long before cannot have happened since.
        let (now, minute) = (store_now(), 60_000);
        let later = AuditEvent { at_ms: now + minute, ..event(5) };
        store.append_audit(A, &[later]).await.unwrap();
        assert_eq!(find(AuditQuery { since_ms: Some(now), ..query() }).await, [9]);
        let future = AuditQuery { since_ms: Some(now + 10 * minute), ..query() };
        assert!(find(future).await.is_empty());
        assert!(find(AuditQuery { sandbox: Some("none".into()), ..query() }).await.is_empty());
    })
    .await;
}

fn store_now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[tokio::test]
async fn who_follows_the_audit_misses_nothing() {
    on_both(async |home| {
        let store = &home.store;
        let query = AuditQuery { sandbox: Some(A.sandbox.into()), ..Default::default() };
        let mut page = Page { after: None, limit: 10 };
        let mut seen = Vec::new();
        for round in 0..4 {
            let listed = store.audit(&query, &page).await.unwrap();
            seen.extend(listed.items.iter().map(|record| record.sequence));
            page.after = Some(listed.next.expect("there is always a place to go on from"));
            append(store, B, [round + 1]).await;
            append(store, A, [2 * round + 1, 2 * round + 2]).await;
        }
        assert_eq!(seen, (1..=6).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn every_change_to_the_chain_is_found() {
    let changes = [
        (
            "UPDATE audit_events SET line = '{}' WHERE position = 3",
            AuditFault::Changed { position: 3 },
        ),
        (
            "UPDATE audit_events SET sandbox = 'x' WHERE position = 3",
            AuditFault::Changed { position: 3 },
        ),
        (
            "UPDATE audit_events SET at_ms = at_ms + 1 WHERE position = 3",
            AuditFault::Changed { position: 3 },
        ),
        ("DELETE FROM audit_events WHERE position = 3", AuditFault::Missing { position: 3 }),
        ("DELETE FROM audit_events WHERE position = 1", AuditFault::Missing { position: 1 }),
        ("DELETE FROM audit_events WHERE position = 6", AuditFault::Missing { position: 6 }),
        ("DELETE FROM audit_events", AuditFault::Missing { position: 1 }),
        // Shortened, with an end that fits: only the code over it does not.
        (
            "DELETE FROM audit_events WHERE position > 4; UPDATE audit_chain SET last_position = 4, \
             last = (SELECT hash FROM audit_events WHERE position = 4), size = 28",
            AuditFault::Ends,
        ),
        (
            "DELETE FROM audit_events WHERE position < 3; UPDATE audit_chain SET anchor_position = 2, \
             anchor = (SELECT last FROM audit_chain)",
            AuditFault::Changed { position: 3 },
        ),
        ("DELETE FROM audit_chain", AuditFault::Ends),
        ("DELETE FROM audit_chain; DELETE FROM audit_events", AuditFault::Ends),
    ];
    on_both(async |home| {
        for (what, fault) in changes {
            append(&home.store, A, 1..=6).await;
            assert_eq!(home.store.verify_audit().await.unwrap().fault, None);
            home.run(what).await;
            assert_eq!(home.store.verify_audit().await.unwrap().fault, Some(fault), "{what}");
            let tables = ["audit_events", "audit_chain", "audit_streams", "secrets"];
            home.run(&tables.map(|table| format!("DELETE FROM {table}")).join(";")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_chain_of_others_is_not_gone_on_with_until_someone_says_so() {
    on_both(async |home| {
        let store = &home.store;
        append(store, A, 1..=6).await;
        home.run(
            "DELETE FROM audit_events WHERE position > 4; UPDATE audit_chain SET last_position = 4, \
             last = (SELECT hash FROM audit_events WHERE position = 4)",
        )
        .await;
        let refused = store.append_audit(A, &events([7])).await;
        assert!(matches!(refused, Err(StoreError::Tampered)), "{refused:?}");
        let refused = store.retain_audit(AuditRetention { bytes_max: Some(0), ..Default::default() }).await;
        assert!(matches!(refused, Err(StoreError::Tampered)), "{refused:?}");
        store.restart_audit("{\"by\":\"ann\"}").await.unwrap();
        append(store, A, [7]).await;
        let report = store.verify_audit().await.unwrap();
        assert_eq!((report.first_position, report.lines, report.fault), (5, 2, None));
        let records = all(store, AuditQuery::default()).await;
        assert_eq!(records[4].kind, "restart");
        // What went before goes by age and size like the rest.
        let few = AuditRetention { bytes_max: Some(20), ..Default::default() };
        assert_eq!(store.retain_audit(few).await.unwrap(), 4);
        let report = store.verify_audit().await.unwrap();
        assert_eq!((report.first_position, report.lines, report.fault), (5, 2, None));
    })
    .await;
}

#[tokio::test]
async fn the_oldest_lines_go_and_the_rest_is_still_a_chain() {
    on_both(async |home| {
        let store = &home.store;
        let keep = AuditRetention::default;
        assert_eq!(
            store
                .retain_audit(AuditRetention { before_ms: Some(i64::MAX), ..keep() })
                .await
                .unwrap(),
            0
        );
        append(store, A, 1..=900).await;
        assert_eq!(store.retain_audit(keep()).await.unwrap(), 0);
        let bytes: usize = events(1..=900).iter().map(|event| event.line.len()).sum();
        let last_three = u64::try_from(3 * "{\"n\":900}".len()).unwrap();
        let few = AuditRetention { bytes_max: Some(last_three), ..keep() };
        assert!(u64::try_from(bytes).unwrap() > last_three);
        assert_eq!(store.retain_audit(few).await.unwrap(), 897);
        let report = store.verify_audit().await.unwrap();
        assert_eq!((report.first_position, report.lines, report.fault), (898, 3, None));
        home.run("DELETE FROM audit_events WHERE position = 898").await;
        assert_eq!(
            store.verify_audit().await.unwrap().fault,
            Some(AuditFault::Missing { position: 898 })
        );
    })
    .await;
    on_both(async |home: Home| {
        let store = &home.store;
        append(store, A, 1..=3).await;
        let by_age = |before| AuditRetention { before_ms: Some(before), ..Default::default() };
        assert_eq!(store.retain_audit(by_age(store_now() - 60_000)).await.unwrap(), 0);
        assert_eq!(store.retain_audit(by_age(store_now() + 60_000)).await.unwrap(), 3);
        // Nothing is left but where it goes on.
        append(store, A, [4]).await;
        let report = store.verify_audit().await.unwrap();
        assert_eq!((report.first_position, report.lines, report.fault), (4, 1, None));
        assert_eq!(store.append_audit(A, &events([4])).await.unwrap().repeated, 1);
    })
    .await;
}
