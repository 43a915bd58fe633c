//! What time does to sessions: presence, health, expired tokens, goodbyes that take too long, draining.

use std::time::Duration;

use teahouse_core::CloseCode;
use teahouse_core::limits::PRESENCE_TICK;

use super::state::{State, count_of};
use crate::clock::Moment;
use crate::session::Verdict;
use crate::websocket;

/// How long a revocation is remembered for sockets that were authenticated just before it and arrive
/// just after it; longer than any handshake may take.
const REVOCATION_MEMORY: Duration = Duration::from_secs(60);

/// How long a frame may take to arrive; a byte a second is not a client (FAULTS.md, "on the wire").
const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a socket's queue is taken to be on its way before the kernel is asked about it: the peer of a
/// busy session acknowledges in milliseconds, and asking costs a system call.
const SETTLING: Duration = Duration::from_secs(1);

/// A drain under way.
pub(super) struct Drain {
    began: Moment,
    over: Duration,
    sessions: usize,
    sent_away: usize,
}

impl State {
    /// Four times a second: presence and what failed to be read.
    pub(crate) fn tick(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        self.registry.tick(self.now, &mut effects);
        self.apply(effects);

        let users = self.users_online();
        if std::mem::take(&mut self.welcomed_apart) || users != self.count.users {
            self.count = count_of(users);
            for (_, entry) in &mut self.slots {
                entry.session.count_moved(users);
            }
            self.begin_pass();
        }
        self.page_queue.extend(self.page_retries.drain(..));
        self.start_page_reads();
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
                    let _ = socket2::SockRef::from(&entry.stream).set_linger(Some(Duration::ZERO));
                    entry.done = true;
                    if let Some(waker) = &entry.waker {
                        waker.wake_by_ref();
                    }
                }
                continue;
            }
            let is_slow = entry.frame_since.is_some_and(|since| soon.since(since) >= FRAME_TIMEOUT);
            if now >= entry.expires_at || is_slow {
                self.end(slot, CloseCode::Policy);
                continue;
            }
            if entry.session.health.is_settling(now, SETTLING) {
                continue;
            }
            let queued =
                if entry.session.health.is_unsettled() { crate::queue::unacknowledged_bytes(&entry.stream) } else { 0 };
            let more_waits = entry.blocked || entry.session.has_waiting();
            match entry.session.health.judge(soon, queued, more_waits, &self.options) {
                Verdict::Well => {}
                Verdict::Ping => {
                    entry.session.reply(websocket::ping_frame());
                    self.pump(slot);
                }
                Verdict::Stalled => self.end(slot, CloseCode::Stalled),
                Verdict::Silent => self.end(slot, CloseCode::NoSignOfLife),
            }
        }
    }

    pub(crate) fn drain(&mut self, over: Duration) {
        self.draining = Some(Drain { began: self.now, over, sessions: self.slots.len(), sent_away: 0 });
    }

    /// Sends away as many sessions as the drain's time says by now.
    pub(crate) fn drain_on(&mut self) {
        let Some(drain) = &mut self.draining else { return };
        let passed = self.now.since(drain.began).as_secs_f64();
        let share = if drain.over.is_zero() { 1.0 } else { (passed / drain.over.as_secs_f64()).min(1.0) };
        #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let due = (share * drain.sessions as f64).ceil() as usize;
        let count = due.saturating_sub(drain.sent_away);
        drain.sent_away = due.max(drain.sent_away);
        let live: Vec<usize> =
            self.slots.iter().filter(|(_, entry)| !entry.session.closing).map(|(slot, _)| slot).take(count).collect();
        for slot in live {
            self.end(slot, CloseCode::Restart);
        }
    }
}
