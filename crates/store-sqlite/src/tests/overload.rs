//! Overload: full queues, a full disk, another program that holds the database, reads that fail.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use teahouse_core::Version;

use super::*;

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = SqliteMetrics::default();
    let (store, sink, amy) =
        open_store(SqliteOptions { queue_max: 3, metrics: metrics.clone(), ..options(&directory) }).await;
    let gate = sink.gate();
    let mut waiting = vec![start_append(&store, text(amy, "0")).await];
    gate.entered.recv().unwrap();
    for number in 1..=3 {
        waiting.push(start_append(&store, text(amy, &number.to_string())).await);
    }
    assert_eq!(metrics.common.writes_waiting.get(), 3);
    let refused = store.append(text(amy, "one too many")).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Overloaded(_)))), "{refused:?}");
    assert_eq!(metrics.common.refusals.get_or_create(&OverloadLabel { reason: OverloadReason::WriteQueue }).get(), 1);
    drop(gate.release);
    for asked in waiting {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(contents(&store).await, ["0", "1", "2", "3"]);
    assert_eq!(sink.count(), 4);
}

#[tokio::test]
async fn too_many_reads_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = open_store(SqliteOptions { readers: 1, reads_max: 1, ..options(&directory) }).await;
    let ((entered, has_entered), (release, released)) = (sync_channel(1), sync_channel::<()>(1));
    let busy = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let wait = move |_: &Connection| {
                entered.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            };
            store.read(wait).await
        })
    };
    tokio::task::spawn_blocking(move || has_entered.recv().unwrap()).await.unwrap();
    let mut waiting = pin!(store.user(amy));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(matches!(store.user(amy).await, Err(StoreError::Overloaded(_))));
    drop(release);
    busy.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().profile.id, amy);
}

#[tokio::test]
async fn a_full_disk_refuses_writes_then_recovers_and_reads_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = SqliteMetrics::default();
    let (store, sink, amy) = open_store(SqliteOptions { metrics: metrics.clone(), ..options(&directory) }).await;
    let pages_max = async |pages: u32| {
        let limit = move |group: &mut group::Group<'_>| {
            group.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        };
        store.change(limit).await.unwrap();
    };
    // No more pages than there are: the first message that needs another page finds the disk full.
    pages_max(1).await;
    let mut stored = 0;
    let refused = loop {
        match store.append(text(amy, &"x".repeat(3000))).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Store(StoreError::Overloaded(_))), "{refused:?}");
    assert_eq!(metrics.common.refusals.get_or_create(&OverloadLabel { reason: OverloadReason::Disk }).get(), 1);
    assert_eq!((contents(&store).await.len(), sink.count()), (stored, stored));
    assert_eq!(store.room_head(LOBBY).await.unwrap().unwrap().version, Version(stored as u64));

    pages_max(u32::MAX - 1).await;
    let next = store.append(text(amy, "room again")).await.unwrap();
    assert_eq!((next.seq.0, next.version.0), (stored as u64 + 1, stored as u64 + 1), "no number was lost");
    store.check().await.unwrap();
    store.close().await;
    assert_intact(&directory);
}

#[tokio::test]
async fn another_program_that_locks_the_database_makes_writes_overloaded() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) =
        open_store(SqliteOptions { busy_timeout: Duration::from_millis(1), ..options(&directory) }).await;
    store.append(text(amy, "before")).await.unwrap();
    let other = open_file(&directory);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.append(text(amy, "in between")).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Overloaded(_)))), "{refused:?}");
    assert!(matches!(store.check().await, Err(StoreError::Overloaded(_))));
    assert_eq!(contents(&store).await, ["before"], "reads go on");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(text(amy, "after")).await.unwrap().seq.0, 2);
    assert_eq!((contents(&store).await.len(), sink.count()), (2, 2));
}

#[tokio::test]
async fn a_read_that_panics_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = open_store(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let answer = store.read(|_| -> row::Sql<()> { panic!("a bug, for the test's sake") }).await;
    assert!(matches!(answer, Err(StoreError::Internal(_))));
    assert!(store.user(amy).await.unwrap().is_some());
}
