//! Periodic work: notifications that are gathered by tick, health, expired tokens, closing handshakes that
//! take too long, draining.

use std::time::Duration;

use teahouse_core::CloseCode;
use teahouse_core::limits::PRESENCE_TICK;
use teahouse_protocol::v1;

use super::drain::Drain;
use super::slots::Slot;
use super::state::Shard;
use crate::clock::MonotonicMs;
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;
use crate::session::{HealthStatus, Phase};
use crate::websocket::{self, text_frame};

/// Maximum time for a frame to arrive completely (slowloris protection).
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long written bytes are assumed to be on their way before the kernel is asked for its queue: a busy session's
/// peer acknowledges within milliseconds, and asking costs a system call.
const SETTLING: Duration = Duration::from_secs(1);

impl Shard {
    /// The first part of every tick: notifications, and failed reads again.
    pub(crate) fn tick(&mut self) {
        let mut effects = std::mem::take(&mut self.scratch.effects);
        self.registry.tick(self.now, &mut effects);
        self.apply(effects);

        self.notify_presence();
        for (room, users) in self.rooms.take_typing_changes(self.now) {
            self.notify_room(room, CoalesceKey::Typing(room), &text_frame(&v1::typing(room, &users)));
        }
        self.read_changed_entries();
        let users = self.environment.online.count();
        if self.broadcast.tick(users, self.slots.len(), self.now) {
            for (_, slot) in self.slots.iter_mut() {
                slot.session.observe_count(users);
            }
            self.queues.begin_pass();
        }
        self.reads.retry_failed();
    }

    /// The second part of every tick: every session's health and deadlines.
    pub(crate) fn sweep(&mut self) {
        self.revocations.forget_old(self.now);
        for index in 0..self.slots.end() {
            if self.slots.get(index).is_some() {
                self.check(index);
            }
        }
    }

    fn check(&mut self, index: usize) {
        let now = self.now;
        // A bound that would be exceeded before the next sweep counts as exceeded, so that none is overrun by a tick.
        let soon = now.plus(PRESENCE_TICK);
        let slot = &mut self.slots[index];
        if let Some(deadline) = slot.close_deadline {
            if now >= deadline {
                slot.connection.reset_when_closed();
                slot.socket.finished = true;
                self.schedule(index);
            }
            return;
        }
        if slot.frame_since.is_some_and(|since| soon.since(since) >= FRAME_TIMEOUT) {
            self.environment.metrics.bounds.record("FRAME_TIMEOUT", FRAME_TIMEOUT.as_secs());
            // A v1 client may reconnect; the classic dialect has no code that says so.
            let is_v1 = slot.session.dialect() == Dialect::V1;
            return self.end(index, if is_v1 { CloseCode::NoSignOfLife } else { CloseCode::Policy });
        }
        if let Some(code) = missed_deadline(slot, now) {
            return self.end(index, code);
        }
        if slot.session.health.has_sent_recently(now, SETTLING) {
            return;
        }
        let queued = if slot.session.health.has_unacknowledged() { slot.connection.unacknowledged_bytes() } else { 0 };
        let more_waits = slot.socket.blocked || slot.session.has_output();
        match slot.session.health.check(soon, queued, more_waits, &self.environment.options) {
            HealthStatus::Healthy => {}
            HealthStatus::Ping => {
                slot.session.reply(websocket::ping_frame());
                self.flush(index);
            }
            HealthStatus::Stalled => self.end(index, CloseCode::Stalled),
            HealthStatus::Silent => self.end(index, CloseCode::NoSignOfLife),
        }
    }

    /// Begins to close all sessions, spread over this time.
    pub(crate) fn begin_drain(&mut self, over: Duration) {
        let is_v1 = |slot: &Slot| slot.session.dialect() == Dialect::V1 && !slot.session.closing;
        let v1 = self.slots.iter().filter(|(_, slot)| is_v1(slot)).map(|(index, _)| index).collect();
        self.drain = Some(Drain::new(self.now, over, self.slots.len(), v1));
    }

    /// Closes as many sessions as are due by now. Returns whether any session is left.
    pub(crate) fn continue_drain(&mut self) -> bool {
        let Some(drain) = &mut self.drain else { return !self.slots.is_empty() };
        let (v1, due) = (drain.take_v1(), drain.take_due(self.now));
        for index in v1 {
            if self.slots.get(index).is_some_and(|slot| slot.session.dialect() == Dialect::V1) {
                self.close_for_restart(index);
            }
        }
        let live = self.slots.iter().filter(|(_, slot)| !slot.session.closing).take(due);
        let live: Vec<usize> = live.map(|(index, _)| index).collect();
        live.into_iter().for_each(|index| self.close_for_restart(index));
        !self.slots.is_empty()
    }
}

/// The close code for a session that exceeded one of its deadlines.
fn missed_deadline(slot: &Slot, now: MonotonicMs) -> Option<CloseCode> {
    if now >= slot.expires_at {
        return Some(CloseCode::Expired);
    }
    match slot.session.v1.as_ref()?.phase {
        Phase::AwaitingHello { until } if now >= until => Some(CloseCode::NoHello),
        // It said hello in time; the late welcome is the server's fault.
        Phase::Welcoming { until, .. } if now >= until => Some(CloseCode::Overloaded),
        _ => None,
    }
}
