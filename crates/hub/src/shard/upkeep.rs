//! What time does to sessions: presence, health, expired tokens, goodbyes that take too long, draining.

use std::time::Duration;

use teahouse_core::CloseCode;
use teahouse_core::limits::PRESENCE_TICK;

use super::state::{CloseNotice, Slot, State, count_of};
use crate::clock::MonotonicMs;
use crate::ports::Dialect;
use crate::session::{HealthStatus, Phase};
use crate::websocket;

/// How long a revocation is remembered for sockets that were authenticated just before it and arrive
/// just after it; longer than any handshake may take.
const REVOCATION_MEMORY: Duration = Duration::from_secs(60);

/// How long a frame may take to arrive; a byte a second is not a client (FAULTS.md, "on the wire").
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a socket's queue is taken to be on its way before the kernel is asked about it: the peer of a
/// busy session acknowledges in milliseconds, and asking costs a system call.
const SETTLING: Duration = Duration::from_secs(1);

/// How long a server is away that restarts, at least.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// How many v1 clients are asked to come back each second after a drain: their handshakes and hellos are
/// some tenths of a millisecond of work each.
const COMING_BACK_PER_SECOND: u64 = 1000;
/// How many v1 sessions a shard sends away at once; closing a socket takes the kernel some microseconds.
const V1_PER_DRAIN_TICK: usize = 250;
/// How much longer the count rests for each session that was told it. Each costs the kernel a write of some eight
/// microseconds, so that no more than a twelfth of a core tells how many there are, however many come and go: two and a
/// half thousand hear it with every tick, ten thousand once a second.
const COUNT_PAUSE_EACH: Duration = Duration::from_micros(100);

/// A drain under way.
pub(super) struct Drain {
    began: MonotonicMs,
    over: Duration,
    sessions: usize,
    sent_away: usize,
    /// The v1 sessions that are still to be sent away.
    v1: Vec<usize>,
    v1_sent_away: u64,
}

impl State {
    /// Four times a second: presence and what failed to be read.
    pub(crate) fn tick(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.tick(self.now, &mut effects);
        self.apply(effects);

        self.tell_presence();
        self.tell_typing();
        self.tell_entries();
        let users = self.online.count();
        if self.now >= self.count_due && (std::mem::take(&mut self.welcomed_apart) || users != self.count.users) {
            self.count = count_of(users);
            let listeners = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            self.count_due = self.now.plus(COUNT_PAUSE_EACH.saturating_mul(listeners));
            for (_, entry) in &mut self.slots {
                entry.session.observe_count(users);
            }
            self.begin_pass();
        }
        self.read_queue.extend(self.retries.drain(..));
        self.start_reads();
    }

    /// With every tick: the health of every socket, expired tokens, goodbyes and frames that take too long.
    pub(crate) fn sweep(&mut self) {
        let now = self.now;
        // What is silent, stalled or slow until just before the next sweep is so now: no bound is overrun by a tick.
        let soon = now.plus(PRESENCE_TICK);
        self.revoked.retain(|_, list| {
            list.retain(|(at, _)| now.since(*at) < REVOCATION_MEMORY);
            !list.is_empty()
        });
        for slot in 0..self.slots_end {
            let Some(entry) = self.slots.get_mut(slot) else { continue };
            if let Some(until) = entry.goodbye_until {
                if now >= until {
                    // What the peer does not take by now the kernel shall not go on offering it.
                    entry.connection.reset_when_closed();
                    entry.done = true;
                    self.call(slot);
                }
                continue;
            }
            let is_slow = entry.frame_since.is_some_and(|since| soon.since(since) >= FRAME_TIMEOUT);
            // One that said hello in time is late by our own fault.
            let late = entry.session.v1.as_ref().and_then(|v1| match v1.phase {
                Phase::AwaitingHello { until } if now >= until => Some(CloseCode::NoHello),
                Phase::Welcoming { until, .. } if now >= until => Some(CloseCode::Overloaded),
                _ => None,
            });
            let code = match () {
                // A v1 client may come back; the classic one has no other word for it.
                () if is_slow && entry.session.dialect() == Dialect::V1 => Some(CloseCode::NoSignOfLife),
                () if is_slow => Some(CloseCode::Policy),
                () if now >= entry.expires_at => Some(CloseCode::Expired),
                () => late,
            };
            if let Some(code) = code {
                self.end(slot, code);
                continue;
            }
            if entry.session.health.has_sent_recently(now, SETTLING) {
                continue;
            }
            let queued =
                if entry.session.health.has_unacknowledged() { entry.connection.unacknowledged_bytes() } else { 0 };
            let more_waits = entry.blocked || entry.session.has_output();
            match entry.session.health.check(soon, queued, more_waits, &self.options) {
                HealthStatus::Healthy => {}
                HealthStatus::Ping => {
                    entry.session.reply(websocket::ping_frame());
                    self.pump(slot);
                }
                HealthStatus::Stalled => self.end(slot, CloseCode::Stalled),
                HealthStatus::Silent => self.end(slot, CloseCode::NoSignOfLife),
            }
        }
    }

    /// Sends everybody away: v1 sessions at once, each with its own time to come back, so that this is no
    /// storm; classic ones come back a second after they were closed, so their closing is what is spread.
    pub(crate) fn drain(&mut self, over: Duration) {
        let is_v1 = |entry: &Slot| entry.session.dialect() == Dialect::V1 && !entry.session.closing;
        let v1 = self.slots.iter().filter(|(_, entry)| is_v1(entry)).map(|(slot, _)| slot).collect();
        let sessions = self.slots.len();
        self.draining = Some(Drain { began: self.now, over, sessions, sent_away: 0, v1, v1_sent_away: 0 });
    }

    /// When the next v1 session that is sent away by a drain is to come back: they come one after the other,
    /// over all shards [`COMING_BACK_PER_SECOND`].
    fn next_return(&mut self) -> Duration {
        let before = self.draining.as_mut().map_or(0, |drain| {
            drain.v1_sent_away += 1;
            drain.v1_sent_away - 1
        });
        let place = before * self.inboxes.len() as u64 + self.index as u64;
        RESTART_PAUSE + Duration::from_millis(place * 1000 / COMING_BACK_PER_SECOND)
    }

    /// Ends a session because the server goes down.
    pub(super) fn send_away(&mut self, slot: usize) {
        let retry = self.next_return();
        self.end_saying(slot, CloseCode::Restart, Some(CloseNotice { reason: None, retry: Some(retry) }));
    }

    /// Sends away as many sessions as the drain's time says by now.
    pub(crate) fn drain_on(&mut self) {
        let Some(drain) = &mut self.draining else { return };
        let some = drain.v1.len().saturating_sub(V1_PER_DRAIN_TICK);
        let v1: Vec<usize> = drain.v1.drain(some..).collect();
        let passed = self.now.since(drain.began).as_secs_f64();
        let share = if drain.over.is_zero() { 1.0 } else { (passed / drain.over.as_secs_f64()).min(1.0) };
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let due = (share * drain.sessions as f64).ceil() as usize;
        let count = due.saturating_sub(drain.sent_away);
        drain.sent_away = due.max(drain.sent_away);
        for slot in v1 {
            if self.slots.get(slot).is_some_and(|entry| entry.session.dialect() == Dialect::V1) {
                self.send_away(slot);
            }
        }
        let live: Vec<usize> =
            self.slots.iter().filter(|(_, entry)| !entry.session.closing).map(|(slot, _)| slot).take(count).collect();
        for slot in live {
            self.send_away(slot);
        }
    }
}
