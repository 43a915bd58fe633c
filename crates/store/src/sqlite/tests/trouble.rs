//! Trouble: what is refused, what recovers, what ends the process, and what must stay cheap.

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use teahouse_core::{MessageId, RoomEntry, RoomKind, Seq, Version};

use super::*;
use crate::{
    AppendError, CatchUpBounds, ChangeError, Edit, HistoryFrom, HistoryQuery, Membership, MembershipChange, NewRoom,
    Reaction, RoomHistoryQuery, SeqFrom, StoreError,
};

/// Hands a write over, and does not wait for it.
async fn handed_over(store: &Arc<SqliteStore>, append: Append) -> tokio::task::JoinHandle<Result<(), AppendError>> {
    let store = Arc::clone(store);
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut asked = pin!(store.append(append));
        let first_look = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        begun.send(()).unwrap();
        match first_look {
            Poll::Ready(answer) => answer.map(drop),
            Poll::Pending => asked.await.map(drop),
        }
    });
    has_begun.await.unwrap();
    task
}

fn new_room(owner: UserId, kind: RoomKind, name: &str) -> NewRoom {
    NewRoom { owner, kind, name: name.to_owned(), title: String::new(), now: Timestamp(0), asker: None }
}

async fn contents(store: &SqliteStore) -> Vec<String> {
    let page = store.history(LOBBY, HistoryQuery { from: HistoryFrom::Newest, limit: 100 }).await.unwrap();
    page.messages.into_iter().map(|message| message.content).collect()
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_nothing_of_it_happens() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = StoreMetrics::default();
    let (store, sink, amy) =
        opened(SqliteOptions { queue_max: 3, metrics: metrics.clone(), ..options(&directory) }).await;
    let gate = sink.gate();
    let mut waiting = vec![handed_over(&store, text(amy, "0")).await];
    gate.entered.recv().unwrap();
    for number in 1..=3 {
        waiting.push(handed_over(&store, text(amy, &number.to_string())).await);
    }
    assert_eq!(metrics.writes_waiting.get(), 3);
    let refused = store.append(text(amy, "one too many")).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Overloaded(_)))), "{refused:?}");
    assert_eq!(metrics.refusals.get_or_create(&crate::Refusal { reason: "write_queue" }).get(), 1);
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
    let (store, _, amy) = opened(SqliteOptions { readers: 1, reads_max: 1, ..options(&directory) }).await;
    let ((entered, has_entered), (release, released)) = (sync_channel(1), sync_channel::<()>(1));
    let busy = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let wait = move |_: &Connection| {
                entered.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            };
            store.look(wait).await
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
async fn a_full_disk_is_overloaded_then_recovers_and_reading_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = StoreMetrics::default();
    let (store, sink, amy) = opened(SqliteOptions { metrics: metrics.clone(), ..options(&directory) }).await;
    let pages_max = async |pages: u32| {
        let limit = move |group: &mut group::Group<'_>| {
            group.conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        };
        store.change(limit).await.unwrap();
    };
    // As many pages as there are: the first message that needs another one finds the disk full.
    pages_max(1).await;
    let mut stored = 0;
    let refused = loop {
        match store.append(text(amy, &"x".repeat(3000))).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Store(StoreError::Overloaded(_))), "{refused:?}");
    assert_eq!(metrics.refusals.get_or_create(&crate::Refusal { reason: "disk" }).get(), 1);
    assert_eq!((contents(&store).await.len(), sink.count()), (stored, stored));
    assert_eq!(store.room_head(LOBBY).await.unwrap().unwrap().version, Version(stored as u64));

    pages_max(u32::MAX - 1).await;
    let next = store.append(text(amy, "room again")).await.unwrap();
    assert_eq!((next.seq.0, next.version.0), (stored as u64 + 1, stored as u64 + 1), "no number was lost");
    store.check().await.unwrap();
    store.close().await;
    assert_whole(&directory);
}

