//! What every rule needs: a store that can be closed and opened again, its sink, and users and rooms in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use fastrand::Rng;
use teahouse_core::{
    Message, MessageId, MessageKind, RoomEntry, RoomId, RoomKind, RoomList, SessionId, Timestamp, TokenKey, TokenMark,
    UserId, Version,
};
use teahouse_store::{
    Append, Appended, CatchUpBounds, ChangeError, CommitSink, Destination, Edit, Membership, MembershipChange,
    MembershipChanged, NewRoom, NewUser, PageLimit, Reaction, RoomError, RoomListQuery, Store,
};

use crate::RecordingSink;

/// Opens the store of one test: empty at first, with the same data when it is opened again after `close`.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// Opens the store.
    async fn open(&self, sink: Box<dyn CommitSink>) -> Arc<dyn Store>;
}

/// An open store, and the factory that opens it again.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its sink.
    pub sink: RecordingSink,
    factory: Box<dyn StoreFactory>,
    users: AtomicU64,
}

impl Fixture {
    /// Opens a store of this factory.
    pub async fn new(factory: Box<dyn StoreFactory>) -> Self {
        let sink = RecordingSink::default();
        let store = factory.open(Box::new(sink.clone())).await;
        Self { store, sink, factory, users: AtomicU64::new(0) }
    }

    /// Closes the store and opens it again, with a new sink.
    pub async fn reopen(&mut self) {
        self.store.close().await;
        self.sink = RecordingSink::default();
        self.store = self.factory.open(Box::new(self.sink.clone())).await;
    }

    /// Registers a user: `person0`, `person1` and so on.
    pub async fn new_user(&self) -> UserId {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let user = self.store.create_user(registration(&format!("person{number}"))).await;
        user.unwrap().profile.id
    }

    /// Creates a room.
    pub async fn room(&self, owner: UserId, kind: RoomKind, name: &str) -> RoomId {
        self.store.create_room(new_room(owner, kind, name)).await.unwrap().id
    }

    /// Creates a private room with these members. The first one owns it.
    pub async fn room_of(&self, members: &[UserId], name: &str) -> RoomId {
        let room = self.room(members[0], RoomKind::Private, name).await;
        // Each brings the next one in, since nobody may approach many strangers.
        for pair in members.windows(2) {
            self.membership(room, pair[0], Membership::Invite(pair[1])).await.unwrap();
        }
        room
    }

    /// Changes a membership. Where an invite waits for an answer, the user accepts it.
    pub async fn membership(&self, room: RoomId, actor: UserId, what: Membership) -> Result<RoomEntry, RoomError> {
        match (self.change_membership(room, actor, what).await?, what) {
            (MembershipChanged { pending: true, .. }, Membership::Invite(user)) => {
                self.store.accept(room, user, at(0), None).await?;
                self.store.room_entry(room, actor, at(0)).await
            }
            (changed, _) => Ok(changed.entry),
        }
    }

    /// Changes a membership, and lets an invite wait.
    pub async fn change_membership(
        &self,
        room: RoomId,
        actor: UserId,
        what: Membership,
    ) -> Result<MembershipChanged, RoomError> {
        let change = MembershipChange { room, actor, what, now: at(0), requester: Some(REQUESTER) };
        self.store.change_membership(change).await
    }

    /// Opens the direct room of two users.
    pub async fn direct(&self, user: UserId, peer: UserId) -> RoomId {
        self.store.open_direct(user, peer, at(0), Some(REQUESTER)).await.unwrap().id
    }

    /// All rooms of a user, as they see them.
    pub async fn rooms_of(&self, user: UserId) -> Vec<RoomEntry> {
        let list = self.list_of(user, u32::MAX, &[]).await;
        assert_eq!(list.more_directs, None);
        list.rooms
    }

    /// The list of a user's rooms, with this many direct ones and those that are named.
    pub async fn list_of(&self, user: UserId, directs_max: u32, named: &[RoomId]) -> RoomList {
        let query = RoomListQuery { user, directs_max, named: named.to_vec(), now: at(0) };
        let list = self.store.rooms_of(query.clone()).await.unwrap();
        let welcomed = self.store.welcome(query).await.unwrap();
        let known = self.store.user(user).await.unwrap();
        assert_eq!(welcomed, known.map(|known| (known, list.clone())), "the welcome has the same rooms");
        list
    }

