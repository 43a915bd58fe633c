//! The only place of this crate that reads a clock. Everything below takes the time as an argument.

use std::time::{Instant, SystemTime};

use teahouse_core::Timestamp;

/// The wall clock.
#[must_use]
pub(crate) fn wall() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// The monotonic clock.
#[must_use]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
