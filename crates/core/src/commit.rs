//! What leaves the store: changes that are durable, in the order in which they were committed.

use crate::{Message, Profile, RoomEntry, RoomId, Seq, SessionId, UserId};

/// One durable change. The store hands these to the feed in order; whatever became of the socket
/// that asked for it, a commit is delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The room that changed; the lobby where it is about no room.
    pub room: RoomId,
    /// Who is to hear of it.
    pub audience: Audience,
    /// What changed.
    pub change: Change,
}

/// Who hears of a change in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Everybody who is in the room.
    Room,
    /// The two people of a direct room, in the order of their ids.
    Direct(Box<[Profile; 2]>),
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every change is a message, and a box would cost each of them")]
pub enum Change {
    /// A message is new or changed. The message carries the version that this took.
    Message {
        /// As it stands now.
        message: Message,
        /// The seq of the room's newest message after this.
        last_seq: Seq,
        /// What happened to it.
        what: MessageChange,
    },
    /// A reader's mark moved forward. Marks take no version: they are told, and read anew on return.
    Read {
        /// Whose mark it is.
        reader: UserId,
        /// Up to where the room is read.
        seq: Seq,
        /// Whether somebody else's words lie between the old mark and the new one.
        covers_others: bool,
        /// Whether the others of the room hear of it: in direct rooms and in small private ones.
        visible_to_room: bool,
    },
    /// The room as one member sees it is new (joined, invited, created, opened) or changed (the role).
    Entry {
        /// The member.
        user: UserId,
        /// The room as this member sees it now, with the version from which on it is theirs to hear.
        entry: Box<RoomEntry>,
        /// The session whose request did it and will be answered with the entry: it hears nothing of the
        /// room before that answer.
        requester: Option<SessionId>,
    },
    /// Somebody is no longer in the room, and hears nothing of it from here on.
    Left {
        /// Who.
        user: UserId,
        /// How many are in it now.
        members: u32,
    },
    /// The room has another name or title.
    Room {
        /// The name; direct rooms have none.
        name: Option<String>,
        /// The title.
        title: String,
    },
    /// Somebody's name or picture changed.
    Profile(Profile),
}

/// What happened to a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageChange {
    /// It is new.
    New,
    /// Its content is another.
    Edit {
        /// Who edited it.
        by: UserId,
    },
    /// It was deleted, and keeps its place with empty content.
    Delete {
        /// Who deleted it.
        by: UserId,
    },
    /// Somebody reacted to it, or took a reaction back.
    React {
        /// Who.
        by: UserId,
        /// With what.
        emoji: String,
        /// Whether it is there now.
        on: bool,
    },
}

impl Audience {
    /// The other one of the two people of a direct room.
    #[must_use]
    pub fn peer_of(&self, user: UserId) -> Option<&Profile> {
        match self {
            Self::Room => None,
            Self::Direct(pair) => pair.iter().find(|profile| profile.id != user),
        }
    }
}
