//! What the store publishes: durable changes, in the order in which they were committed.

use crate::{Invite, Message, Profile, RoomEntry, RoomId, Seq, SessionId, UserId};

/// One durable change. A commit is delivered even if the session that requested it is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The room that changed; the lobby if the change is about no room.
    pub room: RoomId,
    /// Its recipients.
    pub audience: Audience,
    /// The change itself.
    pub change: Change,
}

/// The recipients of a change of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Every member of the room.
    Room,
    /// The two users of a direct room, ordered by id.
    Direct(Box<[Profile; 2]>),
}

/// A durable change.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every change is a message, and a box would cost each of them")]
pub enum Change {
    /// A message is new or changed. The message carries the version of this change.
    Message {
        /// The message in its current state.
        message: Message,
        /// The seq of the room's newest message after this change.
        last_seq: Seq,
        /// The kind of change.
        what: MessageChange,
    },
    /// A read mark moved forward. Marks have no version: a returning client reads them again.
    Read {
        /// The user whose mark it is.
        reader: UserId,
        /// The seq up to which the user has read the room.
        seq: Seq,
        /// Whether messages of others lie between the old mark and the new one.
        covers_others: bool,
        /// Whether the room's other members receive it: in direct rooms and in small private rooms.
        visible_to_room: bool,
    },
    /// A member's entry of the room is new (joined, invited, created, opened) or changed (the role).
    Entry {
        /// The member.
        user: UserId,
        /// The room as this member sees it, at the version from which on they receive its changes.
        entry: Box<RoomEntry>,
        /// The session whose request caused this, and which is answered with the entry. It receives nothing of the room
        /// before that answer.
        requester: Option<SessionId>,
    },
    /// A stranger invited a user to the room.
    Invited {
        /// The invited user, who alone receives this.
        user: UserId,
        /// The invite.
        invite: Box<Invite>,
    },
    /// A user declined an invite to the room or, in a direct room, the other's request. Only that user receives this.
    Declined {
        /// The user.
        user: UserId,
    },
    /// A user is no longer in the room, and receives nothing more of it.
    Left {
        /// The user.
        user: UserId,
        /// The number of members after this change.
        members: u32,
    },
    /// The room's name or title changed.
    Room {
        /// The name; direct rooms have none.
        name: Option<String>,
        /// The title.
        title: String,
    },
    /// A user's name or picture changed.
    Profile(Profile),
}

/// A change of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessageChange {
    /// The message is new.
    New,
    /// Its content changed.
    Edit {
        /// The user who edited it.
        by: UserId,
    },
    /// It was deleted. It keeps its place with empty content.
    Delete {
        /// The user who deleted it.
        by: UserId,
    },
    /// A reaction was added or removed.
    React {
        /// The user who reacted.
        by: UserId,
        /// The emoji.
        emoji: String,
        /// Whether the reaction was added.
        on: bool,
    },
}

impl Audience {
    /// In a direct room, the other one of its two users.
    #[must_use]
    pub fn peer_of(&self, user: UserId) -> Option<&Profile> {
        match self {
            Self::Room => None,
            Self::Direct(pair) => pair.iter().find(|profile| profile.id != user),
        }
    }
}