#[tokio::test]
async fn another_program_that_holds_the_database_makes_it_overloaded_until_it_lets_go() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) =
        opened(SqliteOptions { busy_timeout: Duration::from_millis(1), ..options(&directory) }).await;
    store.append(text(amy, "before")).await.unwrap();
    let other = beside(&directory);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.append(text(amy, "in between")).await;
    assert!(matches!(refused, Err(AppendError::Store(StoreError::Overloaded(_)))), "{refused:?}");
    assert!(matches!(store.check().await, Err(StoreError::Overloaded(_))));
    assert_eq!(contents(&store).await, ["before"], "reading goes on");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.append(text(amy, "after")).await.unwrap().seq.0, 2);
    assert_eq!((contents(&store).await.len(), sink.count()), (2, 2));
}

#[tokio::test]
async fn one_write_that_fails_half_way_takes_nobody_with_it_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = opened(options(&directory)).await;
    // A write that does its work and then fails: by an error of SQLite, by a panic, by refusing too late.
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
                        _ => Err(writer::Stop::Refused(AppendError::Forbidden)),
                    }
                })
                .await
        }
    };
    let gate = sink.gate();
    let first = handed_over(&store, text(amy, "0")).await;
    gate.entered.recv().unwrap();
    let mut asked = Vec::new();
    let mut failing = Vec::new();
    for number in 0..3 {
        asked.push(handed_over(&store, text(amy, &format!("before {number}"))).await);
        let mut fails = Box::pin(fails(number));
        assert!(fails.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        failing.push(fails);
    }
    asked.push(handed_over(&store, text(amy, "after")).await);
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
    let versions = store.catch_up(LOBBY, Some(Version(0)), EVERYTHING).await.unwrap();
    assert!(versions.messages.iter().map(|m| m.version.0).eq(1..=5), "no version is skipped");
}

#[tokio::test]
async fn an_entry_shows_the_room_as_it_stands_in_the_middle_of_a_group() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = opened(options(&directory)).await;
    let bob = person(&store, "bob").await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let gate = sink.gate();
    let busy = handed_over(&store, text(amy, "hi")).await;
    gate.entered.recv().unwrap();
    // The writer is in the sink: what comes now is one group.
    let before = handed_over(&store, Append { place: Place::Room(room), ..text(amy, "1") }).await;
    let join = MembershipChange { room, actor: bob, what: Membership::Join, now: Timestamp(0), asker: None };
    let mut joining = pin!(store.change_membership(join));
    assert!(joining.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let after = handed_over(&store, Append { place: Place::Room(room), ..text(bob, "2") }).await;
    drop(gate.release);
    let entry = joining.await.unwrap();
    assert_eq!((entry.version, entry.last_seq, entry.read_seq, entry.unread), (Version(1), Seq(1), Seq(1), 0));
    assert_eq!(entry.last_message.as_ref().unwrap().content, "1");
    for said in [busy, before, after] {
        said.await.unwrap().unwrap();
    }
    let told = sink.heard.lock().unwrap().iter().rev().nth(1).unwrap().change.clone();
    assert_eq!(told, teahouse_core::Change::Entry { user: bob, entry: Box::new(entry), requester: None });
}

#[tokio::test]
async fn what_was_rolled_back_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (store, sink, amy) = opened(options(&directory)).await;
    let bob = person(&store, "bob").await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let change = |actor, what| MembershipChange { room, actor, what, now: Timestamp(0), asker: None };
    let say = |sender| Append { place: Place::Room(room), ..text(sender, "hi") };
    // Each does its work, by which the writer learns something, and then fails.
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
    assert_eq!(store.append(say(bob)).await, Err(AppendError::Forbidden), "he never came in");
    assert_eq!(store.room_entry(room, amy, Timestamp(0)).await.unwrap().members, 1);
    store.change_membership(change(bob, Membership::Join)).await.unwrap();
    store.append(say(bob)).await.unwrap();
    fail(change(bob, Membership::Leave), amy).await;
    let next = store.append(say(bob)).await.unwrap();
    assert_eq!((next.seq.0, next.version.0), (2, 2), "he never left, and amy said nothing");
    assert_eq!(sink.count(), 4, "amy's room, bob in it, two messages");
}

