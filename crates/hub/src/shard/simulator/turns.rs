//! What shards, the store and time do in one step: a turn of a shard's loop, a commit, a hand-over, a tick.

use std::task::{Context, Poll, Waker};

use teahouse_core::Change;

use super::Check;
use super::world::{Waiting, World};
use crate::inbox::InboxBatch;
use crate::shard::poll;

/// Between two ticks of a shard.
const TICK_MS: u64 = 250;

impl World {
    /// The kernel says what became of some socket of a shard.
    pub(super) fn notice(&mut self, shard: usize) -> bool {
        let kernel = &mut self.shards[shard].kernel;
        let place = self.chance.index(kernel.news());
        let Some((name, flags)) = kernel.next(place) else { return false };
        self.turn(shard, |state, _| state.noticed(poll::read_parts(name, flags)));
        true
    }

    /// A slice of what the loop does of its own accord. Says whether there was anything to do.
    pub(super) fn slice(&mut self, shard: usize, mut is_over: impl FnMut() -> bool) -> bool {
        let state = &self.shards[shard].state;
        let had = state.is_busy() || state.pass.is_some();
        self.turn(shard, |state, buffer| {
            state.look_after_called(buffer, &mut is_over);
            state.look_after_passing(buffer, &mut is_over);
            state.write_to_ready(&mut is_over);
            state.continue_pass(&mut is_over);
            state.write_to_behind(&mut is_over);
            state.bury(is_over)
        });
        had
    }

    pub(super) fn mail(&mut self, shard: usize) -> bool {
        let mail = self.inboxes[shard].take();
        if is_empty(&mail) {
            return false;
        }
        self.turn(shard, |state, _| state.deliver(mail));
        true
    }

    pub(super) fn job(&mut self, shard: usize) -> bool {
        let count = self.shards[shard].waiting.len();
        if count == 0 {
            return false;
        }
        let place = self.chance.index(count);
        let waiting = self.shards[shard].waiting.swap_remove(place);
        if matches!(waiting, Waiting::Read(..)) {
            // What was answered by now is not overtaken by what is read from now on.
            let (answers, reads) =
                std::mem::take(&mut self.shards[shard].waiting).into_iter().partition(|other| other.is_answer());
            self.shards[shard].waiting = reads;
            let answers: Vec<Waiting> = answers;
            answers.into_iter().for_each(|answer| self.poll(shard, answer));
        }
        self.poll(shard, waiting);
        true
    }

    fn poll(&mut self, shard: usize, waiting: Waiting) {
        let mut context = Context::from_waker(Waker::noop());
        match waiting {
            Waiting::Response(id, mut future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(answer) => self.turn(shard, |state, _| state.answer(id, Ok(answer))),
                Poll::Pending => self.shards[shard].waiting.push(Waiting::Response(id, future)),
            },
            Waiting::Read(want, mut future) => match future.as_mut().poll(&mut context) {
                Poll::Ready(found) => self.turn(shard, |state, _| state.found(want, found)),
                Poll::Pending => self.shards[shard].waiting.push(Waiting::Read(want, future)),
            },
        }
    }

    pub(super) fn commit(&mut self) -> bool {
        let mut store = self.store.lock();
        if store.queue.is_empty() || store.has_to_hand_over() {
            return false;
        }
        let count = self.chance.between(1, 4) as usize;
        store.commit_group(count);
        drop(store);
        true
    }

    pub(super) fn hand_over(&mut self) -> bool {
        let mut store = self.store.lock();
        if !store.has_to_hand_over() {
            return false;
        }
        let commits = store.hand_over();
        drop(store);
        for commit in &commits {
            self.tell(|| {
                let told = match &commit.change {
                    Change::Message { message, what, .. } => format!("version {}, {what:?}", message.version),
                    Change::Entry { user, requester, .. } => format!("user {user} is in, asked by {requester:?}"),
                    other => format!("{other:?}"),
                };
                format!("the feed gets of room {}: {told}", commit.room)
            });
        }
        self.feed.push_commits(commits);
        self.feed.flush_notify();
        true
    }

    /// Time passes, and what is due by then happens.
    pub(super) fn pass(&mut self, ms: u64) -> Check {
        self.now += ms;
        for shard in 0..self.shards.len() {
            if self.now >= self.shards[shard].next_tick {
                self.shards[shard].next_tick = self.now + TICK_MS;
                self.turn(shard, |state, _| state.tick());
                self.turn(shard, |state, _| state.sweep());
                if self.is_draining {
                    self.turn(shard, |state, _| state.drain_on());
                }
            }
        }
        self.whoever_is_lost_lingers()?;
        self.whoever_is_here_is_online()
    }
}

fn is_empty(mail: &InboxBatch) -> bool {
    mail.deliveries.is_empty()
        && mail.gaps.is_empty()
        && mail.notifications.is_empty()
        && mail.events_dropped.is_empty()
        && mail.entries_changed.is_empty()
        && mail.membership_unknown.is_empty()
}
