//! Writing to sessions: a plain loop of gathering a batch and writing it, and the turns in which sessions are
//! written to. A session decides what it gathers; its cursors move past what is gathered.

use teahouse_core::{LOBBY, Language};
use teahouse_protocol::{classic, v1};

use super::run_queues::Queue;
use super::socket::{self, Written};
use super::state::Shard;
use crate::ports::Dialect;
use crate::session::{GatherInput, StoreRead};
use crate::websocket::text_frame;

/// Batches that a session with more to write may write in one turn; then other sessions have their turn.
const BATCHES_PER_TURN: usize = 4;

/// The progress of a flush.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flushed {
    /// Nothing waits any more.
    Everything,
    /// The socket accepts nothing now.
    Blocked,
    /// It accepted all that fairness allows, and more may wait.
    More,
    /// The connection is gone.
    Gone,
}

impl Shard {
    /// Writes one batch of what waits for a session, as far as its socket accepts it. A session with more is behind.
    pub(super) fn flush(&mut self, index: usize) {
        self.flush_batches(index, 1);
    }

    fn flush_batches(&mut self, index: usize, batches_max: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.socket.blocked || slot.socket.finished {
            return;
        }
        if self.queues.is_passing() {
            // The pass would visit it anyway; this way it is written to once.
            slot.session.mark_due(LOBBY);
        }
        let mut reads = Vec::new();
        let flushed = self.write_batches(index, batches_max, &mut reads);
        let slot = &mut self.slots[index];
        slot.socket.blocked = flushed == Flushed::Blocked;
        slot.socket.finished |= flushed == Flushed::Gone;
        let id = slot.session.id;
        match flushed {
            Flushed::Gone => self.schedule(index),
            Flushed::More => self.mark_behind(index),
            Flushed::Everything if slot.session.closing => self.finish_closing(index),
            Flushed::Everything if slot.session.dialect() == Dialect::Classic => self.drop_settled_cursors(index),
            Flushed::Everything | Flushed::Blocked => {}
        }
        for read in reads {
            self.reads.request(read, id);
        }
    }

    /// Gathers and writes until the socket is full, nothing is left, or this many batches are written. Reads of the
    /// store that the session needs are added to `reads`.
    fn write_batches(&mut self, index: usize, batches_max: usize, reads: &mut Vec<StoreRead>) -> Flushed {
        let slot = &mut self.slots[index];
        let metrics = &self.environment.metrics;
        let batch = &mut self.scratch.batch;
        let sources = GatherInput {
            tail_of: |room| self.rooms.tail(room),
            count: self.broadcast.count(),
            ring: &self.broadcast.ring,
            events_missed: &events_missed,
        };
        for _ in 0..batches_max {
            batch.clear();
            for frame in std::mem::take(&mut slot.session.unsent) {
                batch.push(frame);
            }
            if !batch.is_full() {
                slot.session.gather(&sources, batch, reads);
            }
            for (bound, figure) in batch.bounds_reached.drain(..) {
                metrics.bounds.record(bound, figure as u64);
            }
            if batch.frames.is_empty() {
                return Flushed::Everything;
            }
            // A batch that is not full was all that waits.
            let is_all = !batch.is_full();
            metrics.deliveries.inc_by(batch.deliveries);
            match socket::write(&mut slot.connection, batch) {
                Written::Some { bytes, frames } => {
                    metrics.writes.inc();
                    metrics.bytes_out.inc_by(bytes as u64);
                    metrics.frames_out.inc_by(frames);
                    slot.session.health.record_sent(bytes, self.now);
                }
                Written::Nothing => {}
                Written::Gone => {
                    // The frames of a large answer hold its permit.
                    batch.clear();
                    return Flushed::Gone;
                }
            }
            if !batch.frames.is_empty() {
                slot.session.unsent = std::mem::take(&mut batch.frames);
                return Flushed::Blocked;
            }
            if is_all {
                return Flushed::Everything;
            }
        }
        Flushed::More
    }

    /// Our close frame is written.
    fn finish_closing(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if slot.leaving.peer_closed {
            slot.socket.finished = true;
        } else {
            // Closing before the peer's close frame arrives could reset the connection and destroy ours.
            slot.connection.end_writing();
        }
        self.schedule(index);
    }

    /// Drops a classic session's cursors in direct rooms where it is at the tail's head. A cursor that is ahead of the
    /// commits that have arrived stays: without it, the session would be sent them again. A page of the store can bring it
    /// there, and so can a tail that a v1 session began.
    fn drop_settled_cursors(&mut self, index: usize) {
        let rooms = &self.rooms;
        let dropped = self.slots[index].session.remove_settled_cursors(|cursor| {
            cursor.room != LOBBY
                && cursor.is_on_tail()
                && rooms.tail(cursor.room).is_none_or(|tail| tail.is_settled_at(cursor.version))
        });
        for room in dropped {
            self.rooms.release_cursor(room, index);
        }
    }

    // ── Turns ──

    /// Flushes the sessions that have something new.
    pub(super) fn flush_ready(&mut self, is_over: impl FnMut() -> bool) -> bool {
        self.run_queue(Queue::Ready, is_over, Self::flush)
    }

    /// Flushes the sessions that are behind. They have a slice of their own, so that mass catch-up does not delay
    /// the others.
    pub(super) fn flush_behind(&mut self, is_over: impl FnMut() -> bool) -> bool {
        self.run_queue(Queue::Behind, is_over, |shard, index| shard.flush_batches(index, BATCHES_PER_TURN))
    }

    /// Visits all sessions in slices of time: something changed for every one of them.
    pub(super) fn continue_pass(&mut self, mut is_over: impl FnMut() -> bool) -> bool {
        while let Some(index) = self.queues.next_visit(self.slots.end()) {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            // A blocked session finds it when its socket is writable again.
            slot.session.mark_due(LOBBY);
            if !slot.socket.blocked && !slot.session.closing {
                self.flush(index);
                if is_over() {
                    return true;
                }
            }
        }
        false
    }
}

fn events_missed(language: Language, dialect: Dialect) -> bytes::Bytes {
    match dialect {
        Dialect::Classic => text_frame(&classic::events_missed(language)),
        Dialect::V1 => text_frame(&v1::events_missed(language)),
    }
}
