//! Collects durations in a histogram and summarises them.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Three significant digits up to an hour: the histogram takes some tens of kilobytes.
const DIGITS: u8 = 3;
const MICROS_MAX: u64 = 3_600_000_000;

/// A summary of durations, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Number of durations.
    pub count: u64,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Maximum.
    pub max_ms: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_ms, p99_ms, max_ms, .. } = self;
        write!(f, "p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, max {max_ms:.1} ms")
    }
}

/// A histogram of durations.
#[derive(Clone, Debug)]
pub struct Stopwatch(Option<Histogram<u64>>);

impl Default for Stopwatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Stopwatch {
    /// A histogram without a duration.
    #[must_use]
    pub fn new() -> Self {
        // The histogram accepts these constant bounds, so this is always `Some`.
        Self(Histogram::new_with_bounds(1, MICROS_MAX, DIGITS).ok())
    }

    /// Adds a duration.
    pub fn record(&mut self, duration: Duration) {
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(MICROS_MAX));
        }
    }

    /// Their summary.
    #[must_use]
    pub fn summary(&self) -> Latency {
        let Some(histogram) = &self.0 else { return Latency::default() };
        #[expect(clippy::cast_precision_loss, reason = "an hour in microseconds fits")]
        let ms = |micros: u64| micros as f64 / 1000.0;
        Latency {
            count: histogram.len(),
            p50_ms: ms(histogram.value_at_quantile(0.5)),
            p99_ms: ms(histogram.value_at_quantile(0.99)),
            max_ms: ms(histogram.max()),
        }
    }
}
