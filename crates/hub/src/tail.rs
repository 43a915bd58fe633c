//! A room's tail: its newest changes, encoded once for each dialect, each under its version. Each session reads it with
//! its own cursor (`session/cursor.rs`); a cursor that is older than the tail reads pages of the store. A tail is bounded
//! by changes and by bytes. Pure data.

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
    /// In a direct room, the user who is not the author: only this user's classic sessions are sent the change.
    pub receiver: Option<UserId>,
    /// The v1 dialect's frame.
    pub v1: Bytes,
    /// The whole message as catch-ups send it, where the v1 frame has only a part of it: after a reaction, until the
    /// message changes again.
    pub whole: Option<Bytes>,
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

    /// The v1 frame inside of a catch-up, where messages are whole and have no `change`.
    pub(crate) fn v1_in_catch_up(&self) -> Bytes {
        let cut = || text_frame_from_bytes(&v1::without_change(text_payload(&self.v1)));
        self.whole.clone().unwrap_or_else(cut)
    }

    /// The bytes of the change in a tail or an inbox: its frames, its own size, and a frame's header in memory. Shards
    /// share the frames, and each counts them in full.
    #[must_use]
    pub fn bytes(&self) -> usize {
        const OWN_BYTES: usize = size_of::<Kept>() + 48;
        self.v1.len() + [&self.classic, &self.whole].into_iter().flatten().map(Bytes::len).sum::<usize>() + OWN_BYTES
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
            whole: None,
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
    /// The newest version that commits brought here. A tail that began at a snapshot of the store can be ahead of it.
    arrived: Version,
    /// The sum of the changes' bytes.
    bytes: usize,
    max: TailMax,
    /// The newest changes that were dropped because of bytes.
    forced_out: Option<ForcedOut>,
}

/// Changes that a tail dropped because there were too many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ForcedOut {
    until: Version,
    /// Which bytes were too many.
    pub by: ForcedOutBy,
    /// How many there were.
    pub bytes: usize,
}

/// The bytes that were too many for a change to stay in its tail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ForcedOutBy {
    /// Those of the tail.
    Tail,
    /// Those of all tails of the shard.
    AllTails,
}

/// The bounds of a tail.
#[derive(Clone, Copy, Debug)]
pub struct TailMax {
    /// Changes. The newest one is always kept.
    pub changes: usize,
    /// Bytes of these changes. The newest one is always kept.
    pub bytes: usize,
}

#[derive(Debug)]
struct Kept {
    change: EncodedChange,
    /// The next change of the same message, once there is one.
    superseded: Option<Version>,
    /// How many bytes the shard had appended to tails before.
    appended: u64,
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
    pub fn new(head: Version, head_seq: Seq, max: TailMax) -> Self {
        Self {
            changes: VecDeque::new(),
            start: head,
            names_valid_from: head,
            head,
            head_seq,
            arrived: Version(0),
            bytes: 0,
            max,
            forced_out: None,
        }
    }

    /// Appends the next change. `appended` is how many bytes the shard had appended to tails before. A known change is
    /// dropped.
    /// After a gap the tail restarts just before the change, since a tail has no holes: older cursors read the store.
    pub fn push(&mut self, change: EncodedChange, appended: u64) {
        self.mark_arrived(change.version);
        if change.version <= self.head {
            return;
        }
        if change.version != self.head.next() {
            self.clear(Version(change.version.0 - 1));
        }
        self.head = change.version;
        self.head_seq = self.head_seq.max(change.last_seq);
        if !change.is_new {
            self.supersede(change.message, change.version);
        }
        self.bytes += change.bytes();
        self.changes.push_back(Kept { change, superseded: None, appended });
        if self.changes.len() > self.max.changes.max(1) {
            self.drop_oldest();
        }
        let bytes = self.bytes;
        while self.bytes > self.max.bytes && self.changes.len() > 1 {
            self.force_out_oldest(ForcedOutBy::Tail, bytes);
        }
    }

    /// Catch-ups send a message in the state of its newest change. The older ones are for live readers only.
    fn supersede(&mut self, message: MessageId, version: Version) {
        let Some(kept) = self.changes.iter_mut().rev().find(|kept| kept.change.message == message) else { return };
        let before = kept.change.bytes();
        kept.superseded = Some(version);
        kept.change.whole = None;
        self.bytes = self.bytes - before + kept.change.bytes();
    }

