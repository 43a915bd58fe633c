//! The parts of a turn of the event loop. It reads no clock: `is_over` says when a slice of time is used up.

use super::jobs::Done;
use super::state::Shard;

/// How long one step of a slice takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// It takes microseconds.
    Short,
    /// It takes as long as several full batches.
    Long,
}

impl Shard {
    /// Takes the inbox, then answers the finished jobs.
    ///
    /// The inbox comes first: every commit before an answer, or before the snapshot of a read of the store, was put
    /// into the inbox before the answer or the read was done, and is processed before it. A request that brings its
    /// user into a room finds its session there, and a session that left a room is sent nothing more of it. Sessions
    /// are only marked ready here, so the envelope of a message and its ack leave in one write. No other place takes
    /// the inbox.
    pub(crate) fn process_inbox(&mut self, done: Vec<Done>) {
        let earlier = self.jobs.take_done();
        let inbox = self.environment.own_inbox().take();
        self.deliver(inbox);
        for done in earlier.into_iter().chain(done) {
            match done {
                Done::Request(id, response) => self.finish_request(id, response),
                Done::Read(read, result) => self.finish_read(read, result),
            }
        }
    }

    /// Runs each queue for a slice of time: mass catch-up, mass reconnect and mass disconnect do not delay live
    /// sessions by more than that. Returns whether anything is left.
    pub(crate) fn run_time_slices<F: FnMut() -> bool>(
        &mut self,
        buffer: &mut [u8],
        mut slice: impl FnMut(Step) -> F,
    ) -> bool {
        let left = [
            self.service_scheduled(buffer, slice(Step::Short)),
            self.service_low_priority(buffer, slice(Step::Short)),
            self.flush_ready(slice(Step::Short)),
            self.continue_pass(slice(Step::Short)),
            self.flush_behind(slice(Step::Long)),
            self.queues.close_departed_sockets(slice(Step::Short)),
        ];
        left.contains(&true)
    }
}
