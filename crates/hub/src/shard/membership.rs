//! Sessions and the rooms they are in: a v1 session enters and leaves a room as its user becomes a member and ceases
//! to be one. The store decided who may be in a room; here that decision only reaches the sessions.

use std::sync::Arc;

use teahouse_core::{CloseCode, ErrorCode, LOBBY, RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use teahouse_protocol::v1;

use super::state::Shard;
use crate::inbox::{CoalesceKey, Delivery};
use crate::ports::{Dialect, Entered};
use crate::session::{Cursor, Phase};
use crate::websocket::text_frame;

/// The members of a direct room.
const DIRECT_MEMBERS: u32 = 2;

impl Shard {
    /// Gives a session a cursor in a room, unless it has one. Returns whether it did.
    pub(super) fn attach_cursor(&mut self, index: usize, id: RoomId, at: (Version, Seq)) -> bool {
        let session = &mut self.slots[index].session;
        let is_new = session.add_cursor(Cursor::at(id, at));
        if is_new {
            let room = self.rooms.add_cursor(id, self.hello.newest_head(id, at));
            if session.dialect() == Dialect::V1 && id != LOBBY {
                room.subscribers.insert(index);
            }
        }
        is_new
    }

    /// Brings a v1 session into a room, from its entry's version on. Returns whether it was not in it.
    pub(super) fn enter_room(&mut self, index: usize, entry: &RoomEntry) -> bool {
        // The store may be ahead of the inbox: commits that the entry includes can still arrive.
        let has_entered = self.attach_cursor(index, entry.id, (entry.version, entry.last_seq));
        match self.rooms.get_mut(entry.id) {
            // From here on commits say how many members there are.
            Some(room) if room.members == 0 => room.members = entry.members,
            _ => self.observe_member_count(entry.id, entry.members),
        }
        has_entered
    }

    /// Gives a v1 session a cursor in a direct room.
    pub(super) fn enter_direct(&mut self, index: usize, id: RoomId, at: (Version, Seq)) {
        self.attach_cursor(index, id, at);
        self.slots[index].session.mark_due(id);
        if let Some(room) = self.rooms.get_mut(id)
            && room.members == 0
        {
            room.members = DIRECT_MEMBERS;
        }
    }

    /// Moves a v1 session to a position in a direct room, as if it left and entered. But the room stays in use: its
    /// tail has the changes after that position.
    fn enter_direct_again(&mut self, index: usize, room: RoomId, at: (Version, Seq)) {
        if self.remove_cursor(index, room) {
            self.slots[index].session.add_cursor(Cursor::at(room, at));
        } else {
            self.enter_direct(index, room, at);
        }
    }

    pub(super) fn leave_room(&mut self, index: usize, room: RoomId) -> bool {
        let was_in = self.remove_cursor(index, room);
        if was_in {
            self.rooms.release_cursor(room, index);
        }
        was_in
    }

    /// Removes a session's cursor, and refuses the requests that it had to answer.
    fn remove_cursor(&mut self, index: usize, room: RoomId) -> bool {
        let Some(cursor) = self.slots[index].session.remove_cursor(room) else { return false };
        let unanswered: Vec<String> = cursor.into_pending_requests().chain(self.stop_watching(index, room)).collect();
        for request in unanswered {
            self.refuse(index, Some(&request), ErrorCode::NotFound);
        }
        true
    }

    /// A user became a member of a room, or their view of it changed.
    pub(super) fn add_member(&mut self, user: UserId, entry: &Arc<RoomEntry>, requester: Option<SessionId>) {
        self.set_member_count(entry.id, entry.members);
        self.watches.set_member(entry.id, user, true);
        for index in self.v1_slots_of(user) {
            if !self.keep_for_welcome(index, || Delivery::Member { user, entry: Arc::clone(entry), requester }) {
                self.show_room(index, entry, requester);
                self.flush(index);
            }
        }
        self.entries.read_again(entry.id, user);
    }

    /// Shows a v1 session a room that its user is in.
    pub(super) fn show_room(&mut self, index: usize, entry: &RoomEntry, requester: Option<SessionId>) {
        let has_entered = self.enter_room(index, entry);
        let session = &mut self.slots[index].session;
        let key = CoalesceKey::Membership(entry.id);
        // An invite that still waits has been accepted elsewhere.
        session.take_pending(CoalesceKey::Invite(entry.id));
        // A `removed` that still waits has to reach the client first: only after it does the client begin the
        // room at this entry, instead of going on from what it holds.
        let mut removed = if has_entered { session.take_pending(key) } else { None };
        if has_entered && session.cancel_resume(entry.id) {
            removed = Some(text_frame(&v1::removed(entry.id)));
        }
        if requester == Some(session.id) {
            // The answer to its request is the entry. The room is held until that is sent.
            if let Some(removed) = removed {
                session.reply(removed);
            }
            if has_entered {
                session.begin_entering(entry.id, entry.version);
            }
            return;
        }
        let online = &self.environment.online;
        let frame = text_frame(&v1::room(entry, |user| online.contains(user)));
        let frame = match removed {
            Some(removed) => [removed, frame].concat().into(),
            None => frame,
        };
        // If the session was in the room already, this entry does not begin it and must not replace one that waits to.
        let key = if has_entered { key } else { CoalesceKey::Entry(entry.id) };
        self.notify(index, key, frame);
    }

    /// A user is no longer a member of a room.
    pub(super) fn remove_member(&mut self, room: RoomId, user: UserId, members: u32) {
        self.set_member_count(room, members);
        self.watches.set_member(room, user, false);
        for index in self.v1_slots_of(user) {
            if !self.keep_for_welcome(index, || Delivery::Left { room, user, members }) {
                self.hide_room(index, room);
                self.flush(index);
            }
        }
    }

    /// A user declined the request of a direct room. They stay a member, and the other member learns nothing of it.
    pub(super) fn hide_from(&mut self, room: RoomId, user: UserId) {
        self.entries.read_again(room, user);
        for index in self.v1_slots_of(user) {
            if !self.keep_for_welcome(index, || Delivery::Hidden { room, user }) {
                self.hide_room(index, room);
                self.flush(index);
            }
        }
    }

    /// Takes a v1 session out of a room, if it is in it.
    pub(super) fn hide_room(&mut self, index: usize, room: RoomId) {
        if self.leave_room(index, room) {
            self.slots[index].session.drop_pending_of_room(room);
            self.notify(index, CoalesceKey::Membership(room), text_frame(&v1::removed(room)));
        }
    }

    /// Keeps a change of membership for a session that waits for its welcome. Returns whether nothing else is needed.
    pub(super) fn keep_for_welcome(&mut self, index: usize, change: impl FnOnce() -> Delivery) -> bool {
        let waiting_max = self.environment.options.waiting_envelopes_max;
        let Some(v1) = &mut self.slots[index].session.v1 else { return false };
        match &mut v1.phase {
            Phase::Live => false,
            // Its welcome is not being read yet.
            Phase::AwaitingHello { .. } => true,
            Phase::Welcoming { deferred_memberships, .. } if deferred_memberships.len() < waiting_max => {
                deferred_memberships.push(change());
                true
            }
            Phase::Welcoming { .. } => {
                self.end(index, CloseCode::Overloaded);
                true
            }
        }
    }

    /// A user's membership in a room changed, and the change was lost: their v1 sessions have to start over.
    pub(super) fn mark_membership_unknown(&mut self, room: RoomId, user: UserId) {
        self.invalidate_watch(room);
        self.entries.read_again(room, user);
        if room != LOBBY {
            // The number of members is not known either.
            self.mark_entry_changed(room);
        }
        for index in self.v1_slots_of(user) {
            self.end(index, CloseCode::Overloaded);
        }
    }

    /// A session's request was answered with a room's entry. A room that was held for this answer is released; a direct
    /// room that was not listed begins at the entry. Otherwise the answer is outdated by later changes of the
    /// membership. A client that does not hold the room would begin it at that entry, so it has to drop the room before
    /// it receives the right entry, or learns that it is not a member.
    pub(super) fn finish_entering(&mut self, index: usize, entered: Entered) {
        let Entered { room, at, direct } = entered;
        let session = &mut self.slots[index].session;
        if session.finish_entering(room, at.0) || session.client_holds(room) || !session.is_live() {
            return;
        }
        if direct && (!session.is_in(room) || session.finish_introduction(room).is_some()) {
            self.enter_direct_again(index, room, at);
            // The user may have declined the room meanwhile.
            let session = &mut self.slots[index].session;
            session.begin_introduction(room, at, true);
            let user = session.identity.user;
            self.read_entries(room, &[user]);
        } else {
            session.reply(text_frame(&v1::removed(room)));
        }
    }

    /// A page of a room's past was read for a session. Returns whether it may be sent: not if the session entered or
    /// left the room during the read, since it may know something newer then.
    pub(super) fn finish_reading(&mut self, index: usize, room: RoomId, held: bool) -> bool {
        let session = &mut self.slots[index].session;
        session.finish_read(room) == held && (held || !session.is_in(room))
    }
}
