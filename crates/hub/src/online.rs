//! Who is online on all shards: one set, in which each shard maintains its own users, and the newest changes of it. With
//! those a shard learns who came and went without asking the others. It is all that shards share.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use teahouse_core::UserId;

use crate::maps::HashSet;

/// Edges that are kept. A shard reads them four times a second; one that missed some reads the whole set.
const EDGES_MAX: usize = 16 * 1024;

/// A user came online (`true`) or went offline.
pub(crate) type Edge = (UserId, bool);

/// Who is online.
#[derive(Debug, Default)]
pub(crate) struct Online {
    /// Held for one lookup or change, or to copy the edges of a tick.
    inner: Mutex<Inner>,
    count: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    users: HashSet<UserId>,
    edges: VecDeque<Edge>,
    /// Edges before the first one that is kept.
    dropped: u64,
}

impl Online {
    /// Sets whether a user is online. Only the shard on which the user lives calls this.
    pub(crate) fn set(&self, user: UserId, online: bool) {
        let mut inner = self.lock();
        let changed = if online { inner.users.insert(user) } else { inner.users.remove(&user) };
        if !changed {
            return;
        }
        if inner.edges.len() >= EDGES_MAX {
            inner.edges.pop_front();
            inner.dropped += 1;
        }
        inner.edges.push_back((user, online));
        self.count.store(inner.users.len() as u64, Ordering::Relaxed);
    }

    /// Distinct users online.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn contains(&self, user: UserId) -> bool {
        self.lock().users.contains(&user)
    }

    /// The users who are online, by id.
    pub(crate) fn all(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.lock().users.iter().copied().collect();
        users.sort_unstable();
        users
    }

    /// Those of `users` who are online.
    pub(crate) fn among<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> Vec<UserId> {
        let inner = self.lock();
        users.into_iter().filter(|user| inner.users.contains(user)).copied().collect()
    }

    /// The edges after the first `seen` ones, or none when some of those were dropped; and the number of all edges.
    pub(crate) fn edges_after(&self, seen: u64) -> (Option<Vec<Edge>>, u64) {
        let inner = self.lock();
        let total = inner.dropped + inner.edges.len() as u64;
        let edges = seen.checked_sub(inner.dropped).map(|skipped| {
            let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
            inner.edges.iter().skip(skipped).copied().collect()
        });
        (edges, total)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No critical section leaves the set half-changed, so a poisoned lock is still usable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_read_once_each_and_dropped_ones_are_reported() {
        let online = Online::default();
        let (amy, bob) = (UserId(7), UserId(9));
        online.set(amy, true);
        online.set(amy, true);
        assert_eq!(online.edges_after(0), (Some(vec![(amy, true)]), 1));
        online.set(bob, true);
        online.set(amy, false);
        assert_eq!(online.edges_after(1), (Some(vec![(bob, true), (amy, false)]), 3));
        assert_eq!(online.edges_after(3), (Some(vec![]), 3));
        assert_eq!((online.count(), online.all(), online.contains(amy)), (1, vec![bob], false));
        for _ in 0..EDGES_MAX {
            online.set(amy, true);
            online.set(amy, false);
        }
        let (edges, total) = online.edges_after(3);
        assert_eq!((edges, total), (None, 3 + 2 * EDGES_MAX as u64));
        assert_eq!(online.edges_after(total), (Some(vec![]), total));
    }
}
