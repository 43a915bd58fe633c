//! Who is online in a room, for the sessions that asked to know: the list once, then who came and went,
//! gathered by tick. Only rooms that somebody asked about cost anything.

use teahouse_core::limits::{PRESENCE_IDS_MAX, PRESENCE_MEMBERS_MAX};
use teahouse_core::{ErrorCode, LOBBY, RoomId, SessionId, UserId};
use teahouse_protocol::v1::{self, PresenceDiff, PresenceNow};

use super::state::State;
use crate::inbox::CoalesceKey;
use crate::maps::HashSet;
use crate::online::Online;
use crate::session::StoreRead;
use crate::websocket::text_frame;

/// A room whose presence somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Which one it is: what was asked of the store for an earlier one is not for this one.
    number: u64,
    watchers: HashSet<SessionId>,
    /// Who is a member; none until the store said so.
    members: Option<HashSet<UserId>>,
    /// Who became one or ceased to be while the store was asked, in order.
    meanwhile: Vec<(UserId, bool)>,
    /// What the store is asked may be older than what is no longer known for sure: it is asked once more.
    is_outdated: bool,
    /// Sessions that wait for the list, with the references of their requests.
    waiting: Vec<(SessionId, Option<String>)>,
    /// Who may have come or gone since the last tick.
    changed: HashSet<UserId>,
    /// Who is online as the watchers know it: with the list, and each tick since. Lists are made from it too, so
    /// that what the next tick tells is news to everybody alike. None where they are only counted.
    told: Option<HashSet<UserId>>,
    /// More changed than can be listed, or it is not known what.
    refresh: bool,
}

impl Watch {
    fn is_listed(&self) -> bool {
        self.members.as_ref().is_some_and(|members| members.len() <= PRESENCE_MEMBERS_MAX as usize)
    }

    /// From here on its watchers are told what differs from how it is now.
    fn begin_anew(&mut self, online: &Online) {
        let members = self.members.as_ref().filter(|_| self.is_listed());
        self.told = members.map(|members| online.among(members).into_iter().collect());
    }
}

impl State {
    /// A session asks who is online in a room and wants to hear of changes, or no longer.
    pub(super) fn presence(&mut self, slot: usize, id: Option<String>, room: RoomId, on: bool) {
        let session = self.slots[slot].session.id;
        if !on {
            for unanswered in self.unwatch(slot, room) {
                // It changed its mind before the list was there.
                let now = PresenceNow { online: Vec::new(), count: 0, truncated: true };
                self.acknowledge(slot, Some(unanswered), &now);
            }
            return self.acknowledge(slot, id, &v1::Nothing {});
        }
        if room == LOBBY {
            // Its changes are told to everybody, as the number of people online.
            let now = PresenceNow { online: Vec::new(), count: self.online.count(), truncated: true };
            return self.acknowledge(slot, id, &now);
        }
        let waiting_max = self.options.waiting_envelopes_max;
        let Some(in_use) = self.rooms.get_mut(&room) else { return };
        let is_new = in_use.watch.is_none();
        let watch = in_use.watch.get_or_insert_default();
        if watch.waiting.len() >= waiting_max {
            return self.refuse(slot, id.as_deref(), ErrorCode::Overloaded);
        }
        watch.watchers.insert(session);
        watch.waiting.push((session, id));
        if let Some(v1) = &mut self.slots[slot].session.v1
            && !v1.watches.contains(&room)
        {
            v1.watches.push(room);
        }
        if is_new {
            self.read_members(room);
        } else {
            self.answer_watchers(room);
        }
    }

