//! The shard: its parts, and the few verbs that all of its behaviour is built from. It never awaits.

use bytes::Bytes;
use teahouse_core::{ErrorCode, RoomId, Seq, SessionId, UserId, Version};
use teahouse_protocol::v1;

use super::broadcast::Broadcast;
use super::drain::Drain;
use super::entry_reads::EntryReads;
use super::environment::Environment;
use super::hello_window::HelloWindow;
use super::jobs::{Job, Jobs};
use super::revocations::Revocations;
use super::room_table::RoomTable;
use super::run_queues::{Queue, RunQueues};
use super::slots::SlotTable;
use super::store_reads::StoreReads;
use super::watches::PresenceWatches;
use crate::clock::MonotonicMs;
use crate::inbox::CoalesceKey;
use crate::ports::Dialect;
use crate::registry::{Effect, Registry};
use crate::session::Batch;
use crate::websocket::text_frame;

/// A shard's whole state. Each part has a file of its own and depends only on parts to its
/// left in the picture of `shard.rs`.
pub(crate) struct Shard {
    pub(super) environment: Environment,
    /// When the current turn began; only the event loop reads the clock.
    pub(crate) now: MonotonicMs,
    pub(super) registry: Registry,
    pub(super) slots: SlotTable,
    pub(super) rooms: RoomTable,
    pub(super) queues: RunQueues,
    pub(super) reads: StoreReads,
    pub(super) jobs: Jobs,
    pub(super) hello: HelloWindow,
    pub(super) entries: EntryReads,
    pub(super) watches: PresenceWatches,
    pub(super) broadcast: Broadcast,
    pub(super) revocations: Revocations,
    pub(super) drain: Option<Drain>,
    pub(super) scratch: Scratch,
}

/// Buffers that keep their capacity from one use to the next.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) batch: Batch,
    pub(super) effects: Vec<Effect>,
}

impl Shard {
    /// An empty shard of a hub whose lobby is at this version and seq.
    pub(crate) fn new(environment: Environment, lobby: (Version, Seq)) -> Self {
        let options = &environment.options;
        Self {
            now: MonotonicMs::default(),
            registry: Registry::new(options.devices_per_user, options.presence_linger),
            slots: SlotTable::default(),
            rooms: RoomTable::new(lobby, options),
            queues: RunQueues::default(),
            reads: StoreReads::default(),
            jobs: Jobs::default(),
            hello: HelloWindow::default(),
            entries: EntryReads::default(),
            watches: PresenceWatches::default(),
            broadcast: Broadcast::new(options.ring_events_max, options.ring_bytes_max),
            revocations: Revocations::default(),
            drain: None,
            scratch: Scratch::default(),
            environment,
        }
    }

    // ── Turns ──

    /// Queues a session to be written to.
    pub(super) fn mark_ready(&mut self, index: usize) {
        self.enqueue(index, Queue::Ready);
    }

    /// Queues a session to be written to among those that are behind.
    pub(super) fn mark_behind(&mut self, index: usize) {
        self.enqueue(index, Queue::Behind);
    }

    /// Queues a session's socket to be serviced.
    pub(super) fn schedule(&mut self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        let is_low = slot.socket.ended || !slot.session.is_live();
        self.enqueue(index, if is_low { Queue::LowPriority } else { Queue::Serviced });
    }

    fn enqueue(&mut self, index: usize, queue: Queue) {
        if let Some(slot) = self.slots.get_mut(index) {
            self.queues.push(queue, index, &mut slot.queued);
        }
    }

    /// Takes slots from a queue, each for one `step`, until `is_over` says that the slice of time is used up. Returns
    /// whether any are left. A slot that is queued again meanwhile has its turn in the next slice.
    pub(super) fn run_queue(
        &mut self,
        queue: Queue,
        mut is_over: impl FnMut() -> bool,
        mut step: impl FnMut(&mut Self, usize),
    ) -> bool {
        for _ in 0..self.queues.len(queue) {
            let Some(index) = self.queues.pop(queue) else { break };
            let Some(slot) = self.slots.get_mut(index) else { continue };
            slot.queued.clear(queue);
            step(self, index);
            if is_over() {
                break;
            }
        }
        self.queues.finish_slice(queue)
    }

    /// Whether the event loop has something to do without being notified.
    pub(crate) fn is_busy(&self) -> bool {
        self.queues.is_busy() || self.jobs.has_done()
    }

    /// Whether a request was done at its first poll, and will be answered after the inbox is taken.
    pub(crate) fn has_done(&self) -> bool {
        self.jobs.has_done()
    }

    /// The jobs that the event loop has to drive.
    pub(crate) fn take_jobs(&mut self) -> Vec<Job> {
        while let Some(read) = self.reads.start_next() {
            self.jobs.begin_read(&*self.environment.ports.history, read);
        }
        self.jobs.take_begun()
    }

    // ── Sessions ──

    /// The slots of a user's registered sessions.
    pub(super) fn slots_of(&self, user: UserId) -> Vec<usize> {
        self.registry.sessions_of(user).filter_map(|id| self.slots.index_of(id)).collect()
    }

    /// The slots of a user's v1 sessions.
    pub(super) fn v1_slots_of(&self, user: UserId) -> Vec<usize> {
        let mut slots = self.slots_of(user);
        slots.retain(|index| self.slots[*index].session.dialect() == Dialect::V1);
        slots
    }

    pub(super) fn slot_of(&self, id: SessionId) -> Option<usize> {
        self.slots.index_of(id)
    }

    // ── Output ──

    /// Sends a session something outside of rooms' order.
    pub(super) fn notify(&mut self, index: usize, key: CoalesceKey, frame: Bytes) {
        let Environment { options, metrics, .. } = &self.environment;
        let (envelopes_max, bytes_max) = (options.waiting_envelopes_max, options.notification_bytes_max);
        if let Some((bound, figure)) = self.slots[index].session.notify(key, frame, envelopes_max, bytes_max) {
            metrics.bounds.record(bound, figure as u64);
        }
        self.mark_ready(index);
    }

    /// Sends the same to a room's v1 sessions.
    pub(super) fn notify_room(&mut self, room: RoomId, key: CoalesceKey, frame: &Bytes) {
        for index in self.rooms.subscribers(room) {
            self.notify(index, key, frame.clone());
        }
    }

    /// Answers a request, if it has a reference to be answered under.
    pub(super) fn acknowledge<T: serde::Serialize>(&mut self, index: usize, id: Option<String>, data: &T) {
        if let Some(id) = id {
            self.reply(index, text_frame(&v1::ack(&id, data)));
        }
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, index: usize, id: Option<&str>, code: ErrorCode) {
        let mut body = v1::ErrorBody::new(code, self.slots[index].session.language());
        body.retry_after_ms = (code == ErrorCode::Overloaded).then_some(1000);
        self.reply(index, text_frame(&v1::error(id, &body)));
    }

    fn reply(&mut self, index: usize, frame: Bytes) {
        let session = &mut self.slots[index].session;
        // Nothing follows a close frame.
        if !session.closing {
            session.reply(frame);
            self.mark_ready(index);
        }
    }
}
