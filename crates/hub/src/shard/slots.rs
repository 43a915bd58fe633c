//! The sessions of a shard, each in a slot with its socket and the flags that the shard keeps of both.
//!
//! Invariants: `by_id` names exactly the occupied slots; every occupied slot is below `end`. An index can be given to
//! another session after a removal, so everything that outlives a turn names a session by its id.

use std::ops::{Index, IndexMut};

use slab::Slab;
use teahouse_core::SessionId;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::Connection;
use super::run_queues::Queued;
use crate::clock::MonotonicMs;
use crate::maps::HashMap;
use crate::session::Session;
use crate::websocket::Decoder;

/// A session and its socket.
pub(crate) struct Slot {
    pub(super) session: Session,
    pub(super) connection: Connection,
    pub(super) decoder: Decoder,
    pub(super) socket: SocketState,
    pub(super) leaving: Leaving,
    pub(super) queued: Queued,
    /// When the socket is cut although the closing handshake is not complete.
    pub(super) close_deadline: Option<MonotonicMs>,
    pub(super) expires_at: MonotonicMs,
    /// Since when a frame has been incomplete.
    pub(super) frame_since: Option<MonotonicMs>,
    /// Returned to the server when the socket is closed.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// What the kernel reported about a socket.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SocketState {
    /// There may be something to read.
    pub(super) readable: bool,
    /// Nothing follows what is there to be read.
    pub(super) ended: bool,
    /// The socket accepts no bytes until the kernel says that it is writable.
    pub(super) blocked: bool,
    /// It was blocked and is writable again.
    pub(super) write_resumed: bool,
    /// The socket is of no further use: the slot is removed when the session is serviced next.
    pub(super) finished: bool,
}

/// The progress of a session's end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leaving {
    /// The registry no longer has the session.
    pub(super) has_left: bool,
    /// The peer's close frame arrived, so nothing is awaited after ours is written.
    pub(super) peer_closed: bool,
    /// The peer violated the protocol. The shard keeps reading and discards: closing a socket with unread data
    /// sends RST, which could destroy our close frame.
    pub(super) discarding_input: bool,
}

/// The slots of a shard.
#[derive(Default)]
pub(crate) struct SlotTable {
    slots: Slab<Box<Slot>>,
    by_id: HashMap<SessionId, usize>,
    end: usize,
}

impl SlotTable {
    /// The index that the next insertion takes.
    pub(super) fn next_index(&self) -> usize {
        self.slots.vacant_key()
    }

    pub(super) fn insert(&mut self, slot: Slot) -> usize {
        let id = slot.session.id;
        let index = self.slots.insert(Box::new(slot));
        self.end = self.end.max(index + 1);
        self.by_id.insert(id, index);
        index
    }

    /// Removes a session's slot; none if the session is gone already.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<(usize, Slot)> {
        let index = self.by_id.remove(&id)?;
        let slot = *self.slots.remove(index);
        if self.slots.is_empty() {
            self.end = 0;
        }
        Some((index, slot))
    }

    pub(super) fn index_of(&self, id: SessionId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index).map(Box::as_mut)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Slot)> {
        self.slots.iter().map(|(index, slot)| (index, slot.as_ref()))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Slot)> {
        self.slots.iter_mut().map(|(index, slot)| (index, slot.as_mut()))
    }

    /// Every occupied index is below this one.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

impl Index<usize> for SlotTable {
    type Output = Slot;

    fn index(&self, index: usize) -> &Slot {
        &self.slots[index]
    }
}

impl IndexMut<usize> for SlotTable {
    fn index_mut(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }
}