#[tokio::test]
async fn a_mute_in_one_room_is_a_mute_there() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = opened(options(&directory)).await;
    let room = store.create_room(new_room(amy, RoomKind::Public, "tea")).await.unwrap().id;
    let say = |place, now| Append { place, now: Timestamp(now), ..text(amy, "hi") };
    let said = store.append(say(Place::Room(room), 0)).await.unwrap().id;
    store.close().await;
    beside(&directory)
        .execute("INSERT INTO sanctions VALUES (?1, ?2, 'mute', 10)", [row::id(amy.0), row::id(room.0)])
        .unwrap();
    let store = SqliteStore::open(options(&directory), Box::new(Sink::default())).unwrap();
    assert_eq!(store.append(say(Place::Room(room), 9)).await, Err(AppendError::Muted(Duration::from_millis(1))));
    let reaction = Reaction { message: said, actor: amy, emoji: "👍".to_owned(), on: true, now: Timestamp(9) };
    assert_eq!(store.react(reaction.clone()).await, Err(ChangeError::Muted(Duration::from_millis(1))));
    let edit = Edit { message: said, actor: amy, content: "ho".to_owned(), now: Timestamp(9) };
    assert_eq!(store.edit_message(edit.clone()).await, Err(ChangeError::Muted(Duration::from_millis(1))));
    store.append(say(Place::Room(LOBBY), 9)).await.unwrap();
    let muted = |entries: Vec<RoomEntry>| entries.into_iter().map(|entry| entry.muted).collect::<Vec<_>>();
    assert_eq!(muted(store.rooms_of(amy, Timestamp(9)).await.unwrap()), [false, true]);
    assert_eq!(muted(store.rooms_of(amy, Timestamp(10)).await.unwrap()), [false, false]);
    store.append(say(Place::Room(room), 10)).await.unwrap();
    store.react(Reaction { now: Timestamp(10), ..reaction }).await.unwrap();
    store.edit_message(Edit { now: Timestamp(10), ..edit }).await.unwrap();
}

#[tokio::test]
async fn a_sink_that_panics_stops_the_store() {
    struct Broken;
    impl CommitSink for Broken {
        fn committed(&mut self, _: Vec<Commit>) {
            panic!("a bug, for the test's sake");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let on_fatal = {
        let said = Arc::clone(&said);
        Arc::new(move |why: &str| said.lock().unwrap().push(why.to_owned()))
    };
    let store = SqliteStore::open(SqliteOptions { on_fatal, ..options(&directory) }, Box::new(Broken)).unwrap();
    let amy = person(&store, "amy").await;
    assert!(store.append(text(amy, "hi")).await.is_err());
    assert_eq!(said.lock().unwrap().len(), 1);
    assert_eq!(store.append(text(amy, "hi")).await, Err(AppendError::Store(StoreError::Closed)));
}

#[tokio::test]
async fn a_read_that_panics_is_an_error_of_that_read_only() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = opened(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let answer = store.look(|_| -> row::Sql<()> { panic!("a bug, for the test's sake") }).await;
    assert!(matches!(answer, Err(StoreError::Internal(_))));
    assert!(store.user(amy).await.unwrap().is_some());
}

const EVERYTHING: CatchUpBounds = CatchUpBounds { limit: 500, changes_max: Some(500), reset_messages: 500 };

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn the_writer_pauses_and_the_log_begins_anew_when_it_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    // The checkpointing thread is never asked: only the pause can keep the log short.
    let options = SqliteOptions { checkpoint_bytes: u64::MAX, wal_bytes_max: MIB, ..options(&directory) };
    let (store, _, amy) = opened(options).await;
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
    assert_eq!(number(&directory, "SELECT count(*) FROM messages"), 2000);
    assert_whole(&directory);
}

#[tokio::test]
async fn beside_a_writer_that_has_pauses_the_checkpointing_thread_is_enough() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = StoreMetrics::default();
    let options = SqliteOptions {
        checkpoint_bytes: MIB / 8,
        wal_bytes_max: u64::MAX,
        metrics: metrics.clone(),
        ..options(&directory)
    };
    let (store, _, amy) = opened(options).await;
    let mut longest = 0;
    for round in 0..20_000 {
        store.append(text(amy, &"x".repeat(4000))).await.unwrap();
        if round % 50 == 0 {
            // The writer's pause, some milliseconds, in which others read.
            for _ in 0..200 {
                store.user(amy).await.unwrap();
            }
        }
        if metrics.wal_bytes.get() < longest {
            return;
        }
        longest = metrics.wal_bytes.get();
    }
    panic!("the log never began anew and has {longest} bytes");
}

