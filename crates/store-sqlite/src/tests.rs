//! What only SQLite can do wrong: full queues, full disks, other programs, other schemas, long logs.
//! The rules that every store keeps are in the conformance suite.

mod copies;
mod cost;
mod older;
mod opening;
mod trouble;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rusqlite::Connection;
use teahouse_core::{Commit, LOBBY, MessageKind, Timestamp, UserId};
use tempfile::TempDir;

use super::*;
use teahouse_store::*;

/// A sink that keeps everything, and can be made to wait: `entered` says that the writer is in it, and
/// it stays there until `release` is used or dropped.
#[derive(Clone, Default)]
struct Sink {
    heard: Arc<Mutex<Vec<Commit>>>,
    gate: Arc<Mutex<Option<Door>>>,
}

/// The writer's side of a gate.
struct Door {
    entered: SyncSender<()>,
    released: Receiver<()>,
}

/// The test's side of it.
struct Gate {
    entered: Receiver<()>,
    release: SyncSender<()>,
}

impl CommitSink for Sink {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.heard.lock().unwrap().extend(group.take_commits());
        if let Some(door) = self.gate.lock().unwrap().take() {
            door.entered.send(()).unwrap();
            let _ = door.released.recv();
        }
    }
}

impl Sink {
    /// The writer waits in the sink the next time that it comes there.
    fn gate(&self) -> Gate {
        let (entered, has_entered) = sync_channel(1);
        let (release, released) = sync_channel(1);
        *self.gate.lock().unwrap() = Some(Door { entered, released });
        Gate { entered: has_entered, release }
    }

    fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }
}

fn options(directory: &TempDir) -> SqliteOptions {
    SqliteOptions::new(directory.path())
}

/// A store with one user, and its sink.
async fn opened(options: SqliteOptions) -> (Arc<SqliteStore>, Sink, UserId) {
    let sink = Sink::default();
    let store = Arc::new(SqliteStore::open(options, Box::new(sink.clone())).unwrap());
    let user = person(&store, "amy").await;
    (store, sink, user)
}

async fn person(store: &SqliteStore, name: &str) -> UserId {
    let new = NewUser {
        username: name.to_owned(),
        email: None,
        password_hash: String::new(),
        now: Timestamp(0),
        ids_start: 1,
    };
    store.create_user(new).await.unwrap().profile.id
}

fn text(sender: UserId, content: &str) -> Append {
    Append {
        destination: Destination::Room(LOBBY),
        sender,
        client_id: None,
        content: content.to_owned(),
        kind: MessageKind::Text,
        reply_to: None,
        address: None,
        now: Timestamp(0),
    }
}

/// What is in the file, as any other program would see it.
fn number(directory: &TempDir, sql: &str) -> i64 {
    beside(directory).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn beside(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join(DATABASE_FILE)).unwrap()
}

fn assert_whole(directory: &TempDir) {
    let verdict: String = beside(directory).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}
