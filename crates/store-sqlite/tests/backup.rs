//! Backups of a store: complete, of one moment, with an epoch of their own, and nothing overwritten.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use std::sync::{Arc, Mutex};

use teahouse_conformance::{ALL, RecordingSink, registration, text};
use teahouse_core::{LOBBY, UserId, Version};
use teahouse_store::{Accounts, Appended, Destination, Lifecycle, Messages, StoreError};
use teahouse_store_sqlite::{BackupError, BackupProgress, SqliteOptions, SqliteStore};

const IN_LOBBY: Destination = Destination::Room(LOBBY);

fn open(directory: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(SqliteOptions::new(directory), Box::new(RecordingSink::default())).unwrap())
}

async fn new_user(store: &SqliteStore) -> UserId {
    store.create_user(registration("amy")).await.unwrap().profile.id
}

async fn send(store: &SqliteStore, sender: UserId, content: &str) -> Appended {
    store.append(text(sender, IN_LOBBY, content)).await.unwrap()
}

async fn back_up(store: &SqliteStore, into: &Path) -> Result<(), BackupError> {
    store.backups().copy_to(into, Box::new(|_| {})).await
}

/// The number of messages in the lobby, all of which must be there.
async fn messages_in(store: &SqliteStore) -> u64 {
    let head = store.room_head(LOBBY).await.unwrap().unwrap();
    let page = store.catch_up(LOBBY, Some(Version(0)), ALL).await.unwrap();
    assert_eq!((page.through, page.last_seq, page.complete), (head.version, head.last_seq, true));
    assert!(page.messages.iter().map(|message| message.seq.0).eq(1..=head.last_seq.0), "no message is missing");
    head.last_seq.0
}

#[tokio::test]
async fn a_backup_beside_writes_is_one_snapshot_with_another_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    for number in 0..200 {
        send(&store, amy, &format!("{number} {}", "x".repeat(4000))).await;
    }
    let target = tempfile::tempdir().unwrap();
    let into = target.path().join("copies").join("one");
    let reported = Arc::new(Mutex::new(Vec::new()));
    let progress: BackupProgress = {
        let reported = Arc::clone(&reported);
        Box::new(move |part| reported.lock().unwrap().push(part))
    };
    let copying = {
        let (store, into) = (Arc::clone(&store), into.clone());
        tokio::spawn(async move { store.backups().copy_to(&into, progress).await })
    };
    let mut meanwhile = 0;
    while !copying.is_finished() {
        send(&store, amy, "meanwhile").await;
        meanwhile += 1;
    }
    copying.await.unwrap().unwrap();
    let reported = reported.lock().unwrap().clone();
    assert!(reported.is_sorted() && reported.first() == Some(&0.0) && reported.last() == Some(&1.0), "{reported:?}");
    send(&store, amy, "after").await;

    let copy = open(&into);
    let epoch = copy.epoch().to_owned();
    assert_ne!(epoch, store.epoch(), "a backup has another epoch");
    let copied = messages_in(&copy).await;
    assert!((200..=200 + meanwhile).contains(&copied), "{copied} of 200 and {meanwhile}");
    copy.append(text(amy, IN_LOBBY, "another history")).await.unwrap();
    copy.close().await;
    let copy = open(&into);
    assert_eq!(copy.epoch(), epoch, "from its first start it keeps its epoch");
    assert_eq!(messages_in(&copy).await, copied + 1);

    let own = store.epoch().to_owned();
    assert_eq!(messages_in(&store).await, 200 + meanwhile + 1);
    store.close().await;
    let store = open(directory.path());
    assert_eq!(store.epoch(), own, "the original keeps its epoch");
}

#[tokio::test]
async fn a_backup_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    send(&store, amy, "one").await;
    let target = tempfile::tempdir().unwrap();
    back_up(&store, target.path()).await.unwrap();
    send(&store, amy, "two").await;
    let refused = back_up(&store, target.path()).await;
    assert!(
        matches!(&refused, Err(BackupError::Exists(at)) if at.contains(target.path().to_str().unwrap())),
        "{refused:?}"
    );
    assert_eq!(messages_in(&open(target.path())).await, 1);
    // A file where the directory should be.
    let file = target.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    let refused = back_up(&store, &file.join("into")).await;
    assert!(matches!(refused, Err(BackupError::Write(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a letter");
    back_up(&store, &target.path().join("next")).await.unwrap();
    store.close().await;
    let closed = back_up(&store, &target.path().join("late")).await;
    assert_eq!(closed, Err(BackupError::Store(StoreError::Closed)));
    assert!(!target.path().join("late").exists());
}

#[tokio::test]
async fn a_backup_of_a_backup_has_another_epoch_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    let target = tempfile::tempdir().unwrap();
    let (one, two) = (target.path().join("one"), target.path().join("two"));
    back_up(&store, &one).await.unwrap();
    let copy = open(&one);
    back_up(&copy, &two).await.unwrap();
    let again = open(&two);
    let mut epochs = [store.epoch(), copy.epoch(), again.epoch()];
    epochs.sort_unstable();
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "{epochs:?}");
    assert_eq!(again.user(amy).await.unwrap().map(|user| user.profile.id), Some(amy));
    assert_eq!(again.user(UserId(99)).await.unwrap(), None);
}
