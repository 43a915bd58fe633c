//! A room's tail: its newest changes, encoded once for each dialect, each under its version. Each session reads it with
//! its own cursor (`session/cursor.rs`); a cursor that is older than the tail reads pages of the store. Pure data.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{MessageId, Seq, UserId, Version};
use teahouse_protocol::v1;

use crate::websocket::{text_frame_from_bytes, text_payload};

/// One change of a room, as sessions are sent it.
#[derive(Clone, Debug)]
pub struct EncodedChange {
    /// The version that the change took.
    pub version: Version,
    /// The room's last seq after it.
    pub last_seq: Seq,
    /// The classic dialect's frame; none for a change that dialect does not know.
    pub classic: Option<Bytes>,
    /// In a direct room, the user who is not the author, and the only one whose classic sessions are sent it.
    pub receiver: Option<UserId>,
    /// The v1 dialect's frame.
    pub v1: Bytes,
    /// The change is a new message.
    pub is_new: bool,
    /// The message that changed.
    pub message: MessageId,
    /// The message's author.
    pub author: UserId,
    /// The message has reactions.
    pub has_reactions: bool,
}

impl EncodedChange {
    /// The room's position before this change.
    #[must_use]
    pub fn position_before(&self) -> (Version, Seq) {
        (Version(self.version.0 - 1), Seq(self.last_seq.0 - u64::from(self.is_new)))
    }

    /// The two users of a direct room.
    pub(crate) fn pair(&self) -> Option<[UserId; 2]> {
        self.receiver.map(|receiver| [self.author, receiver])
    }

    /// The v1 frame inside of a catch-up, where messages have no `change`.
    pub(crate) fn v1_in_catch_up(&self) -> Bytes {
        text_frame_from_bytes(&v1::without_change(text_payload(&self.v1)))
    }

    /// A change without content.
    #[cfg(test)]
    pub(crate) fn silent(version: Version, last_seq: Seq) -> Self {
        Self {
            version,
            last_seq,
            classic: None,
            receiver: None,
            v1: Bytes::new(),
            is_new: true,
            message: MessageId(last_seq.0),
            author: UserId(0),
            has_reactions: false,
        }
    }
}

/// The newest changes of a room without a hole: every version in `(start, head]`.
#[derive(Debug)]
pub struct Tail {
    changes: VecDeque<Kept>,
    start: Version,
    /// Changes up to here may show a sender's old name.
    names_valid_from: Version,
    head: Version,
    head_seq: Seq,
    envelopes_max: usize,
}

#[derive(Debug)]
struct Kept {
    change: EncodedChange,
    /// The next change of the same message, once there is one.
    superseded: Option<Version>,
}

/// The result of reading a tail.
#[derive(Debug)]
pub enum TailRead<'a> {
    /// Nothing: the cursor is at the head.
    AtHead,
    /// The next change.
    Next(&'a EncodedChange),
    /// The cursor is older than the tail. The store has the changes between.
    TooOld,
}

impl Tail {
    /// An empty tail of a room at this version and seq.
    #[must_use]
    pub fn new(head: Version, head_seq: Seq, envelopes_max: usize) -> Self {
        let envelopes_max = envelopes_max.max(1);
        Self { changes: VecDeque::new(), start: head, names_valid_from: head, head, head_seq, envelopes_max }
    }

    /// Appends the next change. A known one is dropped. After a gap the tail restarts just before the change, since a
    /// tail has no holes: older cursors read the store.
    pub fn push(&mut self, change: EncodedChange) {
        if change.version <= self.head {
            return;
        }
        if change.version != self.head.next() {
            self.changes.clear();
            self.start = Version(change.version.0 - 1);
        }
        self.head = change.version;
        self.head_seq = self.head_seq.max(change.last_seq);
        if !change.is_new {
            let earlier = self.changes.iter_mut().filter(|kept| kept.change.message == change.message);
            earlier.for_each(|kept| kept.superseded = kept.superseded.or(Some(change.version)));
        }
        self.changes.push_back(Kept { change, superseded: None });
        if self.changes.len() > self.envelopes_max
            && let Some(oldest) = self.changes.pop_front()
        {
            self.start = oldest.change.version;
        }
    }

    /// The room advanced to `head` without this tail: it restarts there, empty.
    pub fn skip_to(&mut self, head: Version, head_seq: Seq) {
        if head > self.head {
            self.changes.clear();
            self.start = head;
            self.head = head;
            self.head_seq = self.head_seq.max(head_seq);
        }
    }

    /// A user's name changed: earlier messages may show the old one.
    pub fn mark_names_changed(&mut self) {
        self.names_valid_from = self.head;
    }

