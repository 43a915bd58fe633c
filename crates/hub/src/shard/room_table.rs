//! The rooms in use on a shard: their tails, who reads them, how many members they have, who is typing.
//!
//! Invariants: a room is in use exactly while a session has a cursor in it, and the lobby always; `cursors` counts
//! those sessions; `tails_bytes` is the sum of the tails' bytes. It holds slot indices of subscribers and never a
//! session.

use teahouse_core::{LOBBY, RoomId, Seq, UserId, Version};

use super::typing::Typing;
use crate::clock::MonotonicMs;
use crate::maps::{HashMap, HashSet};
use crate::options::HubOptions;
use crate::tail::{EncodedChange, Tail, TailMax};

/// A room in use.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) tail: Tail,
    /// The v1 sessions in it. Empty in the lobby, which every session is in.
    pub(super) subscribers: HashSet<usize>,
    /// How many members it has, connected or not; 0 while only classic sessions read it.
    pub(super) members: u32,
    cursors: usize,
}

/// The rooms in use.
#[derive(Debug)]
pub(crate) struct RoomTable {
    rooms: HashMap<RoomId, Room>,
    typing: Typing,
    /// The bounds of every tail but the lobby's.
    tail_max: TailMax,
    /// The bytes of all tails.
    tails_bytes: usize,
    tails_bytes_max: usize,
    /// The bytes that were ever appended to tails.
    appended: u64,
}

impl Room {
    fn new((version, seq): (Version, Seq), tail_max: TailMax) -> Self {
        let tail = Tail::new(version, seq, tail_max);
        Self { tail, subscribers: HashSet::default(), members: 0, cursors: 0 }
    }

    #[cfg(test)]
    pub(super) fn cursors(&self) -> usize {
        self.cursors
    }
}

impl RoomTable {
    pub(super) fn new(lobby: (Version, Seq), options: &HubOptions) -> Self {
        let HubOptions { tail_max, room_tail_max, tails_bytes_max, .. } = *options;
        let rooms = HashMap::from_iter([(LOBBY, Room::new(lobby, tail_max))]);
        let typing = Typing::default();
        Self { rooms, typing, tail_max: room_tail_max, tails_bytes: 0, tails_bytes_max, appended: 0 }
    }

    pub(super) fn get(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(&id)
    }

    /// Appends a change to the room's tail. Returns whether the room is in use.
    pub(super) fn append(&mut self, id: RoomId, change: EncodedChange) -> bool {
        let Some(room) = self.rooms.get_mut(&id) else { return false };
        let before = room.tail.bytes();
        let bytes = change.bytes();
        room.tail.push(change, self.appended);
        self.appended += bytes as u64;
        self.tails_bytes = self.tails_bytes - before + room.tail.bytes();
        if self.tails_bytes > self.tails_bytes_max {
            self.drop_first_appended();
        }
        true
    }

    /// Drops the changes that were appended first, until three quarters of the bound are left, so that it takes a while
    /// until this visits all rooms again.
    fn drop_first_appended(&mut self) {
        let before = self.appended.saturating_sub(self.tails_bytes_max as u64 / 4 * 3);
        let bytes = std::mem::take(&mut self.tails_bytes);
        for room in self.rooms.values_mut() {
            room.tail.drop_appended_before(before, bytes);
            self.tails_bytes += room.tail.bytes();
        }
    }

    /// Commits up to `head` were lost: the room's tail begins again there.
    pub(super) fn skip_gap(&mut self, id: RoomId, head: (Version, Seq)) {
        self.skip_to(id, head);
        if let Some(room) = self.rooms.get_mut(&id) {
            room.tail.mark_arrived(head.0);
        }
    }

