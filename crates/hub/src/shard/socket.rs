//! A shard's sockets: writing a batch to one, and looking after those that have something to read or take
//! something again. Reads go through one buffer per shard, so that an idle connection keeps none.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Buf;

use super::connection::Connection;
use super::poll::SocketEvent;
use super::state::{Slot, State};
use crate::clock::MonotonicMs;
use crate::metrics::HubMetrics;
use crate::registry::LeaveReason;
use crate::session::{Batch, Session};

/// Batches that one session which is behind may write, and reads that any may make, in one turn; then others have
/// theirs.
pub(super) const ROUNDS_MAX: usize = 4;
/// Pieces handed to the kernel in one write; a batch has at most two more frames than its bound.
const SLICES_MAX: usize = 68;

/// How far a write came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Written {
    /// Nothing waits any more.
    Everything,
    /// The socket takes nothing now.
    Blocked,
    /// It took all that fairness allows, and more waits.
    More,
    /// The connection is gone.
    Gone,
}

/// Writes what waits, gathering at most `rounds` batches, until the socket is full or nothing is left.
pub(crate) fn write(
    slot: &mut Slot,
    rounds: usize,
    batch: &mut Batch,
    metrics: &HubMetrics,
    now: MonotonicMs,
    mut gather: impl FnMut(&mut Session, &mut Batch),
) -> Written {
    let written = loop_batches(slot, rounds, batch, metrics, now, &mut gather);
    slot.blocked = written == Written::Blocked;
    slot.done |= written == Written::Gone;
    written
}

fn loop_batches(
    slot: &mut Slot,
    rounds: usize,
    batch: &mut Batch,
    metrics: &HubMetrics,
    now: MonotonicMs,
    gather: &mut impl FnMut(&mut Session, &mut Batch),
) -> Written {
    for _ in 0..rounds {
        batch.clear();
        for frame in std::mem::take(&mut slot.session.unsent) {
            batch.push(frame);
        }
        if !batch.is_full() {
            gather(&mut slot.session, batch);
        }
        if batch.frames.is_empty() {
            return Written::Everything;
        }
        // What fills no batch was all that waits.
        let is_all = !batch.is_full();
        metrics.deliveries.inc_by(batch.deliveries);
        match write_once(&mut slot.connection, batch) {
            Ok(bytes) => {
                metrics.writes.inc();
                metrics.bytes_out.inc_by(bytes as u64);
                slot.session.health.record_sent(bytes, now);
                metrics.frames_out.inc_by(consume(batch, bytes));
                if !batch.frames.is_empty() {
                    slot.session.unsent = std::mem::take(&mut batch.frames);
                    return Written::Blocked;
                }
                if is_all {
                    return Written::Everything;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                slot.session.unsent = std::mem::take(&mut batch.frames);
                return Written::Blocked;
            }
            Err(_) => return Written::Gone,
        }
    }
    Written::More
}

fn write_once(connection: &mut Connection, batch: &mut Batch) -> io::Result<usize> {
    if let Some(bytes) = batch.in_one_piece() {
        return connection.write(bytes);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, frame) in slices.iter_mut().zip(&batch.frames) {
        *slice = IoSlice::new(frame);
        count += 1;
    }
    connection.write_vectored(&slices[..count])
}

/// Takes what was written out of the batch, and says how many whole frames that were.
fn consume(batch: &mut Batch, mut bytes: usize) -> u64 {
    let mut frames = 0;
    while let Some(front) = batch.frames.front_mut() {
        if bytes < front.len() {
            front.advance(bytes);
            break;
        }
        bytes -= front.len();
        frames += 1;
        batch.frames.pop_front();
    }
    frames
}

impl State {
    /// Something happened to a socket; its session is looked after in its turn.
    pub(crate) fn noticed(&mut self, event: SocketEvent) {
        let Some(entry) = self.slots.get_mut(event.slot).filter(|entry| event.is_of(entry.session.id)) else { return };
        entry.readable |= event.readable;
        entry.ended |= event.ended;
        if event.writable && std::mem::take(&mut entry.blocked) {
            entry.hurried = true;
        }
        if entry.readable || entry.hurried {
            self.call(event.slot);
        }
    }

    /// Sees to it that a session is looked after.
    pub(crate) fn call(&mut self, slot: usize) {
        if let Some(entry) = self.slots.get_mut(slot)
            && !std::mem::replace(&mut entry.is_called, true)
        {
            let is_passing = entry.ended || !entry.session.is_live();
            let queue = if is_passing { &mut self.passing } else { &mut self.called };
            queue.push_back(slot);
        }
    }

    /// Looks after those who are called until `is_over` says that the slice of time is used up. Says whether
    /// any are left.
    pub(crate) fn look_after_called(&mut self, buffer: &mut [u8], is_over: impl FnMut() -> bool) -> bool {
        self.look_after_all(|state| &mut state.called, buffer, is_over)
    }

    /// The same for those who are not welcomed yet or whose peer has gone.
    pub(crate) fn look_after_passing(&mut self, buffer: &mut [u8], is_over: impl FnMut() -> bool) -> bool {
        let are_left = self.look_after_all(|state| &mut state.passing, buffer, is_over);
        if !are_left {
            // A storm leaves room for all of them behind.
            self.passing = VecDeque::new();
        }
        are_left
    }

    fn look_after_all(
        &mut self,
        queue: fn(&mut Self) -> &mut VecDeque<usize>,
        buffer: &mut [u8],
        mut is_over: impl FnMut() -> bool,
    ) -> bool {
        // Who calls again meanwhile has its turn when the others had theirs, and the loop its own.
        for _ in 0..queue(self).len() {
            let Some(slot) = queue(self).pop_front() else { break };
            self.look_after_one(slot, buffer);
            if is_over() {
                break;
            }
        }
        !queue(self).is_empty()
    }

    fn look_after_one(&mut self, slot: usize, buffer: &mut [u8]) {
        let Some(entry) = self.slots.get_mut(slot) else { return };
        entry.is_called = false;
        let id = entry.session.id;
        // However it ends, the session does not stay behind as a ghost.
        if catch_unwind(AssertUnwindSafe(|| self.look_after(slot, buffer))).is_err() {
            tracing::error!("a session panicked");
            self.forget(slot, id);
        }
    }

    fn look_after(&mut self, slot: usize, buffer: &mut [u8]) {
        for _ in 0..ROUNDS_MAX {
            if std::mem::take(&mut self.slots[slot].hurried) {
                self.pump(slot);
            }
            let entry = &mut self.slots[slot];
            if entry.done {
                let id = entry.session.id;
                return self.forget(slot, id);
            }
            if entry.session.is_saturated(self.options.waiting_envelopes_max) {
                // Its answers go out first: when the socket takes more, or else in the next turn. Who reads fast
                // and asks faster would otherwise have more and more of them waiting.
                if !entry.blocked && !entry.session.is_awaiting_welcome() {
                    self.call(slot);
                }
                return;
            }
            if !entry.readable {
                return;
            }
            match entry.connection.read(buffer) {
                Ok(bytes @ 1..) => {
                    // What fills no buffer was all there was, unless the end is behind it.
                    entry.readable = bytes == buffer.len() || entry.ended;
                    self.received(slot, &mut buffer[..bytes]);
                    self.pump(slot);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => entry.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    let id = entry.session.id;
                    self.leave(slot, LeaveReason::Lost);
                    return self.forget(slot, id);
                }
            }
        }
        // More may be there, but others are waiting too.
        self.call(slot);
    }
}