    /// A room as one of its members sees it.
    pub async fn entry(&self, room: RoomId, user: UserId) -> RoomEntry {
        self.store.room_entry(room, user, at(0)).await.unwrap()
    }

    /// All messages of a room with a version above this one, in version order.
    pub async fn changes_since(&self, room: RoomId, since: u64) -> Vec<Message> {
        let page = self.store.catch_up(room, Some(Version(since)), ALL).await.unwrap();
        assert!(!page.reset && page.complete);
        page.messages
    }

    /// Edits a message.
    pub async fn edit(&self, message: MessageId, actor: UserId, content: &str) -> Result<Version, ChangeError> {
        self.store.edit_message(Edit { message, actor, content: content.to_owned(), now: at(5) }).await
    }

    /// Adds a reaction.
    pub async fn react(&self, message: MessageId, actor: UserId, emoji: &str) -> Result<Version, ChangeError> {
        self.store.react(Reaction { message, actor, emoji: emoji.to_owned(), on: true, now: at(5) }).await
    }

    /// Removes a reaction.
    pub async fn unreact(&self, message: MessageId, actor: UserId, emoji: &str) -> Result<Version, ChangeError> {
        self.store.react(Reaction { message, actor, emoji: emoji.to_owned(), on: false, now: at(5) }).await
    }

    /// One stored message.
    pub async fn stored(&self, room: RoomId, message: MessageId) -> Message {
        self.changes_since(room, 0).await.into_iter().find(|stored| stored.id == message).unwrap()
    }

    /// Sends a message, which the store accepts.
    pub async fn send(&self, sender: UserId, destination: Destination, content: &str) -> Appended {
        self.store.append(text(sender, destination, content)).await.unwrap()
    }
}

/// A whole room in one page, and never a reset.
pub const ALL: CatchUpBounds =
    CatchUpBounds { limit: PageLimit::of_entries(10_000), changes_max: None, reset_messages: 50 };

/// The time `ms` milliseconds after the start of the test.
#[must_use]
pub fn at(ms: i64) -> Timestamp {
    Timestamp(1_790_000_000_000 + ms)
}

/// The session that asks, in tests where it matters.
pub const REQUESTER: SessionId = SessionId(77);

/// A room to create.
#[must_use]
pub fn new_room(owner: UserId, kind: RoomKind, name: &str) -> NewRoom {
    NewRoom { owner, kind, name: name.to_owned(), title: String::new(), now: at(0), requester: Some(REQUESTER) }
}

/// A user to create.
#[must_use]
pub fn registration(username: &str) -> NewUser {
    NewUser { username: username.to_owned(), email: None, password_hash: "hash".to_owned(), now: at(0), ids_start: 1 }
}

/// A message to append.
#[must_use]
pub fn text(sender: UserId, destination: Destination, content: &str) -> Append {
    Append {
        destination,
        sender,
        client_id: None,
        content: content.to_owned(),
        kind: MessageKind::Text,
        reply_to: None,
        from_site: false,
        address: None,
        now: at(0),
    }
}

/// A message to append, with an idempotency key.
#[must_use]
pub fn keyed(sender: UserId, destination: Destination, content: &str, client_id: &str) -> Append {
    Append { client_id: Some(client_id.to_owned()), ..text(sender, destination, content) }
}

/// The ids of messages.
#[must_use]
pub fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

/// The contents of messages.
#[must_use]
pub fn contents(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.content.as_str()).collect()
}

/// A token's or a login's key.
#[must_use]
pub fn key(number: u8) -> TokenKey {
    TokenKey([number; 16])
}

/// A token's mark.
#[must_use]
pub fn mark(token: u8, login: Option<u8>, issued_at: i64) -> TokenMark {
    TokenMark { token: key(token), login: login.map(key), issued_at, expires_at: i64::MAX }
}

/// A generator whose seed is printed, and comes from `TEAHOUSE_STORE_TEST_SEED` to repeat a failed run.
pub(crate) fn seeded_rng(test: &str) -> Rng {
    let given = std::env::var("TEAHOUSE_STORE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("{test}: TEAHOUSE_STORE_TEST_SEED={seed}");
    Rng::with_seed(seed)
}

/// One of these.
pub(crate) fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

/// A short word.
pub(crate) fn word(rng: &mut Rng) -> String {
    format!("{:x}", rng.u16(..4096))
}
