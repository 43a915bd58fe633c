//! The slots that have their turn next: queues, the pass over all slots, and sockets that wait to be closed.
//!
//! Invariant: a slot is in each queue at most once, which its own [`Queued`] flags say. The shard clears the
//! flag when it pops an occupied slot. A stale index meets an empty slot, or gives another session a turn for nothing.

use std::collections::VecDeque;

use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;

/// The queues. The event loop runs each for a slice of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queue {
    /// Sockets with something to read, or writable again.
    Serviced,
    /// The same for sessions that are not welcomed yet and for peers that are gone: neither a mass reconnect nor a
    /// mass disconnect delays live sessions.
    LowPriority,
    /// Sessions with something to be written.
    Ready,
    /// Sessions with more to be written than one batch, or with a page of the store.
    Behind,
}

/// The queues that a slot is in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Queued {
    serviced: bool,
    ready: bool,
    behind: bool,
}

impl Queued {
    fn flag(&mut self, queue: Queue) -> &mut bool {
        match queue {
            Queue::Serviced | Queue::LowPriority => &mut self.serviced,
            Queue::Ready => &mut self.ready,
            Queue::Behind => &mut self.behind,
        }
    }

    pub(super) fn clear(&mut self, queue: Queue) {
        *self.flag(queue) = false;
    }
}

/// A socket that waits to be closed, with its permit.
type ClosingSocket = (Connection, Option<OwnedSemaphorePermit>);

/// The slots that have their turn next.
#[derive(Default)]
pub(crate) struct RunQueues {
    queues: [VecDeque<usize>; 4],
    /// The next slot that the pass visits; none when there is no pass.
    pass: Option<usize>,
    /// Something changed for all sessions since the pass began.
    pass_again: bool,
    /// Closing a socket takes the kernel longer than the rest of a leave, so it waits for a slice of time.
    departed: Vec<ClosingSocket>,
}

impl RunQueues {
    /// Appends a slot to a queue, unless it is there already.
    pub(super) fn push(&mut self, queue: Queue, index: usize, queued: &mut Queued) {
        if !std::mem::replace(queued.flag(queue), true) {
            self.queues[queue as usize].push_back(index);
        }
    }

    pub(super) fn pop(&mut self, queue: Queue) -> Option<usize> {
        self.queues[queue as usize].pop_front()
    }

    pub(super) fn len(&self, queue: Queue) -> usize {
        self.queues[queue as usize].len()
    }

    /// Returns whether a queue has slots left. An empty low-priority queue returns the memory that a storm took.
    pub(super) fn finish_slice(&mut self, queue: Queue) -> bool {
        let slots = &mut self.queues[queue as usize];
        if queue == Queue::LowPriority && slots.is_empty() {
            *slots = VecDeque::new();
        }
        !slots.is_empty()
    }

    /// Makes sure that every session is visited once more.
    pub(super) fn begin_pass(&mut self) {
        match self.pass {
            None => self.pass = Some(0),
            Some(_) => self.pass_again = true,
        }
    }

    pub(super) fn is_passing(&self) -> bool {
        self.pass.is_some()
    }

    /// The next index below `end` that the pass visits; none when the pass is over.
    pub(super) fn next_visit(&mut self, end: usize) -> Option<usize> {
        let mut next = self.pass?;
        if next >= end {
            self.pass = None;
            if !std::mem::take(&mut self.pass_again) || end == 0 {
                return None;
            }
            next = 0;
        }
        self.pass = Some(next + 1);
        Some(next)
    }

    pub(super) fn add_departed(&mut self, connection: Connection, permit: Option<OwnedSemaphorePermit>) {
        self.departed.push((connection, permit));
    }

    /// Closes sockets until `is_over` says that the slice of time is used up. Returns whether any are left.
    pub(super) fn close_departed_sockets(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(socket) = self.departed.pop() {
            drop(socket);
            if is_over() {
                break;
            }
        }
        if self.departed.is_empty() {
            self.departed = Vec::new();
        }
        !self.departed.is_empty()
    }

    /// Whether anything but the pass is left to do.
    pub(super) fn is_busy(&self) -> bool {
        !self.departed.is_empty() || self.queues.iter().any(|queue| !queue.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_in_a_queue_once_and_can_be_queued_again_after_its_turn() {
        let (mut queues, mut queued) = (RunQueues::default(), Queued::default());
        queues.push(Queue::Ready, 3, &mut queued);
        queues.push(Queue::Ready, 3, &mut queued);
        queues.push(Queue::Behind, 3, &mut queued);
        assert_eq!((queues.len(Queue::Ready), queues.len(Queue::Behind)), (1, 1));
        assert_eq!(queues.pop(Queue::Ready), Some(3));
        queued.clear(Queue::Ready);
        queues.push(Queue::Ready, 3, &mut queued);
        assert!(queues.finish_slice(Queue::Ready) && queues.is_busy());
    }

    #[test]
    fn a_session_is_serviced_once_whatever_its_priority() {
        let (mut queues, mut queued) = (RunQueues::default(), Queued::default());
        queues.push(Queue::Serviced, 0, &mut queued);
        queues.push(Queue::LowPriority, 0, &mut queued);
        assert_eq!((queues.len(Queue::Serviced), queues.len(Queue::LowPriority)), (1, 0));
    }

    #[test]
    fn a_pass_that_is_begun_again_visits_everybody_again() {
        let mut queues = RunQueues::default();
        assert_eq!(queues.next_visit(2), None);
        queues.begin_pass();
        assert_eq!(queues.next_visit(2), Some(0));
        queues.begin_pass();
        let visits: Vec<usize> = std::iter::from_fn(|| queues.next_visit(2)).collect();
        assert_eq!(visits, [1, 0, 1]);
        assert!(!queues.is_passing());
    }

    #[test]
    fn a_pass_over_nobody_ends() {
        let mut queues = RunQueues::default();
        queues.begin_pass();
        queues.begin_pass();
        assert_eq!((queues.next_visit(0), queues.is_passing()), (None, false));
    }
}
