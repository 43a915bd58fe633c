//! The rooms in use on a shard: their tails, who reads them, how many members they have, who is typing.
//!
//! Invariants: a room is in use exactly while a session has a cursor in it, and the lobby always; `cursors` counts
//! those sessions. It holds slot indices of subscribers and never a session.

use teahouse_core::{LOBBY, RoomId, Seq, UserId, Version};

use super::typing::Typing;
use crate::clock::MonotonicMs;
use crate::maps::{HashMap, HashSet};
use crate::tail::Tail;

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
    /// The length of every tail but the lobby's.
    envelopes_max: usize,
}

impl Room {
    fn new((version, seq): (Version, Seq), envelopes_max: usize) -> Self {
        let tail = Tail::new(version, seq, envelopes_max);
        Self { tail, subscribers: HashSet::default(), members: 0, cursors: 0 }
    }

    #[cfg(test)]
    pub(super) fn cursors(&self) -> usize {
        self.cursors
    }
}

impl RoomTable {
    pub(super) fn new(lobby: (Version, Seq), lobby_envelopes_max: usize, envelopes_max: usize) -> Self {
        let rooms = HashMap::from_iter([(LOBBY, Room::new(lobby, lobby_envelopes_max))]);
        Self { rooms, typing: Typing::default(), envelopes_max }
    }

    pub(super) fn get(&self, id: RoomId) -> Option<&Room> {
        self.rooms.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RoomId) -> Option<&mut Room> {
        self.rooms.get_mut(&id)
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
        let envelopes_max = self.envelopes_max;
        let room = self.rooms.entry(id).or_insert_with(|| Room::new(head, envelopes_max));
        room.cursors += 1;
        room
    }

    /// A cursor is gone, and with the last one the room's tail. `slot` no longer subscribes.
    pub(super) fn release_cursor(&mut self, id: RoomId, slot: usize) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.subscribers.remove(&slot);
        room.cursors -= 1;
        if room.cursors == 0 && id != LOBBY {
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
    use super::*;

    const ROOM: RoomId = RoomId(7);

    fn head(version: u64) -> (Version, Seq) {
        (Version(version), Seq(version))
    }

    fn table() -> RoomTable {
        RoomTable::new(head(3), 8, 2)
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
