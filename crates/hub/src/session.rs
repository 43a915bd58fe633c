//! One session: where it stands in its rooms, what waits for it, what is known of its peer. It decides
//! what goes out next and never touches a socket.

mod batch;
mod cursor;
mod health;
mod notifications;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use teahouse_core::limits::{BAD_ENVELOPES_MAX, BAD_ENVELOPES_WINDOW};
use teahouse_core::{Language, RoomId, SessionId, TokenMark, UserId, Version};
use teahouse_protocol::v1;

pub(crate) use batch::Batch;
pub(crate) use cursor::{Cursor, Page, Reader, StoreRead};
pub(crate) use health::{Health, HealthStatus};
use notifications::NotificationQueue;

use crate::clock::MonotonicMs;
use crate::inbox::{CoalesceKey, Delivery};
use crate::ports::{Dialect, RequestOutcome, SessionContext};
use crate::ring::{Ring, RingPosition};
use crate::tail::Tail;
use crate::websocket::text_frame;

/// Of the rooms that a returning client holds, so many are read from the store ahead of the one that is
/// being sent; a page of each waits in memory.
const CATCH_UPS_AHEAD: usize = 4;

/// How long a goodbye may take: enough for a slow line, short beside a drain.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many people are online, as sessions are told: always the newest number, never a queue of them.
#[derive(Clone, Debug)]
pub(crate) struct OnlineCount {
    pub(crate) users: u64,
    pub(crate) frame: Bytes,
}

/// How far a v1 session is.
pub(crate) enum Phase {
    /// It has until then to say hello.
    AwaitingHello { until: MonotonicMs },
    /// It said hello, and what it begins with is being read. What it asks behind its hello is begun when it is
    /// welcomed, and what becomes of its rooms meanwhile is told then; both wait here, in order. Of its answers so
    /// many were there before, and do not wait.
    Welcoming {
        until: MonotonicMs,
        replies_before: usize,
        deferred_requests: Vec<RequestOutcome>,
        deferred_memberships: Vec<Delivery>,
    },
    /// It was welcomed.
    Live,
}

/// What only v1 sessions have.
pub(crate) struct V1 {
    pub(crate) phase: Phase,
    /// When the session began.
    pub(crate) since: MonotonicMs,
    /// The rooms that its hello named and that it is still to be caught up in, most wanted first.
    resumes: VecDeque<RoomId>,
    /// The rooms that a request of its own brought it into, until that is answered with the entry of this version:
    /// nothing of them goes out before.
    entering: Vec<(RoomId, Version)>,
    /// The rooms of which a page of the past is being read for it, as often as there are pages: what is newer
    /// goes out behind them.
    reading: Vec<RoomId>,
    /// Of which rooms it is told who comes and goes.
    pub(crate) watches: Vec<RoomId>,
}

impl V1 {
    /// The rooms of which nothing goes out now. Nearly always there are none, and nothing is allocated.
    fn held(&self) -> Vec<RoomId> {
        self.entering.iter().map(|(room, _)| *room).chain(self.reading.iter().copied()).collect()
    }
}

/// One session, from its attach until its socket is closed.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) mark: TokenMark,
    language: Language,
    address: IpAddr,
    /// None: it speaks classic.
    pub(crate) v1: Option<Box<V1>>,
    /// What was begun or gathered and did not fit into the kernel's buffer.
    pub(crate) unsent: VecDeque<Bytes>,
    /// Answers and control frames, in order. While many wait, the session's requests are not read.
    replies: VecDeque<Bytes>,
    notifications: Option<Box<NotificationQueue>>,
    /// How many people online it was told of last.
    count_sent: u64,
    /// Whether that is no longer what the shard tells.
    count_due: bool,
    /// How far it is in what was published to everybody.
    ring_position: RingPosition,
    /// In the order of the rooms' ids.
    cursors: Vec<Cursor>,
    pub(crate) health: Health,
    /// Set from the moment on in which nothing but the goodbye goes out.
    pub(crate) closing: bool,
    /// When the last frames came that were no request; empty for nearly everybody.
    malformed: VecDeque<MonotonicMs>,
}

/// What a session is made from.
pub(crate) struct SessionParams {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) mark: TokenMark,
    pub(crate) language: Language,
    pub(crate) address: IpAddr,
    /// By when a v1 session must say hello; none for a classic one.
    pub(crate) hello_until: Option<MonotonicMs>,
    pub(crate) ring_position: RingPosition,
}

/// What a session's next batch is gathered from.
pub(crate) struct GatherInput<'a, T> {
    pub(crate) tail_of: T,
    pub(crate) count: &'a OnlineCount,
    pub(crate) ring: &'a Ring,
    pub(crate) events_missed: &'a dyn Fn(Language, Dialect) -> Bytes,
}

