//! An open-loop schedule: events are due whether or not the server keeps up, and latency is measured from the
//! due time, so that a stalled server cannot hide (coordinated omission).

use std::time::Duration;

/// Evenly spaced due times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    total: u64,
    issued: u64,
}

impl Schedule {
    pub(crate) fn new(rate: f64, time: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the number of messages of a run is small and not negative"
        )]
        let total = (rate.max(0.0) * time.as_secs_f64()).round() as u64;
        Self { rate: rate.max(0.0), total, issued: 0 }
    }

    /// Takes the next event if it is due: its number and due time.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(u64, Duration)> {
        let due = self.next().filter(|&due| due <= now)?;
        self.issued += 1;
        Some((self.issued - 1, due))
    }

    /// The due time of the next event.
    pub(crate) fn next(&self) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "the number of messages of a run is small")]
        (self.issued < self.total).then(|| Duration::from_secs_f64(self.issued as f64 / self.rate))
    }

    /// The time until the next event, at most `longest`.
    pub(crate) fn wait_time(&self, now: Duration, longest: Duration) -> Duration {
        self.next().map_or(longest, |due| due.saturating_sub(now)).min(longest)
    }

    /// Number of events taken.
    pub(crate) fn issued(&self) -> u64 {
        self.issued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_due_times_after_a_stall() {
        let mut schedule = Schedule::new(4.0, Duration::from_secs(1));
        let ms = Duration::from_millis;
        assert_eq!(schedule.take(ms(0)), Some((0, ms(0))));
        assert_eq!(schedule.take(ms(249)), None);
        assert_eq!(schedule.wait_time(ms(200), ms(1000)), ms(50));
        // After a stall, each event keeps its own due time.
        assert_eq!(schedule.take(ms(10_000)), Some((1, ms(250))));
        assert_eq!(schedule.take(ms(10_000)), Some((2, ms(500))));
        assert_eq!(schedule.take(ms(10_000)), Some((3, ms(750))));
        assert_eq!((schedule.take(ms(10_000)), schedule.issued()), (None, 4));
        assert_eq!(Schedule::new(0.0, Duration::from_secs(1)).next(), None);
    }
}
