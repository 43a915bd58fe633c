//! A shard's sockets: writing a batch to one, and the small future that looks after it.
//! Reads go through one buffer per shard, so that an idle connection keeps none.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Buf;
use teahouse_core::SessionId;

use super::connection::Connection;
use super::run::Shard;
use super::state::{Slot, State};
use crate::clock::Moment;
use crate::metrics::HubMetrics;
use crate::registry::Farewell;
use crate::session::{Batch, Session};

/// Batches that one session may write, and reads that it may make, in one turn; then others have theirs.
const ROUNDS_MAX: usize = 4;
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

/// Writes what waits, gathering batch after batch, until the socket is full or nothing is left.
pub(crate) fn write(
    slot: &mut Slot,
    batch: &mut Batch,
    metrics: &HubMetrics,
    now: Moment,
    mut gather: impl FnMut(&mut Session, &mut Batch),
) -> Written {
    let written = loop_batches(slot, batch, metrics, now, &mut gather);
    slot.blocked = written == Written::Blocked;
    slot.hurried = written == Written::More;
    slot.done |= written == Written::Gone;
    if written != Written::Everything
        && let Some(waker) = &slot.waker
    {
        waker.wake_by_ref();
    }
    written
}

fn loop_batches(
    slot: &mut Slot,
    batch: &mut Batch,
    metrics: &HubMetrics,
    now: Moment,
    gather: &mut impl FnMut(&mut Session, &mut Batch),
) -> Written {
    for _ in 0..ROUNDS_MAX {
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
        metrics.deliveries.inc_by(batch.deliveries);
        match write_once(&slot.connection, batch) {
            Ok(bytes) => {
                metrics.writes.inc();
                metrics.bytes_out.inc_by(bytes as u64);
                slot.session.health.sent(bytes, now);
                metrics.frames_out.inc_by(consume(batch, bytes));
                if !batch.frames.is_empty() {
                    slot.session.unsent = std::mem::take(&mut batch.frames);
                    return Written::Blocked;
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

fn write_once(connection: &Connection, batch: &Batch) -> io::Result<usize> {
    if let [frame] = batch.frames.as_slices().0
        && batch.frames.len() == 1
    {
        return connection.try_write(frame);
    }
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let mut count = 0;
    for (slice, frame) in slices.iter_mut().zip(&batch.frames) {
        *slice = IoSlice::new(frame);
        count += 1;
    }
    connection.try_write_vectored(&slices[..count])
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

/// Looks after one session's socket until it is closed.
pub(crate) struct Drive {
    pub(crate) shard: Rc<Shard>,
    pub(crate) slot: usize,
    pub(crate) id: SessionId,
}

impl Future for Drive {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (slot, id) = (self.slot, self.id);
        self.shard.turn(|state, buffer| state.drive(slot, id, buffer, context))
    }
}

impl Drop for Drive {
    /// However the task ends, by a panic too, the session does not stay behind as a ghost.
    fn drop(&mut self) {
        let (slot, id) = (self.slot, self.id);
        self.shard.turn(|state, _| state.forget(slot, id));
    }
}

impl State {
    pub(super) fn drive(
        &mut self,
        slot: usize,
        id: SessionId,
        buffer: &mut [u8],
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(entry) = self.slots.get_mut(slot).filter(|entry| entry.session.id == id) else {
            return Poll::Ready(());
        };
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            entry.waker = Some(context.waker().clone());
        }
        for _ in 0..ROUNDS_MAX {
            while self.slots[slot].blocked && !self.slots[slot].done {
                match self.slots[slot].connection.poll_write_ready(context) {
                    Poll::Ready(Ok(())) => {
                        self.slots[slot].blocked = false;
                        self.pump(slot);
                    }
                    Poll::Ready(Err(_)) => self.slots[slot].done = true,
                    Poll::Pending => break,
                }
            }
            if std::mem::take(&mut self.slots[slot].hurried) {
                self.pump(slot);
            }
            let entry = &mut self.slots[slot];
            if entry.done {
                return Poll::Ready(());
            }
            if entry.session.is_saturated(self.options.waiting_envelopes_max) {
                // Its answers go out first: when the socket takes more, or else in the next turn. Who reads fast
                // and asks faster would otherwise have more and more of them waiting.
                if !entry.blocked && !entry.session.is_greeting() {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
            match entry.connection.poll_read_ready(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => match entry.connection.try_read(buffer) {
                    Ok(0) => {
                        self.leave(slot, Farewell::Lost);
                        return Poll::Ready(());
                    }
                    Ok(bytes) => {
                        self.received(slot, &mut buffer[..bytes]);
                        self.pump(slot);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => {
                        self.leave(slot, Farewell::Lost);
                        return Poll::Ready(());
                    }
                },
            }
        }
        // More may be there, but others are waiting too.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
