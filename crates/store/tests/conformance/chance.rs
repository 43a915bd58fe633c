//! Chance that can be repeated: the seed is printed, and comes from the environment when a failure is to be
//! looked at again.

pub struct Chance(u64);

impl Chance {
    /// Prints what it starts from; the test harness shows that when the test fails.
    pub fn new(test: &str) -> Self {
        let given = std::env::var("TEAHOUSE_STORE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let mut random = [0; 8];
            getrandom::fill(&mut random).unwrap();
            u64::from_be_bytes(random)
        });
        println!("{test}: TEAHOUSE_STORE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Chance of its own for somebody who acts at the same time.
    pub fn branch(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Any number from 0 to `end`, without it.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A few letters.
    pub fn word(&mut self) -> String {
        format!("{:x}", self.next() % 4096)
    }
}
