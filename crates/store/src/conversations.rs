//! Direct rooms, which the classic dialect calls conversations.

use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::{Profile, RoomEntry, RoomId, Seq, SessionId, Timestamp, UserId};

use crate::StoreError;

/// The rooms of two users.
#[async_trait]
pub trait Conversations: Send + Sync {
    /// The direct room of two users, created when there is none: the same room from either side, also when both ask
    /// at once. A user's list shows it when it has a message or when that user opened it; opening a request that the user
    /// declined makes it a request again. Creating a room with a user to whom the opener is a stranger counts as
    /// approaching them.
    /// `requester` is that of
    /// [`teahouse_core::Change::Entry`].
    async fn open_direct(
        &self,
        user: UserId,
        peer: UserId,
        now: Timestamp,
        requester: Option<SessionId>,
    ) -> Result<RoomEntry, OpenDirectError>;

    /// A user's direct rooms, newest first.
    async fn conversations(&self, user: UserId) -> Result<Vec<Conversation>, StoreError>;

    /// A direct room as `user` sees it.
    async fn direct_room(&self, room: RoomId, user: UserId) -> Result<DirectRoom, DirectRoomError>;

    /// The number of unread messages over all direct rooms of a user, at most 999 for each room.
    async fn unread_total(&self, user: UserId) -> Result<u32, StoreError>;
}

/// Why no direct room was opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenDirectError {
    /// The user and the peer are the same.
    #[error("a user cannot write to themselves")]
    Oneself,
    /// There is no such peer.
    #[error("no such user")]
    NotFound,
    /// The user has approached as many strangers as they may in a day; they may go on after this time.
    #[error("too many strangers in a day")]
    TooManyStrangers(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A direct room, as one of its two members sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirectRoom {
    /// The other member.
    pub peer: Profile,
    /// The member who asks.
    pub own: Profile,
    /// The read mark of the member who asks.
    pub read_seq: Seq,
    /// The read mark of the other member.
    pub peer_read_seq: Seq,
}

/// Why a user cannot see a direct room.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DirectRoomError {
    /// There is no such direct room.
    #[error("no such conversation")]
    NotFound,
    /// It belongs to two others.
    #[error("a conversation of others")]
    Forbidden,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A direct room in the list of one of its members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Conversation {
    /// The room.
    pub room: RoomId,
    /// The other member.
    pub peer: Profile,
    /// The text and the time of the newest message that is not deleted.
    pub last_message: Option<(String, Timestamp)>,
    /// The number of the other's messages above the read mark that are not deleted, at most 999.
    pub unread: u32,
    /// When the room was created.
    pub created_at: Timestamp,
}
