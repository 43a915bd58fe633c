//! A sink that keeps every commit.

use std::sync::{Arc, Mutex};

use teahouse_core::{Change, Commit, Message, MessageChange, RoomEntry, RoomId, SessionId, UserId};
use teahouse_store::{CommitGroup, CommitSink};

/// Keeps every commit, in order. A clone shares them.
#[derive(Clone, Default)]
pub struct RecordingSink(Arc<Mutex<Vec<Commit>>>);

impl CommitSink for RecordingSink {
    fn commit(&mut self, mut group: CommitGroup<'_>) {
        self.0.lock().unwrap().extend(group.take_commits());
    }
}

impl RecordingSink {
    /// All commits so far.
    #[must_use]
    pub fn commits(&self) -> Vec<Commit> {
        self.0.lock().unwrap().clone()
    }

    /// The new messages of a room.
    #[must_use]
    pub fn new_messages(&self, room: RoomId) -> Vec<Message> {
        let new = |commit: MessageCommit| (commit.what == MessageChange::New).then_some(commit.message);
        self.message_changes(room).into_iter().filter_map(new).collect()
    }

    /// The changes of all messages of a room.
    #[must_use]
    pub fn message_changes(&self, room: RoomId) -> Vec<MessageCommit> {
        let of_room = |commit: Commit| match commit.change {
            Change::Message { message, last_seq, what } if commit.room == room => {
                Some(MessageCommit { message, last_seq: last_seq.0, what })
            }
            _ => None,
        };
        self.commits().into_iter().filter_map(of_room).collect()
    }

    /// The read marks that moved: room, reader, seq, and whether they moved over messages of others.
    #[must_use]
    pub fn read_marks(&self) -> Vec<(RoomId, UserId, u64, bool)> {
        let read = |commit: Commit| match commit.change {
            Change::Read { reader, seq, covers_others, .. } => Some((commit.room, reader, seq.0, covers_others)),
            _ => None,
        };
        self.commits().into_iter().filter_map(read).collect()
    }

    /// The entries: the member, the room as they see it, and the session that requested it.
    #[must_use]
    pub fn entries(&self) -> Vec<(UserId, RoomEntry, Option<SessionId>)> {
        let entry = |commit: Commit| match commit.change {
            Change::Entry { user, entry, requester } => {
                assert_eq!(commit.room, entry.id);
                Some((user, *entry, requester))
            }
            _ => None,
        };
        self.commits().into_iter().filter_map(entry).collect()
    }

    /// Forgets all commits so far.
    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A committed change of a message.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageCommit {
    /// The message as it is now.
    pub message: Message,
    /// The seq of the room's newest message.
    pub last_seq: u64,
    /// What changed.
    pub what: MessageChange,
}