    fn drop_oldest(&mut self) {
        if let Some(Kept { change, .. }) = self.changes.pop_front() {
            self.start = change.version;
            self.bytes -= change.bytes();
        }
    }

    fn force_out_oldest(&mut self, by: ForcedOutBy, bytes: usize) {
        self.drop_oldest();
        self.forced_out = Some(ForcedOut { until: self.start, by, bytes });
    }

    /// Drops the changes before which the shard had appended less than this many bytes, since all tails together have
    /// `bytes`.
    pub fn drop_appended_before(&mut self, appended: u64, bytes: usize) {
        while self.changes.front().is_some_and(|oldest| oldest.appended < appended) {
            self.force_out_oldest(ForcedOutBy::AllTails, bytes);
        }
    }

    /// What a reader at `cursor` needs and was dropped because of bytes, if anything was.
    #[must_use]
    pub fn forced_out_after(&self, cursor: Version) -> Option<ForcedOut> {
        self.forced_out.filter(|forced_out| cursor < forced_out.until)
    }

    fn clear(&mut self, start: Version) {
        self.changes.clear();
        self.bytes = 0;
        self.start = start;
    }

    /// Notes that commits up to this version have arrived.
    pub fn mark_arrived(&mut self, version: Version) {
        self.arrived = self.arrived.max(version);
    }

    /// Whether a reader at `cursor` has everything that commits up to here bring: neither this tail nor a commit that is
    /// still to arrive has a version up to `cursor`.
    #[must_use]
    pub fn is_settled_at(&self, cursor: Version) -> bool {
        cursor == self.head && cursor <= self.arrived
    }

