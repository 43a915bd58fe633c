//! v1 sessions and their rooms: being welcomed, coming into rooms and going out of them, asking for changes
//! again, typing. Who may be in a room was decided by the store; here it only comes to pass.

use teahouse_core::limits::{TYPING_EXPIRY, TYPING_MEMBERS_MAX};
use teahouse_core::{CloseCode, ErrorCode, LOBBY, RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use teahouse_protocol::v1;

use super::state::{Room, State};
use crate::inbox::{CoalesceKey, Delivery};
use crate::ports::{Dialect, HubRequest, RequestOutcome, WelcomeData};
use crate::session::{Cursor, Phase, Session};
use crate::websocket::text_frame;

impl State {
    // ── Hello ──

    /// A v1 session said hello: from now on, until it is welcomed, what happens is kept for it.
    pub(super) fn begin_greeting(&mut self, slot: usize) {
        if self.slots[slot].session.begin_welcome() {
            self.greeting += 1;
        }
    }

    /// What it was to begin with could not be read; it may say hello again. What it asked behind this one is
    /// answered all the same.
    pub(super) fn give_up_greeting(&mut self, slot: usize) {
        let Some(v1) = &mut self.slots[slot].session.v1 else { return };
        let Phase::Welcoming { until, deferred_requests, .. } = &mut v1.phase else { return };
        let deferred_requests = std::mem::take(deferred_requests);
        v1.phase = Phase::AwaitingHello { until: *until };
        self.one_less_greeting();
        self.begin_asked(slot, deferred_requests);
    }

    /// Begins what a session asked behind its hello, in order.
    fn begin_asked(&mut self, slot: usize, deferred_requests: Vec<RequestOutcome>) {
        for receipt in deferred_requests {
            if self.slots[slot].session.closing {
                return;
            }
            self.receipt(slot, receipt);
        }
        // While its answers waited for the welcome its requests may have been left in the socket.
        self.call(slot);
    }

    fn one_less_greeting(&mut self) {
        self.greeting -= 1;
        if self.greeting == 0 {
            self.passed.clear();
            self.moved_meanwhile.clear();
        }
    }

    /// Welcomes a session: its rooms are its to hear from the versions on that it is told.
    pub(super) fn greet(&mut self, slot: usize, greeting: WelcomeData) {
        if !self.slots[slot].session.is_awaiting_welcome() {
            return;
        }
        for entry in &greeting.rooms {
            self.enter_room(slot, entry);
        }
        for (room, held) in greeting.held {
            self.slots[slot].session.resume(room, held);
        }
        let user = greeting.user.profile.id;
        let lives = self.slots[slot].expires_at.since(self.now).saturating_sub(self.options.token_grace);
        let users = self.online.count();
        let session = &mut self.slots[slot].session;
        let welcome = v1::Welcome {
            session: session.id,
            epoch: &greeting.epoch,
            user: &greeting.user,
            time: greeting.time,
            heartbeat_ms: millis(self.options.heartbeat_interval),
            token_expires_in_ms: millis(lives),
            limits: greeting.limits,
            online: users,
            rooms: &greeting.rooms,
        };
        let online = &self.online;
        let frame = text_frame(&v1::welcome(greeting.id.as_deref(), &welcome, |user| online.contains(user)));
        let (deferred_requests, deferred_memberships) = session.welcome(frame, users);
        self.welcomed_apart |= users != self.count.users;
        // What became of its rooms while it was greeted is told now, as if it happened now, and before what was to
        // be told of those rooms by then.
        let aside = self.slots[slot].session.take_notifications();
        for change in deferred_memberships {
            match change {
                Delivery::Member { entry, requester, .. } => self.member_here(slot, &entry, requester),
                Delivery::Left { room, .. } => self.left_here(slot, room),
                _ => {}
            }
        }
        let session = &mut self.slots[slot].session;
        session.append_notifications(aside);
        session.drop_pending_of_other_rooms();
        let moved = session.rooms().filter(|room| self.moved_meanwhile.contains(room));
        for room in moved.collect::<Vec<_>>() {
            // It looks otherwise by now, perhaps, than when it was read, or than when it came into it.
            self.read_entries(room, &[user]);
        }
        self.one_less_greeting();
        self.begin_asked(slot, deferred_requests);
        self.is_ready(slot);
    }

    // ── Rooms ──

    /// A room in use, or one that is from now on. What passed while somebody was greeted is not forgotten, so
    /// that its tail never claims less than there is.
    pub(super) fn room_in_use(&mut self, id: RoomId, head: (Version, Seq)) -> &mut Room {
        let envelopes_max = self.options.room_tail_envelopes_max;
        let passed = self.passed.get(&id).copied().unwrap_or_default();
        let head = (head.0.max(passed.0), head.1.max(passed.1));
        self.rooms.entry(id).or_insert_with(|| Room::new(head, envelopes_max))
    }

    /// Gives a session its place in a room, from the version on that its entry says. Says whether it had none.
    fn enter_room(&mut self, slot: usize, entry: &RoomEntry) -> bool {
        let at = (entry.version, entry.last_seq);
        let room = self.room_in_use(entry.id, at);
        if room.members == 0 {
            // From here on the street says how many come and go.
            room.members = entry.members;
        } else {
            self.observe_member_count(entry.id, entry.members);
        }
        // The store is ahead of the street: what the snapshot knew comes by again, or has yet to come.
        let entered = self.slots[slot].session.add_cursor(Cursor::at(entry.id, at));
        if entered && let Some(room) = self.rooms.get_mut(&entry.id) {
            room.cursors += 1;
            if entry.id != LOBBY {
                room.subscribers.insert(slot);
            }
        }
        entered
    }

    fn quit_room(&mut self, slot: usize, id: RoomId) -> bool {
        let Some(cursor) = self.slots[slot].session.remove_cursor(id) else { return false };
        // What it asked about the room is answered all the same, and only once.
        let unanswered: Vec<String> = cursor.into_pending_requests().chain(self.unwatch(slot, id)).collect();
        for request in unanswered {
            self.refuse(slot, Some(&request), ErrorCode::NotFound);
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.subscribers.remove(&slot);
        }
        self.release_cursor(id);
        true
    }

    /// A session is gone: so is its place in every room.
    pub(super) fn abandon(&mut self, slot: usize, session: &Session) {
        if let Some(v1) = &session.v1 {
            for room in &v1.watches {
                // Nobody is there to be answered.
                let _ = self.unwatch_session(session.id, *room);
            }
            if matches!(v1.phase, Phase::Welcoming { .. }) {
                self.one_less_greeting();
            }
        }
        for id in session.rooms() {
            if let Some(room) = self.rooms.get_mut(&id) {
                room.subscribers.remove(&slot);
            }
            self.release_cursor(id);
        }
    }

    /// A user is in a room that was not theirs to hear, or sees it in another way.
    pub(super) fn member(&mut self, user: UserId, entry: &std::sync::Arc<RoomEntry>, requester: Option<SessionId>) {
        self.set_member_count(entry.id, entry.members);
        self.watched_member(entry.id, user, true);
        for slot in self.slots_of(user) {
            let change = || Delivery::Member { user, entry: std::sync::Arc::clone(entry), requester };
            if !self.keep_for_later(slot, change) && self.slots[slot].session.dialect() == Dialect::V1 {
                self.member_here(slot, entry, requester);
                self.pump(slot);
            }
        }
        self.read_again(entry.id, user);
    }

    fn member_here(&mut self, slot: usize, entry: &RoomEntry, requester: Option<SessionId>) {
        let entered = self.enter_room(slot, entry);
        let online = &self.online;
        let session = &mut self.slots[slot].session;
        let key = CoalesceKey::Membership(entry.id);
        // What waits then says that one was taken out of it. The client must hear that too: only behind it does
        // it begin the room at this entry, and not go on from what it holds.
        let mut removed = if entered { session.take_pending(key) } else { None };
        if entered && session.take_resume(entry.id) {
            removed = Some(text_frame(&v1::removed(entry.id)));
        }
        if requester == Some(session.id) {
            // It is answered with the entry, and hears of the room behind that answer.
            if let Some(removed) = removed {
                session.reply(removed);
            }
            if entered {
                session.begin_entering(entry.id, entry.version);
            }
            return;
        }
        let frame = text_frame(&v1::room(entry, |user| online.contains(user)));
        let frame = match removed {
            Some(removed) => [removed, frame].concat().into(),
            None => frame,
        };
        // Of a room that one is in already it is no beginning, and must not take the place of one that waits.
        let key = if entered { key } else { CoalesceKey::Entry(entry.id) };
        session.notify(key, frame, self.options.waiting_envelopes_max);
    }

    /// Somebody is no longer in a room.
    pub(super) fn left(&mut self, room: RoomId, user: UserId, members: u32) {
        self.set_member_count(room, members);
        self.watched_member(room, user, false);
        for slot in self.slots_of(user) {
            if !self.keep_for_later(slot, || Delivery::Left { room, user, members }) {
                self.left_here(slot, room);
                self.pump(slot);
            }
        }
    }

    fn left_here(&mut self, slot: usize, room: RoomId) {
        if self.slots[slot].session.dialect() == Dialect::V1 && self.quit_room(slot, room) {
            let frame = text_frame(&v1::removed(room));
            let waiting_max = self.options.waiting_envelopes_max;
            let session = &mut self.slots[slot].session;
            session.drop_pending_of_room(room);
            session.notify(CoalesceKey::Membership(room), frame, waiting_max);
        }
    }

    /// Keeps a change of membership for a session that is being greeted. Says whether it did.
    fn keep_for_later(&mut self, slot: usize, change: impl FnOnce() -> Delivery) -> bool {
        let waiting_max = self.options.waiting_envelopes_max;
        let session = &mut self.slots[slot].session;
        let Some(v1) = &mut session.v1 else { return false };
        match &mut v1.phase {
            Phase::Live => false,
            // Nothing was read for it yet.
            Phase::AwaitingHello { .. } => true,
            Phase::Welcoming { deferred_memberships, .. } if deferred_memberships.len() < waiting_max => {
                deferred_memberships.push(change());
                true
            }
            // It begins once more, with what is true then.
            Phase::Welcoming { .. } => {
                self.end(slot, CloseCode::Overloaded);
                true
            }
        }
    }

    /// Something became of a user's membership and nobody knows what: their v1 sessions begin once more.
    pub(super) fn unsure(&mut self, room: RoomId, user: UserId) {
        self.watch_anew(room);
        self.read_again(room, user);
        if room != LOBBY {
            // How many are in it now nobody knows either.
            self.entry_moved(room);
        }
        for slot in self.slots_of(user) {
            if self.slots[slot].session.dialect() == Dialect::V1 {
                self.end(slot, CloseCode::Overloaded);
            }
        }
    }

    /// A session's request was answered with a room as it was at this version: now the room may speak, if it waited
    /// for that. Another answer can be older than what became of the room: a client that does not hold the room begins
    /// it there, and must drop that again, before it is told where the room begins, or that it is not in it.
    pub(super) fn entry_answered(&mut self, slot: usize, room: RoomId, version: Version) {
        let session = &mut self.slots[slot].session;
        if !session.finish_entering(room, version) && !session.holds(room) && session.is_live() {
            session.reply(text_frame(&v1::removed(room)));
        }
    }

    /// A page of a room's past was read for a session, and is to be sent before anything newer. Says whether
    /// that is still so: whoever came in or went out meanwhile might know better than the page.
    pub(super) fn finish_read(&mut self, slot: usize, room: RoomId, held: bool) -> bool {
        let session = &mut self.slots[slot].session;
        session.finish_read(room) == held && (held || !session.is_in(room))
    }

    // ── What it asks of the hub ──

    /// Does what a v1 session asks of the hub itself.
    pub(super) fn ask(&mut self, slot: usize, id: Option<String>, request: HubRequest) {
        let (HubRequest::Sync(room, _) | HubRequest::Presence(room, _) | HubRequest::Typing(room, _)) = request;
        if !self.slots[slot].session.is_in(room) {
            return self.refuse(slot, id.as_deref(), ErrorCode::NotFound);
        }
        match request {
            HubRequest::Sync(room, since) => {
                let cursor = self.slots[slot].session.cursor_in(room);
                if let Some(Err(id)) = cursor.map(|cursor| cursor.request_sync(since, id)) {
                    self.refuse(slot, id.as_deref(), ErrorCode::Overloaded);
                }
            }
            HubRequest::Presence(room, on) => self.presence(slot, id, room, on),
            HubRequest::Typing(room, on) => self.typing(slot, id, room, on),
        }
    }

    /// Answers a request, if it has a reference to be answered under.
    pub(super) fn acknowledge<T: serde::Serialize>(&mut self, slot: usize, id: Option<String>, data: &T) {
        if let Some(id) = id {
            self.answer_now(slot, text_frame(&v1::ack(&id, data)));
        }
    }

    pub(super) fn refuse(&mut self, slot: usize, id: Option<&str>, code: ErrorCode) {
        let mut body = v1::ErrorBody::new(code, self.slots[slot].session.language());
        body.retry_after_ms = (code == ErrorCode::Overloaded).then_some(1000);
        self.answer_now(slot, text_frame(&v1::error(id, &body)));
    }

    /// Nothing follows a goodbye.
    fn answer_now(&mut self, slot: usize, frame: bytes::Bytes) {
        let session = &mut self.slots[slot].session;
        if !session.closing {
            session.reply(frame);
            self.is_ready(slot);
        }
    }

    fn typing(&mut self, slot: usize, id: Option<String>, room: RoomId, on: bool) {
        let members = self.rooms.get(&room).map_or(0, |room| room.members);
        if room == LOBBY || members > TYPING_MEMBERS_MAX {
            return self.refuse(slot, id.as_deref(), ErrorCode::Forbidden);
        }
        self.acknowledge(slot, id, &v1::Nothing {});
        let user = self.slots[slot].session.user;
        self.is_typing(room, user, on);
        let delivery = [Delivery::Typing { room, user, on }];
        for (index, inbox) in self.inboxes.iter().enumerate() {
            if index != self.index {
                inbox.push(&delivery, &self.metrics);
            }
        }
    }

    /// Somebody is typing, here or on another shard. Whoever is in the room is told with the next tick.
    pub(super) fn is_typing(&mut self, id: RoomId, user: UserId, on: bool) {
        let until = self.now.plus(TYPING_EXPIRY);
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let changed = if on { room.typing.insert(user, until).is_none() } else { room.typing.remove(&user).is_some() };
        if changed {
            self.typing_rooms.insert(id);
        }
    }

    /// Tells who is typing, where that changed or is over.
    pub(super) fn tell_typing(&mut self) {
        let now = self.now;
        for id in std::mem::take(&mut self.typing_rooms) {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            room.typing.retain(|_, until| *until > now);
            let users: Vec<UserId> = room.typing.keys().copied().collect();
            if !users.is_empty() {
                // It is looked at again, since it will be over some time.
                self.typing_rooms.insert(id);
            }
            if room.typing_told != users {
                let frame = text_frame(&v1::typing(id, &users));
                room.typing_told = users;
                self.tell_room(id, CoalesceKey::Typing(id), &frame);
            }
        }
    }

    /// Tells the v1 sessions of a room's members.
    pub(super) fn tell_room(&mut self, id: RoomId, key: CoalesceKey, frame: &bytes::Bytes) {
        let Some(room) = self.rooms.get(&id) else { return };
        for slot in room.subscribers.iter().copied().collect::<Vec<_>>() {
            self.slots[slot].session.notify(key, frame.clone(), self.options.waiting_envelopes_max);
            self.is_ready(slot);
        }
    }
}

fn millis(time: std::time::Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX)
}
