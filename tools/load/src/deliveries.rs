//! Tracks which client received which message of a fan-out, and counts lost, duplicated and reordered deliveries.
//! Messages are identified by a number that only grows: a classic id or a v1 version.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::Serialize;

use crate::envelopes::Stamp;

/// Counts of deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Receipts {
    /// Deliveries in order.
    pub received: u64,
    /// Deliveries that are missing although a later one arrived, or at the end of the run.
    pub lost: u64,
    /// Repeated deliveries.
    pub duplicated: u64,
    /// Deliveries after a later one.
    pub out_of_order: u64,
}

impl Receipts {
    /// Whether everything arrived once and in order.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        (self.lost, self.duplicated, self.out_of_order) == (0, 0, 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
    }

    /// Records the version of a room that a v1 client received; `at` is the last one. Versions are consecutive.
    pub(crate) fn record_version(&mut self, at: &mut u32, version: u64) {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        match version {
            _ if version == *at => self.duplicated += 1,
            _ if version < *at => self.out_of_order += 1,
            _ => {
                self.received += 1;
                self.lost += u64::from(version - *at - 1);
                *at = version;
            }
        }
    }

    /// Records the number of a message that a client received from a single sender; `next` is the last number plus one.
    /// Numbers may skip, so missing messages show only at the end of the run.
    pub(crate) fn record_number(&mut self, next: &mut u32, number: u64) {
        let after = u32::try_from(number + 1).unwrap_or(u32::MAX);
        match after.cmp(next) {
            Ordering::Greater => {
                self.received += 1;
                *next = after;
            }
            Ordering::Equal => self.duplicated += 1,
            Ordering::Less => self.out_of_order += 1,
        }
    }
}

impl std::fmt::Display for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { received, lost, duplicated, out_of_order } = self;
        write!(f, "{received} received, {lost} lost, {duplicated} duplicated, {out_of_order} out of order")
    }
}

struct Entry {
    key: u64,
    stamp: Option<Stamp>,
    /// Number of clients that have not received it.
    left: u32,
}

/// Which client received which message.
pub(crate) struct DeliveryTracker {
    /// Position of the first entry among all messages of the run.
    first: u64,
    entries: VecDeque<Entry>,
    /// Position of the next message of each client.
    next: Vec<u64>,
    receipts: Receipts,
    completed: u64,
}

impl DeliveryTracker {
    /// Starts tracking; every client receives all messages from now on.
    pub(crate) fn new(clients: usize) -> Self {
        Self { first: 0, entries: VecDeque::new(), next: vec![0; clients], receipts: Receipts::default(), completed: 0 }
    }

    /// Records a delivery. Returns the stamp if the message is of this run and arrived in order.
    pub(crate) fn record(&mut self, client: usize, key: u64, stamp: impl FnOnce() -> Option<Stamp>) -> Option<Stamp> {
        let expected = usize::try_from(self.next[client].saturating_sub(self.first)).unwrap_or(usize::MAX);
        // Nearly always, it is the message that other clients received at the same position.
        if self.entries.get(expected).is_some_and(|entry| entry.key == key) {
            return self.take(client, expected);
        }
        match self.entries.binary_search_by_key(&key, |entry| entry.key) {
            Ok(index) if index > expected => return self.take(client, index),
            Ok(index) if index + 1 == expected => self.receipts.duplicated += 1,
            Err(end) if end == self.entries.len() => {
                let left = u32::try_from(self.next.len()).unwrap_or(u32::MAX);
                self.entries.push_back(Entry { key, stamp: stamp(), left });
                return self.take(client, end);
            }
            Ok(_) | Err(_) => self.receipts.out_of_order += 1,
        }
        None
    }

    fn take(&mut self, client: usize, index: usize) -> Option<Stamp> {
        self.next[client] = self.first + index as u64 + 1;
        let entry = &mut self.entries[index];
        entry.left = entry.left.saturating_sub(1);
        let stamp = entry.stamp;
        if stamp.is_some() {
            self.receipts.received += 1;
            self.completed += u64::from(entry.left == 0);
        }
        // The last message that all received stays, to distinguish a repeat from a late delivery.
        while self.entries.len() > 1 && self.entries[0].left == 0 && self.entries[1].left == 0 {
            self.entries.pop_front();
            self.first += 1;
        }
        stamp
    }

    /// Messages of this run that all clients received.
    pub(crate) fn completed(&self) -> u64 {
        self.completed
    }

    /// The counts, if `sent` messages were sent; everything missing counts as lost.
    pub(crate) fn receipts(&self, sent: u64) -> Receipts {
        let wanted = sent * self.next.len() as u64;
        Receipts { lost: wanted.saturating_sub(self.receipts.received), ..self.receipts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracker_of(deliveries: &[(usize, u64)]) -> DeliveryTracker {
        let mut tracker = DeliveryTracker::new(2);
        for &(client, key) in deliveries {
            tracker.record(client, key, || Some(Stamp { number: key, due_micros: 0 }));
        }
        tracker
    }

    #[test]
    fn everything_is_counted() {
        let check = |deliveries: &[(usize, u64)], sent, expect: [u64; 4], completed| {
            let tracker = tracker_of(deliveries);
            let Receipts { received: count, lost, duplicated, out_of_order } = tracker.receipts(sent);
            assert_eq!(
                ([count, lost, duplicated, out_of_order], tracker.completed()),
                (expect, completed),
                "{deliveries:?}"
            );
        };
        check(&[(0, 1), (1, 1), (0, 5), (1, 5)], 2, [4, 0, 0, 0], 2);
        check(&[(0, 1), (0, 5), (1, 1), (1, 5)], 2, [4, 0, 0, 0], 2);
        check(&[(0, 1), (0, 5), (1, 5)], 2, [3, 1, 0, 0], 1);
        check(&[(0, 1), (1, 1)], 2, [2, 2, 0, 0], 1);
        check(&[(0, 1), (1, 1), (0, 1)], 1, [2, 0, 1, 0], 1);
        check(&[(0, 1), (0, 5), (0, 1), (1, 1), (1, 5)], 2, [4, 0, 0, 1], 2);
        check(&[(0, 1), (0, 5), (1, 5), (1, 1)], 2, [3, 1, 0, 1], 1);
        check(&[], 0, [0, 0, 0, 0], 0);
    }

    #[test]
    fn messages_of_other_runs_are_not_counted_but_keep_their_position() {
        let mut tracker = DeliveryTracker::new(1);
        tracker.record(0, 1, || None);
        tracker.record(0, 2, || Some(Stamp { number: 0, due_micros: 0 }));
        tracker.record(0, 2, || None);
        assert_eq!(tracker.receipts(1), Receipts { received: 1, duplicated: 1, ..Receipts::default() });
    }

    #[test]
    fn entries_that_all_received_are_dropped() {
        let mut tracker = DeliveryTracker::new(2);
        for key in 1..1000 {
            for client in 0..2 {
                tracker.record(client, key, || Some(Stamp { number: key, due_micros: 0 }));
            }
        }
        assert_eq!((tracker.entries.len(), tracker.completed()), (1, 999));
    }

    #[test]
    fn versions_are_consecutive() {
        let (mut receipts, mut at) = (Receipts::default(), 5);
        for version in [6, 7, 9, 9, 8, 10] {
            receipts.record_version(&mut at, version);
        }
        assert_eq!((receipts, at), (Receipts { received: 4, lost: 1, duplicated: 1, out_of_order: 1 }, 10));
    }
}
