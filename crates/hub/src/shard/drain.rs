//! A drain in progress: which sessions a shard closes next, and when their clients should reconnect.
//!
//! v1 sessions are closed at once, each with a time of its own to reconnect, so that they cause no storm. Classic
//! clients reconnect a second after a close, so the drain spreads their closing. It closes no session itself.

use std::time::Duration;

use crate::clock::MonotonicMs;

/// The minimum downtime of a server that restarts.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// v1 clients that reconnect per second, over all shards: their handshakes and hellos are some tenths of a
/// millisecond of work each.
const RECONNECTS_PER_SECOND: u64 = 1000;
/// v1 sessions that a shard closes in one step; closing a socket takes the kernel some microseconds.
const V1_PER_STEP: usize = 250;

/// A drain in progress.
#[derive(Debug)]
pub(crate) struct Drain {
    began: MonotonicMs,
    over: Duration,
    sessions: usize,
    sent_away: usize,
    /// The slots of the v1 sessions that are still open.
    v1: Vec<usize>,
    returns: u64,
}

impl Drain {
    /// Begins to close this many sessions; `v1` are the slots of the v1 ones.
    pub(super) fn new(now: MonotonicMs, over: Duration, sessions: usize, v1: Vec<usize>) -> Self {
        Self { began: now, over, sessions, sent_away: 0, v1, returns: 0 }
    }

    /// The v1 sessions to close in this step.
    pub(super) fn take_v1(&mut self) -> Vec<usize> {
        let rest = self.v1.len().saturating_sub(V1_PER_STEP);
        self.v1.split_off(rest)
    }

    /// How many more sessions are due to be closed by now.
    pub(super) fn take_due(&mut self, now: MonotonicMs) -> usize {
        let passed = now.since(self.began).as_secs_f64();
        let share = if self.over.is_zero() { 1.0 } else { (passed / self.over.as_secs_f64()).min(1.0) };
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a share of a number of sessions"
        )]
        let due = (share * self.sessions as f64).ceil() as usize;
        let count = due.saturating_sub(self.sent_away);
        self.sent_away = due.max(self.sent_away);
        count
    }

    /// The delay after which the next client should reconnect; `shard` is an index below `shards`.
    pub(super) fn next_reconnect_delay(&mut self, shard: usize, shards: usize) -> Duration {
        let place = self.returns * shards as u64 + shard as u64;
        self.returns += 1;
        RESTART_PAUSE + Duration::from_millis(place * 1000 / RECONNECTS_PER_SECOND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_closed_evenly_and_all_of_them_by_the_end() {
        let mut drain = Drain::new(MonotonicMs(1000), Duration::from_secs(2), 10, Vec::new());
        assert_eq!(drain.take_due(MonotonicMs(1000)), 0);
        assert_eq!(drain.take_due(MonotonicMs(2000)), 5);
        assert_eq!(drain.take_due(MonotonicMs(2000)), 0);
        assert_eq!(drain.take_due(MonotonicMs(9000)), 5);
        assert_eq!(Drain::new(MonotonicMs(0), Duration::ZERO, 3, Vec::new()).take_due(MonotonicMs(0)), 3);
    }

    #[test]
    fn v1_sessions_close_in_steps_and_reconnect_one_after_the_other() {
        let mut drain = Drain::new(MonotonicMs(0), Duration::ZERO, 300, (0..300).collect());
        let steps: Vec<usize> = std::iter::from_fn(|| Some(drain.take_v1().len()).filter(|taken| *taken > 0)).collect();
        assert_eq!(steps, [250, 50]);
        let returns = [(); 3].map(|()| drain.next_reconnect_delay(1, 2).as_millis());
        assert_eq!(returns, [501, 503, 505]);
    }
}