impl Session {
    pub(crate) fn new(params: SessionParams, now: MonotonicMs) -> Self {
        let SessionParams { id, user, mark, language, address, hello_until, ring_position } = params;
        let v1 = |until| V1 {
            phase: Phase::AwaitingHello { until },
            since: now,
            resumes: VecDeque::new(),
            entering: Vec::new(),
            reading: Vec::new(),
            watches: Vec::new(),
        };
        Self {
            id,
            user,
            mark,
            language,
            address,
            v1: hello_until.map(|until| Box::new(v1(until))),
            unsent: VecDeque::new(),
            replies: VecDeque::new(),
            notifications: None,
            count_sent: 0,
            count_due: false,
            ring_position,
            cursors: Vec::with_capacity(1),
            health: Health::new(now),
            closing: false,
            malformed: VecDeque::new(),
        }
    }

    pub(crate) fn context(&self) -> SessionContext {
        SessionContext { session: self.id, user: self.user, language: self.language, address: self.address }
    }

    pub(crate) fn language(&self) -> Language {
        self.language
    }

    pub(crate) fn dialect(&self) -> Dialect {
        if self.v1.is_some() { Dialect::V1 } else { Dialect::Classic }
    }

    fn reader(&self) -> Reader {
        Reader { user: self.user, dialect: self.dialect() }
    }

    /// Whether rooms and events go out to it: a v1 session must have been welcomed.
    pub(crate) fn is_live(&self) -> bool {
        self.v1.as_ref().is_none_or(|v1| matches!(v1.phase, Phase::Live))
    }

    // ── Answers ──

    /// Puts an answer behind the others.
    pub(crate) fn reply(&mut self, frame: Bytes) {
        self.replies.push_back(frame);
    }

    /// It said hello: what it asks from here on is answered behind its welcome. Says whether it had yet to.
    pub(crate) fn begin_welcome(&mut self) -> bool {
        let replies_before = self.replies.len();
        let Some(v1) = &mut self.v1 else { return false };
        let Phase::AwaitingHello { until } = v1.phase else { return false };
        v1.phase =
            Phase::Welcoming { until, replies_before, deferred_requests: Vec::new(), deferred_memberships: Vec::new() };
        true
    }

    /// Puts the welcome before all answers that waited for it. Gives what waited besides: what it asked, and what
    /// became of its rooms.
    pub(crate) fn welcome(&mut self, frame: Bytes, count_sent: u64) -> (Vec<RequestOutcome>, Vec<Delivery>) {
        self.count_sent = count_sent;
        self.count_due = false;
        let phase = self.v1.as_mut().map(|v1| std::mem::replace(&mut v1.phase, Phase::Live));
        let (place, deferred_requests, deferred_memberships) = match phase {
            Some(Phase::Welcoming { replies_before, deferred_requests, deferred_memberships, .. }) => {
                (replies_before, deferred_requests, deferred_memberships)
            }
            _ => (0, Vec::new(), Vec::new()),
        };
        self.replies.insert(place, frame);
        (deferred_requests, deferred_memberships)
    }

    /// Whether so many answers wait that its requests are left in the socket until it reads.
    pub(crate) fn is_saturated(&self, waiting_envelopes_max: usize) -> bool {
        let deferred_requests = match self.v1.as_ref().map(|v1| &v1.phase) {
            Some(Phase::Welcoming { deferred_requests, .. }) => deferred_requests.len(),
            _ => 0,
        };
        self.replies.len() + deferred_requests >= waiting_envelopes_max
    }

    /// Whether it waits for its welcome, and its answers with it.
    pub(crate) fn is_awaiting_welcome(&self) -> bool {
        self.v1.as_ref().is_some_and(|v1| matches!(v1.phase, Phase::Welcoming { .. }))
    }

    /// Counts an envelope that was no request, and says whether it was one too many.
    pub(crate) fn record_malformed(&mut self, now: MonotonicMs) -> bool {
        while self.malformed.front().is_some_and(|at| now.since(*at) >= BAD_ENVELOPES_WINDOW) {
            self.malformed.pop_front();
        }
        self.malformed.push_back(now);
        self.malformed.len() > BAD_ENVELOPES_MAX
    }

    /// Welcomes a classic session with the number of people online.
    pub(crate) fn reply_with_count(&mut self, count: OnlineCount) {
        self.count_sent = count.users;
        self.reply(count.frame);
    }

