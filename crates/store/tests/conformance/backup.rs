//! Rules about copies of a store.

use std::sync::{Arc, Mutex};

use teahouse_core::{LOBBY, UserId, Version};
use teahouse_store::{BackupError, BackupProgress, Place, Store, StoreError};

use crate::house::*;

const LOBBY_PLACE: Place = Place::Room(LOBBY);

fn unheard() -> BackupProgress {
    Box::new(|_| {})
}

/// How many messages the lobby of a store has, where all of them are there and nothing else is known of it.
async fn messages_in(store: &Arc<dyn Store>) -> u64 {
    let head = store.room_head(LOBBY).await.unwrap().unwrap();
    let page = store.catch_up(LOBBY, Some(Version(0)), ALL).await.unwrap();
    assert_eq!((page.through, page.last_seq, page.complete), (head.version, head.last_seq, true));
    assert!(page.messages.iter().map(|message| message.seq.0).eq(1..=head.last_seq.0), "no message is missing");
    head.last_seq.0
}

pub async fn a_copy_made_while_others_write_is_of_one_moment_and_another_history(mut house: House) {
    let amy = house.person().await;
    for number in 0..200 {
        house.say(amy, LOBBY_PLACE, &format!("{number} {}", "x".repeat(4000))).await;
    }
    let place = tempfile::tempdir().unwrap();
    let into = place.path().join("copies").join("one");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let progress: BackupProgress = {
        let heard = Arc::clone(&heard);
        Box::new(move |part| heard.lock().unwrap().push(part))
    };
    let copying = {
        let (store, into) = (Arc::clone(&house.store), into.clone());
        tokio::spawn(async move { store.backup(&into, progress).await })
    };
    let mut meanwhile = 0;
    while !copying.is_finished() {
        house.say(amy, LOBBY_PLACE, "meanwhile").await;
        meanwhile += 1;
    }
    copying.await.unwrap().unwrap();
    let heard = heard.lock().unwrap().clone();
    assert!(heard.is_sorted() && heard.first() == Some(&0.0) && heard.last() == Some(&1.0), "{heard:?}");
    house.say(amy, LOBBY_PLACE, "after").await;

    let copy = house.open_at(&into).await;
    let epoch = copy.epoch().to_owned();
    assert_ne!(epoch, house.store.epoch(), "a copy is another history");
    let copied = messages_in(&copy).await;
    assert!((200..=200 + meanwhile).contains(&copied), "{copied} of 200 and {meanwhile}");
    copy.append(text(amy, LOBBY_PLACE, "here it went on otherwise")).await.unwrap();
    copy.close().await;
    let copy = house.open_at(&into).await;
    assert_eq!(copy.epoch(), epoch, "from its first start on it keeps its own");
    assert_eq!(messages_in(&copy).await, copied + 1);

    let own = house.store.epoch().to_owned();
    assert_eq!(messages_in(&house.store).await, 200 + meanwhile + 1);
    house.reopen().await;
    assert_eq!(house.store.epoch(), own, "the original is what it was");
}

pub async fn a_copy_overwrites_nothing(house: House) {
    let amy = house.person().await;
    house.say(amy, LOBBY_PLACE, "one").await;
    let place = tempfile::tempdir().unwrap();
    house.store.backup(place.path(), unheard()).await.unwrap();
    house.say(amy, LOBBY_PLACE, "two").await;
    let refused = house.store.backup(place.path(), unheard()).await;
    assert!(
        matches!(&refused, Err(BackupError::Exists(at)) if at.contains(place.path().to_str().unwrap())),
        "{refused:?}"
    );
    assert_eq!(messages_in(&house.open_at(place.path()).await).await, 1);
    // A file where the directory should be.
    let file = place.path().join("file");
    std::fs::write(&file, "a letter").unwrap();
    let refused = house.store.backup(&file.join("into"), unheard()).await;
    assert!(matches!(refused, Err(BackupError::Write(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a letter");
    house.store.backup(&place.path().join("next"), unheard()).await.unwrap();
    house.store.close().await;
    let closed = house.store.backup(&place.path().join("late"), unheard()).await;
    assert_eq!(closed, Err(BackupError::Store(StoreError::Closed)));
    assert!(!place.path().join("late").exists());
}

pub async fn a_copy_of_a_copy_is_another_history_again(house: House) {
    let amy = house.person().await;
    let place = tempfile::tempdir().unwrap();
    let (one, two) = (place.path().join("one"), place.path().join("two"));
    house.store.backup(&one, unheard()).await.unwrap();
    let copy = house.open_at(&one).await;
    copy.backup(&two, unheard()).await.unwrap();
    let again = house.open_at(&two).await;
    let mut epochs = [house.store.epoch(), copy.epoch(), again.epoch()];
    epochs.sort_unstable();
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2], "{epochs:?}");
    assert_eq!(again.user(amy).await.unwrap().map(|user| user.profile.id), Some(amy));
    assert_eq!(again.user(UserId(99)).await.unwrap(), None);
}
