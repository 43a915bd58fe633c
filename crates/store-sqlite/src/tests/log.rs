//! The write-ahead log: who restarts it, and what holds it.

use std::time::Duration;

use super::*;

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn the_writer_restarts_a_log_that_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    // The checkpoint thread is never asked: only the writer can keep the log short.
    let options = SqliteOptions { checkpoint_bytes: u64::MAX, wal_bytes_max: MIB, ..options(&directory) };
    let (store, _, amy) = open_store(options).await;
    for _ in 0..40 {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let store = Arc::clone(&store);
            tasks.spawn(async move { store.append(text(amy, &"x".repeat(4000))).await.unwrap() });
        }
        tasks.join_all().await;
    }
    let log = std::fs::metadata(directory.path().join("teahouse.db-wal")).unwrap().len();
    assert!(log < 3 * MIB, "more than 8 MB were written, the log has {log} bytes");
    store.close().await;
    assert_eq!(query_number(&directory, "SELECT count(*) FROM messages"), 2000);
    assert_intact(&directory);
}

#[tokio::test]
async fn the_checkpoint_thread_is_enough_beside_a_writer_with_pauses() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = SqliteMetrics::default();
    let options = SqliteOptions {
        checkpoint_bytes: MIB / 8,
        wal_bytes_max: u64::MAX,
        metrics: metrics.clone(),
        ..options(&directory)
    };
    let (store, _, amy) = open_store(options).await;
    let mut longest = 0;
    for round in 0..20_000 {
        store.append(text(amy, &"x".repeat(4000))).await.unwrap();
        if round % 50 == 0 {
            // The writer pauses for some milliseconds while others read.
            for _ in 0..200 {
                store.user(amy).await.unwrap();
            }
        }
        if metrics.wal_bytes.get() < longest {
            return;
        }
        longest = metrics.wal_bytes.get();
    }
    panic!("the log never restarted and has {longest} bytes");
}

#[tokio::test]
async fn a_reader_that_holds_the_log_stops_no_writer() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        checkpoint_bytes: MIB,
        wal_bytes_max: MIB / 4,
        busy_timeout: Duration::from_millis(1),
        ..options(&directory)
    };
    let (store, _, amy) = open_store(options).await;
    let reader = open_file(&directory);
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    for _ in 0..200 {
        store.append(text(amy, &"x".repeat(4000))).await.unwrap();
    }
    reader.execute_batch("COMMIT").unwrap();
    store.close().await;
    assert_intact(&directory);
}
