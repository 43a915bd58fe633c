//! What the store holds at the end of a run, as plain data. Loading it is the caller's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The content of the store.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DbState {
    /// The epoch.
    pub epoch: String,
    /// Rooms by id.
    pub rooms: BTreeMap<u64, Room>,
    /// Messages in any order; a broken store may hold two with one id.
    pub messages: Vec<Message>,
}

/// A room.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Room {
    /// `public`, `private` or `direct`.
    pub kind: String,
    /// The version of the last change.
    pub version: u64,
    /// The seq of its newest message.
    pub last_seq: u64,
    /// Members, and the read mark of each.
    pub members: BTreeMap<u64, u64>,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Message {
    /// Unique over all rooms.
    pub id: u64,
    /// The room id.
    pub room: u64,
    /// The sequence number within the room.
    pub seq: u64,
    /// The version of its last change.
    pub version: u64,
    /// The version at which it was stored, if the store keeps it.
    pub first_version: Option<u64>,
    /// The sender's user id.
    pub sender: u64,
    /// The sender's key for idempotent retries.
    pub client_id: Option<String>,
    /// The text; empty once deleted.
    pub content: String,
    /// Whether it was edited.
    pub edited: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Reactions, each with its user id.
    pub reactions: BTreeSet<(String, u64)>,
}

impl DbState {
    /// The unread count: other users' messages above the mark, not deleted, up to the limit.
    #[must_use]
    pub fn unread(&self, room: u64, user: u64, read_seq: u64) -> u64 {
        let unread = self.messages.iter().filter(|message| {
            message.room == room && message.seq > read_seq && message.sender != user && !message.deleted
        });
        (unread.count() as u64).min(teahouse_core::limits::UNREAD_MAX.into())
    }
}
