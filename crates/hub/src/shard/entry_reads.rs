//! For which members a room's entry has to be read, since each of them sees the room in their own way.
//!
//! Concurrent reads can complete out of order and overwrite newer data, so requests that arrive during a room's
//! reads wait until those are over. It never calls the store and never sends anything.

use std::collections::BTreeSet;

use teahouse_core::{RoomId, UserId};

use crate::maps::{HashMap, HashSet};

/// Members for whom a room's entry is read at once; each takes some tenths of a millisecond.
const MEMBERS_PER_READ: usize = 100;

/// Which rooms' entries have to be read, and for whom.
#[derive(Debug, Default)]
pub(crate) struct EntryReads {
    /// Rooms that changed for all of their members since the last tick.
    changed: HashSet<RoomId>,
    in_flight: HashMap<RoomId, InFlight>,
}

#[derive(Debug, Default)]
struct InFlight {
    reads: usize,
    /// The members whose entry is read once more, since the read in flight may be older than what they know.
    next: BTreeSet<UserId>,
}

impl EntryReads {
    /// A room's entry changed for all of its members.
    pub(super) fn mark_changed(&mut self, room: RoomId) {
        self.changed.insert(room);
    }

    /// The rooms that changed, except those with a read in flight, which stay until it is over.
    pub(super) fn take_changed(&mut self) -> Vec<RoomId> {
        let in_flight = &self.in_flight;
        self.changed.extract_if(|room| !in_flight.contains_key(room)).collect()
    }

    /// Requests a room's entry for these members. Returns the reads to be started now, each with its members.
    pub(super) fn request(&mut self, room: RoomId, members: &[UserId]) -> Vec<Vec<UserId>> {
        if let Some(in_flight) = self.in_flight.get_mut(&room) {
            in_flight.next.extend(members);
            return Vec::new();
        }
        let reads: Vec<Vec<UserId>> = members.chunks(MEMBERS_PER_READ).map(<[UserId]>::to_vec).collect();
        if !reads.is_empty() {
            self.in_flight.insert(room, InFlight { reads: reads.len(), ..InFlight::default() });
        }
        reads
    }

    /// A member was sent something newer than the read in flight may return, so their entry is read once more.
    pub(super) fn read_again(&mut self, room: RoomId, member: UserId) {
        if let Some(in_flight) = self.in_flight.get_mut(&room) {
            in_flight.next.insert(member);
        }
    }

    /// Whether the read in flight is outdated for a member: it is not sent, since their entry is read once more.
    pub(super) fn is_outdated(&self, room: RoomId, member: UserId) -> bool {
        self.in_flight.get(&room).is_some_and(|in_flight| in_flight.next.contains(&member))
    }

    /// One of a room's reads is over. Returns the members whose entry has to be requested again.
    pub(super) fn finish(&mut self, room: RoomId) -> Vec<UserId> {
        let Some(in_flight) = self.in_flight.get_mut(&room) else { return Vec::new() };
        in_flight.reads -= 1;
        if in_flight.reads > 0 {
            return Vec::new();
        }
        self.in_flight.remove(&room).map_or_else(Vec::new, |in_flight| in_flight.next.into_iter().collect())
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.changed.is_empty() && self.in_flight.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: RoomId = RoomId(7);
    const AMY: UserId = UserId(1);
    const BOB: UserId = UserId(2);

    #[test]
    fn a_request_during_a_read_waits_until_it_is_over() {
        let mut reads = EntryReads::default();
        assert_eq!(reads.request(ROOM, &[AMY]), [[AMY]]);
        assert!(reads.request(ROOM, &[BOB]).is_empty());
        reads.read_again(ROOM, AMY);
        assert!(reads.is_outdated(ROOM, AMY) && reads.is_outdated(ROOM, BOB));
        assert_eq!(reads.finish(ROOM), [AMY, BOB]);
        assert!(reads.is_idle() && !reads.is_outdated(ROOM, AMY));
    }

    #[test]
    fn a_room_that_changes_during_its_reads_is_read_after_all_of_them() {
        let mut reads = EntryReads::default();
        let members: Vec<UserId> = (0..150).map(UserId).collect();
        assert_eq!(reads.request(ROOM, &members).iter().map(Vec::len).collect::<Vec<_>>(), [100, 50]);
        reads.mark_changed(ROOM);
        reads.mark_changed(RoomId(8));
        assert_eq!(reads.take_changed(), [RoomId(8)]);
        reads.finish(ROOM);
        assert_eq!(reads.take_changed(), []);
        reads.finish(ROOM);
        assert_eq!(reads.take_changed(), [ROOM]);
        assert!(reads.is_idle());
    }

    #[test]
    fn a_room_without_anybody_to_read_for_is_not_read() {
        let mut reads = EntryReads::default();
        assert!(reads.request(ROOM, &[]).is_empty() && reads.is_idle());
        reads.read_again(ROOM, AMY);
        assert!(reads.is_idle() && reads.finish(ROOM).is_empty());
    }
}
