//! A room's tail: its newest envelopes, already encoded, each under its version. Pure data.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{MessageId, Seq, UserId, Version};
use teahouse_protocol::v1;

use crate::websocket::{text_frame_from_bytes, text_payload};

/// One change of a room, as it goes to sockets.
#[derive(Clone, Debug)]
pub struct EncodedChange {
    /// The version that the change took.
    pub version: Version,
    /// The room's last seq after it.
    pub last_seq: Seq,
    /// The classic dialect's whole frame; none where that dialect has nothing to say.
    pub classic: Option<Bytes>,
    /// The only user whose classic sessions are told, in direct rooms: the receiver.
    pub classic_only: Option<UserId>,
    /// The v1 dialect's whole frame.
    pub v1: Bytes,
    /// The change is a new message.
    pub is_new: bool,
    /// What changed.
    pub message: MessageId,
    /// Who said it.
    pub author: UserId,
    /// Somebody reacted to it.
    pub has_reactions: bool,
}

impl EncodedChange {
    /// Where the room stood before this change.
    #[must_use]
    pub fn position_before(&self) -> (Version, Seq) {
        (Version(self.version.0 - 1), Seq(self.last_seq.0 - u64::from(self.is_new)))
    }

    /// The v1 dialect's whole frame as it is in a bracket.
    pub(crate) fn v1_in_catch_up(&self) -> Bytes {
        text_frame_from_bytes(&v1::message_in_bracket(text_payload(&self.v1)))
    }

    /// A change of which no dialect says anything.
    #[cfg(test)]
    pub(crate) fn silent(version: Version, last_seq: Seq) -> Self {
        Self {
            version,
            last_seq,
            classic: None,
            classic_only: None,
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
    entries: VecDeque<Kept>,
    start: Version,
    /// Up to here senders may have other names by now than the changes say.
    named: Version,
    head: Version,
    head_seq: Seq,
    envelopes_max: usize,
}

#[derive(Debug)]
struct Kept {
    entry: EncodedChange,
    /// The next change of the same message, once there is one.
    superseded: Option<Version>,
}

/// What a cursor finds in a tail.
#[derive(Debug)]
pub enum TailRead<'a> {
    /// Nothing: it is at the head.
    AtHead,
    /// The next change.
    Next(&'a EncodedChange),
    /// It is older than the tail: what lies between is in the store.
    TooOld,
}

impl Tail {
    /// An empty tail of a room that stands at this version and seq.
    #[must_use]
    pub fn new(head: Version, head_seq: Seq, envelopes_max: usize) -> Self {
        let envelopes_max = envelopes_max.max(1);
        Self { entries: VecDeque::new(), start: head, named: head, head, head_seq, envelopes_max }
    }

    /// Puts the next change in. One that is known already is dropped; one behind a hole makes the tail
    /// begin anew just before it, since a tail has no holes: whoever is older reads the store.
    pub fn push(&mut self, entry: EncodedChange) {
        if entry.version <= self.head {
            return;
        }
        if entry.version != self.head.next() {
            self.entries.clear();
            self.start = Version(entry.version.0 - 1);
        }
        self.head = entry.version;
        self.head_seq = self.head_seq.max(entry.last_seq);
        if !entry.is_new {
            let earlier = self.entries.iter_mut().filter(|kept| kept.entry.message == entry.message);
            earlier.for_each(|kept| kept.superseded = kept.superseded.or(Some(entry.version)));
        }
        self.entries.push_back(Kept { entry, superseded: None });
        if self.entries.len() > self.envelopes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.start = oldest.entry.version;
        }
    }

    /// The room went on to `head` without this tail: it begins anew there, empty.
    pub fn skip_to(&mut self, head: Version, head_seq: Seq) {
        if head > self.head {
            self.entries.clear();
            self.start = head;
            self.head = head;
            self.head_seq = self.head_seq.max(head_seq);
        }
    }

    /// Somebody goes by another name: what was said before may show the old one.
    pub fn mark_names_changed(&mut self) {
        self.named = self.head;
    }

    /// What comes after `cursor`.
    #[must_use]
    pub fn read_after(&self, cursor: Version) -> TailRead<'_> {
        if cursor >= self.head {
            return TailRead::AtHead;
        }
        if cursor < self.start {
            return TailRead::TooOld;
        }
        self.entries.get(self.index_after(cursor)).map_or(TailRead::TooOld, |kept| TailRead::Next(&kept.entry))
    }

