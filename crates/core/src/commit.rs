//! What leaves the store: changes that are durable, in the order in which they were committed.

use crate::{Message, Profile, RoomId, Seq, UserId};

/// One durable change. The store hands these to the feed in order; whatever became of the socket
/// that asked for it, a commit is delivered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The room that changed.
    pub room: RoomId,
    /// Who is to hear of it.
    pub audience: Audience,
    /// What changed.
    pub change: Change,
}

/// Who hears of a change in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Audience {
    /// Everybody who is subscribed to the room.
    Room,
    /// The two people of a direct room, in the order of their ids.
    Direct(Box<[Profile; 2]>),
}

/// What changed in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A new message; it took the room's next version, which it carries.
    Posted(Message),
    /// A message was deleted; the message carries the version that the deletion took.
    Deleted(Message),
    /// A reader's mark moved forward. Marks take no version: they are told, and read anew on return.
    Read {
        /// Whose mark it is.
        reader: UserId,
        /// Up to where the room is read.
        seq: Seq,
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
