//! A room's tail: its newest envelopes, already encoded, each under its version. Pure data.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{Seq, UserId, Version};

/// One change of a room, as it goes to sockets.
#[derive(Clone, Debug)]
pub struct Entry {
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
    /// Who said what changed.
    pub author: UserId,
}

impl Entry {
    /// Where the room stood before this change.
    #[must_use]
    pub fn before(&self) -> (Version, Seq) {
        (Version(self.version.0 - 1), Seq(self.last_seq.0 - u64::from(self.is_new)))
    }

    /// A change of which no dialect says anything.
    #[cfg(test)]
    pub(crate) fn bare(version: Version, last_seq: Seq) -> Self {
        Self { version, last_seq, classic: None, classic_only: None, v1: Bytes::new(), is_new: true, author: UserId(0) }
    }
}

/// The newest changes of a room without a hole: every version in `(start, head]`.
#[derive(Debug)]
pub struct Tail {
    entries: VecDeque<Entry>,
    start: Version,
    head: Version,
    head_seq: Seq,
    envelopes_max: usize,
}

/// What a cursor finds in a tail.
#[derive(Debug)]
pub enum Ahead<'a> {
    /// Nothing: it is at the head.
    Nothing,
    /// The next change.
    Next(&'a Entry),
    /// It is older than the tail: what lies between is in the store.
    TooOld,
}

impl Tail {
    /// An empty tail of a room that stands at this version and seq.
    #[must_use]
    pub fn new(head: Version, head_seq: Seq, envelopes_max: usize) -> Self {
        Self { entries: VecDeque::new(), start: head, head, head_seq, envelopes_max: envelopes_max.max(1) }
    }

    /// Puts the next change in. One that is known already is dropped; one behind a hole makes the tail
    /// begin anew just before it, since a tail has no holes: whoever is older reads the store.
    pub fn push(&mut self, entry: Entry) {
        if entry.version <= self.head {
            return;
        }
        if entry.version != self.head.next() {
            self.entries.clear();
            self.start = Version(entry.version.0 - 1);
        }
        self.head = entry.version;
        self.head_seq = self.head_seq.max(entry.last_seq);
        self.entries.push_back(entry);
        if self.entries.len() > self.envelopes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.start = oldest.version;
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

    /// What comes after `cursor`.
    #[must_use]
    pub fn ahead(&self, cursor: Version) -> Ahead<'_> {
        if cursor >= self.head {
            return Ahead::Nothing;
        }
        if cursor < self.start {
            return Ahead::TooOld;
        }
        let index = usize::try_from(cursor.0 - self.start.0).unwrap_or(usize::MAX);
        self.entries.get(index).map_or(Ahead::TooOld, Ahead::Next)
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

    fn entry(version: u64) -> Entry {
        Entry::bare(Version(version), Seq(version))
    }

    fn ahead(tail: &Tail, cursor: u64) -> Option<u64> {
        match tail.ahead(Version(cursor)) {
            Ahead::Nothing => Some(0),
            Ahead::Next(entry) => Some(entry.version.0),
            Ahead::TooOld => None,
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
