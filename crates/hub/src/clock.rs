//! Monotonic time of one hub. Only the shard's event loop reads the clock; everything else receives a [`MonotonicMs`].

use std::time::{Duration, Instant};

/// Milliseconds since the hub started. Unlike the wall clock it never jumps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MonotonicMs(pub u64);

impl MonotonicMs {
    /// This time plus `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time since `earlier`; zero when that is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// The hub's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> MonotonicMs {
        self.at(Instant::now())
    }

    /// Converts an instant that was read elsewhere.
    pub(crate) fn at(&self, instant: Instant) -> MonotonicMs {
        let passed = instant.saturating_duration_since(self.start);
        MonotonicMs(u64::try_from(passed.as_millis()).unwrap_or(u64::MAX))
    }
}