    /// The number of people online moved by a tick: this session is told, unless it knows.
    pub(crate) fn observe_count(&mut self, users: u64) {
        self.count_due = self.count_sent != users;
    }

    // ── Rooms ──

    pub(crate) fn cursor_in(&mut self, room: RoomId) -> Option<&mut Cursor> {
        let place = self.cursors.binary_search_by_key(&room, |cursor| cursor.room).ok()?;
        self.cursors.get_mut(place)
    }

    pub(crate) fn is_in(&self, room: RoomId) -> bool {
        self.cursors.binary_search_by_key(&room, |cursor| cursor.room).is_ok()
    }

    /// Gives it a place in a room. Says whether it had none there.
    pub(crate) fn add_cursor(&mut self, cursor: Cursor) -> bool {
        match self.cursors.binary_search_by_key(&cursor.room, |other| other.room) {
            Ok(_) => false,
            Err(place) => {
                self.cursors.insert(place, cursor);
                true
            }
        }
    }

    /// Takes its place in a room away, if it had one.
    pub(crate) fn remove_cursor(&mut self, room: RoomId) -> Option<Cursor> {
        // One that it is not in may still be to be told as removed.
        let place = self.cursors.binary_search_by_key(&room, |cursor| cursor.room).ok()?;
        if let Some(v1) = &mut self.v1 {
            v1.resumes.retain(|other| *other != room);
            v1.reading.retain(|other| *other != room);
        }
        Some(self.cursors.remove(place))
    }

    /// A request of its own brought it into a room: nothing of it goes out before that is answered, with the room
    /// as it was at this version.
    pub(crate) fn begin_entering(&mut self, room: RoomId, version: Version) {
        if let Some(v1) = &mut self.v1 {
            v1.entering.retain(|(other, _)| *other != room);
            v1.entering.push((room, version));
        }
    }

