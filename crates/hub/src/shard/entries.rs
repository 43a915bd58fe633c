//! A room's entry as its members see it: when it has to be read from the store again, and for whom. Each member
//! sees the room in their own way, so a commit alone cannot show them what changed.

use teahouse_core::limits::ENTRY_MEMBERS_MAX;
use teahouse_core::{LOBBY, RoomEntry, RoomId, UserId};
use teahouse_protocol::v1;

use super::slots::Slot;
use super::state::Shard;
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;
use crate::session::StoreRead;
use crate::websocket::text_frame;

impl Shard {
    /// A commit set a room's number of members.
    pub(super) fn set_member_count(&mut self, room: RoomId, members: u32) {
        self.hello.note_change(room);
        self.observe_member_count(room, members);
    }

    /// A commit or a read of the store shows how many members a room has. A read may be ahead of the commits.
    pub(super) fn observe_member_count(&mut self, id: RoomId, members: u32) {
        if let Some(room) = self.rooms.get_mut(id)
            && room.members != members
        {
            room.members = members;
            // In a large room, members are not notified of each new member.
            if members <= ENTRY_MEMBERS_MAX && id != LOBBY {
                self.entries.mark_changed(id);
            }
        }
    }

    /// A room's entry changed for all of its members; the next tick notifies them.
    pub(super) fn mark_entry_changed(&mut self, room: RoomId) {
        self.entries.mark_changed(room);
        self.hello.note_change(room);
    }

    /// Reads the entries of the rooms that changed, as many as a tick may.
    pub(super) fn read_changed_entries(&mut self) {
        let (rooms, slots) = (&self.rooms, &self.slots);
        let readers =
            |id| if id == LOBBY { slots.len() } else { rooms.get(id).map_or(0, |room| room.subscribers.len()) };
        let members_max = self.environment.options.entries_per_tick_max;
        let (taken, left) = self.entries.take_changed(readers, members_max);
        if left > 0 {
            self.environment.metrics.bounds.record("hub.entries_per_tick_max", left as u64);
        }
        for id in taken {
            let Some(room) = self.rooms.get(id) else { continue };
            let user = |slot: &Slot| slot.session.identity.user;
            let mut users: Vec<UserId> = if id == LOBBY {
                let is_v1 = |slot: &&Slot| slot.session.dialect() == Dialect::V1 && !slot.session.closing;
                self.slots.iter().map(|(_, slot)| slot).filter(is_v1).map(user).collect()
            } else {
                room.subscribers.iter().filter_map(|index| self.slots.get(*index)).map(user).collect()
            };
            users.sort_unstable();
            users.dedup();
            self.read_entries(id, &users);
        }
    }

    /// Reads a room's entry for these of its members.
    pub(super) fn read_entries(&mut self, room: RoomId, members: &[UserId]) {
        for members in self.entries.request(room, members) {
            self.reads.push(StoreRead::Entries(room, members));
        }
    }

    /// The store returned a room's entry for some of its members.
    pub(super) fn send_entries(&mut self, room: RoomId, entries: &[(UserId, RoomEntry)]) {
        for (user, entry) in entries {
            self.observe_member_count(room, entry.members);
            if self.entries.is_outdated(room, *user) {
                continue;
            }
            let online = &self.environment.online;
            let frame = text_frame(&v1::room(entry, |user| online.contains(user)));
            for index in self.v1_slots_of(*user) {
                let session = &self.slots[index].session;
                if session.is_live() && session.is_in(room) && !self.finish_introduction(index, entry) {
                    self.notify(index, CoalesceKey::Entry(room), frame.clone());
                }
            }
        }
        let again = self.entries.finish(room);
        self.read_entries(room, &again);
    }

    /// A room's entry was read for a session. Returns whether the room waited for it; if so, it is sent, and the room's
    /// changes after it.
    fn finish_introduction(&mut self, index: usize, entry: &RoomEntry) -> bool {
        let session = &mut self.slots[index].session;
        let Some(((version, last_seq), _)) = session.finish_introduction(entry.id) else { return false };
        // Marks that wait already go out after the entry, and a `removed` that waits before it.
        session.take_pending(CoalesceKey::Entry(entry.id));
        let removed = session.take_pending(CoalesceKey::Membership(entry.id));
        // The client begins the room here, and is sent the changes that the entry knows already.
        let entry = RoomEntry { version, last_seq, ..entry.clone() };
        let online = &self.environment.online;
        let frame = text_frame(&v1::room(&entry, |user| online.contains(user)));
        let session = &mut self.slots[index].session;
        removed.into_iter().for_each(|removed| session.reply(removed));
        session.reply(frame);
        self.mark_ready(index);
        true
    }
}
