//! One session: its owner, its positions in rooms, and the output that waits for it.
//!
//! A session chooses its next output. It never touches a socket or reads a clock. Its parts: `hello.rs` (the
//! phases of a v1 session), `rooms.rs` (its rooms), `cursor.rs` (its position in one room), `notifications.rs`,
//! `output.rs` (what one write contains), `health.rs` (whether the peer is alive).

mod batch;
mod cursor;
mod health;
mod hello;
mod notifications;
mod output;
mod rooms;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use teahouse_core::limits::{BAD_ENVELOPES_MAX, BAD_ENVELOPES_WINDOW};
use teahouse_core::{Language, SessionId};

pub(crate) use batch::Batch;
pub(crate) use cursor::{Cursor, Page, Reader, SYNCS_WAITING_MAX, StoreRead};
pub(crate) use health::{Health, HealthStatus};
pub(crate) use hello::{Phase, V1};
pub(crate) use output::{GatherInput, OnlineCount};

use crate::clock::MonotonicMs;
use crate::ports::{Dialect, Identity, SessionContext};
use crate::ring::RingPosition;
use output::Output;

/// How long a close handshake may take: enough for a slow line, short compared with a drain.
pub(crate) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

/// One session, from its attach until its socket is closed.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) identity: Identity,
    /// None in a classic session.
    pub(crate) v1: Option<Box<V1>>,
    /// Frames that were gathered and did not fit into the kernel's buffer. They go out before all else.
    pub(crate) unsent: VecDeque<Bytes>,
    output: Output,
    /// Ordered by room id.
    cursors: Vec<Cursor>,
    pub(crate) health: Health,
    /// From here on only the close frame and what was queued before it go out.
    pub(crate) closing: bool,
    /// Times of the recent malformed envelopes. Nearly every session has none.
    #[expect(clippy::box_collection, reason = "a pointer in each of many idle sessions, not a whole queue")]
    malformed: Option<Box<VecDeque<MonotonicMs>>>,
}

/// The parameters of a new session.
pub(crate) struct SessionParams {
    pub(crate) id: SessionId,
    pub(crate) identity: Identity,
    /// The deadline of a v1 session's hello; none for a classic session.
    pub(crate) hello_until: Option<MonotonicMs>,
    pub(crate) ring_position: RingPosition,
}

impl Session {
    pub(crate) fn new(params: SessionParams, now: MonotonicMs) -> Self {
        let SessionParams { id, identity, hello_until, ring_position } = params;
        Self {
            id,
            identity,
            v1: hello_until.map(|until| Box::new(V1::new(until, now))),
            unsent: VecDeque::new(),
            output: Output::new(ring_position),
            cursors: Vec::with_capacity(1),
            health: Health::new(now),
            closing: false,
            malformed: None,
        }
    }

    pub(crate) fn context(&self) -> SessionContext {
        let Identity { user, language, address, .. } = self.identity;
        SessionContext { session: self.id, user, language, address }
    }

    pub(crate) fn language(&self) -> Language {
        self.identity.language
    }

    pub(crate) fn dialect(&self) -> Dialect {
        if self.v1.is_some() { Dialect::V1 } else { Dialect::Classic }
    }

    fn reader(&self) -> Reader {
        Reader { user: self.identity.user, dialect: self.dialect() }
    }

    /// Whether room changes and events go out to it. A v1 session has to be welcomed first.
    pub(crate) fn is_live(&self) -> bool {
        self.v1.as_ref().is_none_or(|v1| matches!(v1.phase, Phase::Live))
    }

    /// From now on only replies go out, the close frame last. What else waits for the session is dropped: it may keep
    /// its socket for seconds, and its user may have opened many meanwhile.
    pub(crate) fn begin_closing(&mut self) {
        self.closing = true;
        self.output.notifications = None;
        self.cursors.iter_mut().for_each(Cursor::drop_page);
        if let Some(Phase::Welcoming { deferred_requests, .. }) = self.v1.as_mut().map(|v1| &mut v1.phase) {
            *deferred_requests = Vec::new();
        }
    }

    /// Counts a malformed envelope. Returns whether the session exceeded its limit.
    pub(crate) fn record_malformed(&mut self, now: MonotonicMs) -> bool {
        let recent = self.malformed.get_or_insert_default();
        while recent.front().is_some_and(|at| now.since(*at) >= BAD_ENVELOPES_WINDOW) {
            recent.pop_front();
        }
        recent.push_back(now);
        recent.len() > BAD_ENVELOPES_MAX
    }
}

#[cfg(test)]
mod tests;
