//! The phases of a v1 session: it says hello, waits for its welcome, then is live.
//!
//! Between hello and welcome everything that concerns the session is kept in order: its own requests, and changes of
//! its memberships. The welcome is read from the store meanwhile, so nothing may fall between the two.

use std::collections::VecDeque;

use bytes::Bytes;
use teahouse_core::{RoomId, Seq, Version};

use super::Session;
use crate::clock::MonotonicMs;
use crate::inbox::Delivery;
use crate::ports::RequestOutcome;

/// The phase of a v1 session.
pub(crate) enum Phase {
    AwaitingHello {
        until: MonotonicMs,
    },
    /// The session said hello, and its welcome is being read.
    Welcoming {
        until: MonotonicMs,
        /// Replies that were queued before the hello; they do not wait for the welcome.
        replies_before: usize,
        /// Requests that arrived after the hello; they begin when the session is welcomed.
        deferred_requests: Vec<RequestOutcome>,
        /// The bytes of their texts.
        deferred_bytes: usize,
        /// Membership changes since the hello; they are applied when the session is welcomed.
        deferred_memberships: Vec<Delivery>,
    },
    Live,
}

/// A room that a session enters.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) room: RoomId,
    /// The position of the entry.
    pub(super) at: (Version, Seq),
    pub(super) by: EnteredBy,
}

/// How a session enters a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EnteredBy {
    /// The answer to a request of the session is the entry.
    Request,
    /// The shard reads the entry and sends it.
    Introduction,
    /// The same, but the client has an entry already.
    ShownIntroduction,
}

/// The state that only v1 sessions have.
pub(crate) struct V1 {
    pub(crate) phase: Phase,
    pub(crate) attached_at: MonotonicMs,
    /// Rooms of the hello that are still to be caught up, in the client's order.
    pub(super) resumes: VecDeque<RoomId>,
    /// Rooms that the session enters. Nothing of such a room goes out before its entry.
    pub(super) entering: Vec<Entering>,
    /// Rooms of which a page of the past is being read, once for each page. Newer changes go out after the page.
    pub(super) reading: Vec<RoomId>,
    /// Rooms whose presence this session watches.
    pub(crate) watches: Vec<RoomId>,
}

impl V1 {
    pub(super) fn new(hello_until: MonotonicMs, now: MonotonicMs) -> Self {
        Self {
            phase: Phase::AwaitingHello { until: hello_until },
            attached_at: now,
            resumes: VecDeque::new(),
            entering: Vec::new(),
            reading: Vec::new(),
            watches: Vec::new(),
        }
    }

    /// The rooms of which nothing may go out now. Nearly always there are none, and nothing is allocated.
    pub(super) fn held_rooms(&self) -> Vec<RoomId> {
        self.entering.iter().map(|entering| entering.room).chain(self.reading.iter().copied()).collect()
    }
}

impl Session {
    /// The session said hello. Returns false when it had said so before.
    pub(crate) fn begin_welcome(&mut self) -> bool {
        let replies_before = self.output.replies.len();
        let Some(v1) = &mut self.v1 else { return false };
        let Phase::AwaitingHello { until } = v1.phase else { return false };
        let (deferred_requests, deferred_bytes, deferred_memberships) = (Vec::new(), 0, Vec::new());
        v1.phase = Phase::Welcoming { until, replies_before, deferred_requests, deferred_bytes, deferred_memberships };
        true
    }

    /// Queues the welcome before all replies that waited for it. Returns the deferred requests and membership changes.
    pub(crate) fn welcome(&mut self, frame: Bytes, users_online: u64) -> (Vec<RequestOutcome>, Vec<Delivery>) {
        self.output.count_sent = users_online;
        self.output.count_due = false;
        let phase = self.v1.as_mut().map(|v1| std::mem::replace(&mut v1.phase, Phase::Live));
        let (index, requests, memberships) = match phase {
            Some(Phase::Welcoming { replies_before, deferred_requests, deferred_memberships, .. }) => {
                (replies_before, deferred_requests, deferred_memberships)
            }
            _ => (0, Vec::new(), Vec::new()),
        };
        self.output.reply_bytes += frame.len();
        self.output.replies.insert(index, frame);
        (requests, memberships)
    }

    /// Whether the session said hello and was not welcomed yet.
    pub(crate) fn is_awaiting_welcome(&self) -> bool {
        self.v1.as_ref().is_some_and(|v1| matches!(v1.phase, Phase::Welcoming { .. }))
    }

    /// Whether too many replies wait, or requests for the welcome, or too many bytes of either. Then the shard leaves
    /// further requests in the socket (backpressure).
    pub(crate) fn is_saturated(&self, waiting_envelopes_max: usize, reply_bytes_max: usize) -> bool {
        let (deferred, bytes) = match self.v1.as_ref().map(|v1| &v1.phase) {
            Some(Phase::Welcoming { deferred_requests, deferred_bytes, .. }) => {
                (deferred_requests.len(), *deferred_bytes)
            }
            _ => (0, 0),
        };
        self.output.replies.len() + deferred >= waiting_envelopes_max
            || self.output.reply_bytes + bytes >= reply_bytes_max
    }
}
