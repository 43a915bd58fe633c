//! Which reads of the store a shard wants, which are in flight, and which sessions wait for each.
//!
//! Sessions at the same place share one read. A session that requests a read in flight may have been sent
//! more than that read knows, so the read is repeated for it. It never calls the store.

use std::collections::VecDeque;

use teahouse_core::SessionId;

use crate::maps::{HashMap, HashSet};
use crate::session::StoreRead;

/// Reads in flight at a time; the others wait, so that many sessions behind their tails do not occupy the store.
const READS_MAX: usize = 4;

/// The reads that a shard wants.
#[derive(Debug, Default)]
pub(crate) struct StoreReads {
    pending: HashMap<StoreRead, PendingRead>,
    queue: VecDeque<StoreRead>,
    in_flight: usize,
    /// Failed reads, which are repeated with the next tick.
    failed: Vec<StoreRead>,
}

/// Sessions that wait for the same read.
#[derive(Debug, Default)]
struct PendingRead {
    sessions: Vec<SessionId>,
    is_in_flight: bool,
    /// Sessions that requested it while it was in flight.
    next: Vec<SessionId>,
}

impl StoreReads {
    /// A session waits for a read.
    pub(super) fn request(&mut self, read: StoreRead, session: SessionId) {
        let pending = self.pending.entry(read.clone()).or_default();
        if pending.is_in_flight {
            return pending.next.push(session);
        }
        pending.sessions.push(session);
        if pending.sessions.len() == 1 {
            self.queue.push_back(read);
        }
    }

    /// The shard itself wants a read.
    pub(super) fn push(&mut self, read: StoreRead) {
        self.queue.push_back(read);
    }

    /// The next read to be started; none when enough are in flight. Each ends with `finish` or `fail`.
    pub(super) fn start_next(&mut self) -> Option<StoreRead> {
        if self.in_flight >= READS_MAX {
            return None;
        }
        let read = self.queue.pop_front()?;
        self.in_flight += 1;
        if let Some(pending) = self.pending.get_mut(&read) {
            pending.is_in_flight = true;
        }
        Some(read)
    }

    /// A read has its result. Returns the sessions that it is for.
    pub(super) fn finish(&mut self, read: &StoreRead) -> Vec<SessionId> {
        self.in_flight -= 1;
        let PendingRead { mut sessions, next, .. } = self.pending.remove(read).unwrap_or_default();
        if !next.is_empty() {
            let later: HashSet<SessionId> = next.iter().copied().collect();
            sessions.retain(|session| !later.contains(session));
            self.pending.insert(read.clone(), PendingRead { sessions: next, ..PendingRead::default() });
            self.queue.push_back(read.clone());
        }
        sessions
    }

    /// The store could not serve a read.
    pub(super) fn fail(&mut self, read: StoreRead) {
        self.in_flight -= 1;
        if let Some(pending) = self.pending.get_mut(&read) {
            pending.is_in_flight = false;
            pending.sessions.append(&mut pending.next);
        }
        self.failed.push(read);
    }

    /// Queues the failed reads again.
    pub(super) fn retry_failed(&mut self) {
        self.queue.extend(self.failed.drain(..));
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.queue.is_empty() && self.in_flight == 0 && self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use teahouse_core::{RoomId, Seq, Version};

    use super::*;

    fn read(version: u64) -> StoreRead {
        StoreRead::Classic(RoomId(1), (Version(version), Seq(version)))
    }

    #[test]
    fn sessions_at_the_same_place_share_one_read() {
        let mut reads = StoreReads::default();
        reads.request(read(1), SessionId(1));
        reads.request(read(1), SessionId(2));
        assert_eq!(reads.start_next(), Some(read(1)));
        assert_eq!(reads.start_next(), None);
        assert_eq!(reads.finish(&read(1)), [SessionId(1), SessionId(2)]);
        assert!(reads.is_idle());
    }

    #[test]
    fn a_request_during_a_read_waits_for_another_read() {
        let mut reads = StoreReads::default();
        reads.request(read(1), SessionId(1));
        reads.request(read(1), SessionId(2));
        reads.start_next();
        reads.request(read(1), SessionId(2));
        assert_eq!(reads.finish(&read(1)), [SessionId(1)]);
        assert_eq!(reads.start_next(), Some(read(1)));
        assert_eq!(reads.finish(&read(1)), [SessionId(2)]);
        assert!(reads.is_idle());
    }

    #[test]
    fn the_number_of_reads_in_flight_is_bounded() {
        let mut reads = StoreReads::default();
        (0..6).for_each(|version| reads.push(read(version)));
        let started: Vec<StoreRead> = std::iter::from_fn(|| reads.start_next()).collect();
        assert_eq!(started.len(), READS_MAX);
        assert_eq!(reads.finish(&read(0)), []);
        assert_eq!(reads.start_next(), Some(read(4)));
    }

    #[test]
    fn a_failed_read_is_repeated_for_everybody_who_waits() {
        let mut reads = StoreReads::default();
        reads.request(read(1), SessionId(1));
        reads.start_next();
        reads.request(read(1), SessionId(2));
        reads.fail(read(1));
        reads.request(read(1), SessionId(3));
        assert_eq!(reads.start_next(), None);
        reads.retry_failed();
        assert_eq!(reads.start_next(), Some(read(1)));
        assert_eq!(reads.finish(&read(1)), [SessionId(1), SessionId(2), SessionId(3)]);
        assert!(reads.is_idle());
    }
}