    /// Asks the store who is in a watched room; what it was asked before no longer counts.
    fn read_members(&mut self, id: RoomId) {
        self.watches += 1;
        if let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) {
            watch.number = self.watches;
            // The store knew all that by now.
            watch.meanwhile.clear();
            self.queue_read(StoreRead::Members(id, self.watches));
        }
    }

    /// The store said who is in a room.
    pub(super) fn members_came(&mut self, id: RoomId, number: u64, members: Vec<UserId>) {
        let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) else { return };
        if watch.number != number {
            return;
        }
        if std::mem::take(&mut watch.is_outdated) {
            return self.read_members(id);
        }
        let mut members: HashSet<UserId> = members.into_iter().collect();
        for (user, on) in watch.meanwhile.drain(..) {
            if on {
                members.insert(user);
            } else {
                members.remove(&user);
            }
        }
        for user in &members {
            self.watched.entry(*user).or_default().push(id);
        }
        watch.members = Some(members);
        watch.begin_anew(&self.online);
        self.answer_watchers(id);
    }

    fn answer_watchers(&mut self, id: RoomId) {
        let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) else { return };
        let Some(members) = &watch.members else { return };
        let mut online: Vec<u64> = watch.told.iter().flatten().map(|user| user.0).collect();
        online.sort_unstable();
        let truncated = watch.told.is_none();
        let count = if truncated { self.online.among(members).len() } else { online.len() } as u64;
        let now = PresenceNow { online, count, truncated };
        for (session, request) in std::mem::take(&mut watch.waiting) {
            if let Some(&slot) = self.by_id.get(&session) {
                if request.is_some() {
                    // The list overtakes what still waits, and says it.
                    self.slots[slot].session.take_pending(CoalesceKey::Presence(id));
                }
                self.acknowledge(slot, request, &now);
            }
        }
    }

    /// A session no longer wants to know. Gives the references of those of its requests that were not answered.
    pub(super) fn unwatch(&mut self, slot: usize, room: RoomId) -> Vec<String> {
        let session = &mut self.slots[slot].session;
        let id = session.id;
        if let Some(v1) = &mut session.v1
            && let Some(place) = v1.watches.iter().position(|other| *other == room)
        {
            v1.watches.swap_remove(place);
            return self.unwatch_session(id, room);
        }
        Vec::new()
    }

    pub(super) fn unwatch_session(&mut self, session: SessionId, id: RoomId) -> Vec<String> {
        let Some(room) = self.rooms.get_mut(&id) else { return Vec::new() };
        let Some(watch) = room.watch.as_deref_mut() else { return Vec::new() };
        watch.watchers.remove(&session);
        let waited = watch.waiting.extract_if(.., |(waiting, _)| *waiting == session);
        let unanswered = waited.filter_map(|(_, request)| request).collect();
        if watch.watchers.is_empty() {
            let gone = room.watch.take();
            self.watches_moved.remove(&id);
            self.forget_watched(id, gone.as_deref());
        }
        unanswered
    }

    fn forget_watched(&mut self, id: RoomId, watch: Option<&Watch>) {
        for user in watch.and_then(|watch| watch.members.as_ref()).into_iter().flatten() {
            if let Some(rooms) = self.watched.get_mut(user) {
                rooms.retain(|room| *room != id);
                if rooms.is_empty() {
                    self.watched.remove(user);
                }
            }
        }
    }

    /// Somebody became a member of a room, or ceased to be one.
    pub(super) fn watched_member(&mut self, id: RoomId, user: UserId, on: bool) {
        let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) else { return };
        let Some(members) = &mut watch.members else {
            watch.meanwhile.push((user, on));
            return;
        };
        let changed = if on { members.insert(user) } else { members.remove(&user) };
        if !changed {
            return;
        }
        let rooms = self.watched.entry(user).or_default();
        if on {
            rooms.push(id);
        } else {
            rooms.retain(|room| *room != id);
            if rooms.is_empty() {
                self.watched.remove(&user);
            }
        }
        watch.changed.insert(user);
        self.watches_moved.insert(id);
    }

    /// Who is in a watched room is no longer known for sure.
    pub(super) fn watch_anew(&mut self, id: RoomId) {
        let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) else { return };
        if watch.members.is_none() {
            watch.is_outdated = true;
            return;
        }
        watch.refresh = true;
        self.watches_moved.insert(id);
        let before = Watch { members: watch.members.take(), ..Watch::default() };
        self.forget_watched(id, Some(&before));
        self.read_members(id);
    }

    /// Tells who came and went since the last tick.
    pub(super) fn tell_presence(&mut self) {
        // Where nobody asked, only how many edges there were is looked at.
        let before = if self.watched.is_empty() { u64::MAX } else { self.edges_seen };
        let (edges, seen) = self.online.edges_after(before);
        self.edges_seen = seen;
        if self.watched.is_empty() {
            return;
        }
        let mut rooms: HashSet<RoomId> = std::mem::take(&mut self.watches_moved);
        match edges {
            Some(edges) => {
                for (user, _) in edges {
                    for id in self.watched.get(&user).into_iter().flatten() {
                        if let Some(watch) = self.rooms.get_mut(id).and_then(|room| room.watch.as_deref_mut()) {
                            watch.changed.insert(user);
                            rooms.insert(*id);
                        }
                    }
                }
            }
            // Too many to be remembered: everybody looks again.
            None => {
                rooms.extend(self.watched.values().flatten().copied());
                for id in &rooms {
                    if let Some(watch) = self.rooms.get_mut(id).and_then(|room| room.watch.as_deref_mut()) {
                        watch.refresh = true;
                    }
                }
            }
        }
        for id in rooms {
            self.tell_presence_of(id);
        }
    }

    fn tell_presence_of(&mut self, id: RoomId) {
        let Some(watch) = self.rooms.get_mut(&id).and_then(|room| room.watch.as_deref_mut()) else { return };
        let Some(members) = &watch.members else {
            // It is being read; then it is told.
            self.watches_moved.insert(id);
            return;
        };
        let changed = std::mem::take(&mut watch.changed);
        let is_listed = watch.is_listed();
        let mut anew = std::mem::take(&mut watch.refresh);
        let mut diff = PresenceDiff::default();
        match &mut watch.told {
            Some(told) if is_listed => {
                for user in changed {
                    // What came and went between two ticks is no news.
                    let on = members.contains(&user) && self.online.contains(user);
                    if on && told.insert(user) {
                        diff.online.push(user);
                    } else if !on && told.remove(&user) {
                        diff.offline.push(user);
                    }
                }
                let news = diff.online.len() + diff.offline.len();
                if news == 0 && !anew {
                    return;
                }
                anew |= news > PRESENCE_IDS_MAX;
                diff.online.sort_unstable();
                diff.offline.sort_unstable();
            }
            _ => anew = true,
        }
        diff.count = match &watch.told {
            Some(told) if is_listed => told.len(),
            _ => self.online.among(members).len(),
        } as u64;
        if anew {
            watch.begin_anew(&self.online);
        }
        let refresh = PresenceDiff { refresh: true, count: diff.count, ..PresenceDiff::default() };
        let refresh = text_frame(&v1::presence(id, &refresh));
        let frame = if anew { refresh.clone() } else { text_frame(&v1::presence(id, &diff)) };
        for session in watch.watchers.iter().copied().collect::<Vec<_>>() {
            let Some(&slot) = self.by_id.get(&session) else { continue };
            let session = &mut self.slots[slot].session;
            // A difference to something that it was never told says nothing.
            let key = CoalesceKey::Presence(id);
            let frame = if session.has_pending(key) { &refresh } else { &frame };
            session.notify(key, frame.clone(), self.options.waiting_envelopes_max);
            self.is_ready(slot);
        }
    }
}