    /// Whether whoever holds this version can be caught up from here, with each message as it is now and its sender as
    /// they are called now.
    #[must_use]
    pub fn can_catch_up_from(&self, version: Version) -> bool {
        (self.start.max(self.named)..=self.head).contains(&version)
    }

    /// Whether the message that came with this change had changed again by `until`.
    #[must_use]
    pub fn is_superseded(&self, version: Version, until: Version) -> bool {
        let kept = self.entries.get(self.index_after(Version(version.0.saturating_sub(1))));
        kept.and_then(|kept| kept.superseded).is_some_and(|next| next <= until)
    }

    /// Where the change after `cursor` is, which is not older than the tail.
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

    fn entry(version: u64) -> EncodedChange {
        EncodedChange::silent(Version(version), Seq(version))
    }

    fn ahead(tail: &Tail, cursor: u64) -> Option<u64> {
        match tail.read_after(Version(cursor)) {
            TailRead::AtHead => Some(0),
            TailRead::Next(entry) => Some(entry.version.0),
            TailRead::TooOld => None,
        }
    }

    #[test]
    fn a_cursor_reads_every_version_once_until_it_is_at_the_head() {
        let mut tail = Tail::new(Version(10), Seq(10), 4);
        assert_eq!(ahead(&tail, 10), Some(0));
        for version in 11..=13 {
            tail.push(entry(version));
        }
        tail.push(entry(12));
        assert_eq!([10, 11, 12, 13].map(|cursor| ahead(&tail, cursor)), [Some(11), Some(12), Some(13), Some(0)]);
        assert_eq!(ahead(&tail, 9), None);
    }

    #[test]
    fn a_message_that_changed_again_is_superseded_from_then_on() {
        let mut tail = Tail::new(Version(0), Seq(0), 8);
        (1..=2).for_each(|version| tail.push(entry(version)));
        for version in 3..=4 {
            tail.push(EncodedChange { is_new: false, message: MessageId(1), ..entry(version) });
        }
        let superseded_by =
            |until| (1..=4).filter(|v| tail.is_superseded(Version(*v), Version(until))).collect::<Vec<u64>>();
        assert_eq!([2, 3, 4].map(superseded_by), [vec![], vec![1], vec![1, 3]]);
    }

    #[test]
    fn it_catches_up_nobody_with_names_that_changed() {
        let mut tail = Tail::new(Version(3), Seq(3), 2);
        let reach = |tail: &Tail| (0..=9).filter(|v| tail.can_catch_up_from(Version(*v))).collect::<Vec<_>>();
        (4..=6).for_each(|version| tail.push(entry(version)));
        assert_eq!(reach(&tail), [4, 5, 6]);
        tail.mark_names_changed();
        tail.push(entry(7));
        assert_eq!(reach(&tail), [6, 7]);
        tail.skip_to(Version(9), Seq(9));
        assert_eq!(reach(&tail), [9]);
    }

    #[test]
    fn the_oldest_make_room_and_their_readers_go_to_the_store() {
        let mut tail = Tail::new(Version(0), Seq(0), 4);
        (1..=6).for_each(|version| tail.push(entry(version)));
        assert_eq!([0, 1, 2, 5].map(|cursor| ahead(&tail, cursor)), [None, None, Some(3), Some(6)]);
    }

    #[test]
    fn a_tail_has_no_holes() {
        let mut tail = Tail::new(Version(0), Seq(0), 4);
        tail.push(entry(1));
        tail.push(entry(5));
        assert_eq!([0, 1, 3, 4, 5].map(|cursor| ahead(&tail, cursor)), [None, None, None, Some(5), Some(0)]);
        tail.skip_to(Version(9), Seq(9));
        tail.skip_to(Version(7), Seq(7));
        assert_eq!((ahead(&tail, 8), ahead(&tail, 9), tail.head_seq()), (None, Some(0), Seq(9)));
    }
}
