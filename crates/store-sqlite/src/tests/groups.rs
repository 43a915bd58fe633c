//! Groups of writes: failures in one, what the writer keeps from one to the next, and how the sink gets them.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use teahouse_core::{RoomEntry, RoomKind, Seq, Version};

use super::*;

#[tokio::test]
async fn a_write_that_fails_half_way_leaves_nothing_and_fails_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = open_store(options(&directory)).await;
    // A write that does its work and then fails: an error of SQLite, a panic, a refusal that comes too late.
    let fails = |how: usize| {
        let store = Arc::clone(&store);
        async move {
            let prepared = append::Prepared::new(text(amy, "half"));
            store
                .write::<(), AppendError, _>(move |group| {
                    append::append(group, &prepared)?;
                    match how {
                        0 => {
                            Ok(group.conn.execute("INSERT INTO rooms (id, kind) VALUES (1, 'public')", []).map(drop)?)
                        }
                        1 => panic!("a bug, for the test's sake"),
                        _ => Err(writer::JobError::Refused(AppendError::Forbidden)),
                    }
                })
                .await
        }
    };
    let gate = sink.gate();
    let first = start_append(&store, text(amy, "0")).await;
    gate.entered.recv().unwrap();
    let mut asked = Vec::new();
    let mut failing = Vec::new();
    for number in 0..3 {
        asked.push(start_append(&store, text(amy, &format!("before {number}"))).await);
        let mut fails = Box::pin(fails(number));
        assert!(fails.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        failing.push(fails);
    }
    asked.push(start_append(&store, text(amy, "after")).await);
    drop(gate.release);

    first.await.unwrap().unwrap();
    for answer in failing {
        let answer = answer.await;
        assert!(matches!(answer, Err(AppendError::Store(StoreError::Internal(_)))), "{answer:?}");
    }
    for answer in asked {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(contents(&store).await, ["0", "before 0", "before 1", "before 2", "after"]);
    assert_eq!(sink.count(), 5);
    let versions = store.catch_up(LOBBY, Some(Version(0)), ALL_CHANGES).await.unwrap();
    assert!(versions.messages.iter().map(|m| m.version.0).eq(1..=5), "no version is skipped");
}

#[tokio::test]
async fn an_entry_shows_the_room_as_it_is_in_the_middle_of_a_group() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = open_store(options(&directory)).await;
    let bob = new_user(&store, "bob").await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let gate = sink.gate();
    let busy = start_append(&store, text(amy, "hi")).await;
    gate.entered.recv().unwrap();
    // The writer is in the sink: the next writes are one group.
    let before = start_append(&store, Append { destination: Destination::Room(room), ..text(amy, "1") }).await;
    let join = MembershipChange { room, actor: bob, what: Membership::Join, now: Timestamp(0), requester: None };
    let mut joining = pin!(store.change_membership(join));
    assert!(joining.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let after = start_append(&store, Append { destination: Destination::Room(room), ..text(bob, "2") }).await;
    drop(gate.release);
    let entry = joining.await.unwrap().entry;
    assert_eq!((entry.version, entry.last_seq, entry.read_seq, entry.unread), (Version(1), Seq(1), Seq(1), 0));
    assert_eq!(entry.last_message.as_ref().unwrap().content, "1");
    for said in [busy, before, after] {
        said.await.unwrap().unwrap();
    }
    let published = sink.commits.lock().unwrap().iter().rev().nth(1).unwrap().change.clone();
    assert_eq!(published, teahouse_core::Change::Entry { user: bob, entry: Box::new(entry), requester: None });
}

#[tokio::test]
async fn a_rollback_clears_the_cache() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = open_store(options(&directory)).await;
    let bob = new_user(&store, "bob").await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let change = |actor, what| MembershipChange { room, actor, what, now: Timestamp(0), requester: None };
    let say = |sender| Append { destination: Destination::Room(room), ..text(sender, "hi") };
    // Each write fills the cache and then fails.
    let fail = async |before: MembershipChange, speaker| {
        let said = append::Prepared::new(say(speaker));
        let answer = store.write::<(), StoreError, _>(move |group| {
            assert!(membership::change(group, &before).is_ok());
            let _ = append::append(group, &said);
            panic!("a bug, for the test's sake");
        });
        assert!(matches!(answer.await, Err(StoreError::Internal(_))));
    };
    fail(change(bob, Membership::Join), bob).await;
    assert_eq!(store.append(say(bob)).await, Err(AppendError::Forbidden), "bob never joined");
    assert_eq!(store.room_entry(room, amy, Timestamp(0)).await.unwrap().members, 1);
    store.change_membership(change(bob, Membership::Join)).await.unwrap();
    store.append(say(bob)).await.unwrap();
    fail(change(bob, Membership::Leave), amy).await;
    let next = store.append(say(bob)).await.unwrap();
    assert_eq!((next.seq.0, next.version.0), (2, 2), "bob never left, and amy sent nothing");
    assert_eq!(sink.count(), 4, "amy's room, bob in it, two messages");
}

