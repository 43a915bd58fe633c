//! What goes out to sessions: commits into tails, passes over all sessions, pages of the store for those
//! that fell behind. One mechanism serves them all: a cursor moves forward.

use std::rc::Rc;

use teahouse_core::{LOBBY, Language, MessageId, RoomEntry, RoomId, Seq, SessionId, UserId, Version};
use teahouse_protocol::{classic, v1};

use super::socket;
use super::state::{Job, State};
use crate::inbox::{CoalesceKey, Delivery, InboxBatch, Notification, Recipients};
use crate::maps::HashSet;
use crate::ports::{BoxFuture, ChangesPage, ClassicPage, Dialect};
use crate::session::{Cursor, GatherInput, Page, StoreRead};
use crate::tail::EncodedChange;
use crate::websocket::text_frame;

/// Reads of the store at a time by one shard; the others wait their turn, so that a crowd that fell behind
/// does not take the store from everybody else.
const READS_MAX: usize = 4;

/// What a shard read from the store.
pub(crate) enum ReadResult {
    Classic(ClassicPage),
    Changes(ChangesPage),
    Reactions(Vec<(MessageId, String)>),
    Members(Vec<UserId>),
    Entries(Vec<(UserId, RoomEntry)>),
}

/// Sessions that wait for the same thing of the store.
#[derive(Debug, Default)]
pub(super) struct PendingRead {
    /// For what is read next, or being read.
    now: Vec<SessionId>,
    is_being_read: bool,
    /// They came when it was being read already, and may have been sent more than it knows: it is read once more.
    next: Vec<SessionId>,
}

impl State {
    /// Takes what was laid into the inbox: tails grow, and whoever is concerned is written to.
    pub(crate) fn deliver(&mut self, mail: InboxBatch) {
        for delivery in mail.deliveries {
            match delivery {
                Delivery::RoomChange { room, change } => self.room_changed(room, change),
                Delivery::Notification(told) => self.told(&told),
                Delivery::Member { user, entry, requester } => self.member(user, &entry, requester),
                Delivery::Left { room, user, members } => self.left(room, user, members),
                Delivery::EntriesChanged(room) => self.entry_moved(room),
                Delivery::Typing { room, user, on } => self.is_typing(room, user, on),
            }
        }
        for ((room, only), gap) in mail.gaps {
            self.note_passed(room, gap.head);
            if let Some(user) = only {
                self.put_before(user, room, gap.before);
            }
            if let Some(in_use) = self.rooms.get_mut(&room) {
                in_use.tail.skip_to(gap.head.0, gap.head.1);
            }
            self.room_is_due(room);
        }
        for told in mail.notifications.into_values() {
            self.told(&told);
        }
        for to in mail.events_dropped {
            match to {
                Recipients::Everyone => {
                    self.ring.skip();
                    self.begin_pass();
                }
                Recipients::User(user) => self.slots_of(user).into_iter().for_each(|slot| self.missed(slot)),
                Recipients::Room(room) => {
                    let subscribers = self.rooms.get(&room).map(|room| room.subscribers.clone());
                    subscribers.into_iter().flatten().for_each(|slot| self.missed(slot));
                }
            }
        }
        for room in mail.entries_changed {
            self.entry_moved(room);
        }
        for (room, user) in mail.membership_unknown {
            self.unsure(room, user);
        }
    }

    fn missed(&mut self, slot: usize) {
        self.slots[slot].session.mark_events_missed();
        self.is_ready(slot);
    }

    fn room_changed(&mut self, id: RoomId, entry: EncodedChange) {
        self.note_passed(id, (entry.version, entry.last_seq));
        if let Some(user) = entry.classic_only.filter(|_| entry.classic.is_some()) {
            self.put_before(user, id, entry.position_before());
        }
        if entry.is_new {
            // Whoever said it is no longer typing it.
            self.is_typing(id, entry.author, false);
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.tail.push(entry);
            self.room_is_due(id);
        }
    }

    fn note_passed(&mut self, room: RoomId, head: (Version, Seq)) {
        if self.greeting > 0 {
            let passed = self.passed.entry(room).or_default();
            *passed = (passed.0.max(head.0), passed.1.max(head.1));
        }
    }

