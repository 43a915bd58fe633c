//! Backups of a store: complete, of one moment, with an epoch of their own, and nothing overwritten.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;

use std::sync::{Arc, Mutex};

use teahouse_conformance::{ALL, RecordingSink, registration, text};
use teahouse_core::{LOBBY, UserId, Version};
use teahouse_store::{Accounts, Appended, Destination, Lifecycle, Messages, StoreError};
use teahouse_store_sqlite::{BackupError, BackupProgress, SqliteOptions, SqliteStore};

const LOBBY_PLACE: Destination = Destination::Room(LOBBY);

fn open(directory: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(SqliteOptions::new(directory), Box::new(RecordingSink::default())).unwrap())
}

async fn new_user(store: &SqliteStore) -> UserId {
    store.create_user(registration("amy")).await.unwrap().profile.id
}

async fn send(store: &SqliteStore, sender: UserId, content: &str) -> Appended {
    store.append(text(sender, LOBBY_PLACE, content)).await.unwrap()
}

async fn back_up(store: &SqliteStore, into: &Path) -> Result<(), BackupError> {
    store.backups().copy_to(into, Box::new(|_| {})).await
}

/// How many messages the lobby of a store has, where all of them are there and nothing else is known of it.
async fn messages_in(store: &SqliteStore) -> u64 {
    let head = store.room_head(LOBBY).await.unwrap().unwrap();
    let page = store.catch_up(LOBBY, Some(Version(0)), ALL).await.unwrap();
    assert_eq!((page.through, page.last_seq, page.complete), (head.version, head.last_seq, true));
    assert!(page.messages.iter().map(|message| message.seq.0).eq(1..=head.last_seq.0), "no message is missing");
    head.last_seq.0
}

#[tokio::test]
async fn a_copy_made_while_others_write_is_of_one_moment_and_another_history() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    for number in 0..200 {
        send(&store, amy, &format!("{number} {}", "x".repeat(4000))).await;
    }
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("copies").join("one");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let progress: BackupProgress = {
        let heard = Arc::clone(&heard);
        Box::new(move |part| heard.lock().unwrap().push(part))
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
    let heard = heard.lock().unwrap().clone();
    assert!(heard.is_sorted() && heard.first() == Some(&0.0) && heard.last() == Some(&1.0), "{heard:?}");
    send(&store, amy, "after").await;

    let copy = open(&into);
    let epoch = copy.epoch().to_owned();
    assert_ne!(epoch, store.epoch(), "a copy is another history");
    let copied = messages_in(&copy).await;
    assert!((200..=200 + meanwhile).contains(&copied), "{copied} of 200 and {meanwhile}");
    copy.append(text(amy, LOBBY_PLACE, "here it went on otherwise")).await.unwrap();
    copy.close().await;
    let copy = open(&into);
    assert_eq!(copy.epoch(), epoch, "from its first start on it keeps its own");
    assert_eq!(messages_in(&copy).await, copied + 1);

    let own = store.epoch().to_owned();
    assert_eq!(messages_in(&store).await, 200 + meanwhile + 1);
    store.close().await;
    let store = open(directory.path());
    assert_eq!(store.epoch(), own, "the original is what it was");
}

#[tokio::test]
async fn a_copy_overwrites_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    send(&store, amy, "one").await;
    let place = tempfile::tempdir().unwrap();
    back_up(&store, place.path()).await.unwrap();
    send(&store, amy, "two").await;
    let refused = back_up(&store, place.path()).await;
    assert!(
        matches!(&refused, Err(BackupError::Exists(at)) if at.contains(place.path().to_str().unwrap())),
        "{refused:?}"
    );
    assert_eq!(messages_in(&open(place.path())).await, 1);
    // A file where the directory should be.
    let file = place.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    let refused = back_up(&store, &file.join("into")).await;
    assert!(matches!(refused, Err(BackupError::Write(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a letter");
    back_up(&store, &place.path().join("next")).await.unwrap();
    store.close().await;
    let closed = back_up(&store, &place.path().join("late")).await;
    assert_eq!(closed, Err(BackupError::Store(StoreError::Closed)));
    assert!(!place.path().join("late").exists());
}

#[tokio::test]
async fn a_copy_of_a_copy_is_another_history_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let amy = new_user(&store).await;
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
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
