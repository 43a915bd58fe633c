//! Tests of what only SQLite can do wrong: full queues, full disks, other programs, other schemas, long logs. The rules
//! that every store keeps are in the conformance suite.

mod backups;
mod cost;
mod groups;
mod log;
mod migrations;
mod opening;
mod overload;
mod pages;
mod strangers;
pub(crate) mod worst;

use std::pin::pin;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};

use rusqlite::Connection;
use teahouse_core::{Commit, LOBBY, MessageKind, RoomKind, Timestamp, UserId};
use tempfile::TempDir;

use super::*;
use teahouse_store::*;

/// A sink that keeps all commits and can hold the writer: `entered` reports that the writer is in it, where it stays
/// until `release` is used or dropped.
#[derive(Clone, Default)]
struct GatedSink {
    commits: Arc<Mutex<Vec<Commit>>>,
    gate: Arc<Mutex<Option<GateInSink>>>,
}

/// The writer's side of a gate.
struct GateInSink {
    entered: SyncSender<()>,
    released: Receiver<()>,
}

/// The test's side of a gate.
struct Gate {
    entered: Receiver<()>,
    release: SyncSender<()>,
}

impl CommitSink for GatedSink {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.commits.lock().unwrap().extend(group.take_commits());
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.entered.send(()).unwrap();
            let _ = gate.released.recv();
        }
    }
}

impl GatedSink {
    /// Holds the writer the next time that it is in the sink.
    fn gate(&self) -> Gate {
        let (entered, has_entered) = sync_channel(1);
        let (release, released) = sync_channel(1);
        *self.gate.lock().unwrap() = Some(GateInSink { entered, released });
        Gate { entered: has_entered, release }
    }

    fn count(&self) -> usize {
        self.commits.lock().unwrap().len()
    }
}

fn options(directory: &TempDir) -> SqliteOptions {
    SqliteOptions::new(directory.path())
}

/// A store with one user, and its sink.
async fn open_store(options: SqliteOptions) -> (Arc<SqliteStore>, GatedSink, UserId) {
    let sink = GatedSink::default();
    let store = Arc::new(SqliteStore::open(options, Box::new(sink.clone())).unwrap());
    let user = new_user(&store, "amy").await;
    (store, sink, user)
}

async fn new_user(store: &SqliteStore, name: &str) -> UserId {
    let new = NewUser {
        username: name.to_owned(),
        email: None,
        password_hash: String::new(),
        now: Timestamp(0),
        ids_start: 1,
    };
    store.create_user(new).await.unwrap().profile.id
}

fn list_query(user: UserId, now: Timestamp) -> RoomListQuery {
    RoomListQuery { user, directs_max: 200, named: Vec::new(), now }
}

fn text(sender: UserId, content: &str) -> Append {
    Append {
        destination: Destination::Room(LOBBY),
        sender,
        client_id: None,
        content: content.to_owned(),
        kind: MessageKind::Text,
        reply_to: None,
        from_site: false,
        address: None,
        now: Timestamp(0),
    }
}

/// A number that another program reads from the file.
fn query_number(directory: &TempDir, sql: &str) -> i64 {
    open_file(directory).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn open_file(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join(DATABASE_FILE)).unwrap()
}

fn assert_intact(directory: &TempDir) {
    let verdict: String = open_file(directory).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

fn new_room(owner: UserId, kind: RoomKind, name: &str) -> NewRoom {
    NewRoom { owner, kind, name: name.to_owned(), title: String::new(), now: Timestamp(0), requester: None }
}

async fn contents(store: &SqliteStore) -> Vec<String> {
    let page = store
        .history(LOBBY, HistoryQuery { from: HistoryFrom::Newest, limit: PageLimit::of_entries(100) })
        .await
        .unwrap();
    page.messages.into_iter().map(|message| message.content).collect()
}

const ALL_CHANGES: CatchUpBounds =
    CatchUpBounds { limit: PageLimit::of_entries(500), changes_max: Some(500), reset_messages: 500 };

/// Starts an append, and returns when it is in the queue.
async fn start_append(store: &Arc<SqliteStore>, append: Append) -> tokio::task::JoinHandle<Result<(), AppendError>> {
    let store = Arc::clone(store);
    let (queued, is_queued) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let mut append = pin!(store.append(append));
        let first_poll = append.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        queued.send(()).unwrap();
        match first_poll {
            Poll::Ready(answer) => answer.map(drop),
            Poll::Pending => append.await.map(drop),
        }
    });
    is_queued.await.unwrap();
    task
}
