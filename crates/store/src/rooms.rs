//! Rooms: creating and finding them, their members and read marks, and how each member sees them.

use std::time::Duration;

use async_trait::async_trait;
use teahouse_core::{
    DirectsPosition, Profile, Role, RoomCard, RoomEntry, RoomId, RoomKind, RoomList, Seq, SessionId, Timestamp, User,
    UserId,
};

use crate::{PageLimit, StoreError};

/// Rooms of all kinds, and their members.
#[async_trait]
pub trait Rooms: Send + Sync {
    /// The rooms of a user as this user sees them: all public and private ones, and of the direct ones those that the
    /// query selects; a direct room counts only if it has a message or this user opened it, and did not decline it. With
    /// the invites that wait for the user. One snapshot, a constant number of queries.
    async fn rooms_of(&self, query: RoomListQuery) -> Result<RoomList, StoreError>;

    /// The initial state of a session, from one snapshot: the user, and their rooms as [`Rooms::rooms_of`] returns
    /// them. `None` when there is no such user.
    async fn welcome(&self, query: RoomListQuery) -> Result<Option<(User, RoomList)>, StoreError>;

    /// A page of a user's direct rooms after this position, requests last and newest message first, at most `limit`,
    /// and the position of the next page if there is one. A constant number of queries.
    async fn directs(
        &self,
        user: UserId,
        after: Option<DirectsPosition>,
        limit: u32,
        now: Timestamp,
    ) -> Result<(Vec<RoomEntry>, Option<DirectsPosition>), StoreError>;

    /// One room as a member sees it. `Forbidden` when the room is public and the user is not a member.
    async fn room_entry(&self, room: RoomId, user: UserId, now: Timestamp) -> Result<RoomEntry, RoomError>;

    /// One room as each of these members sees it, ordered by user id, from one snapshot and in a constant number of
    /// queries. Users who are not members, or declined the request of a direct room, are left out.
    async fn room_entries(
        &self,
        room: RoomId,
        users: &[UserId],
        now: Timestamp,
    ) -> Result<Vec<(UserId, RoomEntry)>, StoreError>;

    /// Public rooms that the user is not in, whose name or title contains `query`, which may be empty: those with
    /// ids above `after`, ordered by id, at most `limit`; and the room after which the next page begins, if there may
    /// be one. A page may be short, or empty, before the last one: each looks at a bounded number of rooms.
    async fn browse_rooms(
        &self,
        user: UserId,
        query: &str,
        after: RoomId,
        limit: u32,
    ) -> Result<(Vec<RoomCard>, Option<RoomId>), StoreError>;

    /// Creates a public or private room with its owner as the only member. Names are unique, regardless of case.
    async fn create_room(&self, room: NewRoom) -> Result<RoomEntry, RoomError>;

    /// Changes the name and the title, where they are `Some`.
    async fn update_room(
        &self,
        room: RoomId,
        actor: UserId,
        name: Option<String>,
        title: Option<String>,
        now: Timestamp,
    ) -> Result<RoomEntry, RoomError>;

    /// Changes a membership. Returns the room as the actor sees it afterwards; an actor who left gets it as they saw
    /// it last. The invite of a stranger waits for an answer; the same one again changes nothing, also after the user
    /// declined it. A change that is in effect already succeeds and changes nothing. When the last owner leaves, the
    /// member with the highest role becomes owner; a user who joins an empty room becomes its owner. To leave a room
    /// without being a member is `NotFound`.
    async fn change_membership(&self, change: MembershipChange) -> Result<MembershipChanged, RoomError>;

    /// Accepts an invite, whose inviter must still be in the room, or the request of a direct room. Returns the room as
    /// the user sees it afterwards; a member gets it as it is. `NotFound` when there is nothing to accept.
    async fn accept(
        &self,
        room: RoomId,
        user: UserId,
        now: Timestamp,
        requester: Option<SessionId>,
    ) -> Result<RoomEntry, RoomError>;

    /// Declines an invite, or the request of a direct room, which is not listed any more until the user opens it or
    /// writes in it; only the user learns of it. To decline again changes nothing. `NotFound` when there is nothing to
    /// decline.
    async fn decline(&self, room: RoomId, user: UserId) -> Result<(), RoomError>;

    /// The members of a room with ids above `after`, ordered by id, within `limit`, and whether there are more.
    /// Everybody sees those of a public room, only members those of any other.
    async fn members(
        &self,
        room: RoomId,
        actor: UserId,
        after: UserId,
        limit: PageLimit,
    ) -> Result<(Vec<(Profile, Role)>, bool), RoomError>;

    /// The ids of all members of a room.
    async fn member_ids(&self, room: RoomId) -> Result<Vec<UserId>, StoreError>;

    /// Moves a user's read mark in a room forward to `seq`, or to the room's head when `None`: never back and never
    /// beyond the head. The sink receives a commit when the mark moved. A user who is not a member has no mark:
    /// nothing moves, and the answer is 0.
    async fn mark_read(&self, room: RoomId, user: UserId, seq: Option<Seq>) -> Result<ReadMark, StoreError>;
}

/// A query for a user's list of rooms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomListQuery {
    /// The user.
    pub user: UserId,
    /// How many direct rooms are listed: those with the newest messages, requests after all others.
    pub directs_max: u32,
    /// Direct rooms that are listed besides.
    pub named: Vec<RoomId>,
    /// The time, which decides whether a mute is in force.
    pub now: Timestamp,
}

/// A room to create. The caller checks name and title.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewRoom {
    /// The user who creates and owns it.
    pub owner: UserId,
    /// Public or private.
    pub kind: RoomKind,
    /// Unique, regardless of case.
    pub name: String,
    /// May be empty.
    pub title: String,
    /// The time.
    pub now: Timestamp,
    /// The session that asked; see [`teahouse_core::Change::Entry`].
    pub requester: Option<SessionId>,
}

/// A change of a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MembershipChange {
    /// The room.
    pub room: RoomId,
    /// The user who changes it.
    pub actor: UserId,
    /// The change.
    pub what: Membership,
    /// The time.
    pub now: Timestamp,
    /// The session that asked; see [`teahouse_core::Change::Entry`].
    pub requester: Option<SessionId>,
}

/// A membership was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MembershipChanged {
    /// The room as the actor sees it.
    pub entry: RoomEntry,
    /// The actor is a stranger to the user whom they invited, and the invite waits for an answer.
    pub pending: bool,
}

/// The kind of a change of a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Membership {
    /// The actor joins a public room. Their read mark starts at the room's head.
    Join,
    /// The actor leaves. Nobody can leave the lobby or a direct room.
    Leave,
    /// The actor brings a user in.
    Invite(UserId),
    /// The actor removes a member.
    Remove(UserId),
    /// The actor gives a member a role.
    Role(UserId, Role),
}

/// Why an operation on a room was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RoomError {
    /// There is no such room or user. Private and direct rooms look like this to all who are not in them.
    #[error("no such room or user")]
    NotFound,
    /// The actor is not allowed to do this.
    #[error("the actor may not do this")]
    Forbidden,
    /// Another room has this name.
    #[error("this name is taken")]
    NameTaken,
    /// The user is in as many rooms as a user can be.
    #[error("in too many rooms")]
    TooMany,
    /// The actor has approached as many strangers as they may in a day; they may go on after this time.
    #[error("too many strangers in a day")]
    TooManyStrangers(Duration),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A read mark after [`Rooms::mark_read`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadMark {
    /// The seq up to which the room is read.
    pub read_seq: Seq,
    /// The number of unread messages, at most 999.
    pub unread: u32,
    /// Whether this call moved the mark.
    pub moved: bool,
}
