//! What goes out to sessions: commits into tails, passes over all sessions, pages of the store for those
//! that fell behind. One mechanism serves them all: a cursor moves forward.

use std::net::Shutdown;
use std::rc::Rc;

use bytes::Bytes;
use teahouse_core::{LOBBY, Language, RoomId, Seq, SessionId, UserId, Version};
use teahouse_protocol::classic;

use super::socket;
use super::state::{Job, Room, State};
use crate::feed::{Delivery, Mail, Receivers};
use crate::seams::{BoxFuture, ClassicPage};
use crate::session::{Cursor, Page, Source, Want};
use crate::tail::Tail;
use crate::websocket;

/// Pages read from the store at a time by one shard; the others wait their turn, so that a crowd that
/// fell behind does not take the store from everybody else.
const PAGE_READS_MAX: usize = 4;

impl State {
    /// Takes commits: tails grow, and whoever is concerned is written to.
    pub(crate) fn deliver(&mut self, mail: Mail) {
        for delivery in mail.deliveries {
            match delivery {
                Delivery::Room { room, receivers: Receivers::Subscribers, entry } => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tail.push(entry);
                        self.begin_pass();
                    }
                }
                // Nothing to show: it only moves those who are behind in the room.
                Delivery::Room { room, receivers: Receivers::Only(_), entry } if entry.classic.is_none() => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tail.push(entry);
                    }
                }
                Delivery::Room { room, receivers: Receivers::Only(user), entry } => {
                    let before = (Version(entry.version.0 - 1), Seq(entry.last_seq.0 - 1));
                    self.direct_tail(room, before).push(entry);
                    self.put_before(user, room, before);
                }
                Delivery::User { user, kind, frame } => self.tell(user, kind, &frame),
            }
        }
        for ((room, _), gap) in mail.gaps {
            match gap.receivers {
                Receivers::Subscribers => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tail.skip_to(gap.head.0, gap.head.1);
                        self.begin_pass();
                    }
                }
                Receivers::Only(user) => {
                    self.direct_tail(room, gap.before).skip_to(gap.head.0, gap.head.1);
                    self.put_before(user, room, gap.before);
                }
            }
        }
        for ((user, room, reader), frame) in mail.overflow {
            self.tell(user, (room, reader), &frame);
        }
    }

    fn direct_tail(&mut self, room: RoomId, before: (Version, Seq)) -> &mut Tail {
        let envelopes_max = self.options.tail_envelopes_max;
        let new = || Room { tail: Tail::new(before.0, before.1, envelopes_max), cursors: 0 };
        &mut self.rooms.entry(room).or_insert_with(new).tail
    }

    /// Lets a user's classic sessions read a direct room from `before` on. Such a session has a cursor
    /// in a direct room only while it is behind in it, and the room a tail only while anybody is.
    fn put_before(&mut self, user: UserId, id: RoomId, before: (Version, Seq)) {
        let slots = self.slots_of(user);
        for slot in &slots {
            let session = &mut self.slots[*slot].session;
            if session.cursor_in(id).is_none()
                && let Some(room) = self.rooms.get_mut(&id)
            {
                room.cursors += 1;
                session.cursors.push(Cursor::at(id, before));
            }
        }
        if slots.is_empty() {
            self.drop_unused(id);
        }
        for slot in slots {
            self.pump(slot);
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

    fn tell(&mut self, user: UserId, kind: (RoomId, UserId), frame: &Bytes) {
        for slot in self.slots_of(user) {
            self.slots[slot].session.tell(kind, frame.clone(), self.options.waiting_envelopes_max);
            self.pump(slot);
        }
    }

    fn slots_of(&self, user: UserId) -> Vec<usize> {
        self.registry.sessions_of(user).filter_map(|id| self.by_id.get(&id).copied()).collect()
    }

    /// Makes sure that every session is visited once more.
    pub(crate) fn begin_pass(&mut self) {
        match self.pass {
            None => self.pass = Some(0),
            Some(_) => self.pass_again = true,
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
            if self.slots.get(next).is_some_and(|entry| !entry.blocked && !entry.session.closing) {
                self.pump(next);
                if is_over() {
                    return true;
                }
            }
        }
        false
    }

    /// Writes what a session has waiting, as far as its socket takes it and fairness allows.
    pub(crate) fn pump(&mut self, slot: usize) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        if entry.blocked || entry.done {
            return;
        }
        let rooms = &self.rooms;
        let written = socket::write(entry, &mut self.batch, &self.metrics, self.now, |session, batch| {
            let missed = |language: Language| websocket::text_frame(&classic::events_missed(language));
            session.gather(|room| rooms.get(&room).map(|room| &room.tail), &self.count, missed, batch, &mut self.wants);
        });
        if written == socket::Written::Everything && entry.session.closing {
            self.goodbye_is_out(slot);
        } else if written == socket::Written::Everything && self.slots[slot].session.cursors.len() > 1 {
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
            let _ = socket2::SockRef::from(&entry.stream).shutdown(Shutdown::Write);
        }
        if let Some(waker) = &entry.waker {
            waker.wake_by_ref();
        }
    }

    fn drop_settled_cursors(&mut self, slot: usize) {
        let rooms = &self.rooms;
        let mut dropped = Vec::new();
        self.slots[slot].session.cursors.retain(|cursor| {
            let settled = cursor.room != LOBBY
                && matches!(cursor.source, Source::Tail)
                && rooms.get(&cursor.room).is_none_or(|room| cursor.version >= room.tail.head());
            if settled {
                dropped.push(cursor.room);
            }
            !settled
        });
        for room in dropped {
            self.release_cursor(room);
        }
    }

    /// A session needs a page. Sessions at the same place share one read and its encoded frames.
    fn want(&mut self, want: Want, session: SessionId) {
        let waiters = self.page_waiters.entry(want).or_default();
        waiters.push(session);
        if waiters.len() == 1 {
            self.page_queue.push_back(want);
            self.start_page_reads();
        }
    }

    pub(super) fn start_page_reads(&mut self) {
        while self.page_reads < PAGE_READS_MAX
            && let Some(want) = self.page_queue.pop_front()
        {
            self.page_reads += 1;
            self.jobs.push(Job::ReadPage(want));
        }
    }

    /// Asks for a page.
    pub(crate) fn read_page(&self, (room, after): Want) -> BoxFuture<Option<ClassicPage>> {
        self.seams.history.classic_page(room, after)
    }

    /// A page came, or could not be read.
    pub(crate) fn page_read(&mut self, want: Want, page: Option<ClassicPage>) {
        self.page_reads -= 1;
        match page {
            None => self.page_retries.push(want),
            Some(page) => {
                self.metrics.catch_up_pages.inc();
                let page = Rc::new(Page::encode(&page));
                for id in self.page_waiters.remove(&want).unwrap_or_default() {
                    let Some(&slot) = self.by_id.get(&id) else { continue };
                    if let Some(cursor) = self.slots[slot].session.cursor_in(want.0)
                        && matches!(cursor.source, Source::Waiting)
                        && (cursor.version, cursor.seq) == want.1
                    {
                        cursor.source = Source::Page(Rc::clone(&page), 0);
                        self.pump(slot);
                    }
                }
            }
        }
        self.start_page_reads();
    }
}

impl Page {
    fn encode(page: &ClassicPage) -> Self {
        let mut frames = Vec::with_capacity(page.deleted.len() + page.messages.len());
        if page.pair.is_none() {
            frames.extend(page.deleted.iter().map(|id| (websocket::text_frame(&classic::message_deleted(*id)), None)));
        }
        for message in &page.messages {
            let receiver = page.pair.as_ref().and_then(|pair| pair.iter().find(|one| one.id != message.sender.id));
            frames.push(match receiver {
                Some(receiver) => {
                    (websocket::text_frame(&classic::private_message(message, receiver)), Some(receiver.id))
                }
                None => (websocket::text_frame(&classic::message(message)), None),
            });
        }
        Self { frames, reached: page.reached, complete: page.complete }
    }
}
