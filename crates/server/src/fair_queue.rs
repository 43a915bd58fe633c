//! A bounded queue in which keys take turns, so that a key with many waiting items delays no other key. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The bound that refused an item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueBound {
    /// Items of all keys.
    All,
    /// Items of one key.
    PerKey,
}

/// The queue. A key that has waiting items is in `turns` once.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    waiting_max: usize,
    per_key_max: usize,
    waiting: usize,
    items: HashMap<K, VecDeque<T>>,
    turns: VecDeque<K>,
}

impl<K: Copy + Hash + Eq, T> FairQueue<K, T> {
    /// An empty queue for so many items in all, and of one key.
    #[must_use]
    pub(crate) fn new(waiting_max: usize, per_key_max: usize) -> Self {
        Self { waiting_max, per_key_max, waiting: 0, items: HashMap::new(), turns: VecDeque::new() }
    }

    /// How many items wait.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Adds an item. When the queue is full, the newest item of the key with the most items leaves for an item of a key
    /// that has clearly fewer; it is returned.
    ///
    /// # Errors
    /// A bound refused the item; nothing changed.
    pub(crate) fn push(&mut self, key: K, item: T) -> Result<Option<T>, QueueBound> {
        let own = self.items.get(&key).map_or(0, VecDeque::len);
        if own >= self.per_key_max {
            return Err(QueueBound::PerKey);
        }
        let mut displaced = None;
        if self.waiting >= self.waiting_max {
            let longest = self.turns.iter().copied().max_by_key(|key| self.items.get(key).map_or(0, VecDeque::len));
            let longest = longest.filter(|key| self.items.get(key).map_or(0, VecDeque::len) > own + 1);
            displaced = self.take(longest.ok_or(QueueBound::All)?, VecDeque::pop_back);
        }
        let items = self.items.entry(key).or_default();
        if items.is_empty() {
            self.turns.push_back(key);
        }
        items.push_back(item);
        self.waiting += 1;
        Ok(displaced)
    }

    /// Takes the oldest item of the key whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let key = self.turns.pop_front()?;
        let items = self.items.get_mut(&key)?;
        let item = items.pop_front()?;
        self.waiting -= 1;
        if items.is_empty() {
            self.items.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        Some(item)
    }

    /// Removes the first item of a key that `is_gone` names.
    pub(crate) fn remove(&mut self, key: K, is_gone: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.items.get(&key)?.iter().position(is_gone)?;
        self.take(key, |items| items.remove(at))
    }

    fn take(&mut self, key: K, take: impl FnOnce(&mut VecDeque<T>) -> Option<T>) -> Option<T> {
        let items = self.items.get_mut(&key)?;
        let item = take(items)?;
        self.waiting -= 1;
        if items.is_empty() {
            self.items.remove(&key);
            self.turns.retain(|other| *other != key);
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_take_turns_and_each_is_served_in_order() {
        let mut queue = FairQueue::new(100, 100);
        for item in ["a1", "a2", "a3", "a4", "b1", "c1", "c2"] {
            queue.push(item.as_bytes()[0], item).unwrap();
        }
        let served: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(served, ["a1", "b1", "c1", "a2", "c2", "a3", "a4"]);
        assert!(queue.items.is_empty() && queue.turns.is_empty());
    }

    #[test]
    fn a_full_queue_makes_room_for_a_key_that_has_fewer() {
        let mut queue = FairQueue::new(4, 3);
        for (key, item, expect) in [
            ('a', 1, Ok(None)),
            ('a', 2, Ok(None)),
            ('a', 3, Ok(None)),
            ('a', 4, Err(QueueBound::PerKey)),
            ('b', 5, Ok(None)),
            ('b', 6, Ok(Some(3))),
            ('b', 7, Err(QueueBound::All)),
            ('c', 8, Ok(Some(6))),
            ('c', 9, Err(QueueBound::All)),
        ] {
            assert_eq!(queue.push(key, item), expect, "{key} {item}");
        }
        assert_eq!(queue.remove('a', |item| *item == 1), Some(1));
        assert_eq!(queue.remove('a', |item| *item == 1), None);
        let served: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(served, [2, 5, 8]);
    }

    proptest! {
        /// Whatever happens, a key waits for at most one item of each other key, and nothing is lost.
        #[test]
        fn no_key_waits_for_two_items_of_another(steps in prop::collection::vec((0_u8..4, 0_u8..6), 1..400)) {
            let mut queue = FairQueue::new(12, 6);
            let mut waiting: Vec<(u8, usize)> = Vec::new();
            let mut passed = [[0_usize; 6]; 6];
            for (number, (what, key)) in steps.into_iter().enumerate() {
                match what {
                    0 | 1 => {
                        let own = waiting.iter().filter(|(other, _)| *other == key).count();
                        match queue.push(key, (key, number)) {
                            Err(QueueBound::PerKey) => prop_assert_eq!(own, 6),
                            Err(QueueBound::All) => prop_assert_eq!(waiting.len(), 12),
                            Ok(displaced) => {
                                prop_assert_eq!(displaced.is_some(), waiting.len() == 12);
                                if own == 0 {
                                    passed[usize::from(key)] = [0; 6];
                                }
                                waiting.push((key, number));
                                if let Some(displaced) = displaced {
                                    waiting.retain(|item| *item != displaced);
                                }
                            }
                        }
                    }
                    2 => {
                        let Some((served, number)) = queue.pop() else {
                            prop_assert!(waiting.is_empty());
                            continue;
                        };
                        let oldest = waiting.iter().find(|(key, _)| *key == served);
                        prop_assert_eq!(oldest, Some(&(served, number)));
                        waiting.retain(|item| *item != (served, number));
                        passed[usize::from(served)] = [0; 6];
                        for key in (0..6_u8).filter(|key| *key != served && waiting.iter().any(|(other, _)| other == key)) {
                            let passed = &mut passed[usize::from(key)][usize::from(served)];
                            *passed += 1;
                            prop_assert!(*passed <= 1, "{key} waited for two items of {served}");
                        }
                    }
                    _ => {
                        let gone = waiting.iter().copied().find(|(other, _)| *other == key);
                        prop_assert_eq!(queue.remove(key, |_| true), gone);
                        waiting.retain(|item| Some(*item) != gone);
                    }
                }
                prop_assert_eq!(queue.len(), waiting.len());
                prop_assert!(queue.turns.len() == queue.items.len());
            }
        }
    }
}
