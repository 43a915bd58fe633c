//! What the store holds at the end of a run, as plain data. How it is loaded is not this crate's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Everything that was said, and who is where.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Truth {
    /// The name of the history.
    pub epoch: String,
    /// By id.
    pub rooms: BTreeMap<u64, Room>,
    /// In no order; nothing keeps a broken store from holding two of one id.
    pub messages: Vec<Message>,
}

/// A room.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Room {
    /// `public`, `private` or `direct`.
    pub kind: String,
    /// Its version.
    pub version: u64,
    /// The seq of its newest message.
    pub last_seq: u64,
    /// Who is in it, and up to where they have read.
    pub members: BTreeMap<u64, u64>,
}

/// A message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Message {
    /// Unique over all rooms.
    pub id: u64,
    /// Where.
    pub room: u64,
    /// Its place.
    pub seq: u64,
    /// The version that changed it last.
    pub version: u64,
    /// The version with which it was first stored, where the store remembers it.
    pub first_version: Option<u64>,
    /// Who said it.
    pub sender: u64,
    /// Under which key.
    pub client_id: Option<String>,
    /// The text; empty once deleted.
    pub content: String,
    /// Whether it was edited.
    pub edited: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Who reacted with what.
    pub reactions: BTreeSet<(String, u64)>,
}

impl Truth {
    /// Others' messages above a read mark, not deleted, as far as they are counted.
    #[must_use]
    pub fn unread(&self, room: u64, user: u64, read_seq: u64) -> u64 {
        let unread = self.messages.iter().filter(|message| {
            message.room == room && message.seq > read_seq && message.sender != user && !message.deleted
        });
        (unread.count() as u64).min(teahouse_core::limits::UNREAD_MAX.into())
    }
}
