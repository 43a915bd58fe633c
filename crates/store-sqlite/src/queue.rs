//! A bounded queue between async callers and the store's threads. A push never waits: a full queue refuses. `take`
//! waits, and takes all items up to a bound, which makes group commits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

/// Why a push was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PushError {
    /// The queue is full.
    Full,
    /// The queue was closed.
    Closed,
}

/// The queue. Its lock is held for a few instructions only, so async callers may take it.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    pub(crate) len_max: usize,
    depth: Gauge,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> Queue<T> {
    /// An empty queue of at most `len_max` items; `depth` shows its length.
    pub(crate) fn new(len_max: usize, depth: Gauge) -> Self {
        let state = Mutex::new(State { waiting: VecDeque::new(), closed: false });
        Self { state, ready: Condvar::new(), len_max, depth }
    }

    /// Pushes an item, or refuses at once.
    pub(crate) fn try_push(&self, item: T) -> Result<(), PushError> {
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed);
        }
        if state.waiting.len() >= self.len_max {
            return Err(PushError::Full);
        }
        state.waiting.push_back(item);
        self.depth.set(i64::try_from(state.waiting.len()).unwrap_or(i64::MAX));
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for an item, then moves up to `max` items into `into`, oldest first. Returns `false` when the queue is
    /// closed and empty.
    pub(crate) fn take(&self, max: usize, into: &mut Vec<T>) -> bool {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return false;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = state.waiting.len().min(max);
        into.extend(state.waiting.drain(..count));
        self.depth.set(i64::try_from(state.waiting.len()).unwrap_or(i64::MAX));
        true
    }

    /// Refuses from now on; the items in it can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_refuses_and_a_closed_one_is_emptied_first() {
        let queue = Queue::new(2, Gauge::default());
        assert_eq!((queue.try_push(1), queue.try_push(2)), (Ok(()), Ok(())));
        assert_eq!(queue.try_push(3), Err(PushError::Full));
        queue.close();
        assert_eq!(queue.try_push(4), Err(PushError::Closed));
        let mut taken = Vec::new();
        assert!(queue.take(1, &mut taken));
        assert!(queue.take(10, &mut taken));
        assert!(!queue.take(10, &mut taken));
        assert_eq!(taken, [1, 2]);
    }
}
