//! The contents of one write to a session, in this order: replies, notifications, the online count, published events,
//! rooms that are being resumed, then the other rooms. It fills a [`Batch`] and never writes.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{Language, RoomId};
use teahouse_protocol::v1;

use super::notifications::NotificationQueue;
use super::{Batch, Phase, Reader, Session, StoreRead};
use crate::ports::Dialect;
use crate::ring::{Ring, RingPosition};
use crate::tail::Tail;
use crate::websocket::text_frame;

/// Rooms of a returning client that are read from the store ahead of the one being sent. A page of each waits in
/// memory.
const RESUMES_PREFETCHED: usize = 4;
/// Bytes of such pages that wait in memory before no more are requested. A reset is not split into pages, so one can
/// have many.
const PREFETCHED_BYTES_MAX: usize = 256 * 1024;

/// The number of users online, and its frame. Only the newest number is ever sent.
#[derive(Clone, Debug)]
pub(crate) struct OnlineCount {
    pub(crate) users: u64,
    pub(crate) frame: Bytes,
}

/// The output that waits for a session besides changes of its rooms.
pub(super) struct Output {
    /// Replies and control frames, in order. While many wait, the session's requests are not read.
    pub(super) replies: VecDeque<Bytes>,
    /// Their bytes.
    pub(super) reply_bytes: usize,
    pub(super) notifications: Option<Box<NotificationQueue>>,
    /// The online count that was sent last.
    pub(super) count_sent: u64,
    /// The count that this session knows differs from the shard's.
    pub(super) count_due: bool,
    /// The position up to which the session was sent published events.
    ring_position: RingPosition,
}

impl Output {
    pub(super) fn new(ring_position: RingPosition) -> Self {
        let replies = VecDeque::new();
        Self { replies, reply_bytes: 0, notifications: None, count_sent: 0, count_due: false, ring_position }
    }
}

/// The shared data that a session's next batch is gathered from.
pub(crate) struct GatherInput<'a, T> {
    pub(crate) tail_of: T,
    pub(crate) count: &'a OnlineCount,
    pub(crate) ring: &'a Ring,
    pub(crate) events_missed: &'a dyn Fn(Language, Dialect) -> Bytes,
}

impl Session {
    /// Queues a reply after the others.
    pub(crate) fn reply(&mut self, frame: Bytes) {
        self.output.reply_bytes += frame.len();
        self.output.replies.push_back(frame);
    }

    /// The bytes of the replies that wait.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.output.reply_bytes
    }

    /// Queues the online count as a reply: a classic session begins with it.
    pub(crate) fn reply_with_count(&mut self, count: OnlineCount) {
        self.output.count_sent = count.users;
        self.reply(count.frame);
    }

    /// A tick changed the online count. The session is sent it unless it knows that number.
    pub(crate) fn observe_count(&mut self, users: u64) {
        self.output.count_due = self.output.count_sent != users;
    }

    /// Whether [`Session::gather`] would find something besides room changes.
    pub(crate) fn has_output(&self) -> bool {
        !self.unsent.is_empty() || !self.output.replies.is_empty() || self.output.notifications.is_some()
    }

    /// Gathers what goes out next, until the batch is full. Cursors move past what is gathered. Reads of the store
    /// that the session needs are added to `reads`.
    pub(crate) fn gather<'a, T>(&mut self, input: &GatherInput<'_, T>, batch: &mut Batch, reads: &mut Vec<StoreRead>)
    where
        T: Fn(RoomId) -> Option<&'a Tail>,
    {
        self.gather_replies(batch);
        if self.closing || batch.is_full() || !self.is_live() {
            return;
        }
        self.gather_notifications(input.events_missed, batch);
        self.gather_count(input.count, batch);
        self.gather_events(input, batch);
        let reader = self.reader();
        self.gather_resumes(reader, input, batch, reads);
        let held = self.v1.as_ref().map_or_else(Vec::new, |v1| v1.held_rooms());
        let resuming = self.v1.as_ref().is_some_and(|v1| !v1.resumes.is_empty());
        for cursor in &mut self.cursors {
            if cursor.due
                && !(resuming && cursor.is_catching_up())
                && !held.contains(&cursor.room)
                && let Some(tail) = (input.tail_of)(cursor.room)
            {
                cursor.gather(reader, tail, batch, reads);
            }
        }
    }

    fn gather_replies(&mut self, batch: &mut Batch) {
        let mut all = self.output.replies.len();
        let due = match self.v1.as_mut().map(|v1| &mut v1.phase) {
            // Replies to requests after the hello go out after the welcome.
            Some(Phase::Welcoming { replies_before, .. }) if !self.closing => replies_before,
            _ => &mut all,
        };
        while *due > 0
            && !batch.is_full()
            && let Some(frame) = self.output.replies.pop_front()
        {
            self.output.reply_bytes -= frame.len();
            batch.push(frame);
            *due -= 1;
        }
        if self.output.replies.is_empty() {
            // Most sessions receive one reply in their life and must not keep capacity for more.
            self.output.replies = VecDeque::new();
        }
    }

    fn gather_count(&mut self, count: &OnlineCount, batch: &mut Batch) {
        if std::mem::take(&mut self.output.count_due) {
            self.output.count_sent = count.users;
            batch.push(count.frame.clone());
        }
    }

    fn gather_events<T>(&mut self, input: &GatherInput<'_, T>, batch: &mut Batch) {
        if !input.ring.is_at_end(self.output.ring_position) {
            let (language, dialect) = (self.language(), self.dialect());
            let missed = || (input.events_missed)(language, dialect);
            input.ring.gather(&mut self.output.ring_position, dialect, missed, batch);
        }
    }

    /// Catches up the rooms of the hello in the client's order. Pages of the next few rooms are requested ahead; only
    /// the first room's changes go out.
    fn gather_resumes<'a, T>(
        &mut self,
        reader: Reader,
        input: &GatherInput<'_, T>,
        batch: &mut Batch,
        reads: &mut Vec<StoreRead>,
    ) where
        T: Fn(RoomId) -> Option<&'a Tail>,
    {
        let Some(v1) = &mut self.v1 else { return };
        let held = v1.held_rooms();
        let (mut ahead, mut bytes) = (0, 0);
        while ahead < v1.resumes.len().min(RESUMES_PREFETCHED) && !batch.is_full() {
            let room = v1.resumes[ahead];
            let index = self.cursors.binary_search_by_key(&room, |cursor| cursor.room).ok();
            let Some((cursor, tail)) = index.map(|index| &mut self.cursors[index]).zip((input.tail_of)(room)) else {
                if ahead == 0 {
                    batch.push(text_frame(&v1::removed(room)));
                    v1.resumes.pop_front();
                } else {
                    ahead += 1;
                }
                continue;
            };
            if ahead > 0 {
                if bytes >= PREFETCHED_BYTES_MAX {
                    break;
                }
                cursor.prefetch(tail, reads);
            } else if cursor.due && !held.contains(&room) {
                cursor.gather(reader, tail, batch, reads);
            }
            if ahead > 0 || cursor.is_catching_up() || held.contains(&room) {
                bytes += cursor.page_bytes();
                ahead += 1;
            } else {
                v1.resumes.pop_front();
            }
        }
    }
}
