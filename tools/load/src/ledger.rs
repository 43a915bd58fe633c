//! The book of what was said to everybody: who has heard which message, how long after it was due, and what
//! was lost, doubled or out of order. Messages are told apart by a number that only grows, a classic one's id
//! or a v1 one's version.

use std::cmp::Ordering;
use std::collections::VecDeque;

use serde::Serialize;

use crate::envelopes::Stamp;

/// What came of what was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Receipts {
    /// Messages that came where they should.
    pub heard: u64,
    /// That did not come, though a later one did, or the end.
    pub lost: u64,
    /// That came once more.
    pub doubled: u64,
    /// That came behind a later one.
    pub out_of_order: u64,
}

impl Receipts {
    /// Whether everything came once and in order.
    #[must_use]
    pub fn are_clean(&self) -> bool {
        (self.lost, self.doubled, self.out_of_order) == (0, 0, 0)
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.heard += other.heard;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
    }

    /// A v1 reader who stands at `at` hears this version of its room: versions come one by one.
    pub(crate) fn version(&mut self, at: &mut u32, version: u64) {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        match version {
            _ if version == *at => self.doubled += 1,
            _ if version < *at => self.out_of_order += 1,
            _ => {
                self.heard += 1;
                self.lost += u64::from(version - *at - 1);
                *at = version;
            }
        }
    }
}

impl Receipts {
    /// A reader hears a message of a single speaker, whose numbers grow. `next` is one more than the last one's.
    /// What is missing shows only in the end.
    pub(crate) fn number(&mut self, next: &mut u32, number: u64) {
        let after = u32::try_from(number + 1).unwrap_or(u32::MAX);
        match after.cmp(next) {
            Ordering::Greater => {
                self.heard += 1;
                *next = after;
            }
            Ordering::Equal => self.doubled += 1,
            Ordering::Less => self.out_of_order += 1,
        }
    }
}

impl std::fmt::Display for Receipts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { heard, lost, doubled, out_of_order } = self;
        write!(f, "{heard} heard, {lost} lost, {doubled} doubled, {out_of_order} out of order")
    }
}

struct Entry {
    key: u64,
    stamp: Option<Stamp>,
    /// How many have not heard it.
    left: u32,
}

/// Who has heard what.
pub(crate) struct Ledger {
    /// Which place the first message that is kept has among all.
    first: u64,
    entries: VecDeque<Entry>,
    /// The place of the message that each listener hears next.
    next: Vec<u64>,
    receipts: Receipts,
    completed: u64,
}

impl Ledger {
    /// A book for so many listeners, who hear everything from now on.
    pub(crate) fn new(listeners: usize) -> Self {
        Self {
            first: 0,
            entries: VecDeque::new(),
            next: vec![0; listeners],
            receipts: Receipts::default(),
            completed: 0,
        }
    }

    /// A listener hears a message. Gives its stamp, if it is one of this run and came where it should.
    pub(crate) fn heard(&mut self, listener: usize, key: u64, stamp: impl FnOnce() -> Option<Stamp>) -> Option<Stamp> {
        let expected = usize::try_from(self.next[listener].saturating_sub(self.first)).unwrap_or(usize::MAX);
        // Nearly always it is the one that the others heard too.
        if self.entries.get(expected).is_some_and(|entry| entry.key == key) {
            return self.take(listener, expected);
        }
        match self.entries.binary_search_by_key(&key, |entry| entry.key) {
            Ok(index) if index > expected => return self.take(listener, index),
            Ok(index) if index + 1 == expected => self.receipts.doubled += 1,
            Err(end) if end == self.entries.len() => {
                let left = u32::try_from(self.next.len()).unwrap_or(u32::MAX);
                self.entries.push_back(Entry { key, stamp: stamp(), left });
                return self.take(listener, end);
            }
            Ok(_) | Err(_) => self.receipts.out_of_order += 1,
        }
        None
    }

    fn take(&mut self, listener: usize, index: usize) -> Option<Stamp> {
        self.next[listener] = self.first + index as u64 + 1;
        let entry = &mut self.entries[index];
        entry.left = entry.left.saturating_sub(1);
        let stamp = entry.stamp;
        if stamp.is_some() {
            self.receipts.heard += 1;
            self.completed += u64::from(entry.left == 0);
        }
        // The last one that all have heard is kept, to tell what comes twice from what comes late.
        while self.entries.len() > 1 && self.entries[0].left == 0 && self.entries[1].left == 0 {
            self.entries.pop_front();
            self.first += 1;
        }
        stamp
    }

    /// Messages of this run that all have heard.
    pub(crate) fn completed(&self) -> u64 {
        self.completed
    }

    /// What came of it, when this many messages were said: whatever has not come by now is lost.
    pub(crate) fn receipts(&self, said: u64) -> Receipts {
        let wanted = said * self.next.len() as u64;
        Receipts { lost: wanted.saturating_sub(self.receipts.heard), ..self.receipts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger_of(heard: &[(usize, u64)]) -> Ledger {
        let mut ledger = Ledger::new(2);
        for &(listener, key) in heard {
            ledger.heard(listener, key, || Some(Stamp { number: key, due_micros: 0 }));
        }
        ledger
    }

    #[test]
    fn everything_is_counted() {
        let check = |heard: &[(usize, u64)], said, expect: [u64; 4], completed| {
            let ledger = ledger_of(heard);
            let Receipts { heard: count, lost, doubled, out_of_order } = ledger.receipts(said);
            assert_eq!(([count, lost, doubled, out_of_order], ledger.completed()), (expect, completed), "{heard:?}");
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
    fn what_others_say_is_no_receipt_but_has_its_place() {
        let mut ledger = Ledger::new(1);
        ledger.heard(0, 1, || None);
        ledger.heard(0, 2, || Some(Stamp { number: 0, due_micros: 0 }));
        ledger.heard(0, 2, || None);
        assert_eq!(ledger.receipts(1), Receipts { heard: 1, doubled: 1, ..Receipts::default() });
    }

    #[test]
    fn the_book_stays_short() {
        let mut ledger = Ledger::new(2);
        for key in 1..1000 {
            for listener in 0..2 {
                ledger.heard(listener, key, || Some(Stamp { number: key, due_micros: 0 }));
            }
        }
        assert_eq!((ledger.entries.len(), ledger.completed()), (1, 999));
    }

    #[test]
    fn versions_come_one_by_one() {
        let (mut receipts, mut at) = (Receipts::default(), 5);
        for version in [6, 7, 9, 9, 8, 10] {
            receipts.version(&mut at, version);
        }
        assert_eq!((receipts, at), (Receipts { heard: 4, lost: 1, doubled: 1, out_of_order: 1 }, 10));
    }
}
