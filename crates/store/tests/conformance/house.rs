//! What every rule needs: a store that can be closed and opened again, an ear on its sink, and people.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use teahouse_core::{Change, Commit, Message, MessageId, RoomId, Timestamp, TokenKey, TokenMark, UserId};
use teahouse_store::{Append, Appended, CommitSink, NewUser, Place, Store};

/// A kind of store, with a place for its data: opening it again after `close` finds the same data.
pub trait Backend: Send + Sync {
    /// Opens the store.
    fn open(&self, sink: Box<dyn CommitSink>) -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + '_>>;
}

/// Everything that the sink was told, in order.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<Commit>>>);

impl CommitSink for Heard {
    fn committed(&mut self, commits: Vec<Commit>) {
        self.0.lock().unwrap().extend(commits);
    }
}

impl Heard {
    pub fn all(&self) -> Vec<Commit> {
        self.0.lock().unwrap().clone()
    }

    /// The messages that were posted in a room, in the order in which they were told.
    pub fn posted(&self, room: RoomId) -> Vec<Message> {
        let posted = |commit: Commit| match commit.change {
            Change::Posted(message) if commit.room == room => Some(message),
            _ => None,
        };
        self.all().into_iter().filter_map(posted).collect()
    }

    /// Who was told to have read how far, in order.
    pub fn reads(&self) -> Vec<(RoomId, UserId, u64)> {
        let read = |commit: Commit| match commit.change {
            Change::Read { reader, seq } => Some((commit.room, reader, seq.0)),
            _ => None,
        };
        self.all().into_iter().filter_map(read).collect()
    }
}

/// An open store, and how to open it again.
pub struct House {
    pub store: Arc<dyn Store>,
    pub heard: Heard,
    backend: Box<dyn Backend>,
    people: AtomicU64,
}

impl House {
    pub async fn new(backend: Box<dyn Backend>) -> Self {
        let heard = Heard::default();
        let store = backend.open(Box::new(heard.clone())).await;
        Self { store, heard, backend, people: AtomicU64::new(0) }
    }

    /// Closes the store and opens it again.
    pub async fn reopen(&mut self) {
        self.store.close().await;
        self.heard = Heard::default();
        self.store = self.backend.open(Box::new(self.heard.clone())).await;
    }

    /// Somebody new.
    pub async fn person(&self) -> UserId {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let made = self.store.create_user(registration(&format!("person{number}"))).await;
        made.unwrap().profile.id
    }

    /// Says it, and expects it to be stored.
    pub async fn say(&self, sender: UserId, place: Place, content: &str) -> Appended {
        self.store.append(text(sender, place, content)).await.unwrap()
    }
}

/// The moment `ms` milliseconds after the tests' beginning.
pub fn at(ms: i64) -> Timestamp {
    Timestamp(1_790_000_000_000 + ms)
}

pub fn registration(username: &str) -> NewUser {
    NewUser { username: username.to_owned(), email: None, password_hash: "hash".to_owned(), now: at(0), ids_start: 1 }
}

pub fn text(sender: UserId, place: Place, content: &str) -> Append {
    Append { place, sender, client_id: None, content: content.to_owned(), reply_to: None, address: None, now: at(0) }
}

pub fn keyed(sender: UserId, place: Place, content: &str, client_id: &str) -> Append {
    Append { client_id: Some(client_id.to_owned()), ..text(sender, place, content) }
}

pub fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

pub fn contents(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

pub fn key(number: u8) -> TokenKey {
    TokenKey([number; 16])
}

pub fn mark(token: u8, login: Option<u8>, issued_at: i64) -> TokenMark {
    TokenMark { token: key(token), login: login.map(key), issued_at, expires_at: i64::MAX }
}
