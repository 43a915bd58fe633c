//! How sessions end: leaving the registry, the close frame, forgetting the slot.
//!
//! A session leaves the registry at most once, and at the latest when its slot is removed. After its close
//! frame it receives no responses.

use std::time::Duration;

use teahouse_core::limits::BAD_ENVELOPES_MAX;
use teahouse_core::token::Revoked;
use teahouse_core::{CloseCode, Revocation, SessionId, UserId};
use teahouse_protocol::{classic, v1};

use super::slots::Slot;
use super::state::Shard;
use crate::metrics::CodeLabel;
use crate::options::HubOptions;
use crate::ports::Dialect;
use crate::registry::{Effect, LeaveOutcome, LeaveReason};
use crate::session::{GOODBYE_TIMEOUT, Phase, Session};
use crate::websocket;

/// The details of a close besides its code.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CloseNotice<'a> {
    /// At most 123 bytes; the code's own reason if none.
    pub(crate) reason: Option<&'a str>,
    /// When a v1 client should reconnect, if at all.
    pub(crate) retry: Option<Duration>,
}

/// The bound that a session reached if it is closed with this code, and the figure.
fn bound_of(code: CloseCode, options: &HubOptions) -> Option<(&'static str, u64)> {
    match code {
        CloseCode::Stalled => Some(("sessions.stall_timeout", options.stall_timeout.as_secs())),
        CloseCode::NoHello => Some(("sessions.hello_timeout", options.hello_timeout.as_secs())),
        CloseCode::TooLarge => Some(("FRAME_BYTES_MAX", options.frame_bytes_max as u64)),
        CloseCode::Malformed => Some(("BAD_ENVELOPES_MAX", BAD_ENVELOPES_MAX as u64)),
        _ => None,
    }
}

impl Shard {
    /// Ends a session: it leaves the registry now, and its socket is closed after a close frame.
    pub(super) fn end(&mut self, index: usize, code: CloseCode) {
        self.end_with(index, code, CloseNotice::default());
    }

    /// The same, with a notice of its own.
    pub(super) fn end_with(&mut self, index: usize, code: CloseCode, notice: CloseNotice<'_>) {
        let Some(slot) = self.slots.get(index) else { return };
        if let Some((bound, figure)) = bound_of(code, &self.environment.options) {
            self.environment.metrics.bounds.record(bound, figure);
        }
        let is_classic = slot.session.dialect() == Dialect::Classic;
        let reason = match code {
            // Banned and logged-out clients do not reconnect; all others may soon do so.
            CloseCode::Banned | CloseCode::Revoked => LeaveReason::Clean,
            code if is_classic && code.for_classic() == CloseCode::Policy => LeaveReason::Clean,
            _ => LeaveReason::Lost,
        };
        self.leave(index, reason);
        self.send_close(index, code, notice);
    }

    /// Ends a session because the server shuts down.
    pub(super) fn close_for_restart(&mut self, index: usize) {
        let (shard, shards) = (self.environment.index, self.environment.inboxes.len());
        let retry = self.drain.as_mut().map(|drain| drain.next_reconnect_delay(shard, shards));
        self.end_with(index, CloseCode::Restart, CloseNotice { reason: None, retry });
    }