    /// A request was answered with a room as it was at this version. Says whether the room waited for just that.
    pub(crate) fn finish_entering(&mut self, room: RoomId, version: Version) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let place = v1.entering.iter().position(|entering| *entering == (room, version));
        place.map(|place| v1.entering.swap_remove(place)).is_some()
    }

    /// Whether its client holds a room as soon as it has read all answers by now: it goes on from what it holds then,
    /// whatever entry it is told.
    pub(crate) fn holds(&self, room: RoomId) -> bool {
        let is_entering = self.v1.as_ref().is_some_and(|v1| v1.entering.iter().any(|(other, _)| *other == room));
        self.is_in(room) && !is_entering && !self.has_pending(CoalesceKey::Membership(room))
    }

    /// A page of a room's past is about to be read for it, if it is in the room: nothing of it goes out before
    /// the page. Says whether it is.
    pub(crate) fn begin_reading(&mut self, room: RoomId) -> bool {
        let is_in = self.is_in(room);
        if let Some(v1) = self.v1.as_mut().filter(|_| is_in) {
            v1.reading.push(room);
        }
        is_in
    }

    /// The page is there. Says whether the room was waiting for it all the time.
    pub(crate) fn finish_read(&mut self, room: RoomId) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let place = v1.reading.iter().position(|other| *other == room);
        place.map(|place| v1.reading.swap_remove(place)).is_some()
    }

    pub(crate) fn rooms(&self) -> impl Iterator<Item = RoomId> + '_ {
        self.cursors.iter().map(|cursor| cursor.room)
    }

    /// Something changed in a room.
    pub(crate) fn mark_due(&mut self, room: RoomId) {
        // The lobby is the first room of nearly everybody, and changes for all of them at once.
        match self.cursors.first_mut() {
            Some(cursor) if cursor.room == room => cursor.due = true,
            _ => {
                if let Some(cursor) = self.cursor_in(room) {
                    cursor.due = true;
                }
            }
        }
    }

    /// Brings it from what it holds of a room to what the room is, behind the rooms that it wants more. Of one
    /// that it is not in it is told so, in its turn.
    pub(crate) fn resume(&mut self, room: RoomId, held: Option<Version>) {
        if let Some(cursor) = self.cursor_in(room) {
            cursor.resume(held);
        }
        if let Some(v1) = &mut self.v1 {
            v1.resumes.push_back(room);
        }
    }

    /// Whether its hello named this room and it was not yet told that it is not in it; from now on that is so.
    pub(crate) fn take_resume(&mut self, room: RoomId) -> bool {
        let Some(v1) = &mut self.v1 else { return false };
        let place = v1.resumes.iter().position(|other| *other == room);
        place.and_then(|place| v1.resumes.remove(place)).is_some()
    }

    /// Drops the cursors that `is_settled` says are no longer needed, and gives their rooms.
    pub(crate) fn drop_settled(&mut self, is_settled: impl Fn(&Cursor) -> bool) -> Vec<RoomId> {
        let mut dropped = Vec::new();
        self.cursors.retain(|cursor| {
            let settled = is_settled(cursor);
            if settled {
                dropped.push(cursor.room);
            }
            !settled
        });
        dropped
    }

    // ── What goes out ──

    /// Gathers what goes out next, as far as a batch reaches. Cursors move over what is gathered; what is
    /// needed from the store is added to `wants`.
    pub(crate) fn gather<'a, T>(&mut self, sources: &GatherInput<'_, T>, batch: &mut Batch, wants: &mut Vec<StoreRead>)
    where
        T: Fn(RoomId) -> Option<&'a Tail>,
    {
        self.gather_replies(batch);
        if self.closing || batch.is_full() || !self.is_live() {
            return;
        }
        self.gather_notifications(sources, batch);
        let reader = self.reader();
        self.gather_resumes(reader, sources, batch, wants);
        let held = self.v1.as_ref().map_or_else(Vec::new, |v1| v1.held());
        let resuming = self.v1.as_ref().is_some_and(|v1| !v1.resumes.is_empty());
        for cursor in &mut self.cursors {
            if cursor.due
                && !(resuming && cursor.is_catching_up())
                && !held.contains(&cursor.room)
                && let Some(tail) = (sources.tail_of)(cursor.room)
            {
                cursor.gather(reader, tail, batch, wants);
            }
        }
    }

    fn gather_replies(&mut self, batch: &mut Batch) {
        let mut all = self.replies.len();
        let due = match self.v1.as_mut().map(|v1| &mut v1.phase) {
            // What was asked behind the hello is answered behind the welcome.
            Some(Phase::Welcoming { replies_before, .. }) if !self.closing => replies_before,
            _ => &mut all,
        };
        while *due > 0
            && !batch.is_full()
            && let Some(frame) = self.replies.pop_front()
        {
            batch.push(frame);
            *due -= 1;
        }
        if self.replies.is_empty() {
            // Most sessions are answered once in their life, and shall not keep room for more.
            self.replies = VecDeque::new();
        }
    }

    fn gather_notifications<T>(&mut self, sources: &GatherInput<'_, T>, batch: &mut Batch) {
        self.gather_queue(sources.events_missed, batch);
        if std::mem::take(&mut self.count_due) {
            self.count_sent = sources.count.users;
            batch.push(sources.count.frame.clone());
        }
        if !sources.ring.is_at_end(self.ring_position) {
            let (language, dialect) = (self.language, self.dialect());
            let missed = || (sources.events_missed)(language, dialect);
            sources.ring.gather(&mut self.ring_position, dialect, missed, batch);
        }
    }

    /// The rooms that hello named are caught up in its order: pages of the next few are asked for, and what
    /// goes out is always of the first.
    fn gather_resumes<'a, T>(
        &mut self,
        reader: Reader,
        sources: &GatherInput<'_, T>,
        batch: &mut Batch,
        wants: &mut Vec<StoreRead>,
    ) where
        T: Fn(RoomId) -> Option<&'a Tail>,
    {
        let Some(v1) = &mut self.v1 else { return };
        let held = v1.held();
        let mut ahead = 0;
        while ahead < v1.resumes.len().min(CATCH_UPS_AHEAD) && !batch.is_full() {
            let room = v1.resumes[ahead];
            let place = self.cursors.binary_search_by_key(&room, |cursor| cursor.room).ok();
            let Some((cursor, tail)) = place.map(|place| &mut self.cursors[place]).zip((sources.tail_of)(room)) else {
                if ahead == 0 {
                    batch.push(text_frame(&v1::removed(room)));
                    v1.resumes.pop_front();
                } else {
                    ahead += 1;
                }
                continue;
            };
            if ahead > 0 {
                cursor.prefetch(tail, wants);
                ahead += 1;
                continue;
            }
            if held.contains(&room) {
                ahead += 1;
                continue;
            }
            if cursor.due {
                cursor.gather(reader, tail, batch, wants);
            }
            if cursor.is_catching_up() {
                ahead += 1;
            } else {
                v1.resumes.pop_front();
            }
        }
    }

    /// Whether it waits for an answer before it hears of some room.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.v1.as_ref().is_some_and(|v1| !v1.held().is_empty())
    }

    /// Whether anything is left that [`Session::gather`] would put into a batch.
    pub(crate) fn has_output(&self) -> bool {
        !self.unsent.is_empty() || !self.replies.is_empty() || self.notifications.is_some()
    }
}

#[cfg(test)]
mod tests;
