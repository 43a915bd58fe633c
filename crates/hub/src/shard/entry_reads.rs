//! For which members a room's entry has to be read, since each of them sees the room in their own way.
//!
//! Concurrent reads can complete out of order and overwrite newer data, so requests that arrive during a room's reads
//! wait until those are over. Of changed rooms, the small ones and the one that has waited for longest are read first;
//! the others wait for a later tick. It never calls the store and never sends anything.

use std::collections::BTreeSet;

use teahouse_core::{RoomId, UserId};

use crate::maps::HashMap;

/// Members for whom a room's entry is read at once; each takes some tenths of a millisecond.
const MEMBERS_PER_READ: usize = 100;

/// Which rooms' entries have to be read, and for whom.
#[derive(Debug, Default)]
pub(crate) struct EntryReads {
    /// Rooms that changed for all of their members and are not read yet, each with its number in the order of changes.
    changed: HashMap<RoomId, u64>,
    /// How many changes of rooms there were.
    changes: u64,
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
        self.changes += 1;
        self.changed.entry(room).or_insert(self.changes);
    }

    /// Takes the changed rooms that are to be read now: the smallest ones, up to `members_max` members together, and the
    /// one that has waited for longest. A room with a read in flight waits until the read is over. Also returns how many
    /// rooms have to wait.
    pub(super) fn take_changed(
        &mut self,
        members: impl Fn(RoomId) -> usize,
        members_max: usize,
    ) -> (Vec<RoomId>, usize) {
        if self.changed.is_empty() {
            return (Vec::new(), 0);
        }
        let due = self.changed.iter().filter(|(room, _)| !self.in_flight.contains_key(room));
        let mut due: Vec<(u64, RoomId)> = due.map(|(room, since)| (*since, *room)).collect();
        let (all, longest) = (due.len(), due.iter().min().copied());
        due.sort_by_cached_key(|(since, room)| (members(*room), *since));
        let mut sum = 0;
        let fits = |(_, room): &(u64, RoomId)| {
            sum += members(*room);
            sum <= members_max
        };
        let mut taken: Vec<RoomId> = due.into_iter().take_while(fits).map(|(_, room)| room).collect();
        if let Some((_, longest)) = longest
            && !taken.contains(&longest)
        {
            taken.push(longest);
        }
        for room in &taken {
            self.changed.remove(room);
        }
        let left = all - taken.len();
        (taken, left)
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
        let take = |reads: &mut EntryReads| reads.take_changed(|_| 150, 1000).0;
        assert_eq!(take(&mut reads), [RoomId(8)]);
        reads.finish(ROOM);
        assert_eq!(take(&mut reads), []);
        reads.finish(ROOM);
        assert_eq!(take(&mut reads), [ROOM]);
        assert!(reads.is_idle());
    }

    #[test]
    fn large_rooms_that_change_often_leave_room_for_the_small_ones_and_all_get_their_turn() {
        let mut reads = EntryReads::default();
        // Rooms up to 50 have 500 members, and the others 20.
        let members = |room: RoomId| if room.0 <= 50 { 500 } else { 20 };
        let mut taken = Vec::new();
        for tick in 0..60 {
            // Somebody changes five large rooms with every tick.
            (0..5).for_each(|number| reads.mark_changed(RoomId(1 + (tick * 5 + number) % 50)));
            reads.mark_changed(RoomId(51 + tick));
            let (now, left) = reads.take_changed(members, 200);
            assert!(tick < 20 || left > 0);
            assert!(now.iter().map(|room| members(*room)).sum::<usize>() <= 520, "{now:?}");
            taken.extend(now.into_iter().map(|room| (room.0, tick)));
        }
        let small = taken.iter().filter(|(room, _)| *room > 50).count();
        let large: BTreeSet<u64> = taken.iter().map(|(room, _)| *room).filter(|room| *room <= 50).collect();
        assert_eq!((small, large.len()), (60, 50));
    }

    #[test]
    fn a_room_without_anybody_to_read_for_is_not_read() {
        let mut reads = EntryReads::default();
        assert!(reads.request(ROOM, &[]).is_empty() && reads.is_idle());
        reads.read_again(ROOM, AMY);
        assert!(reads.is_idle() && reads.finish(ROOM).is_empty());
    }
}