#[tokio::test]
async fn a_reader_that_holds_on_to_the_log_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions {
        checkpoint_bytes: MIB,
        wal_bytes_max: MIB / 4,
        busy_timeout: Duration::from_millis(1),
        ..options(&directory)
    };
    let (store, _, amy) = opened(options).await;
    let reader = beside(&directory);
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    for _ in 0..200 {
        store.append(text(amy, &"x".repeat(4000))).await.unwrap();
    }
    reader.execute_batch("COMMIT").unwrap();
    store.close().await;
    assert_whole(&directory);
}

thread_local! {
    static STATEMENTS: Cell<u32> = const { Cell::new(0) };
}

/// How many statements the one reader ran for `call`.
async fn statements(store: &SqliteStore, call: impl Future) -> u32 {
    let count = |event: TraceEvent<'_>| {
        if matches!(event, TraceEvent::Stmt(..)) {
            STATEMENTS.set(STATEMENTS.get() + 1);
        }
    };
    let install = move |conn: &mut Connection| conn.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(count)).unwrap();
    assert!(store.readers.queue.try_push(Box::new(install)).is_ok());
    let begin_at_zero = |_: &Connection| {
        STATEMENTS.set(0);
        Ok(())
    };
    store.look(begin_at_zero).await.unwrap();
    call.await;
    store.look(|_| Ok(STATEMENTS.get())).await.unwrap()
}

#[tokio::test]
async fn p8_a_page_takes_as_many_queries_however_much_is_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = opened(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let (mut users, mut messages) = (vec![amy], Vec::new());
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..1 + round * 40 {
            let peer = person(&store, &format!("peer{round}-{number}")).await;
            store.append(Append { place: Place::Direct(amy), ..text(peer, "hi") }).await.unwrap();
            let said = store.append(text(peer, "hi")).await.unwrap().id;
            let reaction =
                Reaction { message: said, actor: amy, emoji: "👍".to_owned(), on: true, now: Timestamp(0) };
            store.react(reaction).await.unwrap();
            let room = store.create_room(new_room(peer, RoomKind::Private, &format!("{peer}"))).await.unwrap().id;
            let what = Membership::Invite(amy);
            let invite = MembershipChange { room, actor: peer, what, now: Timestamp(0), asker: None };
            store.change_membership(invite).await.unwrap();
            store.append(Append { place: Place::Room(room), ..text(peer, "hi") }).await.unwrap();
            messages.push(said);
            users.push(peer);
        }
        let page = |from| store.history(LOBBY, HistoryQuery { from, limit: 100 });
        let by_seq = RoomHistoryQuery { room: LOBBY, from: SeqFrom::Newest, limit: 100 };
        counts.push([
            statements(&store, store.conversations(amy)).await,
            statements(&store, store.unread_total(amy)).await,
            statements(&store, store.profiles(&users)).await,
            statements(&store, page(HistoryFrom::Newest)).await,
            statements(&store, page(HistoryFrom::Before(MessageId(4711)))).await,
            statements(&store, page(HistoryFrom::After(MessageId(0)))).await,
            statements(&store, store.catch_up(LOBBY, Some(Version(0)), EVERYTHING)).await,
            statements(&store, store.catch_up(LOBBY, None, EVERYTHING)).await,
            statements(&store, store.room_history(amy, by_seq)).await,
            statements(&store, store.own_reactions(amy, &messages)).await,
            statements(&store, store.rooms_of(amy, Timestamp(0))).await,
            statements(&store, store.room_entry(LOBBY, amy, Timestamp(0))).await,
            statements(&store, store.room_entries(LOBBY, &users, Timestamp(0))).await,
            statements(&store, store.members(LOBBY, amy, UserId(0), 100)).await,
            statements(&store, store.page_by_seq(LOBBY, Version(0), Seq(0), 500)).await,
        ]);
    }
    assert_eq!(store.conversations(amy).await.unwrap().len(), 42);
    assert_eq!(store.rooms_of(amy, Timestamp(0)).await.unwrap().len(), 85);
    assert_eq!(counts[0], counts[1]);
    // Counted were: the call's own BEGIN, what it asks, its COMMIT, and the COMMIT and BEGIN around it.
    assert!(counts[0].iter().all(|count| (5..=9).contains(count)), "{counts:?}");
}
