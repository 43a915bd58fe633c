//! How rooms look to their members: each sees them in their own way, so that the store is asked how, whenever it may
//! be otherwise than they were told.

use std::collections::BTreeSet;

use teahouse_core::limits::ENTRY_MEMBERS_MAX;
use teahouse_core::{LOBBY, RoomEntry, RoomId, UserId};
use teahouse_protocol::v1;

use super::state::{Slot, State};
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;
use crate::session::StoreRead;
use crate::websocket::text_frame;

/// Members for whom a room's entry is read at once; each takes some tenths of a millisecond.
const ENTRIES_PER_READ: usize = 100;

/// Reads under way of how a room looks to its members.
#[derive(Debug, Default)]
pub(super) struct EntriesReads {
    under_way: usize,
    /// To whom it is to be read how it looks once those are over, which may know less.
    next: BTreeSet<UserId>,
}

impl State {
    /// A room has so many members by a commit.
    pub(super) fn set_member_count(&mut self, id: RoomId, members: u32) {
        self.moved_meanwhile(id);
        self.observe_member_count(id, members);
    }

    /// A room has so many members, the street says, or the store, which is ahead of it for whoever looks.
    pub(super) fn observe_member_count(&mut self, id: RoomId, members: u32) {
        if let Some(room) = self.rooms.get_mut(&id)
            && room.members != members
        {
            room.members = members;
            // Whoever comes to a crowd is no news for everybody in it.
            if members <= ENTRY_MEMBERS_MAX && id != LOBBY {
                self.entries_moved.insert(id);
            }
        }
    }

    /// A room looks otherwise than before to everybody in it. They are told with the next tick.
    pub(super) fn entry_moved(&mut self, id: RoomId) {
        self.entries_moved.insert(id);
        self.moved_meanwhile(id);
    }

    /// The same, for sessions that are being greeted: their entries may have been read before.
    pub(super) fn moved_meanwhile(&mut self, id: RoomId) {
        if self.greeting > 0 {
            self.moved_meanwhile.insert(id);
        }
    }

    /// The store said how a room looks to these of its members.
    pub(super) fn entries_came(&mut self, id: RoomId, entries: &[(UserId, RoomEntry)]) {
        for (user, entry) in entries {
            self.observe_member_count(id, entry.members);
            if self.entries_reads.get(&id).is_some_and(|reads| reads.next.contains(user)) {
                // It is read once more for them, and this may be older than what they were told.
                continue;
            }
            let online = &self.online;
            let frame = text_frame(&v1::room(entry, |user| online.contains(user)));
            for slot in self.slots_of(*user) {
                let session = &mut self.slots[slot].session;
                if session.is_live() && session.dialect() == Dialect::V1 && session.is_in(id) {
                    session.notify(CoalesceKey::Entry(id), frame.clone(), self.options.waiting_envelopes_max);
                    self.is_ready(slot);
                }
            }
        }
        self.entries_are_read(id);
    }

    /// Tells how rooms look now that moved since the last tick.
    pub(super) fn tell_entries(&mut self) {
        for id in std::mem::take(&mut self.entries_moved) {
            if self.entries_reads.contains_key(&id) {
                // Also when nobody is in it now: what is under way may be older than what the next one is told.
                self.entries_moved.insert(id);
                continue;
            }
            let Some(room) = self.rooms.get(&id) else { continue };
            let is_v1 = |entry: &Slot| entry.session.dialect() == Dialect::V1 && !entry.session.closing;
            let mut users: Vec<UserId> = if id == LOBBY {
                self.slots.iter().filter(|(_, entry)| is_v1(entry)).map(|(_, entry)| entry.session.user).collect()
            } else {
                room.subscribers
                    .iter()
                    .filter_map(|slot| self.slots.get(*slot))
                    .map(|entry| entry.session.user)
                    .collect()
            };
            users.sort_unstable();
            users.dedup();
            self.read_entries(id, &users);
        }
    }

    /// Asks the store how a room looks to these of its members. Of two reads under way the one that looked first
    /// may come last, and would have the last word; so who asks meanwhile waits until the ones before are over.
    pub(super) fn read_entries(&mut self, id: RoomId, users: &[UserId]) {
        if let Some(reads) = self.entries_reads.get_mut(&id) {
            reads.next.extend(users);
            return;
        }
        for users in users.chunks(ENTRIES_PER_READ) {
            self.entries_reads.entry(id).or_default().under_way += 1;
            self.queue_read(StoreRead::Entries(id, users.to_vec()));
        }
    }

    /// What is being read of how a room looks may be older than what became of a member, and would have the last word:
    /// for them it is read once more.
    pub(super) fn read_again(&mut self, id: RoomId, user: UserId) {
        if let Some(reads) = self.entries_reads.get_mut(&id) {
            reads.next.insert(user);
        }
    }

    fn entries_are_read(&mut self, id: RoomId) {
        let Some(reads) = self.entries_reads.get_mut(&id) else { return };
        reads.under_way -= 1;
        if reads.under_way == 0 {
            let next = self.entries_reads.remove(&id).map(|reads| reads.next).unwrap_or_default();
            self.read_entries(id, &next.into_iter().collect::<Vec<_>>());
        }
    }
}
