//! What is known of a session's peer and of the way to it. Pure: the kernel's queue comes in as a number.

use std::time::Duration;

use crate::clock::MonotonicMs;
use crate::options::HubOptions;
use crate::websocket::PING_FRAME_BYTES;

/// What is known of a session's peer and of the way to it. Pure: the kernel's queue comes in as a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pinged_at: MonotonicMs,
    /// Nothing came since the last ping.
    unanswered: bool,
    sent_bytes: u64,
    acknowledged_bytes: u64,
    progress_at: MonotonicMs,
}

/// What a look at a session's health says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HealthStatus {
    Healthy,
    /// It is time to ask for a sign of life.
    Ping,
    /// Nothing could be sent for too long (4000).
    Stalled,
    /// No sign of life after a ping (4001).
    Silent,
}

impl Health {
    pub(super) fn new(now: MonotonicMs) -> Self {
        Self { pinged_at: now, unanswered: false, sent_bytes: 0, acknowledged_bytes: 0, progress_at: now }
    }

    /// Something came from the peer.
    pub(crate) fn record_received(&mut self) {
        self.unanswered = false;
    }

    /// Bytes were given to the kernel.
    pub(crate) fn record_sent(&mut self, bytes: usize, now: MonotonicMs) {
        if self.sent_bytes == self.acknowledged_bytes {
            self.progress_at = now;
        }
        self.sent_bytes += bytes as u64;
    }

    /// Whether the kernel has to be asked for its queue before judging.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.sent_bytes != self.acknowledged_bytes
    }

    /// Whether bytes were given to the kernel so recently that it is too early to ask about them.
    pub(crate) fn has_sent_recently(&self, now: MonotonicMs, settling: Duration) -> bool {
        self.has_unacknowledged() && !self.unanswered && now.since(self.progress_at) < settling
    }

    /// Judges, given what the kernel still holds and whether more waits behind it (PROTOCOL.md section 3):
    /// a peer that is silent after a ping is given up only while nothing but the ping is on its way;
    /// with data waiting, what counts is whether the queue shrinks.
    pub(crate) fn check(
        &mut self,
        now: MonotonicMs,
        queued: u64,
        more_waits: bool,
        options: &HubOptions,
    ) -> HealthStatus {
        let acknowledged = self.sent_bytes.saturating_sub(queued);
        if acknowledged > self.acknowledged_bytes {
            self.acknowledged_bytes = acknowledged;
            self.progress_at = now;
        }
        let data_waits = more_waits || queued > PING_FRAME_BYTES as u64;
        if data_waits && self.has_unacknowledged() && now.since(self.progress_at) >= options.stall_timeout {
            return HealthStatus::Stalled;
        }
        if self.unanswered {
            // What was still under way behind the ping gets its ten seconds too.
            let asked_at = self.pinged_at.max(self.progress_at);
            if !data_waits && now.since(asked_at) >= options.pong_timeout {
                return HealthStatus::Silent;
            }
        } else if now.since(self.pinged_at) >= options.ping_interval {
            self.pinged_at = now;
            self.unanswered = true;
            return HealthStatus::Ping;
        }
        HealthStatus::Healthy
    }
}
