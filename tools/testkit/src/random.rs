//! Random choices that can be repeated: everything that a run chooses comes from one seed.

use std::time::Duration;

/// The environment variable with the seed of a run to repeat.
const SEED_VARIABLE: &str = "TEAHOUSE_STORY_SEED";

/// A seeded random number generator.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// Depends on this number alone.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// From [`seed_of_run`].
    #[must_use]
    pub fn of_run(test: &str) -> Self {
        Self::from_seed(seed_of_run(test))
    }

    /// An independent generator.
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end.max(1))
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }

    /// True once in this many times, on average.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        self.0.choice(items)
    }

    /// A time between two bounds, both included.
    pub fn time_ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.0.u64(least..=most))
    }
}

/// The seed in `TEAHOUSE_STORY_SEED`, or a new one. Prints it, so that a failed run can be repeated.
#[must_use]
pub fn seed_of_run(test: &str) -> u64 {
    let seed = number_from_environment(SEED_VARIABLE, u64::from(fastrand::u32(..)));
    println!("{test}: {SEED_VARIABLE}={seed}");
    seed
}

/// The number in an environment variable, or a default. It makes a test longer than `make test` has time for.
///
/// # Panics
/// The variable does not hold a number.
#[must_use]
pub fn number_from_environment(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|error| panic!("{variable}={number}: {error}")),
        Err(_) => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_the_same_choices() {
        let choices = |seed: u64| {
            let mut random = Random::from_seed(seed);
            let mut forked = random.fork();
            let mut order: Vec<u64> = (0..20).collect();
            random.shuffle(&mut order);
            (order, random.below(1000), forked.below(1000), random.pick(&[1, 2, 3]).copied(), random.time_ms(5, 90))
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
    }

    #[test]
    fn bounds_hold() {
        let mut random = Random::from_seed(1);
        assert_eq!((random.below(0), random.below(1)), (0, 0));
        assert_eq!(random.pick::<u64>(&[]), None);
        assert!(random.one_in(1));
        assert_eq!(random.time_ms(3, 3), Duration::from_millis(3));
    }
}
