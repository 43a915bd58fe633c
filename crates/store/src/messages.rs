//! Messages: storing, editing, deleting, reacting, and every way to read them.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::{Message, MessageId, MessageKind, Profile, RoomId, Seq, Timestamp, UserId, Version};

use crate::{PageLimit, RoomError, StoreError};

/// The messages of all rooms.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Stores a message. The writing transaction takes its seq, version and id; the commit goes to the sink. A
    /// repeated (sender, `client_id`) returns the first answer with `duplicate` set, and is a conflict when the
    /// destination, the content or `reply_to` differs.
    async fn append(&self, append: Append) -> Result<Appended, AppendError>;

    /// The answer of an earlier [`Messages::append`] with this sender and `client_id`, if there was one; a conflict
    /// as there. The caller looks it up before it applies rate limits.
    async fn appended(&self, append: &Append) -> Result<Option<Appended>, AppendError>;

    /// Replaces the content of the actor's own message, with the mentions of the new content. The same content
    /// changes nothing and returns the version that the message has.
    async fn edit_message(&self, edit: Edit) -> Result<Version, ChangeError>;

    /// Deletes a message, in `room` alone if that is given, and returns the version of the deletion. Deleting a
    /// deleted message changes nothing and returns the version that it has.
    async fn delete_message(
        &self,
        room: Option<RoomId>,
        message: MessageId,
        actor: UserId,
    ) -> Result<Version, ChangeError>;

    /// Adds or removes a reaction. A reaction that is in effect already changes nothing and returns the version that
    /// the message has.
    async fn react(&self, reaction: Reaction) -> Result<Version, ChangeError>;

    /// A page of a room's messages by id, oldest first, without deleted ones. As every page it ends where its limit is
    /// reached, whether that is the number of messages or their bytes, and reads no further.
    async fn history(&self, room: RoomId, query: HistoryQuery) -> Result<HistoryPage, StoreError>;

    /// A page of a room's messages by seq, oldest first, deleted ones included, with the reader's own reactions.
    /// Everybody can read a public room. A page around a seq has that message, if there is one.
    async fn room_history(&self, user: UserId, query: RoomHistoryQuery) -> Result<RoomHistoryPage, RoomError>;

    /// The first page for a client that holds a room as it was at `since`: the first changes after that, within
    /// `limit`. When there are more than `changes_max`, or `since` is `None` or above the room's version, it is a
    /// reset with the newest `reset_messages` messages, however many bytes these have. In version order, from one
    /// snapshot.
    async fn catch_up(
        &self,
        room: RoomId,
        since: Option<Version>,
        bounds: CatchUpBounds,
    ) -> Result<CatchUpPage, StoreError>;

    /// A user's own reactions to these messages.
    async fn own_reactions(&self, user: UserId, messages: &[MessageId])
    -> Result<Vec<(MessageId, String)>, StoreError>;

    /// The next page for a reader that can show each message only once, from one snapshot: the messages above
    /// `after` that are not deleted, ordered by seq, within `limit`; and the messages at or below `after` that were
    /// deleted after version `since`.
    async fn page_by_seq(
        &self,
        room: RoomId,
        since: Version,
        after: Seq,
        limit: PageLimit,
    ) -> Result<SeqPage, StoreError>;

    /// A room's version and last seq.
    async fn room_head(&self, room: RoomId) -> Result<Option<RoomHead>, StoreError>;
}

/// A message to store. The caller trims and measures the content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The room or the user that gets it.
    pub destination: Destination,
    /// Its author.
    pub sender: UserId,
    /// The idempotency key: the same one from the same sender stores nothing twice.
    pub client_id: Option<String>,
    /// Its text.
    pub content: String,
    /// Its kind. A system message needs no membership, and no direct room takes one.
    pub kind: MessageKind,
    /// The message that it answers, in the same room.
    pub reply_to: Option<MessageId>,
    /// It comes from the site's backend, which is no stranger to anybody.
    pub from_site: bool,
    /// The sender's address, kept for moderators only.
    pub address: Option<IpAddr>,
    /// The time. The room's last time is used when that is later, so that times never decrease.
    pub now: Timestamp,
}

/// The room or the user that gets a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A room that the sender is a member of.
    Room(RoomId),
    /// Another user: their direct room, which the same transaction creates when there is none.
    Direct(UserId),
}

/// A stored message, as its sender is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Its id.
    pub id: MessageId,
    /// Its room.
    pub room: RoomId,
    /// Its position in the room.
    pub seq: Seq,
    /// The version that it took when it was first stored.
    pub version: Version,
    /// When it was stored.
    pub sent_at: Timestamp,
    /// Whether an earlier request with the same `client_id` had stored it.
    pub duplicate: bool,
}

