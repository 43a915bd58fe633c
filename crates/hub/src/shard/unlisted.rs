//! Direct rooms that a session's welcome did not list. A user may have thousands of them, so a session has no cursor
//! there until something changes. Then the shard introduces the room: the session enters it at the position before the
//! change, and is sent the room's entry first. The members of a direct room never change, so no read of the store is
//! needed for them.

use teahouse_core::{RoomId, Seq, UserId, Version};
use teahouse_protocol::v1;

use super::state::Shard;
use crate::inbox::{CoalesceKey, Delivery};
use crate::ports::Dialect;
use crate::session::Phase;
use crate::websocket::text_frame;

impl Shard {
    /// A direct room changed, and was at `before` until then.
    pub(super) fn introduce_to_pair(&mut self, room: RoomId, pair: [UserId; 2], before: (Version, Seq)) {
        for user in pair {
            // Nearly always, every session is in the room already.
            let is_outside = |id| self.slots.index_of(id).is_some_and(|index| self.is_outside(index, room));
            if self.registry.sessions_of(user).any(is_outside) {
                for index in self.v1_slots_of(user) {
                    self.introduce(index, room, before);
                }
            }
        }
    }

    fn is_outside(&self, index: usize, room: RoomId) -> bool {
        let session = &self.slots[index].session;
        session.dialect() == Dialect::V1 && !session.closing && !session.is_in(room)
    }

    /// Brings a v1 session into a direct room at this position, unless it is in it.
    pub(super) fn introduce(&mut self, index: usize, room: RoomId, before: (Version, Seq)) {
        if !self.is_outside(index, room) || self.is_kept(index, room) {
            return;
        }
        if self.keep_for_welcome(index, || Delivery::Unlisted { room, before }) {
            return;
        }
        self.enter_direct(index, room, before);
        let session = &mut self.slots[index].session;
        session.begin_introduction(room, before, false);
        if let Some(removed) = session.take_pending(CoalesceKey::Membership(room)) {
            // `removed` must not wait for the entry: the client expects it before the catch-ups of other rooms.
            session.reply(removed);
        }
        if session.cancel_resume(room) {
            // The client holds an earlier state of the room; it must begin with the entry.
            session.reply(text_frame(&v1::removed(room)));
        }
        let user = session.identity.user;
        self.read_entries(room, &[user]);
    }

    /// Whether a session that waits for its welcome has kept the room already, at an older position.
    fn is_kept(&self, index: usize, room: RoomId) -> bool {
        let is_it = |kept: &Delivery| matches!(kept, Delivery::Unlisted { room: other, .. } if *other == room);
        match self.slots[index].session.v1.as_ref().map(|v1| &v1.phase) {
            Some(Phase::Welcoming { deferred_memberships, .. }) => deferred_memberships.iter().any(is_it),
            _ => false,
        }
    }

    /// Ends introductions to users for whom the store has no entry of the room, unless the entry is read again.
    pub(super) fn cancel_introductions(&mut self, room: RoomId, users: &[UserId]) {
        let users = users.iter().filter(|user| !self.entries.is_outdated(room, **user));
        let slots: Vec<usize> = users.flat_map(|user| self.v1_slots_of(*user)).collect();
        for index in slots {
            match self.slots[index].session.finish_introduction(room) {
                None => {}
                Some((_, true)) => self.hide_room(index, room),
                Some((_, false)) => {
                    self.leave_room(index, room);
                    self.slots[index].session.drop_pending_of_room(room);
                }
            }
        }
    }
}