    /// Whoever reads a room has something to read.
    fn room_is_due(&mut self, id: RoomId) {
        if id == LOBBY {
            return self.begin_pass();
        }
        let Some(room) = self.rooms.get(&id) else { return };
        for &slot in &room.subscribers {
            let Some(entry) = self.slots.get_mut(slot) else { continue };
            entry.session.mark_due(id);
            if !std::mem::replace(&mut entry.is_ready, true) {
                self.ready.push_back(slot);
            }
        }
        // Classic sessions that read it are few, and known by their user.
        for slot in std::mem::take(&mut self.put_before) {
            self.pump(slot);
        }
        self.drop_unused(id);
    }

    /// Lets a user's classic sessions read a direct room from `before` on. Such a session has a cursor
    /// in a direct room only while it is behind in it.
    fn put_before(&mut self, user: UserId, id: RoomId, before: (Version, Seq)) {
        for slot in self.slots_of(user) {
            if self.slots[slot].session.dialect() == Dialect::V1 {
                continue;
            }
            self.room_in_use(id, before);
            let session = &mut self.slots[slot].session;
            if session.add_cursor(Cursor::at(id, before))
                && let Some(room) = self.rooms.get_mut(&id)
            {
                room.cursors += 1;
            }
            session.mark_due(id);
            self.put_before.push(slot);
        }
    }

    pub(super) fn release_cursor(&mut self, id: RoomId) {
        if let Some(room) = self.rooms.get_mut(&id) {
            room.cursors -= 1;
        }
        self.drop_unused(id);
    }

    fn drop_unused(&mut self, id: RoomId) {
        if id != LOBBY && self.rooms.get(&id).is_some_and(|room| room.cursors == 0) {
            self.rooms.remove(&id);
        }
    }

    fn told(&mut self, told: &Notification) {
        match told.recipients {
            Recipients::Everyone => {
                if let CoalesceKey::Profile(_) = told.key {
                    self.names_changed();
                }
                self.ring.push(told.classic.clone(), told.v1.clone());
                self.begin_pass();
            }
            Recipients::Room(room) => {
                self.moved_meanwhile(room);
                if let Some(frame) = &told.v1 {
                    self.tell_room(room, told.key, frame);
                }
            }
            Recipients::User(user) => {
                for slot in self.slots_of(user) {
                    let session = &mut self.slots[slot].session;
                    let frame = match session.dialect() {
                        Dialect::Classic => &told.classic,
                        Dialect::V1 => &told.v1,
                    };
                    // Its rooms were read when it was known already that it goes: it is not in this one any more.
                    let is_elsewhere = session.is_live()
                        && session.dialect() == Dialect::V1
                        && told.key.member_room().is_some_and(|room| !session.is_in(room));
                    if let Some(frame) = frame.as_ref().filter(|_| !is_elsewhere) {
                        session.notify(told.key, frame.clone(), self.options.waiting_envelopes_max);
                        self.is_ready(slot);
                    }
                }
            }
        }
    }

    /// Whoever was away when somebody took another name reads what was said before from the store, which knows it.
    fn names_changed(&mut self) {
        self.rooms.values_mut().for_each(|room| room.tail.mark_names_changed());
    }

    pub(super) fn slots_of(&self, user: UserId) -> Vec<usize> {
        self.registry.sessions_of(user).filter_map(|id| self.by_id.get(&id).copied()).collect()
    }

    /// Makes sure that a session is written to soon.
    pub(super) fn is_ready(&mut self, slot: usize) {
        if let Some(entry) = self.slots.get_mut(slot)
            && !std::mem::replace(&mut entry.is_ready, true)
        {
            self.ready.push_back(slot);
        }
    }

    /// Makes sure that every session is visited once more.
    pub(crate) fn begin_pass(&mut self) {
        match self.pass {
            None => self.pass = Some(0),
            Some(_) => self.pass_again = true,
        }
    }

    /// Writes to those who have something new until `is_over` says that the slice of time is used up. Says whether any
    /// are left.
    pub(crate) fn write_to_ready(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(slot) = self.ready.pop_front() {
            if let Some(entry) = self.slots.get_mut(slot) {
                entry.is_ready = false;
                self.pump(slot);
                if is_over() {
                    break;
                }
            }
        }
        !self.ready.is_empty()
    }

    /// The same for those who are behind. They have a slice of their own, so that whoever is not waits no longer for a
    /// thousand who are caught up at once than for a few.
    pub(crate) fn write_to_behind(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        // Who still has more has its turn when the others had theirs, and the loop its own.
        for _ in 0..self.behind.len() {
            let Some(slot) = self.behind.pop_front() else { break };
            if let Some(entry) = self.slots.get_mut(slot) {
                entry.is_behind = false;
                self.pump_rounds(slot, socket::ROUNDS_MAX);
                if is_over() {
                    break;
                }
            }
        }
        !self.behind.is_empty()
    }