/// Why a message was not stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// The `client_id` was used before, for another message.
    #[error("this client_id was used for another message")]
    Conflict,
    /// There is no such room, receiver, or message to answer.
    #[error("no such room, receiver or message to answer")]
    NotFound,
    /// The sender is not a member of the room, or is disabled.
    #[error("the sender is not a member of this room")]
    Forbidden,
    /// The sender is muted, for this long from now.
    #[error("the sender is muted")]
    Muted(Duration),
    /// The sender is the receiver.
    #[error("a user cannot write to themselves")]
    Oneself,
    /// The sender has approached as many strangers as they may in a day; they may go on after this time.
    #[error("too many strangers in a day")]
    TooManyStrangers(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new content for a message. The caller trims and measures it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The message.
    pub message: MessageId,
    /// The user who edits; only the author can.
    pub actor: UserId,
    /// The new text.
    pub content: String,
    /// The time.
    pub now: Timestamp,
}

/// A reaction to add or remove. The caller checks the emoji.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// The message.
    pub message: MessageId,
    /// The user who reacts.
    pub actor: UserId,
    /// The emoji.
    pub emoji: String,
    /// Whether to add or to remove it.
    pub on: bool,
    /// The time; a muted user cannot react.
    pub now: Timestamp,
}

/// Why a message was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such message, or the actor cannot see its room, or it is deleted and cannot be edited or reacted
    /// to.
    #[error("no such message")]
    NotFound,
    /// The actor is not allowed to do this to it.
    #[error("the actor may not do this to this message")]
    Forbidden,
    /// The actor is muted, for this long from now.
    #[error("the actor is muted")]
    Muted(Duration),
    /// The message has as many different reactions as a message can have.
    #[error("too many different reactions")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A query for a page of a room's history, by message id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HistoryQuery {
    /// Where the page starts.
    pub from: HistoryFrom,
    /// The most on it.
    pub limit: PageLimit,
}

/// The start of a page of history. An unknown or deleted message's id is a valid position, since ids grow with seq in
/// a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The newest messages.
    Newest,
    /// The newest messages before this one.
    Before(MessageId),
    /// The oldest messages after this one.
    After(MessageId),
}

/// A page of a room's history, by message id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HistoryPage {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Whether there are more in the direction of the query: older for `Newest` and `Before`, newer for `After`.
    pub has_more: bool,
}

/// A query for a page of a room's history, by seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomHistoryQuery {
    /// The room.
    pub room: RoomId,
    /// Where the page starts.
    pub from: SeqFrom,
    /// The most on it.
    pub limit: PageLimit,
}

/// The start of a page of history by seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeqFrom {
    /// The newest messages.
    Newest,
    /// The newest messages below this seq.
    Before(Seq),
    /// The oldest messages above this seq.
    After(Seq),
    /// About half of the page at or below this seq, the rest above.
    Around(Seq),
}

/// A page of a room's history, by seq.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomHistoryPage {
    /// Oldest first, deleted ones included.
    pub messages: Vec<Message>,
    /// Whether there are older ones.
    pub has_more_before: bool,
    /// Whether there are newer ones.
    pub has_more_after: bool,
    /// The reader's own reactions to them.
    pub own_reactions: Vec<(MessageId, String)>,
}

/// The limits of a catch-up, beyond which a client gets a reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CatchUpBounds {
    /// The most in a page that is not a reset.
    pub limit: PageLimit,
    /// With more changes than this the page is a reset; `None`: never.
    pub changes_max: Option<u32>,
    /// The number of messages in a reset.
    pub reset_messages: u32,
}

/// The first page of a catch-up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatchUpPage {
    /// Whether these are the room's newest messages, and not the changes since a version.
    pub reset: bool,
    /// In version order, each in its current state, deleted ones included.
    pub messages: Vec<Message>,
    /// The version up to which this page is complete.
    pub through: Version,
    /// The seq of the room's newest message in the snapshot.
    pub last_seq: Seq,
    /// Whether `through` is the room's version in the snapshot. If not, more changes follow.
    pub complete: bool,
}

/// A page of [`Messages::page_by_seq`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeqPage {
    /// The messages at or below `after` that were deleted after `since`.
    pub deleted: Vec<MessageId>,
    /// The messages above `after` that are not deleted, ordered by seq.
    pub messages: Vec<Message>,
    /// The version up to which `deleted` is complete: the room's in the snapshot, unless very many messages changed.
    pub version: Version,
    /// The seq up to which this page is complete: the last message's, or the room's when nothing follows. A page may be
    /// short, or empty, where very many messages were deleted.
    pub seq: Seq,
    /// Whether nothing follows this page.
    pub complete: bool,
    /// The two members of a direct room, ordered by id.
    pub pair: Option<Box<[Profile; 2]>>,
}

/// A room's newest version and seq.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomHead {
    /// Its version.
    pub version: Version,
    /// The seq of its newest message.
    pub last_seq: Seq,
}
