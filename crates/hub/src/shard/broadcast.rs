//! Output that every session receives: published events, and the number of users online.
//!
//! The number changes by tick only. Between two changes it rests for a time that grows with the sessions that
//! receive it. It never sends anything; sessions gather from it.

use std::time::Duration;

use teahouse_protocol::classic;

use crate::clock::MonotonicMs;
use crate::ring::Ring;
use crate::session::OnlineCount;
use crate::websocket::text_frame;

/// How much longer the number rests for each session that received it. Each costs the kernel a write of about eight
/// microseconds, so that at most a twelfth of a core sends numbers: 2,500 sessions receive it with every
/// tick, 10,000 once a second.
const PAUSE_PER_SESSION: Duration = Duration::from_micros(100);

/// The output that every session receives.
#[derive(Debug)]
pub(crate) struct Broadcast {
    pub(super) ring: Ring,
    count: OnlineCount,
    count_due: MonotonicMs,
    /// A session was welcomed with a number other than this one, and needs a correction even if the number is this
    /// one again at the next tick.
    count_dirty_from_welcome: bool,
}

impl Broadcast {
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        let ring = Ring::new(events_max, bytes_max);
        Self { ring, count: count_of(0), count_due: MonotonicMs(0), count_dirty_from_welcome: false }
    }

    /// The number that sessions receive.
    pub(super) fn count(&self) -> &OnlineCount {
        &self.count
    }

    /// A session is welcomed with this number.
    pub(super) fn note_welcome(&mut self, users: u64) {
        self.count_dirty_from_welcome |= users != self.count.users;
    }

    /// Adopts this number if it is due and differs. Returns whether sessions have to compare theirs.
    pub(super) fn tick(&mut self, users: u64, sessions: usize, now: MonotonicMs) -> bool {
        if now < self.count_due || !(std::mem::take(&mut self.count_dirty_from_welcome) || users != self.count.users) {
            return false;
        }
        self.count = count_of(users);
        let sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
        self.count_due = now.plus(PAUSE_PER_SESSION.saturating_mul(sessions));
        true
    }
}

pub(super) fn count_of(users: u64) -> OnlineCount {
    OnlineCount { users, frame: text_frame(&classic::online_count(users)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_rests_longer_the_more_sessions_receive_it() {
        let mut broadcast = Broadcast::new(1, 1000);
        assert!(!broadcast.tick(0, 10_000, MonotonicMs(0)));
        assert!(broadcast.tick(1, 10_000, MonotonicMs(0)));
        assert!(!broadcast.tick(2, 10_000, MonotonicMs(999)));
        assert!(broadcast.tick(2, 10_000, MonotonicMs(1000)));
        assert_eq!(broadcast.count().users, 2);
    }

    #[test]
    fn a_session_welcomed_with_a_short_lived_count_is_corrected() {
        let mut broadcast = Broadcast::new(1, 1000);
        broadcast.note_welcome(0);
        assert!(!broadcast.tick(0, 1, MonotonicMs(0)));
        broadcast.note_welcome(1);
        assert!(broadcast.tick(0, 1, MonotonicMs(250)));
        assert!(!broadcast.tick(0, 1, MonotonicMs(500)));
    }
}