#[tokio::test]
async fn a_mute_in_one_room_applies_there_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = open_store(options(&directory)).await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let say = |destination, now| Append { destination, now: Timestamp(now), ..text(amy, "hi") };
    let said = store.append(say(Destination::Room(room), 0)).await.unwrap().id;
    store.close().await;
    open_file(&directory)
        .execute("INSERT INTO sanctions VALUES (?1, ?2, 'mute', 10)", [row::id(amy.0), row::id(room.0)])
        .unwrap();
    let store = SqliteStore::open(options(&directory), Box::new(GatedSink::default())).unwrap();
    assert_eq!(store.append(say(Destination::Room(room), 9)).await, Err(AppendError::Muted(Duration::from_millis(1))));
    let reaction = Reaction { message: said, actor: amy, emoji: "👍".to_owned(), on: true, now: Timestamp(9) };
    assert_eq!(store.react(reaction.clone()).await, Err(ChangeError::Muted(Duration::from_millis(1))));
    let edit = Edit { message: said, actor: amy, content: "ho".to_owned(), now: Timestamp(9) };
    assert_eq!(store.edit_message(edit.clone()).await, Err(ChangeError::Muted(Duration::from_millis(1))));
    store.append(say(Destination::Room(LOBBY), 9)).await.unwrap();
    let muted = |entries: Vec<RoomEntry>| entries.into_iter().map(|entry| entry.muted).collect::<Vec<_>>();
    assert_eq!(muted(store.rooms_of(list_query(amy, Timestamp(9))).await.unwrap().rooms), [false, true]);
    assert_eq!(muted(store.rooms_of(list_query(amy, Timestamp(10))).await.unwrap().rooms), [false, false]);
    store.append(say(Destination::Room(room), 10)).await.unwrap();
    store.react(Reaction { now: Timestamp(10), ..reaction }).await.unwrap();
    store.edit_message(Edit { now: Timestamp(10), ..edit }).await.unwrap();
}

#[tokio::test]
async fn a_sink_that_panics_stops_the_store() {
    struct Broken;
    impl CommitSink for Broken {
        fn commit(&mut self, _: CommitGroup<'_>) {
            panic!("a bug, for the test's sake");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let on_fatal = {
        let reasons = Arc::clone(&reasons);
        Arc::new(move |why: &str| reasons.lock().unwrap().push(why.to_owned()))
    };
    let store = SqliteStore::open(SqliteOptions { on_fatal, ..options(&directory) }, Box::new(Broken)).unwrap();
    let amy = new_user(&store, "amy").await;
    assert!(store.append(text(amy, "hi")).await.is_err());
    assert_eq!(reasons.lock().unwrap().len(), 1);
    assert_eq!(store.append(text(amy, "hi")).await, Err(AppendError::Store(StoreError::Closed)));
}

/// Answers the callers, or leaks the group, and then waits until the test drops the other end of `resume`.
struct WaitingSink {
    answers: bool,
    resume: Receiver<()>,
}

impl CommitSink for WaitingSink {
    fn commit(&mut self, group: CommitGroup<'_>) {
        if self.answers {
            group.answer_callers();
        } else {
            std::mem::forget(group);
        }
        let _ = self.resume.recv();
    }
}

#[tokio::test]
async fn callers_are_answered_when_the_sink_says_so_or_when_it_returns() {
    for answers in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let (release, resume) = sync_channel(1);
        let sink = Box::new(WaitingSink { answers, resume });
        let store = Arc::new(SqliteStore::open(options(&directory), sink).unwrap());
        let amy = new_user(&store, "amy").await;
        let mut append = pin!(store.append(text(amy, "hi")));
        if answers {
            append.await.unwrap();
            drop(release);
        } else {
            assert!(append.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(release);
            append.await.unwrap();
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_sink_that_panics_after_the_answers_stops_the_store_too() {
    struct Broken;
    impl CommitSink for Broken {
        fn commit(&mut self, group: CommitGroup<'_>) {
            group.answer_callers();
            panic!("a bug, for the test's sake");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { on_fatal: Arc::new(|_| {}), ..options(&directory) };
    let store = SqliteStore::open(options, Box::new(Broken)).unwrap();
    let amy = new_user(&store, "amy").await;
    store.append(text(amy, "hi")).await.unwrap();
    store.close().await;
    assert_eq!(store.append(text(amy, "hi")).await, Err(AppendError::Store(StoreError::Closed)));
}
