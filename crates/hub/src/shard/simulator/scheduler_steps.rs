//! Steps of the shards, the store and time: a turn of a shard's event loop, a commit, a push to the feed, a tick.

use std::cell::RefCell;
use std::task::{Context, Poll, Waker};

use teahouse_core::Change;

use super::Check;
use super::random::Draw;
use super::world::World;
use crate::shard::jobs::{Done, Job};
use crate::shard::poll;

/// The interval of a shard's ticks.
const TICK_MS: u64 = 250;

impl World {
    /// Delivers one event of the kernel to a shard.
    pub(super) fn deliver_socket_event(&mut self, shard: usize) -> bool {
        let kernel = &mut self.shards[shard].kernel;
        let place = self.rng.index(kernel.pending());
        let Some((name, flags)) = kernel.next(place) else { return false };
        self.turn(shard, |state, _| state.note_socket_event(poll::decode_parts(name, flags)));
        true
    }

    /// Runs time slices of a shard. Returns whether there was anything to do.
    pub(super) fn slice(&mut self, shard: usize, is_over: impl FnMut() -> bool) -> bool {
        let queues = &self.shards[shard].state.queues;
        let had = queues.is_busy() || queues.is_passing();
        let is_over = RefCell::new(is_over);
        self.turn(shard, |state, buffer| state.run_time_slices(buffer, |_| || is_over.borrow_mut()()));
        had
    }

    pub(super) fn process_inbox(&mut self, shard: usize) -> bool {
        if self.inboxes[shard].is_empty() && !self.shards[shard].state.has_done() {
            return false;
        }
        self.turn(shard, |state, _| state.process_inbox(Vec::new()));
        true
    }

    pub(super) fn poll_job(&mut self, shard: usize) -> bool {
        let count = self.shards[shard].waiting.len();
        if count == 0 {
            return false;
        }
        let place = self.rng.index(count);
        let waiting = self.shards[shard].waiting.swap_remove(place);
        if matches!(waiting, Job::Read(..)) {
            // Responses that are ready must not be overtaken by a read that completes now.
            let jobs = std::mem::take(&mut self.shards[shard].waiting).into_iter();
            let (answers, reads): (Vec<Job>, Vec<Job>) = jobs.partition(|other| matches!(other, Job::Request(..)));
            self.shards[shard].waiting = reads;
            answers.into_iter().for_each(|answer| self.poll(shard, answer));
        }
        self.poll(shard, waiting);
        true
    }

    fn poll(&mut self, shard: usize, job: Job) {
        let mut context = Context::from_waker(Waker::noop());
        let done = match job {
            Job::Request(id, mut future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(answer) => Done::Request(id, Ok(answer)),
                Poll::Pending => return self.shards[shard].waiting.push(Job::Request(id, future)),
            },
            Job::Read(want, mut future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(result) => Done::Read(want, result),
                Poll::Pending => return self.shards[shard].waiting.push(Job::Read(want, future)),
            },
        };
        self.turn(shard, |state, _| state.process_inbox(vec![done]));
    }

    pub(super) fn commit(&mut self) -> bool {
        let mut store = self.store.lock();
        if store.queue.is_empty() || store.has_commits() {
            return false;
        }
        let count = self.rng.u64(1..=4) as usize;
        store.commit_group(count);
        drop(store);
        true
    }

    pub(super) fn push_commits(&mut self) -> bool {
        let mut store = self.store.lock();
        if !store.has_commits() {
            return false;
        }
        let commits = store.push_commits();
        drop(store);
        for commit in &commits {
            self.log(|| {
                let change = match &commit.change {
                    Change::Message { message, what, .. } => format!("version {}, {what:?}", message.version),
                    Change::Entry { user, requester, .. } => format!("user {user} is in, asked by {requester:?}"),
                    other => format!("{other:?}"),
                };
                format!("the feed receives for room {}: {change}", commit.room)
            });
        }
        self.feed.push_commits(commits);
        self.feed.flush_notify();
        true
    }

    /// Lets time pass, and runs the ticks that are due.
    pub(super) fn advance_time(&mut self, ms: u64) -> Check {
        self.now += ms;
        for shard in 0..self.shards.len() {
            if self.now >= self.shards[shard].next_tick {
                self.shards[shard].next_tick = self.now + TICK_MS;
                self.turn(shard, |state, _| state.tick());
                self.turn(shard, |state, _| state.sweep());
                if self.is_draining {
                    self.turn(shard, |state, _| state.continue_drain());
                }
            }
        }
        self.check_lost_users_linger()?;
        self.check_registered_users_are_online()
    }
}
