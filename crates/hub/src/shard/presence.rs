//! Requests to watch who is online in a room, and the notifications that watchers receive with each tick.

use teahouse_core::{ErrorCode, LOBBY, RoomId, UserId};
use teahouse_protocol::v1::{self, PresenceNow};

use super::state::Shard;
use super::watches::{MembersRead, WatchOutcome};
use crate::inbox::CoalesceKey;
use crate::session::StoreRead;
use crate::websocket::text_frame;

impl Shard {
    /// A session requests who is online in a room, and watches it from now on.
    pub(super) fn watch(&mut self, index: usize, id: Option<String>, room: RoomId) {
        if room == LOBBY {
            // Its changes reach all sessions as the number of users online.
            let now = PresenceNow { online: Vec::new(), count: self.environment.online.count(), truncated: true };
            return self.acknowledge(index, id, &now);
        }
        let waiting_max = self.environment.options.waiting_envelopes_max;
        let session = &mut self.slots[index].session;
        let began = self.watches.watch(room, session.id, id, waiting_max);
        if let WatchOutcome::Overloaded(id) = began {
            return self.refuse(index, id.as_deref(), ErrorCode::Overloaded);
        }
        if let Some(v1) = &mut session.v1
            && !v1.watches.contains(&room)
        {
            v1.watches.push(room);
        }
        match began {
            WatchOutcome::NeedsMembers(number) => self.reads.push(StoreRead::Members(room, number)),
            _ => self.answer_watchers(room),
        }
    }

    /// A session no longer watches a room. Its unanswered requests get an empty list.
    pub(super) fn unwatch(&mut self, index: usize, id: Option<String>, room: RoomId) {
        for unanswered in self.stop_watching(index, room) {
            let now = PresenceNow { online: Vec::new(), count: 0, truncated: true };
            self.acknowledge(index, Some(unanswered), &now);
        }
        self.acknowledge(index, id, &v1::Nothing {});
    }

    /// Ends a session's watch of a room. Returns the references of its requests that were not answered.
    pub(super) fn stop_watching(&mut self, index: usize, room: RoomId) -> Vec<String> {
        let session = &mut self.slots[index].session;
        if let Some(v1) = &mut session.v1
            && let Some(place) = v1.watches.iter().position(|other| *other == room)
        {
            v1.watches.swap_remove(place);
            return self.watches.unwatch(room, session.id);
        }
        Vec::new()
    }

    /// A room's members are no longer known; if it is watched they are read again.
    pub(super) fn invalidate_watch(&mut self, room: RoomId) {
        if let Some(number) = self.watches.invalidate(room) {
            self.reads.push(StoreRead::Members(room, number));
        }
    }

    /// The store returned a watched room's members.
    pub(super) fn set_watched_members(&mut self, room: RoomId, number: u64, members: Vec<UserId>) {
        match self.watches.set_members(room, number, members, &self.environment.online) {
            MembersRead::Known => self.answer_watchers(room),
            MembersRead::Repeat(number) => self.reads.push(StoreRead::Members(room, number)),
            MembersRead::Ignored => {}
        }
    }

    fn answer_watchers(&mut self, room: RoomId) {
        let Some((now, waiting)) = self.watches.take_waiting(room, &self.environment.online) else { return };
        for (session, request) in waiting {
            let Some(index) = self.slot_of(session) else { continue };
            if request.is_some() {
                // The list includes what still waits, and overtakes it.
                self.slots[index].session.take_pending(CoalesceKey::Presence(room));
            }
            self.acknowledge(index, request, &now);
        }
    }

    /// Notifies watchers of who came and went since the last tick.
    pub(super) fn notify_presence(&mut self) {
        for update in self.watches.tick(&self.environment.online) {
            let key = CoalesceKey::Presence(update.room);
            let refresh = text_frame(&v1::presence(update.room, &update.refresh));
            let diff = update.diff.map(|diff| text_frame(&v1::presence(update.room, &diff)));
            for session in update.watchers {
                let Some(index) = self.slot_of(session) else { continue };
                // A session with an update that still waits does not know the base of this difference.
                let is_known = !self.slots[index].session.has_pending(key);
                let frame = diff.as_ref().filter(|_| is_known).unwrap_or(&refresh);
                self.notify(index, key, frame.clone());
            }
        }
    }
}