    /// Makes sure that a session is written to in its turn among those that are behind.
    fn is_behind(&mut self, slot: usize) {
        if let Some(entry) = self.slots.get_mut(slot)
            && !std::mem::replace(&mut entry.is_behind, true)
        {
            self.behind.push_back(slot);
        }
    }

    /// Visits sessions until `is_over` says that the slice of time is used up. Says whether any are left.
    pub(crate) fn continue_pass(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(next) = self.pass {
            if next >= self.slots_end {
                self.pass = std::mem::take(&mut self.pass_again).then_some(0);
                continue;
            }
            self.pass = Some(next + 1);
            let Some(entry) = self.slots.get_mut(next) else { continue };
            // A blocked one is written to when its socket takes more, and must know then.
            entry.session.mark_due(LOBBY);
            if !entry.blocked && !entry.session.closing {
                self.pump(next);
                if is_over() {
                    return true;
                }
            }
        }
        false
    }

    /// Writes what a session has waiting, as far as its socket takes it, one batch; who has more is behind.
    pub(crate) fn pump(&mut self, slot: usize) {
        self.pump_rounds(slot, 1);
    }

    fn pump_rounds(&mut self, slot: usize, rounds: usize) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if entry.blocked || entry.done {
            return;
        }
        if self.pass.is_some() {
            // It would be visited for that anyway, and is written to once.
            entry.session.mark_due(LOBBY);
        }
        let rooms = &self.rooms;
        let events_missed = |language: Language, dialect: Dialect| match dialect {
            Dialect::Classic => text_frame(&classic::events_missed(language)),
            Dialect::V1 => text_frame(&v1::events_missed(language)),
        };
        let sources = GatherInput {
            tail_of: |room| rooms.get(&room).map(|room| &room.tail),
            count: &self.count,
            ring: &self.ring,
            events_missed: &events_missed,
        };
        let written = socket::write(entry, rounds, &mut self.batch, &self.metrics, self.now, |session, batch| {
            session.gather(&sources, batch, &mut self.wants);
        });
        if written == socket::Written::Gone {
            self.call(slot);
        } else if written == socket::Written::More {
            self.is_behind(slot);
        } else if written == socket::Written::Everything && entry.session.closing {
            self.goodbye_is_out(slot);
        } else if written == socket::Written::Everything && entry.session.dialect() == Dialect::Classic {
            self.drop_settled_cursors(slot);
        }
        if !self.wants.is_empty() {
            let id = self.slots[slot].session.id;
            for want in std::mem::take(&mut self.wants) {
                self.want(want, id);
            }
        }
    }

    fn goodbye_is_out(&mut self, slot: usize) {
        let entry = &mut self.slots[slot];
        if entry.peer_closed {
            entry.done = true;
        } else {
            // Now the peer's answer is waited for; a reset would take our goodbye from its hands.
            entry.connection.end_writing();
        }
        self.call(slot);
    }

    /// Classic sessions keep a cursor in a direct room only while they are behind in it, or ahead: what a page
    /// of the store brought them the street may still have to bring.
    fn drop_settled_cursors(&mut self, slot: usize) {
        let rooms = &self.rooms;
        let dropped = self.slots[slot].session.drop_settled(|cursor| {
            cursor.room != LOBBY
                && cursor.is_on_tail()
                && rooms.get(&cursor.room).is_none_or(|room| cursor.version == room.tail.head())
        });
        for room in dropped {
            self.release_cursor(room);
        }
    }

    /// A session needs something of the store. Sessions at the same place share one read and its encoded frames.
    fn want(&mut self, want: StoreRead, session: SessionId) {
        let waiters = self.waiters.entry(want.clone()).or_default();
        if waiters.is_being_read {
            return waiters.next.push(session);
        }
        waiters.now.push(session);
        if waiters.now.len() == 1 {
            self.queue_read(want);
        }
    }

    pub(super) fn queue_read(&mut self, want: StoreRead) {
        self.read_queue.push_back(want);
        self.start_reads();
    }

    pub(super) fn start_reads(&mut self) {
        while self.reads < READS_MAX
            && let Some(want) = self.read_queue.pop_front()
        {
            self.reads += 1;
            if let Some(waiters) = self.waiters.get_mut(&want) {
                waiters.is_being_read = true;
            }
            self.jobs.push(Job::Read(want));
        }
    }

    /// Asks the store.
    pub(crate) fn read(&self, want: &StoreRead) -> BoxFuture<Option<ReadResult>> {
        let history = &self.ports.history;
        match want {
            StoreRead::Classic(room, after) => {
                let page = history.classic_page(*room, *after);
                Box::pin(async move { page.await.map(ReadResult::Classic) })
            }
            StoreRead::Changes(room, from) => {
                let page = history.changes(*room, *from);
                Box::pin(async move { page.await.map(ReadResult::Changes) })
            }
            StoreRead::Reactions(_, user, messages) => {
                let own = history.own_reactions(*user, messages.clone());
                Box::pin(async move { own.await.map(ReadResult::Reactions) })
            }
            StoreRead::Members(room, _) => {
                let members = history.members(*room);
                Box::pin(async move { members.await.map(ReadResult::Members) })
            }
            StoreRead::Entries(room, users) => {
                let entries = history.entries(*room, users.clone());
                Box::pin(async move { entries.await.map(ReadResult::Entries) })
            }
        }
    }

    /// The store answered, or cannot now.
    pub(crate) fn found(&mut self, want: StoreRead, found: Option<ReadResult>) {
        self.reads -= 1;
        // The store knew what is still in the inbox: whoever is no longer in the room by that is sent nothing.
        let mail = self.inboxes[self.index].take();
        self.deliver(mail);
        match found {
            None => {
                if let Some(waiters) = self.waiters.get_mut(&want) {
                    waiters.is_being_read = false;
                    waiters.now.append(&mut waiters.next);
                }
                self.retries.push(want);
            }
            Some(ReadResult::Members(members)) => {
                if let StoreRead::Members(room, watch) = want {
                    self.members_came(room, watch, members);
                }
            }
            Some(ReadResult::Entries(entries)) => self.entries_came(want.room(), &entries),
            Some(ReadResult::Classic(page)) => self.page_came(&want, Page::classic(&page)),
            Some(ReadResult::Changes(page)) => self.page_came(&want, Page::v1(&page)),
            Some(ReadResult::Reactions(own)) => {
                let own = v1::own_reactions(own);
                if let StoreRead::Reactions(room, _, messages) = &want {
                    self.for_waiters(&want, |cursor| cursor.accept_reactions(messages, &own), *room);
                }
            }
        }
        self.start_reads();
    }

    fn page_came(&mut self, want: &StoreRead, page: Page) {
        self.metrics.catch_up_pages.inc();
        let page = Rc::new(page);
        self.for_waiters(want, |cursor| cursor.accept_page(want, &page), want.room());
    }

    fn for_waiters(&mut self, want: &StoreRead, mut give: impl FnMut(&mut Cursor) -> bool, room: RoomId) {
        let PendingRead { now, next, .. } = self.waiters.remove(want).unwrap_or_default();
        let later: HashSet<SessionId> = next.iter().copied().collect();
        if !next.is_empty() {
            self.waiters.insert(want.clone(), PendingRead { now: next, ..PendingRead::default() });
            self.queue_read(want.clone());
        }
        for id in now.into_iter().filter(|id| !later.contains(id)) {
            let Some(&slot) = self.by_id.get(&id) else { continue };
            if self.slots[slot].session.cursor_in(room).is_some_and(&mut give) {
                self.is_behind(slot);
            }
        }
    }
}

impl Page {
    fn classic(page: &ClassicPage) -> Self {
        let mut frames = Vec::with_capacity(page.deleted.len() + page.messages.len());
        if page.pair.is_none() {
            frames.extend(page.deleted.iter().map(|id| (text_frame(&classic::message_deleted(*id)), None)));
        }
        for message in &page.messages {
            let receiver = page.pair.as_ref().and_then(|pair| pair.iter().find(|one| one.id != message.sender.id));
            frames.push(match receiver {
                Some(receiver) => (text_frame(&classic::private_message(message, receiver)), Some(receiver.id)),
                None => (text_frame(&classic::message(message)), None),
            });
        }
        Self { frames, reset: false, reacted: Vec::new(), reached: page.reached, complete: page.complete }
    }

    fn v1(page: &ChangesPage) -> Self {
        let frames = page.messages.iter().map(|message| (text_frame(&v1::message(message, None)), None)).collect();
        let reacted = page.messages.iter().filter(|message| !message.reactions.is_empty());
        let reacted = reacted.map(|message| message.id).collect();
        Self { frames, reset: page.reset, reacted, reached: page.reached, complete: page.complete }
    }
}