    /// The room advanced to `head` without this tail: it restarts there, empty.
    pub fn skip_to(&mut self, head: Version, head_seq: Seq) {
        if head > self.head {
            self.clear(head);
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

    /// The next change of the message that this change is about.
    #[must_use]
    pub fn superseded_by(&self, version: Version) -> Option<Version> {
        let kept = self.changes.get(self.index_after(Version(version.0.saturating_sub(1))));
        kept.and_then(|kept| kept.superseded)
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

    /// The sum of its changes' bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
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

    fn tail(head: u64, changes: usize) -> Tail {
        Tail::new(Version(head), Seq(head), TailMax { changes, bytes: usize::MAX })
    }

    /// A reaction to the message of this seq, whose whole message has a thousand bytes.
    fn reaction(version: u64, seq: u64) -> EncodedChange {
        let whole = Some(Bytes::from(vec![b'x'; 1000]));
        EncodedChange { is_new: false, message: MessageId(seq), whole, ..change(version) }
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
        let mut tail = tail(10, 4);
        assert_eq!(read(&tail, 10), Some(0));
        for version in 11..=13 {
            tail.push(change(version), 0);
        }
        tail.push(change(12), 0);
        assert_eq!([10, 11, 12, 13].map(|cursor| read(&tail, cursor)), [Some(11), Some(12), Some(13), Some(0)]);
        assert_eq!(read(&tail, 9), None);
    }

    #[test]
    fn a_change_is_superseded_once_its_message_changed_again() {
        let mut tail = tail(0, 8);
        (1..=2).for_each(|version| tail.push(change(version), 0));
        (3..=4).for_each(|version| tail.push(reaction(version, 1), 0));
        let next = [1, 2, 3, 4].map(|version| tail.superseded_by(Version(version)).map(|next| next.0));
        assert_eq!(next, [Some(3), None, Some(4), None]);
    }

    #[test]
    fn only_the_newest_reaction_keeps_the_whole_message() {
        let mut tail = tail(0, 100);
        tail.push(change(1), 0);
        (2..=60).for_each(|version| tail.push(reaction(version, 1), 0));
        let wholes = tail.changes.iter().filter(|kept| kept.change.whole.is_some()).count();
        assert_eq!((wholes, tail.bytes()), (1, 60 * change(1).bytes() + 1000));
    }

    #[test]
    fn bytes_bound_a_tail_but_never_its_newest_change() {
        let size = reaction(1, 1).bytes();
        let mut tail = Tail::new(Version(0), Seq(0), TailMax { changes: 100, bytes: 3 * size });
        (1..=3).for_each(|version| tail.push(reaction(version, version), 0));
        assert_eq!(tail.forced_out_after(Version(0)), None);
        (4..=5).for_each(|version| tail.push(reaction(version, version), 0));
        let forced_out =
            [0, 1, 2].map(|cursor| tail.forced_out_after(Version(cursor)).map(|forced_out| forced_out.bytes));
        assert_eq!(forced_out, [Some(4 * size), Some(4 * size), None]);
        assert_eq!(([1, 2].map(|cursor| read(&tail, cursor)), tail.bytes()), ([None, Some(3)], 3 * size));
        let large = EncodedChange { v1: Bytes::from(vec![b'x'; 4 * size]), ..change(6) };
        tail.push(large, 0);
        assert_eq!([4, 5, 6].map(|cursor| read(&tail, cursor)), [None, Some(6), Some(0)]);
        tail.skip_to(Version(9), Seq(9));
        assert_eq!(tail.bytes(), 0);
    }

    #[test]
    fn the_changes_that_were_appended_first_can_be_dropped() {
        let mut tail = tail(0, 8);
        for (version, appended) in [(1, 0), (2, 10), (3, 20)] {
            tail.push(change(version), appended);
        }
        tail.drop_appended_before(11, 9000);
        let forced_out = ForcedOut { until: Version(2), by: ForcedOutBy::AllTails, bytes: 9000 };
        assert_eq!([1, 2].map(|cursor| tail.forced_out_after(Version(cursor))), [Some(forced_out), None]);
        assert_eq!(([1, 2].map(|cursor| read(&tail, cursor)), tail.bytes()), ([None, Some(3)], change(3).bytes()));
        tail.drop_appended_before(u64::MAX, 9000);
        assert_eq!(([2, 3].map(|cursor| read(&tail, cursor)), tail.bytes()), ([None, Some(0)], 0));
    }

    #[test]
    fn a_tail_serves_no_catch_up_from_before_a_name_changed() {
        let mut tail = tail(3, 2);
        let reach = |tail: &Tail| (0..=9).filter(|v| tail.can_catch_up_from(Version(*v))).collect::<Vec<_>>();
        (4..=6).for_each(|version| tail.push(change(version), 0));
        assert_eq!(reach(&tail), [4, 5, 6]);
        tail.mark_names_changed();
        tail.push(change(7), 0);
        assert_eq!(reach(&tail), [6, 7]);
        tail.skip_to(Version(9), Seq(9));
        assert_eq!(reach(&tail), [9]);
    }

    #[test]
    fn cursors_older_than_the_dropped_changes_go_to_the_store() {
        let mut tail = tail(0, 4);
        (1..=6).for_each(|version| tail.push(change(version), 0));
        assert_eq!([0, 1, 2, 5].map(|cursor| read(&tail, cursor)), [None, None, Some(3), Some(6)]);
    }

    #[test]
    fn a_reader_is_settled_once_the_commits_that_it_has_have_arrived() {
        let mut tail = tail(3, 4);
        let settled = |tail: &Tail| (0..=9).filter(|v| tail.is_settled_at(Version(*v))).collect::<Vec<u64>>();
        assert_eq!(settled(&tail), [0; 0], "it may have begun ahead of the commits");
        tail.push(change(2), 0);
        assert_eq!(settled(&tail), [0; 0]);
        tail.push(change(3), 0);
        assert_eq!(settled(&tail), [3]);
        tail.skip_to(Version(9), Seq(9));
        assert_eq!(settled(&tail), [0; 0]);
        tail.mark_arrived(Version(9));
        assert_eq!(settled(&tail), [9]);
    }

    #[test]
    fn a_tail_has_no_holes() {
        let mut tail = tail(0, 4);
        tail.push(change(1), 0);
        tail.push(change(5), 0);
        assert_eq!([0, 1, 3, 4, 5].map(|cursor| read(&tail, cursor)), [None, None, None, Some(5), Some(0)]);
        tail.skip_to(Version(9), Seq(9));
        tail.skip_to(Version(7), Seq(7));
        assert_eq!((read(&tail, 8), read(&tail, 9), tail.head_seq()), (None, Some(0), Seq(9)));
    }
}
