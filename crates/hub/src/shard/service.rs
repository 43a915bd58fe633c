//! Services sockets: the shard records what the kernel reports about a socket, reads it in its turn, and writes to it
//! if it is writable again. All reads go through one buffer, so that an idle connection keeps none.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::poll::SocketEvent;
use super::run_queues::Queue;
use super::state::Shard;
use crate::registry::LeaveReason;

/// Reads that a session may make in one turn; then other sessions have their turn.
const READS_PER_TURN: usize = 4;

impl Shard {
    /// Records an event of a socket, and schedules its session.
    pub(crate) fn note_socket_event(&mut self, event: SocketEvent) {
        let Some(slot) = self.slots.get_mut(event.slot).filter(|slot| event.is_of(slot.session.id)) else { return };
        let socket = &mut slot.socket;
        socket.readable |= event.readable;
        socket.ended |= event.ended;
        if event.writable && std::mem::take(&mut socket.blocked) {
            socket.write_resumed = true;
        }
        if socket.readable || socket.write_resumed {
            self.schedule(event.slot);
        }
    }

    /// Services the sockets of live sessions.
    pub(super) fn service_scheduled(&mut self, buffer: &mut [u8], is_over: impl FnMut() -> bool) -> bool {
        self.run_queue(Queue::Serviced, is_over, |shard, index| shard.service_safely(index, buffer))
    }

    /// Services the sockets of sessions that are not welcomed yet or whose peer is gone.
    pub(super) fn service_low_priority(&mut self, buffer: &mut [u8], is_over: impl FnMut() -> bool) -> bool {
        self.run_queue(Queue::LowPriority, is_over, |shard, index| shard.service_safely(index, buffer))
    }

    /// A panic is a bug of ours. The session is removed, so that it does not stay registered without being serviced.
    fn service_safely(&mut self, index: usize, buffer: &mut [u8]) {
        let id = self.slots[index].session.id;
        if catch_unwind(AssertUnwindSafe(|| self.service(index, buffer))).is_err() {
            tracing::error!(session = id.0, "session panicked");
            self.forget(id);
        }
    }

    fn service(&mut self, index: usize, buffer: &mut [u8]) {
        for _ in 0..READS_PER_TURN {
            if std::mem::take(&mut self.slots[index].socket.write_resumed) {
                self.flush(index);
            }
            let slot = &mut self.slots[index];
            let id = slot.session.id;
            if slot.socket.finished {
                return self.forget(id);
            }
            let options = &self.environment.options;
            if slot.session.is_saturated(options.waiting_envelopes_max, options.reply_bytes_max) {
                // Its responses are written first, when the socket is writable or in the next turn. Otherwise ever more
                // responses would wait for a client that sends requests faster than it reads.
                if slot.socket.blocked {
                    let bytes = slot.session.reply_bytes();
                    let (bound, figure) = match bytes >= options.reply_bytes_max {
                        true => ("answers.bytes_per_session", bytes),
                        false => ("hub.waiting_envelopes_max", options.waiting_envelopes_max),
                    };
                    self.environment.metrics.bounds.record(bound, figure as u64);
                } else if !slot.session.is_awaiting_welcome() {
                    self.schedule(index);
                }
                return;
            }
            if !slot.socket.readable {
                return;
            }
            match slot.connection.read(buffer) {
                Ok(bytes @ 1..) => {
                    // A read that does not fill the buffer took everything except the end.
                    slot.socket.readable = bytes == buffer.len() || slot.socket.ended;
                    self.receive(index, &mut buffer[..bytes]);
                    self.flush(index);
                    if self.slots[index].socket.readable && self.jobs.has_done() {
                        // The inbox is taken, and the finished requests are answered, before more are read.
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => slot.socket.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    self.leave(index, LeaveReason::Lost);
                    return self.forget(id);
                }
            }
        }
        // More may be there, but other sessions have their turn first.
        self.schedule(index);
    }
}
