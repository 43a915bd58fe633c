//! Draws of a run. The numbers come from `fastrand`, seeded by the run's seed, so that the seed decides the whole run.

use fastrand::Rng;

/// Draws that the simulator makes besides those of [`Rng`].
pub(super) trait Draw {
    /// An index into `count` items; 0 if there are none.
    fn index(&mut self, count: usize) -> usize;

    /// True once in `count` times.
    fn one_in(&mut self, count: u64) -> bool;

    /// One of these.
    fn pick<T: Copy>(&mut self, of: &[T]) -> T;
}

impl Draw for Rng {
    fn index(&mut self, count: usize) -> usize {
        if count == 0 { 0 } else { self.usize(..count) }
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.u64(..count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }
}
