//! When things are due. A schedule is open: it goes on whether the server keeps up or not, and what is late is
//! measured from when it was due, so that a server that stalls cannot hide it (coordinated omission).

use std::time::Duration;

/// Evenly spaced moments, so many a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    rate: f64,
    total: u64,
    taken: u64,
}

impl Schedule {
    pub(crate) fn new(rate: f64, time: Duration) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "messages of one run, at least none"
        )]
        let total = (rate.max(0.0) * time.as_secs_f64()).round() as u64;
        Self { rate: rate.max(0.0), total, taken: 0 }
    }

    /// The next moment, if it has come, and its number.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(u64, Duration)> {
        let due = self.next().filter(|&due| due <= now)?;
        self.taken += 1;
        Some((self.taken - 1, due))
    }

    /// The next moment there is.
    pub(crate) fn next(&self) -> Option<Duration> {
        #[expect(clippy::cast_precision_loss, reason = "messages of one run")]
        (self.taken < self.total).then(|| Duration::from_secs_f64(self.taken as f64 / self.rate))
    }

    /// How long until then, and no longer than this.
    pub(crate) fn patience(&self, now: Duration, longest: Duration) -> Duration {
        self.next().map_or(longest, |due| due.saturating_sub(now)).min(longest)
    }

    /// How many have come.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_when_they_are_due_however_late_one_looks() {
        let mut schedule = Schedule::new(4.0, Duration::from_secs(1));
        let ms = Duration::from_millis;
        assert_eq!(schedule.take(ms(0)), Some((0, ms(0))));
        assert_eq!(schedule.take(ms(249)), None);
        assert_eq!(schedule.patience(ms(200), ms(1000)), ms(50));
        // Somebody stalled: what was due meanwhile is due as of then.
        assert_eq!(schedule.take(ms(10_000)), Some((1, ms(250))));
        assert_eq!(schedule.take(ms(10_000)), Some((2, ms(500))));
        assert_eq!(schedule.take(ms(10_000)), Some((3, ms(750))));
        assert_eq!((schedule.take(ms(10_000)), schedule.taken()), (None, 4));
        assert_eq!(Schedule::new(0.0, Duration::from_secs(1)).next(), None);
    }
}
