//! One session: where it stands in its rooms, what waits for it, what is known of its peer. It decides
//! what goes out next and never touches a socket.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use teahouse_core::limits::{BAD_ENVELOPES_MAX, BAD_ENVELOPES_WINDOW};
use teahouse_core::{Language, RoomId, Seq, SessionId, TokenMark, UserId, Version};

use crate::clock::Moment;
use crate::options::HubOptions;
use crate::seams::Caller;
use crate::tail::{Ahead, Tail};
use crate::websocket::PING_FRAME_BYTES;

/// How much is gathered for one write: enough to fill a socket's buffer, small beside a slice of the loop.
const BATCH_BYTES: usize = 64 * 1024;
/// And in how many frames; the kernel takes up to 1,024 pieces a write.
const BATCH_FRAMES: usize = 64;

/// A session's place in a room.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) room: RoomId,
    /// Everything up to here was put before the session …
    pub(crate) version: Version,
    /// … and every message up to here.
    pub(crate) seq: Seq,
    pub(crate) source: Source,
}

/// From where a cursor reads on.
#[derive(Debug)]
pub(crate) enum Source {
    /// From the room's tail.
    Tail,
    /// It is older than the tail; a page was asked of the store.
    Waiting,
    /// From this page, from this frame on.
    Page(Rc<Page>, usize),
}

/// A page of the store, encoded once for all sessions that stand at the same place.
#[derive(Debug)]
pub(crate) struct Page {
    /// Each with the only user whom it concerns, in direct rooms.
    pub(crate) frames: Vec<(Bytes, Option<UserId>)>,
    pub(crate) reached: (Version, Seq),
    /// Whether the tail goes on from there; if not, another page does.
    pub(crate) complete: bool,
}

/// How many people are online, as sessions are told: always the newest number, never a queue of them.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) users: u64,
    pub(crate) frame: Bytes,
}

/// A page that a session needs: the room and the place from which on.
pub(crate) type Want = (RoomId, (Version, Seq));

/// What goes out in one write.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) frames: VecDeque<Bytes>,
    bytes: usize,
    /// Room changes among the frames.
    pub(crate) deliveries: u64,
}

impl Batch {
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.frames.len() >= BATCH_FRAMES || self.bytes >= BATCH_BYTES
    }

    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.bytes = 0;
        self.deliveries = 0;
    }
}

/// Something for one user outside of rooms: what it is about, and its frame.
type Told = ((RoomId, UserId), Bytes);

/// What a session is told besides rooms, as long as any waits.
#[derive(Debug, Default)]
struct Personal {
    told: VecDeque<Told>,
    missed: bool,
}

/// One session, from its attach until its socket is closed.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) user: UserId,
    pub(crate) mark: TokenMark,
    language: Language,
    address: IpAddr,
    /// What was begun or gathered and did not fit into the kernel's buffer.
    pub(crate) unsent: VecDeque<Bytes>,
    /// Answers and control frames, in order. While many wait, the session's requests are not read.
    replies: VecDeque<Bytes>,
    personal: Option<Box<Personal>>,
    /// How many people online it was told of last.
    count_told: u64,
    /// Whether that is no longer what the shard tells.
    count_due: bool,
    pub(crate) cursors: Vec<Cursor>,
    pub(crate) health: Health,
    /// Set from the moment on in which nothing but the goodbye goes out.
    pub(crate) closing: bool,
    /// When the last frames came that were no request; empty for nearly everybody.
    malformed: VecDeque<Moment>,
}

impl Session {
    pub(crate) fn new(
        id: SessionId,
        user: UserId,
        mark: TokenMark,
        language: Language,
        address: IpAddr,
        now: Moment,
    ) -> Self {
        Self {
            id,
            user,
            mark,
            language,
            address,
            unsent: VecDeque::new(),
            replies: VecDeque::new(),
            personal: None,
            count_told: 0,
            count_due: false,
            cursors: Vec::with_capacity(1),
            health: Health::new(now),
            closing: false,
            malformed: VecDeque::new(),
        }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { session: self.id, user: self.user, language: self.language, address: self.address }
    }

