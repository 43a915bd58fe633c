//! The cost of reads must not grow with what is stored. It is counted in steps of SQLite's virtual machine and in
//! statements, which are the same on every machine. A plan with the wrong index shows here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::StatementStatus;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use teahouse_core::{MessageId, RoomId, RoomKind, Seq, Version};

use super::*;

const LAST: CatchUpBounds =
    CatchUpBounds { limit: PageLimit::of_entries(10), changes_max: Some(20), reset_messages: 10 };

/// The steps that the only reader took for `call`.
async fn steps(store: &SqliteStore, call: impl Future) -> u64 {
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    let install = move |conn: &mut Connection| conn.progress_handler(1, Some(count)).unwrap();
    assert!(store.readers.queue.try_push(Box::new(install)).is_ok());
    call.await;
    steps.load(Ordering::Relaxed)
}

/// Sends `count` messages to the lobby and as many between the two; deletes many of them and reacts to others.
async fn send_many(store: &Arc<SqliteStore>, reader: UserId, speaker: UserId, count: usize) -> Vec<MessageId> {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        let store = Arc::clone(store);
        tasks.spawn(async move {
            store.append(Append { destination: Destination::Direct(reader), ..text(speaker, "hi") }).await.unwrap();
            let message = store.append(text(speaker, "hi")).await.unwrap().id;
            if number % 3 == 0 {
                store.delete_message(None, message, speaker).await.unwrap();
            } else if number % 7 == 0 {
                let emoji = "👍".to_owned();
                store.react(Reaction { message, actor: reader, emoji, on: true, now: Timestamp(0) }).await.unwrap();
            }
            message
        });
    }
    let mut said = tasks.join_all().await;
    said.sort_unstable();
    said
}

#[tokio::test]
async fn new_messages_cost_the_same_however_long_the_history_is() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = open_store(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let bob = new_user(&store, "bob").await;
    let mut said: Vec<MessageId> = Vec::new();
    let mut costs = Vec::new();
    for length in [100, 3000] {
        said.extend(send_many(&store, amy, bob, length - said.len()).await);
        let direct = store.open_direct(amy, bob, Timestamp(0), None).await.unwrap().id;
        for room in [LOBBY, direct] {
            store.mark_read(room, amy, None).await.unwrap();
        }
        let head = store.room_head(LOBBY).await.unwrap().unwrap();
        let (version, seq) = (Version(head.version.0 - 5), Seq(head.last_seq.0 - 5));
        let by_seq =
            |from| store.room_history(amy, RoomHistoryQuery { room: LOBBY, from, limit: PageLimit::of_entries(10) });
        let by_id = |from| store.history(LOBBY, HistoryQuery { from, limit: PageLimit::of_entries(10) });
        costs.push([
            ("page by seq", steps(&store, store.page_by_seq(LOBBY, version, seq, PageLimit::of_entries(10))).await),
            ("catching up", steps(&store, store.catch_up(LOBBY, Some(version), LAST)).await),
            ("reset", steps(&store, store.catch_up(LOBBY, None, LAST)).await),
            ("too many changes", steps(&store, store.catch_up(LOBBY, Some(Version(1)), LAST)).await),
            ("newest", steps(&store, by_seq(SeqFrom::Newest)).await),
            ("around", steps(&store, by_seq(SeqFrom::Around(Seq(50)))).await),
            ("newest by id", steps(&store, by_id(HistoryFrom::Newest)).await),
            ("before", steps(&store, by_id(HistoryFrom::Before(said[90]))).await),
            ("welcome", steps(&store, store.rooms_of(list_query(amy, Timestamp(0)))).await),
            ("entries", steps(&store, store.room_entries(LOBBY, &[amy], Timestamp(0))).await),
            ("conversations", steps(&store, store.conversations(amy)).await),
            ("own reactions", steps(&store, store.own_reactions(amy, &said[80..90])).await),
            ("head", steps(&store, store.room_head(RoomId(1))).await),
        ]);
    }
    for ((what, short), (_, long)) in costs[0].iter().zip(&costs[1]) {
        assert!(*short > 0, "{what} was counted");
        // Deeper trees and binary search cost a little more, not thirty times as much.
        assert!(*long < short * 2, "{what}: {short} steps, then {long}");
    }
}

