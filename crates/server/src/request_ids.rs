//! Names for requests that bring none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::secrets::hex;

/// Gives names: no two of a process are the same, and those of two processes hardly ever. They
/// are no secrets, and asking the kernel for chance with every request would cost a tenth of a handshake.
#[derive(Debug)]
pub struct RequestIds(AtomicU64);

impl RequestIds {
    /// The golden ratio's, as SplitMix64 has it (Steele et al., "Fast splittable pseudorandom number generators", 2014).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// Names that begin somewhere.
    #[must_use]
    pub fn from_chance(chance: [u8; 8]) -> Self {
        Self(AtomicU64::new(u64::from_ne_bytes(chance)))
    }

    /// The next name. SplitMix64 gives every number once before it gives one again.
    #[must_use]
    pub fn next(&self) -> Arc<str> {
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
    fn names_that_we_give_are_as_good_as_chance() {
        let ids = RequestIds::from_chance([7; 8]);
        let given: HashSet<Arc<str>> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(given.len(), 10_000);
        assert!(given.iter().all(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
        let others = RequestIds::from_chance([8; 8]);
        assert!((0..10_000).all(|_| !given.contains(&others.next())));
    }
}
