//! The memory of request bodies that are being received. A body may take as long as a request's head, and its client
//! need not be known yet, so without bounds each of an address's connections could hold a whole one. A body that arrives
//! with its head is not counted. Any other costs its bytes, and at least what its connection holds meanwhile. It counts
//! for its user, or for its client's address as long as the request is not authenticated, and in all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use teahouse_core::UserId;

use crate::ip_prefix::IpPrefix;

/// Bytes of one user: 32 short bodies, more than a browser has connections.
const BODY_BYTES_PER_USER: usize = 512 * 1024;
/// Bytes of one client address, or of the /64 of an IPv6 address, of requests without a valid token: 256 short bodies. On
/// a campus behind one address these are logins, whose bodies are in transit for some milliseconds.
const BODY_BYTES_PER_ADDRESS: usize = 4 * 1024 * 1024;
/// Bytes of all clients together.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a short body costs: the connection's buffers and its request.
const BODY_BYTES_MIN: usize = 16 * 1024;

/// Whose body it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum BodyOwner {
    /// A client that is not authenticated.
    Address(IpPrefix),
    User(UserId),
}

impl BodyOwner {
    /// A client that is not authenticated.
    pub(crate) fn address(address: IpAddr) -> Self {
        Self::Address(IpPrefix::of(address))
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::Address(_) => BODY_BYTES_PER_ADDRESS,
            Self::User(_) => BODY_BYTES_PER_USER,
        }
    }
}

/// Why a body is not received now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyRefusal {
    /// The body's owner has too many.
    Owner(BodyOwner),
    /// All clients together have too many.
    All,
}

impl BodyRefusal {
    /// The constant that was reached, and its value.
    pub(crate) fn bound(self) -> (&'static str, u64) {
        match self {
            Self::Owner(BodyOwner::Address(_)) => ("BODY_BYTES_PER_ADDRESS", BODY_BYTES_PER_ADDRESS as u64),
            Self::Owner(BodyOwner::User(_)) => ("BODY_BYTES_PER_USER", BODY_BYTES_PER_USER as u64),
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
    by_owner: HashMap<BodyOwner, usize>,
}

impl BodyBudget {
    /// Counts a body of at most this many bytes until the permit is dropped.
    pub(crate) fn begin(&self, owner: BodyOwner, bytes: usize) -> Result<BodyPermit, BodyRefusal> {
        let bytes = bytes.max(BODY_BYTES_MIN);
        let mut state = self.lock();
        if state.bytes + bytes > BODY_BYTES_MAX {
            return Err(BodyRefusal::All);
        }
        let of_owner = state.by_owner.get(&owner).copied().unwrap_or(0);
        // A body that is larger than the budget is received when it is alone.
        if of_owner > 0 && of_owner + bytes > owner.bytes_max() {
            return Err(BodyRefusal::Owner(owner));
        }
        state.bytes += bytes;
        state.by_owner.insert(owner, of_owner + bytes);
        Ok(BodyPermit { budget: self.clone(), owner, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that counts.
pub(crate) struct BodyPermit {
    budget: BodyBudget,
    owner: BodyOwner,
    bytes: usize,
}

impl Drop for BodyPermit {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.bytes -= self.bytes;
        if let Some(bytes) = state.by_owner.get_mut(&self.owner) {
            *bytes -= self.bytes;
            if *bytes == 0 {
                state.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_bounded_for_each_user_and_address_and_in_all() {
        let budget = BodyBudget::default();
        let address = |number: u8| BodyOwner::address(IpAddr::from([203, 0, 113, number]));
        let amy = BodyOwner::User(UserId(7));
        let fill = |owner, bytes| {
            let mut permits = Vec::new();
            loop {
                match budget.begin(owner, bytes) {
                    Ok(permit) => permits.push(permit),
                    Err(refusal) => return (permits, refusal),
                }
            }
        };
        let (of_amy, refusal) = fill(amy, 1);
        assert_eq!((of_amy.len(), refusal), (32, BodyRefusal::Owner(amy)));
        drop(of_amy);
        let (short, refusal) = fill(address(1), 1);
        assert_eq!((short.len(), refusal), (256, BodyRefusal::Owner(address(1))));
        drop(short);
        let mut permits = Vec::new();
        for number in 1..=16 {
            let (filled, refusal) = fill(address(number), 64 * 1024);
            assert_eq!(filled.len(), 64);
            assert_eq!(refusal, if number < 16 { BodyRefusal::Owner(address(number)) } else { BodyRefusal::All });
            permits.extend(filled);
        }
        assert_eq!(budget.begin(amy, 1).err(), Some(BodyRefusal::All));
        drop(permits);
        assert!(budget.lock().by_owner.is_empty() && budget.lock().bytes == 0);
        assert!(budget.begin(address(1), BODY_BYTES_PER_ADDRESS + 1).is_ok(), "alone");
    }
}