    /// Removes a session from the registry, once. A displaced session is no longer registered, so nothing changes.
    pub(super) fn leave(&mut self, index: usize, reason: LeaveReason) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if std::mem::replace(&mut slot.leaving.has_left, true) {
            return;
        }
        let (user, id) = (slot.session.identity.user, slot.session.id);
        let mut effects = std::mem::take(&mut self.scratch.effects);
        match self.registry.leave(self.now, user, id, reason, &mut effects) {
            LeaveOutcome::Left => {
                self.environment.metrics.sessions.dec();
            }
            LeaveOutcome::Stale => {
                self.environment.metrics.stale_leaves.inc();
            }
        }
        self.apply(effects);
    }

    /// Applies what the registry decided.
    pub(super) fn apply(&mut self, mut effects: Vec<Effect>) {
        for effect in effects.drain(..) {
            match effect {
                Effect::Displaced(session) => {
                    self.environment.metrics.displacements.inc();
                    if let Some(index) = self.slot_of(session) {
                        self.environment.metrics.sessions.dec();
                        self.send_close(index, CloseCode::Displaced, CloseNotice::default());
                    }
                }
                Effect::Online(user) => {
                    self.environment.metrics.users.inc();
                    self.environment.online.set(user, true);
                }
                Effect::Offline(user) => {
                    self.environment.metrics.users.dec();
                    self.environment.online.set(user, false);
                }
            }
        }
        self.scratch.effects = effects;
    }

    /// Sends the last frames of a session and begins to wait for the peer's close frame.
    pub(super) fn send_close(&mut self, index: usize, code: CloseCode, notice: CloseNotice<'_>) {
        let slot = &mut self.slots[index];
        let session = &mut slot.session;
        if session.closing {
            return;
        }
        let reason = notice.reason.unwrap_or(code.reason());
        let code = match session.dialect() {
            Dialect::V1 => {
                let wait = notice.retry.unwrap_or_else(|| retry_after(code));
                let retry_ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
                session.reply(websocket::text_frame(&v1::goodbye(code, reason, retry_ms)));
                code
            }
            Dialect::Classic => {
                if code == CloseCode::Displaced {
                    session.reply(websocket::text_frame(&classic::displaced(session.language())));
                }
                code.for_classic()
            }
        };
        self.environment.metrics.closes.get_or_create(&CodeLabel { code: code.code() }).inc();
        session.reply(websocket::close_frame(code.code(), reason));
        session.begin_closing();
        slot.close_deadline = Some(self.now.plus(GOODBYE_TIMEOUT));
        self.flush(index);
    }

    /// The peer's close frame arrived, with this code if it gave one. It is answered with the same.
    pub(super) fn peer_closed(&mut self, index: usize, code: Option<u16>) {
        let reason = if code == Some(CloseCode::Done.code()) { LeaveReason::Clean } else { LeaveReason::Lost };
        self.leave(index, reason);
        let slot = &mut self.slots[index];
        slot.leaving.peer_closed = true;
        if !slot.session.closing {
            slot.session.begin_closing();
            slot.session.reply(match code {
                Some(code) => websocket::close_frame(code, ""),
                None => websocket::bare_close_frame(),
            });
            slot.close_deadline = Some(self.now.plus(GOODBYE_TIMEOUT));
        }
    }

    /// Removes a session whose socket is finished. It leaves the registry if it is still registered.
    pub(super) fn forget(&mut self, id: SessionId) {
        let Some(index) = self.slot_of(id) else { return };
        self.leave(index, LeaveReason::Lost);
        let Some((index, Slot { session, connection, permit, .. })) = self.slots.remove(id) else { return };
        self.release(index, &session);
        self.queues.add_departed(connection, permit);
    }

    /// Releases what a session had in the shard's other parts.
    fn release(&mut self, index: usize, session: &Session) {
        if let Some(v1) = &session.v1 {
            for room in &v1.watches {
                // Nobody is left to answer these requests to.
                let _ = self.watches.unwatch(*room, session.id);
            }
            if matches!(v1.phase, Phase::Welcoming { .. }) {
                self.hello.close();
            }
        }
        for room in session.rooms() {
            self.rooms.release_cursor(room, index);
        }
    }

    /// Removes all sessions: the shard ends.
    pub(super) fn forget_all(&mut self) {
        let all: Vec<_> = self.slots.iter().map(|(_, slot)| slot.session.id).collect();
        all.into_iter().for_each(|id| self.forget(id));
    }

    /// Ends the sessions whose token is revoked, and those that attach with it in the next minute.
    pub(super) fn revoke(&mut self, revoked: Revoked) {
        self.revocations.record(revoked.user, revoked.what, self.now);
        let code = if revoked.what == Revocation::All { CloseCode::Banned } else { CloseCode::Revoked };
        for index in self.slots_of(revoked.user) {
            if self.slots.get(index).is_some_and(|slot| revoked.what.covers(&slot.session.identity.token)) {
                self.end(index, code);
            }
        }
    }

    /// Ends a user's sessions with this reason. The user may reconnect.
    pub(super) fn disconnect(&mut self, user: UserId, reason: &str) {
        for index in self.slots_of(user) {
            self.end_with(index, CloseCode::Banned, CloseNotice { reason: Some(reason), retry: None });
        }
    }
}

/// When a v1 client may reconnect after a close with this code.
fn retry_after(code: CloseCode) -> Duration {
    match code {
        CloseCode::Internal | CloseCode::Restart => Duration::from_secs(1),
        CloseCode::Overloaded => Duration::from_secs(5),
        _ => Duration::ZERO,
    }
}