#[tokio::test]
async fn a_statement_with_a_limit_is_compiled_once() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, _) = open_store(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let compiled_again = |conn: &Connection| {
        let mut statement = conn.prepare("SELECT id FROM messages WHERE room = 1 ORDER BY seq LIMIT ?1").unwrap();
        for limit in [1, 1, 7] {
            statement.query([limit]).unwrap().next().unwrap();
        }
        statement.get_status(StatementStatus::RePrepare)
    };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let read = move |conn: &mut Connection| sender.send(compiled_again(conn)).unwrap();
    assert!(store.readers.queue.try_push(Box::new(read)).is_ok());
    assert_eq!(receiver.await.unwrap(), 0, "by a reader");
    let by_the_writer = store.change(move |group| Ok(compiled_again(group.conn))).await.unwrap();
    assert_eq!(by_the_writer, 0);
}

#[test]
fn sqlite_is_built_as_the_project_says() {
    let conn = Connection::open_in_memory().unwrap();
    let mut statement = conn.prepare("PRAGMA compile_options").unwrap();
    let options: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    // SQLite does not list the most important option of `.cargo/config.toml`; it comes with these.
    for option in ["DEFAULT_MEMSTATUS=0", "OMIT_SHARED_CACHE", "DQS=0"] {
        assert!(options.iter().any(|built| built == option), "{option} is not among {options:?}");
    }
}

thread_local! {
    static STATEMENTS: Cell<u32> = const { Cell::new(0) };
}

/// The statements that the only reader ran for `call`.
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
    store.read(begin_at_zero).await.unwrap();
    call.await;
    store.read(|_| Ok(STATEMENTS.get())).await.unwrap()
}

#[tokio::test]
async fn p8_a_page_takes_the_same_number_of_queries_however_long_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, amy) = open_store(SqliteOptions { readers: 1, ..options(&directory) }).await;
    let (mut users, mut messages) = (vec![amy], Vec::new());
    let mut counts = Vec::new();
    for round in 0..2 {
        for number in 0..1 + round * 20 {
            let peer = new_user(&store, &format!("peer{round}-{number}")).await;
            store.append(Append { destination: Destination::Direct(amy), ..text(peer, "hi") }).await.unwrap();
            let said = store.append(text(peer, "hi")).await.unwrap().id;
            let reaction =
                Reaction { message: said, actor: amy, emoji: "👍".to_owned(), on: true, now: Timestamp(0) };
            store.react(reaction).await.unwrap();
            let room = store.create_room(new_room(peer, RoomKind::Private, &format!("{peer}"))).await.unwrap().id;
            let what = Membership::Invite(amy);
            let invite = MembershipChange { room, actor: peer, what, now: Timestamp(0), requester: None };
            store.change_membership(invite).await.unwrap();
            store.accept(room, amy, Timestamp(0), None).await.unwrap();
            store.append(Append { destination: Destination::Room(room), ..text(peer, "hi") }).await.unwrap();
            messages.push(said);
            users.push(peer);
        }
        let page = |from| store.history(LOBBY, HistoryQuery { from, limit: PageLimit::of_entries(100) });
        let by_seq = RoomHistoryQuery { room: LOBBY, from: SeqFrom::Newest, limit: PageLimit::of_entries(100) };
        counts.push([
            statements(&store, store.conversations(amy)).await,
            statements(&store, store.unread_total(amy)).await,
            statements(&store, store.profiles(&users)).await,
            statements(&store, page(HistoryFrom::Newest)).await,
            statements(&store, page(HistoryFrom::Before(MessageId(4711)))).await,
            statements(&store, page(HistoryFrom::After(MessageId(0)))).await,
            statements(&store, store.catch_up(LOBBY, Some(Version(0)), ALL_CHANGES)).await,
            statements(&store, store.catch_up(LOBBY, None, ALL_CHANGES)).await,
            statements(&store, store.room_history(amy, by_seq)).await,
            statements(&store, store.own_reactions(amy, &messages)).await,
            statements(&store, store.rooms_of(list_query(amy, Timestamp(0)))).await,
            statements(&store, store.room_entry(LOBBY, amy, Timestamp(0))).await,
            statements(&store, store.room_entries(LOBBY, &users, Timestamp(0))).await,
            statements(&store, store.members(LOBBY, amy, UserId(0), PageLimit::of_entries(100))).await,
            statements(&store, store.page_by_seq(LOBBY, Version(0), Seq(0), PageLimit::of_entries(500))).await,
        ]);
    }
    assert_eq!(store.conversations(amy).await.unwrap().len(), 22);
    assert_eq!(store.rooms_of(list_query(amy, Timestamp(0))).await.unwrap().rooms.len(), 45);
    assert_eq!(counts[0], counts[1]);
    // BEGIN, the call's statements and COMMIT, with the COMMIT and the BEGIN of the two reads around it.
    assert!(counts[0].iter().all(|count| (5..=12).contains(count)), "{counts:?}");
}
