//! Whether a session's peer is alive: pings, and the progress of the kernel's send queue. Pure: the kernel's queue
//! length is an argument. docs/protocol.md, "Connecting", has the rules.

use std::time::Duration;

use crate::clock::MonotonicMs;
use crate::options::HubOptions;
use crate::websocket::PING_FRAME_BYTES;

/// The state of a session's peer and of the connection to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    pinged_at: MonotonicMs,
    /// Nothing was received since the last ping.
    unanswered: bool,
    sent_bytes: u64,
    acknowledged_bytes: u64,
    progress_at: MonotonicMs,
}

/// The result of a health check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HealthStatus {
    Healthy,
    /// A ping is due.
    Ping,
    /// Write timeout (4000): the send queue made no progress for too long.
    Stalled,
    /// Ping timeout (4001).
    Silent,
}

impl Health {
    pub(super) fn new(now: MonotonicMs) -> Self {
        Self { pinged_at: now, unanswered: false, sent_bytes: 0, acknowledged_bytes: 0, progress_at: now }
    }

    /// The peer sent something.
    pub(crate) fn record_received(&mut self) {
        self.unanswered = false;
    }

    /// Bytes were handed to the kernel.
    pub(crate) fn record_sent(&mut self, bytes: usize, now: MonotonicMs) {
        if self.sent_bytes == self.acknowledged_bytes {
            self.progress_at = now;
        }
        self.sent_bytes += bytes as u64;
    }

    /// Whether [`Health::check`] needs to know the kernel's queue.
    pub(crate) fn has_unacknowledged(&self) -> bool {
        self.sent_bytes != self.acknowledged_bytes
    }

    /// Whether bytes were sent so recently that a check would come too early.
    pub(crate) fn has_sent_recently(&self, now: MonotonicMs, settling: Duration) -> bool {
        self.has_unacknowledged() && !self.unanswered && now.since(self.progress_at) < settling
    }

    /// Checks the session, given the bytes in the kernel's queue and whether more waits to be written. While only a ping
    /// is on its way, the time since the ping counts; while data is, only whether the queue shrinks.
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
            // The timeout begins when the data that was sent before the ping has arrived.
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
