//! Backups of a database in use: their files, what they delay, and what stops them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::BackupError;

/// A backup that waits in the middle.
struct PausedBackup {
    task: tokio::task::JoinHandle<Result<(), BackupError>>,
    release: SyncSender<()>,
}

/// Starts a backup, and returns when it is in the middle.
async fn start_backup(store: &Arc<SqliteStore>, into: &Path) -> PausedBackup {
    let (entered, has_entered) = sync_channel(1);
    let (release, released) = sync_channel(1);
    let task = {
        let (store, into) = (Arc::clone(store), into.to_owned());
        tokio::spawn(async move {
            let mut gate = Some(GateInSink { entered, released });
            let progress = move |part: f64| {
                if part > 0.0
                    && let Some(gate) = gate.take()
                {
                    gate.entered.send(()).unwrap();
                    let _ = gate.released.recv();
                }
            };
            store.backups().copy_to(&into, Box::new(progress)).await
        })
    };
    tokio::task::spawn_blocking(move || has_entered.recv().unwrap()).await.unwrap();
    PausedBackup { task, release }
}

/// Opens a store with some megabytes, so that a backup takes more than one step.
async fn open_filled_store(options: SqliteOptions) -> (Arc<SqliteStore>, UserId) {
    let (store, _, amy) = open_store(options).await;
    for _ in 0..600 {
        store.append(text(amy, &"x".repeat(4000))).await.unwrap();
    }
    (store, amy)
}

fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_backup_is_one_file_for_its_owner_only() {
    let (directory, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, ..) = open_store(options(&directory)).await;
    let into = target.path().join("copies").join("today");
    store.backups().copy_to(&into, Box::new(|_| {})).await.unwrap();
    assert_eq!(files(&into), [DATABASE_FILE]);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&into), mode(&into.join(DATABASE_FILE))), (0o700, 0o600));
    let verdict: String = Connection::open(into.join(DATABASE_FILE))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn there_is_one_backup_at_a_time() {
    let (directory, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open_filled_store(options(&directory)).await;
    let backup = start_backup(&store, &target.path().join("one")).await;
    let refused = store.backups().copy_to(&target.path().join("two"), Box::new(|_| {})).await;
    assert!(matches!(refused, Err(BackupError::Store(StoreError::Overloaded(_)))), "{refused:?}");
    drop(backup.release);
    backup.task.await.unwrap().unwrap();
    store.backups().copy_to(&target.path().join("two"), Box::new(|_| {})).await.unwrap();
}

#[tokio::test]
async fn closing_the_store_stops_a_backup_and_leaves_nothing_of_it() {
    let (directory, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open_filled_store(options(&directory)).await;
    let into = target.path().join("one");
    let backup = start_backup(&store, &into).await;
    assert_eq!(files(&into), ["teahouse.db.part"], "the copy has another name until it is complete");
    let mut closing = Box::pin(store.close());
    assert!(closing.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(backup.release);
    closing.await;
    assert_eq!(backup.task.await.unwrap(), Err(BackupError::Store(StoreError::Closed)));
    assert!(!into.exists());
    SqliteStore::open(options(&directory), Box::new(GatedSink::default())).expect("the original is free");
}

#[tokio::test]
async fn a_backup_that_panics_is_an_error_and_leaves_nothing() {
    let (directory, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, ..) = open_store(options(&directory)).await;
    let into = target.path().join("one");
    let failed = store.backups().copy_to(&into, Box::new(|_| panic!("a bug, for the test's sake"))).await;
    assert!(matches!(failed, Err(BackupError::Store(StoreError::Internal(_)))), "{failed:?}");
    assert!(!into.exists());
    store.backups().copy_to(&into, Box::new(|_| {})).await.unwrap();
}

#[tokio::test]
async fn the_writer_does_not_wait_for_a_backup_that_holds_the_log() {
    let (directory, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A writer that tried to restart the log would wait for an hour.
    let options = SqliteOptions {
        checkpoint_bytes: 1024 * 1024,
        wal_bytes_max: 1024 * 1024,
        busy_timeout: Duration::from_secs(3600),
        ..options(&directory)
    };
    let metrics = options.metrics.clone();
    let (store, amy) = open_filled_store(options).await;
    let backup = start_backup(&store, &target.path().join("one")).await;
    for _ in 0..600 {
        store.append(text(amy, &"y".repeat(4000))).await.unwrap();
    }
    let long = metrics.wal_bytes.get();
    assert!(long > 2 * 1024 * 1024, "the log grows meanwhile, to {long} bytes");
    drop(backup.release);
    backup.task.await.unwrap().unwrap();
    for _ in 0..600 {
        store.append(text(amy, &"z".repeat(4000))).await.unwrap();
    }
    assert!(metrics.wal_bytes.get() < long, "the log restarts afterwards");
}
