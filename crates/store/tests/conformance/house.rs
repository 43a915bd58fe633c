//! What every rule needs: a store that can be closed and opened again, an ear on its sink, and people.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use teahouse_core::{
    Change, Commit, Message, MessageChange, MessageId, MessageKind, RoomEntry, RoomId, RoomKind, SessionId, Timestamp,
    TokenKey, TokenMark, UserId, Version,
};
use teahouse_store::{
    Append, Appended, CatchUpBounds, ChangeError, CommitSink, Edit, Membership, MembershipChange, NewRoom, NewUser,
    Place, Reaction, RoomError, Store,
};

/// A kind of store, with a place for its data: opening it again after `close` finds the same data.
pub trait Backend: Send + Sync {
    /// Opens the store.
    fn open(&self, sink: Box<dyn CommitSink>) -> Opening<'_>;

    /// Opens another store, at this place.
    fn open_at(&self, place: &Path, sink: Box<dyn CommitSink>) -> Opening<'_>;
}

/// A store that is being opened.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send + 'a>>;

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

    /// The messages that were new in a room, in the order in which they were told.
    pub fn posted(&self, room: RoomId) -> Vec<Message> {
        let new = |told: Told| (told.what == MessageChange::New).then_some(told.message);
        self.messages(room).into_iter().filter_map(new).collect()
    }

    /// Every change of a message of a room, in the order in which they were told.
    pub fn messages(&self, room: RoomId) -> Vec<Told> {
        let of_room = |commit: Commit| match commit.change {
            Change::Message { message, last_seq, what } if commit.room == room => {
                Some(Told { message, last_seq: last_seq.0, what })
            }
            _ => None,
        };
        self.all().into_iter().filter_map(of_room).collect()
    }

    /// Whose read marks were told to have moved, how far, over others' words or not, in order.
    pub fn reads(&self) -> Vec<(RoomId, UserId, u64, bool)> {
        let read = |commit: Commit| match commit.change {
            Change::Read { reader, seq, covers_others, .. } => Some((commit.room, reader, seq.0, covers_others)),
            _ => None,
        };
        self.all().into_iter().filter_map(read).collect()
    }

    /// Who was told how they see a room, and which session had asked, in order.
    pub fn entries(&self) -> Vec<(UserId, RoomEntry, Option<SessionId>)> {
        let entry = |commit: Commit| match commit.change {
            Change::Entry { user, entry, requester } => {
                assert_eq!(commit.room, entry.id);
                Some((user, *entry, requester))
            }
            _ => None,
        };
        self.all().into_iter().filter_map(entry).collect()
    }

    /// Forgets what it heard so far.
    pub fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A change of a message, as it was told.
#[derive(Clone, PartialEq, Debug)]
pub struct Told {
    pub message: Message,
    pub last_seq: u64,
    pub what: MessageChange,
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

    /// Opens another store beside it, which nobody listens to.
    pub async fn open_at(&self, place: &Path) -> Arc<dyn Store> {
        self.backend.open_at(place, Box::new(Heard::default())).await
    }

    /// Somebody new.
    pub async fn person(&self) -> UserId {
        let number = self.people.fetch_add(1, Ordering::Relaxed);
        let made = self.store.create_user(registration(&format!("person{number}"))).await;
        made.unwrap().profile.id
    }

    /// A new room of this owner's, named by the name.
    pub async fn room(&self, owner: UserId, kind: RoomKind, name: &str) -> RoomId {
        self.store.create_room(new_room(owner, kind, name)).await.unwrap().id
    }

    /// A new private room with these people in it, the first of them its owner.
    pub async fn room_of(&self, people: &[UserId], name: &str) -> RoomId {
        let room = self.room(people[0], RoomKind::Private, name).await;
        for user in &people[1..] {
            self.membership(room, people[0], Membership::Invite(*user)).await.unwrap();
        }
        room
    }

    /// Changes who is in a room, or as what.
    pub async fn membership(&self, room: RoomId, actor: UserId, what: Membership) -> Result<RoomEntry, RoomError> {
        self.store.change_membership(MembershipChange { room, actor, what, now: at(0), asker: Some(ASKER) }).await
    }

    /// The direct room of two users.
    pub async fn direct(&self, user: UserId, peer: UserId) -> RoomId {
        self.store.open_direct(user, peer, at(0), Some(ASKER)).await.unwrap().id
    }

    /// Every room that somebody is in, as they see it.
    pub async fn rooms_of(&self, user: UserId) -> Vec<RoomEntry> {
        let rooms = self.store.rooms_of(user, at(0)).await.unwrap();
        let welcomed = self.store.welcome(user, at(0)).await.unwrap();
        let known = self.store.user(user).await.unwrap();
        assert_eq!(welcomed, known.map(|known| (known, rooms.clone())), "what a session begins with is the same");
        rooms
    }

    /// How somebody sees a room that they are in.
    pub async fn entry(&self, room: RoomId, user: UserId) -> RoomEntry {
        self.store.room_entry(room, user, at(0)).await.unwrap()
    }

    /// Every message of a room that has a version above this, in version order.
    pub async fn changes_since(&self, room: RoomId, since: u64) -> Vec<Message> {
        let page = self.store.catch_up(room, Some(Version(since)), ALL).await.unwrap();
        assert!(!page.reset && page.complete);
        page.messages
    }

    /// Puts another content in the place of a message's.
    pub async fn edit(&self, message: MessageId, actor: UserId, content: &str) -> Result<Version, ChangeError> {
        self.store.edit_message(Edit { message, actor, content: content.to_owned(), now: at(5) }).await
    }

    /// Reacts to a message.
    pub async fn react(&self, message: MessageId, actor: UserId, emoji: &str) -> Result<Version, ChangeError> {
        self.store.react(Reaction { message, actor, emoji: emoji.to_owned(), on: true, now: at(5) }).await
    }

    /// Takes a reaction back.
    pub async fn unreact(&self, message: MessageId, actor: UserId, emoji: &str) -> Result<Version, ChangeError> {
        self.store.react(Reaction { message, actor, emoji: emoji.to_owned(), on: false, now: at(5) }).await
    }

    /// A message as it is stored.
    pub async fn stored(&self, room: RoomId, message: MessageId) -> Message {
        self.changes_since(room, 0).await.into_iter().find(|stored| stored.id == message).unwrap()
    }

    /// Says it, and expects it to be stored.
    pub async fn say(&self, sender: UserId, place: Place, content: &str) -> Appended {
        self.store.append(text(sender, place, content)).await.unwrap()
    }
}

/// Everything, page by page or at once, and never anew.
pub const ALL: CatchUpBounds = CatchUpBounds { limit: 10_000, changes_max: None, reset_messages: 50 };

/// The moment `ms` milliseconds after the tests' beginning.
pub fn at(ms: i64) -> Timestamp {
    Timestamp(1_790_000_000_000 + ms)
}

/// The session that asks, where it matters that there was one.
pub const ASKER: SessionId = SessionId(77);

pub fn new_room(owner: UserId, kind: RoomKind, name: &str) -> NewRoom {
    NewRoom { owner, kind, name: name.to_owned(), title: String::new(), now: at(0), asker: Some(ASKER) }
}

pub fn registration(username: &str) -> NewUser {
    NewUser { username: username.to_owned(), email: None, password_hash: "hash".to_owned(), now: at(0), ids_start: 1 }
}

pub fn text(sender: UserId, place: Place, content: &str) -> Append {
    Append {
        place,
        sender,
        client_id: None,
        content: content.to_owned(),
        kind: MessageKind::Text,
        reply_to: None,
        address: None,
        now: at(0),
    }
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