    pub(crate) fn language(&self) -> Language {
        self.language
    }

    /// Puts an answer behind the others.
    pub(crate) fn reply(&mut self, frame: Bytes) {
        self.replies.push_back(frame);
    }

    /// Whether so many answers wait that its requests are left in the socket until it reads.
    pub(crate) fn is_saturated(&self, waiting_envelopes_max: usize) -> bool {
        self.replies.len() >= waiting_envelopes_max
    }

    /// Counts a frame that was no request, and says whether it was one too many.
    pub(crate) fn is_one_malformed_too_many(&mut self, now: Moment) -> bool {
        while self.malformed.front().is_some_and(|at| now.since(*at) >= BAD_ENVELOPES_WINDOW) {
            self.malformed.pop_front();
        }
        self.malformed.push_back(now);
        self.malformed.len() > BAD_ENVELOPES_MAX
    }

    /// Puts something outside of rooms before it; what says the same and still waits is not doubled.
    /// Beyond `waiting_envelopes_max` it is told that it missed something instead.
    pub(crate) fn tell(&mut self, kind: (RoomId, UserId), frame: Bytes, waiting_envelopes_max: usize) {
        let personal = self.personal.get_or_insert_default();
        if personal.told.iter().any(|(waiting, _)| *waiting == kind) {
            return;
        }
        if personal.told.len() >= waiting_envelopes_max {
            personal.missed = true;
        } else {
            personal.told.push_back((kind, frame));
        }
    }

    /// Welcomes it with the number of people online.
    pub(crate) fn tell_count_at_once(&mut self, count: Count) {
        self.count_told = count.users;
        self.reply(count.frame);
    }

    /// The number of people online moved by a tick: this session is told, unless it knows.
    pub(crate) fn count_moved(&mut self, users: u64) {
        self.count_due = self.count_told != users;
    }

    pub(crate) fn cursor_in(&mut self, room: RoomId) -> Option<&mut Cursor> {
        self.cursors.iter_mut().find(|cursor| cursor.room == room)
    }

    /// Gathers what goes out next, as far as a batch reaches. Cursors move over what is gathered; pages
    /// that are needed from the store are added to `wants`.
    pub(crate) fn gather<'a>(
        &mut self,
        tail_of: impl Fn(RoomId) -> Option<&'a Tail>,
        count: &Count,
        events_missed: impl Fn(Language) -> Bytes,
        batch: &mut Batch,
        wants: &mut Vec<Want>,
    ) {
        while !batch.is_full()
            && let Some(frame) = self.replies.pop_front()
        {
            batch.push(frame);
        }
        if self.closing || batch.is_full() {
            return;
        }
        if let Some(personal) = &mut self.personal {
            while !batch.is_full()
                && let Some((_, frame)) = personal.told.pop_front()
            {
                batch.push(frame);
            }
            if personal.told.is_empty() {
                if personal.missed {
                    batch.push(events_missed(self.language));
                }
                self.personal = None;
            }
        }
        if std::mem::take(&mut self.count_due) {
            self.count_told = count.users;
            batch.push(count.frame.clone());
        }
        for cursor in &mut self.cursors {
            if let Some(tail) = tail_of(cursor.room) {
                cursor.gather(self.user, tail, batch, wants);
            }
        }
    }

    /// Whether anything is left that [`Session::gather`] would put into a batch.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.unsent.is_empty() || !self.replies.is_empty() || self.personal.is_some()
    }
}

impl Cursor {
    pub(crate) fn at(room: RoomId, (version, seq): (Version, Seq)) -> Self {
        Self { room, version, seq, source: Source::Tail }
    }

