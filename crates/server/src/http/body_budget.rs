//! The memory of request bodies that are being received. A body may take as long as a request's head, and its client
//! need not be known yet, so without bounds each of an address's connections could hold a whole one. Short bodies are
//! not counted: they cost no more than the connection itself.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ip_prefix::IpPrefix;

/// Bytes of one client address, or of the /64 of an IPv6 address. A campus behind one address sends bodies of some
/// hundred bytes, which do not count.
const BODY_BYTES_PER_ADDRESS: usize = 4 * 1024 * 1024;
/// Bytes of all clients together.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bodies that announce at most this length are not counted.
const BODY_BYTES_FREE: usize = 4096;

/// Why a body is not received now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyRefusal {
    /// The client's address has too many.
    Address,
    /// All clients together have too many.
    All,
}

impl BodyRefusal {
    /// The constant that was reached, and its value.
    pub(crate) fn bound(self) -> (&'static str, u64) {
        match self {
            Self::Address => ("BODY_BYTES_PER_ADDRESS", BODY_BYTES_PER_ADDRESS as u64),
            Self::All => ("BODY_BYTES_MAX", BODY_BYTES_MAX as u64),
        }
    }
}

/// The bodies that are being received. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct BodyBudget(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    bytes: usize,
    by_address: HashMap<IpPrefix, usize>,
}

impl BodyBudget {
    /// Counts a body of at most this many bytes until the permit is dropped. Short ones have none.
    pub(crate) fn begin(&self, address: IpAddr, bytes: usize) -> Result<Option<BodyPermit>, BodyRefusal> {
        if bytes <= BODY_BYTES_FREE {
            return Ok(None);
        }
        let address = IpPrefix::of(address);
        let mut state = self.lock();
        if state.bytes + bytes > BODY_BYTES_MAX {
            return Err(BodyRefusal::All);
        }
        let of_address = state.by_address.get(&address).copied().unwrap_or(0);
        // A body that is larger than the budget is received when it is alone.
        if of_address > 0 && of_address + bytes > BODY_BYTES_PER_ADDRESS {
            return Err(BodyRefusal::Address);
        }
        state.bytes += bytes;
        state.by_address.insert(address, of_address + bytes);
        Ok(Some(BodyPermit { budget: self.clone(), address, bytes }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that counts.
pub(crate) struct BodyPermit {
    budget: BodyBudget,
    address: IpPrefix,
    bytes: usize,
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.bytes -= self.bytes;
        if let Some(bytes) = state.by_address.get_mut(&self.address) {
            *bytes -= self.bytes;
            if *bytes == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_bounded_for_each_address_and_in_all() {
        let budget = BodyBudget::default();
        let address = |number: u8| IpAddr::from([203, 0, 113, number]);
        let fill = |number| {
            let mut permits = Vec::new();
            loop {
                match budget.begin(address(number), 64 * 1024) {
                    Ok(permit) => permits.extend(permit),
                    Err(refusal) => return (permits, refusal),
                }
            }
        };
        let (mut permits, refusal) = fill(1);
        assert_eq!((permits.len(), refusal), (64, BodyRefusal::Address));
        assert!(matches!(budget.begin(address(1), BODY_BYTES_FREE), Ok(None)), "a short one does not count");
        for number in 2..=16 {
            permits.extend(fill(number).0);
        }
        let (none, refusal) = fill(17);
        assert_eq!((none.len(), refusal), (0, BodyRefusal::All));
        drop(permits);
        assert!(budget.lock().by_address.is_empty() && budget.lock().bytes == 0);
        assert!(matches!(budget.begin(address(1), BODY_BYTES_PER_ADDRESS + 1), Ok(Some(_))), "alone");
    }
}
