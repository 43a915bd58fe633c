//! Simulated sockets: what the kernel and the network between a shard and a client do with bytes, closes and resets, and
//! the events of the kernel. They draw nothing; the world moves the bytes.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use rustix::event::epoll::EventFlags;

/// Both directions of one connection.
#[derive(Default)]
pub(super) struct Pipe {
    /// Written by the shard and not read by the client; all of it counts as unacknowledged.
    pub(super) to_client: BytesMut,
    /// Arrived at the shard's side and not read by it.
    pub(super) to_server: BytesMut,
    /// The size of the send buffer.
    capacity: usize,
    /// The connection was reset. Either side sees it with its next call.
    pub(super) is_reset: bool,
    /// The client shut down writing.
    client_ended: bool,
    /// The client closed its socket: a write to it is answered by a reset.
    client_closed: bool,
    /// The shard shut down writing.
    pub(super) server_ended: bool,
    pub(super) server_closed: bool,
    /// The shard gave up on a client that does not read; closing may reset the connection.
    pub(super) cut_off: bool,
    /// Something changed since the last event.
    has_event: bool,
    /// A write of the shard did not fit.
    wants_room: bool,
}

/// A connection, shared by its two sides.
pub(super) type SharedPipe = Rc<RefCell<Pipe>>;

impl Pipe {
    pub(super) fn new(capacity: usize) -> SharedPipe {
        Rc::new(RefCell::new(Self { capacity, ..Self::default() }))
    }

    /// Bytes arrive at the shard's side.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        if !self.server_closed && !self.is_reset {
            self.to_server.extend_from_slice(bytes);
            self.has_event = true;
        }
    }

    /// The client reads at most this many bytes. If a write did not fit before, the shard gets an event.
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        let taken = self.to_client.split_to(bytes.min(self.to_client.len()));
        self.has_event |= std::mem::take(&mut self.wants_room);
        taken
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.to_client.clear();
        self.has_event = true;
    }

    /// The client closes its socket.
    pub(super) fn close(&mut self) {
        self.client_ended = true;
        self.client_closed = true;
        self.to_client.clear();
        self.has_event = true;
    }

    /// The readiness flags, as the kernel reports them.
    fn flags(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, !self.to_server.is_empty() || self.client_ended || self.is_reset);
        flags.set(EventFlags::RDHUP, self.client_ended || self.is_reset);
        flags.set(EventFlags::OUT, self.has_room() || self.server_ended || self.is_reset);
        flags.set(EventFlags::HUP, (self.client_ended && self.server_ended) || self.is_reset);
        flags.set(EventFlags::ERR, self.is_reset);
        flags
    }

    fn has_room(&self) -> bool {
        self.to_client.len() < self.capacity
    }
}

/// The kernel of one shard: its sockets, each under the data that the shard registered.
#[derive(Default)]
pub(super) struct Kernel(Vec<(u64, SharedPipe)>);

impl Kernel {
    /// Registers a socket.
    pub(super) fn watch(&mut self, line: SharedPipe, name: u64) -> SimulatedSocket {
        line.borrow_mut().has_event = true;
        self.0.push((name, Rc::clone(&line)));
        SimulatedSocket(line)
    }

    /// The number of sockets with an event.
    pub(super) fn pending(&mut self) -> usize {
        self.0.retain(|(_, line)| !line.borrow().server_closed);
        self.0.iter().filter(|(_, line)| line.borrow().has_event).count()
    }

    /// Takes the event of one of those sockets.
    pub(super) fn next(&mut self, place: usize) -> Option<(u64, EventFlags)> {
        let (name, line) = self.0.iter().filter(|(_, line)| line.borrow().has_event).nth(place)?;
        let mut wire = line.borrow_mut();
        wire.has_event = false;
        Some((*name, wire.flags()))
    }
}

/// The shard's side of a simulated connection.
pub(crate) struct SimulatedSocket(SharedPipe);

impl SimulatedSocket {
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.is_reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let bytes = wire.to_server.len().min(buffer.len());
        if bytes == 0 {
            return if wire.client_ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        wire.to_server.copy_to_slice(&mut buffer[..bytes]);
        Ok(bytes)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.is_reset || wire.server_ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let asked = pieces.iter().map(|piece| piece.len()).sum();
        if wire.client_closed {
            // The kernel accepts it, and is answered by a reset.
            wire.reset();
            return Ok(asked);
        }
        let room = wire.capacity.saturating_sub(wire.to_client.len());
        wire.wants_room |= room < asked;
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut written = 0;
        for piece in pieces {
            let bytes = piece.len().min(room - written);
            wire.to_client.extend_from_slice(&piece[..bytes]);
            written += bytes;
        }
        Ok(written)
    }

    pub(crate) fn end_writing(&self) {
        self.0.borrow_mut().server_ended = true;
    }

    pub(crate) fn reset_when_closed(&self) {
        self.0.borrow_mut().cut_off = true;
    }

    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        self.0.borrow().to_client.len() as u64
    }
}

impl Drop for SimulatedSocket {
    /// Closing with unread data resets the connection, which destroys what the client has not read.
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.server_ended = true;
        wire.server_closed = true;
        if wire.cut_off || !wire.to_server.is_empty() {
            wire.is_reset = true;
            wire.to_client.clear();
        }
    }
}
