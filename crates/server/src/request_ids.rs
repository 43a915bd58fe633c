//! Generates ids for requests without one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::crypto::hex;

/// Generates ids that are unique in the process, and almost certainly across processes. They are not secret, and random
/// bytes from the kernel for every request would cost a tenth of a handshake.
#[derive(Debug)]
pub(crate) struct RequestIds(AtomicU64);

impl RequestIds {
    /// The increment of SplitMix64 (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Starts the sequence at a random seed.
    #[must_use]
    pub(crate) fn from_seed(seed: [u8; 8]) -> Self {
        Self(AtomicU64::new(u64::from_ne_bytes(seed)))
    }

    /// The next id. SplitMix64 yields every number once before it repeats.
    #[must_use]
    pub(crate) fn next(&self) -> Arc<str> {
        let mut number = self.0.fetch_add(Self::STEP, Ordering::Relaxed);
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hex(&(number ^ (number >> 31)).to_be_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_ids_are_unique_within_and_across_sequences() {
        let ids = RequestIds::from_seed([7; 8]);
        let given: HashSet<Arc<str>> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(given.len(), 10_000);
        assert!(given.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        let others = RequestIds::from_seed([8; 8]);
        assert!((0..10_000).all(|_| !given.contains(&others.next())));
    }
}