    fn gather(&mut self, user: UserId, tail: &Tail, batch: &mut Batch, wants: &mut Vec<Want>) {
        while !batch.is_full() {
            match &mut self.source {
                Source::Waiting => return,
                Source::Tail => match tail.ahead(self.version) {
                    Ahead::Nothing => return,
                    Ahead::TooOld => {
                        self.source = Source::Waiting;
                        wants.push((self.room, (self.version, self.seq)));
                        return;
                    }
                    Ahead::Next(entry) => {
                        self.version = entry.version;
                        self.seq = self.seq.max(entry.last_seq);
                        if let Some(frame) = &entry.classic
                            && entry.classic_only.is_none_or(|only| only == user)
                        {
                            batch.deliveries += 1;
                            batch.push(frame.clone());
                        }
                    }
                },
                Source::Page(page, next) => match page.frames.get(*next) {
                    Some((frame, only)) => {
                        *next += 1;
                        if only.is_none_or(|only| only == user) {
                            batch.deliveries += 1;
                            batch.push(frame.clone());
                        }
                    }
                    None => {
                        let (reached, complete) = (page.reached, page.complete);
                        (self.version, self.seq) = reached;
                        if !complete {
                            self.source = Source::Waiting;
                            wants.push((self.room, reached));
                            return;
                        }
                        self.source = Source::Tail;
                    }
                },
            }
        }
    }
}

/// What is known of a session's peer and of the way to it. Pure: the kernel's queue comes in as a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pinged_at: Moment,
    /// Nothing came since the last ping.
    unanswered: bool,
    sent_bytes: u64,
    acknowledged_bytes: u64,
    progress_at: Moment,
}

/// What a look at a session's health says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Well,
    /// It is time to ask for a sign of life.
    Ping,
    /// Nothing could be sent for too long (4000).
    Stalled,
    /// No sign of life after a ping (4001).
    Silent,
}

impl Health {
    fn new(now: Moment) -> Self {
        Self { pinged_at: now, unanswered: false, sent_bytes: 0, acknowledged_bytes: 0, progress_at: now }
    }

    /// Something came from the peer.
    pub(crate) fn heard(&mut self) {
        self.unanswered = false;
    }

    /// Bytes were given to the kernel.
    pub(crate) fn sent(&mut self, bytes: usize, now: Moment) {
        if self.sent_bytes == self.acknowledged_bytes {
            self.progress_at = now;
        }
        self.sent_bytes += bytes as u64;
    }

    /// Whether the kernel has to be asked for its queue before judging.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.sent_bytes != self.acknowledged_bytes
    }

    /// Whether bytes were given to the kernel so recently that it is too early to ask about them.
    pub(crate) fn is_settling(&self, now: Moment, settling: Duration) -> bool {
        self.is_unsettled() && !self.unanswered && now.since(self.progress_at) < settling
    }

    /// Judges, given what the kernel still holds and whether more waits behind it (PROTOCOL.md section 3):
    /// a peer that is silent after a ping is given up only while nothing but the ping is on its way;
    /// with data waiting, what counts is whether the queue shrinks.
    pub(crate) fn judge(&mut self, now: Moment, queued: u64, more_waits: bool, options: &HubOptions) -> Verdict {
        let acknowledged = self.sent_bytes.saturating_sub(queued);
        if acknowledged > self.acknowledged_bytes {
            self.acknowledged_bytes = acknowledged;
            self.progress_at = now;
        }
        let data_waits = more_waits || queued > PING_FRAME_BYTES as u64;
        if data_waits && self.is_unsettled() && now.since(self.progress_at) >= options.stall_timeout {
            return Verdict::Stalled;
        }
        if self.unanswered {
            // What was still under way behind the ping gets its ten seconds too.
            let asked_at = self.pinged_at.max(self.progress_at);
            if !data_waits && now.since(asked_at) >= options.pong_timeout {
                return Verdict::Silent;
            }
        } else if now.since(self.pinged_at) >= options.ping_interval {
            self.pinged_at = now;
            self.unanswered = true;
            return Verdict::Ping;
        }
        Verdict::Well
    }
}

/// How long a goodbye may take: enough for a slow line, short beside a drain.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