    /// The room advanced to `head` without its tail.
    pub(super) fn skip_to(&mut self, id: RoomId, head: (Version, Seq)) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        self.tails_bytes -= room.tail.bytes();
        room.tail.skip_to(head.0, head.1);
        self.tails_bytes += room.tail.bytes();
    }

    pub(super) fn tail(&self, id: RoomId) -> Option<&Tail> {
        self.rooms.get(&id).map(|room| &room.tail)
    }

    /// The slots of a room's v1 sessions.
    pub(super) fn subscribers(&self, id: RoomId) -> Vec<usize> {
        self.rooms.get(&id).map_or_else(Vec::new, |room| room.subscribers.iter().copied().collect())
    }

    /// Counts a cursor. A room that was not in use gets a tail that begins at `head`.
    pub(super) fn add_cursor(&mut self, id: RoomId, head: (Version, Seq)) -> &mut Room {
        let tail_max = self.tail_max;
        let room = self.rooms.entry(id).or_insert_with(|| Room::new(head, tail_max));
        room.cursors += 1;
        room
    }

    /// A cursor is gone, and with the last one the room's tail. `slot` no longer subscribes.
    pub(super) fn release_cursor(&mut self, id: RoomId, slot: usize) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.subscribers.remove(&slot);
        room.cursors -= 1;
        if room.cursors == 0 && id != LOBBY {
            self.tails_bytes -= room.tail.bytes();
            self.rooms.remove(&id);
            self.typing.forget(id);
        }
    }

    /// A user was renamed. Tails hold messages with the old one, so returning sessions read the store instead.
    pub(super) fn mark_names_changed(&mut self) {
        self.rooms.values_mut().for_each(|room| room.tail.mark_names_changed());
    }

    pub(super) fn set_typing(&mut self, id: RoomId, user: UserId, on: bool, now: MonotonicMs) {
        if self.rooms.contains_key(&id) {
            self.typing.set(id, user, on, now);
        }
    }

    /// The rooms whose members have to be notified of who is typing there now.
    pub(super) fn take_typing_changes(&mut self, now: MonotonicMs) -> Vec<(RoomId, Vec<UserId>)> {
        self.typing.take_changes(now)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (RoomId, &Room)> {
        self.rooms.iter().map(|(id, room)| (*id, room))
    }

    #[cfg(test)]
    pub(super) fn has_typing(&self) -> bool {
        !self.typing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tail::{ForcedOutBy, TailRead};

    const ROOM: RoomId = RoomId(7);

    fn head(version: u64) -> (Version, Seq) {
        (Version(version), Seq(version))
    }

    fn table() -> RoomTable {
        let room_tail_max = TailMax { changes: 100, bytes: 4000 };
        let options = HubOptions { room_tail_max, tails_bytes_max: 10_000, ..HubOptions::default() };
        RoomTable::new(head(3), &options)
    }

    /// A change of a bit more than a thousand bytes.
    fn change(version: u64) -> EncodedChange {
        EncodedChange { v1: Bytes::from(vec![b'x'; 1000]), ..EncodedChange::silent(Version(version), Seq(version)) }
    }

    /// The bytes of all tails, as counted and as they are.
    fn bytes(rooms: &RoomTable) -> usize {
        assert_eq!(rooms.tails_bytes, rooms.iter().map(|(_, room)| room.tail.bytes()).sum::<usize>());
        rooms.tails_bytes
    }

    /// Which bytes forced out what a reader at the first position of the room needs.
    fn forced_out(rooms: &RoomTable, room: RoomId) -> Option<ForcedOutBy> {
        rooms.tail(room).and_then(|tail| tail.forced_out_after(Version(3))).map(|forced_out| forced_out.by)
    }

    #[test]
    fn long_messages_in_many_rooms_take_bounded_memory() {
        let mut rooms = table();
        for id in 1..=100 {
            rooms.add_cursor(RoomId(id), head(3));
        }
        for version in 4..=10 {
            for id in 1..=100 {
                assert!(rooms.append(RoomId(id), change(version)));
                assert!(bytes(&rooms) <= 10_000);
            }
        }
        assert_eq!(forced_out(&rooms, RoomId(1)), Some(ForcedOutBy::AllTails));
        // The rooms that were written to last keep their newest change.
        let keeps = |id| matches!(rooms.tail(RoomId(id)).unwrap().read_after(Version(9)), TailRead::Next(_));
        assert!((97..=100).all(keeps) && !(1..=50).any(keeps));
        assert!(!rooms.append(RoomId(101), change(4)));
        (1..=100).for_each(|id| rooms.skip_to(RoomId(id), head(20)));
        assert_eq!(bytes(&rooms), 0);
    }

    #[test]
    fn one_room_does_not_take_the_memory_of_all() {
        let mut rooms = table();
        rooms.add_cursor(ROOM, head(3));
        for version in 4..=100 {
            rooms.append(ROOM, change(version));
        }
        assert!(bytes(&rooms) <= 4000);
        assert_eq!(forced_out(&rooms, ROOM), Some(ForcedOutBy::Tail));
        rooms.release_cursor(ROOM, 0);
        assert_eq!(bytes(&rooms), 0);
    }

    #[test]
    fn a_room_is_in_use_as_long_as_it_has_cursors() {
        let mut rooms = table();
        rooms.add_cursor(ROOM, head(5)).subscribers.insert(0);
        rooms.add_cursor(ROOM, head(9));
        assert_eq!(rooms.tail(ROOM).map(Tail::head), Some(Version(5)));
        assert_eq!(rooms.subscribers(ROOM), [0]);
        rooms.set_typing(ROOM, UserId(1), true, MonotonicMs(0));
        rooms.release_cursor(ROOM, 0);
        assert_eq!(rooms.subscribers(ROOM), [0; 0]);
        rooms.release_cursor(ROOM, 1);
        assert!(rooms.get(ROOM).is_none() && !rooms.has_typing());
        rooms.release_cursor(ROOM, 1);
    }

    #[test]
    fn the_lobby_stays() {
        let mut rooms = table();
        rooms.add_cursor(LOBBY, head(9));
        rooms.release_cursor(LOBBY, 0);
        assert_eq!(rooms.tail(LOBBY).map(Tail::head), Some(Version(3)));
    }

    #[test]
    fn nobody_types_where_nobody_reads() {
        let mut rooms = table();
        rooms.set_typing(ROOM, UserId(1), true, MonotonicMs(0));
        assert!(!rooms.has_typing());
    }
}