    /// The change after `cursor`.
    #[must_use]
    pub fn read_after(&self, cursor: Version) -> TailRead<'_> {
        if cursor >= self.head {
            return TailRead::AtHead;
        }
        if cursor < self.start {
            return TailRead::TooOld;
        }
        self.changes.get(self.index_after(cursor)).map_or(TailRead::TooOld, |kept| TailRead::Next(&kept.change))
    }

    /// Whether the tail can catch up a client that holds this version, with every message in its current state and
    /// every sender under the current name.
    #[must_use]
    pub fn can_catch_up_from(&self, version: Version) -> bool {
        (self.start.max(self.names_valid_from)..=self.head).contains(&version)
    }

    /// Whether the message of this change changed again up to `until`.
    #[must_use]
    pub fn is_superseded(&self, version: Version, until: Version) -> bool {
        let kept = self.changes.get(self.index_after(Version(version.0.saturating_sub(1))));
        kept.and_then(|kept| kept.superseded).is_some_and(|next| next <= until)
    }

    /// The index of the change after `cursor`, which is not older than the tail.
    fn index_after(&self, cursor: Version) -> usize {
        usize::try_from(cursor.0.saturating_sub(self.start.0)).unwrap_or(usize::MAX)
    }

    /// The version of the newest change.
    #[must_use]
    pub fn head(&self) -> Version {
        self.head
    }

    /// The room's last seq.
    #[must_use]
    pub fn head_seq(&self) -> Seq {
        self.head_seq
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(version: u64) -> EncodedChange {
        EncodedChange::silent(Version(version), Seq(version))
    }

    fn read(tail: &Tail, cursor: u64) -> Option<u64> {
        match tail.read_after(Version(cursor)) {
            TailRead::AtHead => Some(0),
            TailRead::Next(change) => Some(change.version.0),
            TailRead::TooOld => None,
        }
    }

    #[test]
    fn a_cursor_reads_every_version_once_up_to_the_head() {
        let mut tail = Tail::new(Version(10), Seq(10), 4);
        assert_eq!(read(&tail, 10), Some(0));
        for version in 11..=13 {
            tail.push(change(version));
        }
        tail.push(change(12));
        assert_eq!([10, 11, 12, 13].map(|cursor| read(&tail, cursor)), [Some(11), Some(12), Some(13), Some(0)]);
        assert_eq!(read(&tail, 9), None);
    }

    #[test]
    fn a_change_is_superseded_once_its_message_changed_again() {
        let mut tail = Tail::new(Version(0), Seq(0), 8);
        (1..=2).for_each(|version| tail.push(change(version)));
        for version in 3..=4 {
            tail.push(EncodedChange { is_new: false, message: MessageId(1), ..change(version) });
        }
        let superseded_by =
            |until| (1..=4).filter(|v| tail.is_superseded(Version(*v), Version(until))).collect::<Vec<u64>>();
        assert_eq!([2, 3, 4].map(superseded_by), [vec![], vec![1], vec![1, 3]]);
    }

    #[test]
    fn a_tail_serves_no_catch_up_from_before_a_name_changed() {
        let mut tail = Tail::new(Version(3), Seq(3), 2);
        let reach = |tail: &Tail| (0..=9).filter(|v| tail.can_catch_up_from(Version(*v))).collect::<Vec<_>>();
        (4..=6).for_each(|version| tail.push(change(version)));
        assert_eq!(reach(&tail), [4, 5, 6]);
        tail.mark_names_changed();
        tail.push(change(7));
        assert_eq!(reach(&tail), [6, 7]);
        tail.skip_to(Version(9), Seq(9));
        assert_eq!(reach(&tail), [9]);
    }

    #[test]
    fn cursors_older_than_the_dropped_changes_go_to_the_store() {
        let mut tail = Tail::new(Version(0), Seq(0), 4);
        (1..=6).for_each(|version| tail.push(change(version)));
        assert_eq!([0, 1, 2, 5].map(|cursor| read(&tail, cursor)), [None, None, Some(3), Some(6)]);
    }

    #[test]
    fn a_tail_has_no_holes() {
        let mut tail = Tail::new(Version(0), Seq(0), 4);
        tail.push(change(1));
        tail.push(change(5));
        assert_eq!([0, 1, 3, 4, 5].map(|cursor| read(&tail, cursor)), [None, None, None, Some(5), Some(0)]);
        tail.skip_to(Version(9), Seq(9));
        tail.skip_to(Version(7), Seq(7));
        assert_eq!((read(&tail, 8), read(&tail, 9), tail.head_seq()), (None, Some(0), Seq(9)));
    }
}
