//! Simulated sockets: what the kernel and the network between a shard and a client do with bytes, closes and
//! resets, and what the kernel says of it. They decide nothing by chance; the world moves the bytes.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use bytes::{Buf, BytesMut};
use rustix::event::epoll::EventFlags;

/// Both directions of one connection.
#[derive(Default)]
pub(super) struct Wire {
    /// Written by the shard, not yet read by the client; all of it counts as not acknowledged.
    pub(super) to_client: BytesMut,
    /// Arrived at the shard's side, not yet read by it.
    pub(super) to_server: BytesMut,
    /// What the kernel keeps for the client at most.
    capacity: usize,
    /// The connection is broken: either side finds out when it touches it.
    pub(super) is_reset: bool,
    /// The client writes nothing more.
    client_ended: bool,
    /// The client is gone: whatever is written to it is answered by a reset.
    client_closed: bool,
    /// The shard writes nothing more.
    pub(super) server_ended: bool,
    pub(super) server_closed: bool,
    /// The shard gave up on a client that does not read, and has the right to cut it off.
    pub(super) cut_off: bool,
    /// Something changed that the shard was not told of.
    has_news: bool,
    /// The shard had more to write than there was room for.
    wants_room: bool,
}

/// A connection as both of its sides hold it.
pub(super) type Line = Rc<RefCell<Wire>>;

impl Wire {
    pub(super) fn new(capacity: usize) -> Line {
        Rc::new(RefCell::new(Self { capacity, ..Self::default() }))
    }

    /// Bytes arrive at the shard's side.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        if !self.server_closed && !self.is_reset {
            self.to_server.extend_from_slice(bytes);
            self.has_news = true;
        }
    }

    /// The client takes so many bytes at most. That there is room again is news to a shard that wanted some.
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        let taken = self.to_client.split_to(bytes.min(self.to_client.len()));
        self.has_news |= std::mem::take(&mut self.wants_room);
        taken
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.to_client.clear();
        self.has_news = true;
    }

    /// The client closes its socket.
    pub(super) fn close(&mut self) {
        self.client_ended = true;
        self.client_closed = true;
        self.to_client.clear();
        self.has_news = true;
    }

    /// All that is so now, whatever of it changed, as the kernel says it.
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

/// The kernel as one shard knows it: its sockets, each under the name that the shard gave it.
#[derive(Default)]
pub(super) struct Kernel(Vec<(u64, Line)>);

impl Kernel {
    /// The shard wants to hear of a socket from now on.
    pub(super) fn watch(&mut self, line: Line, name: u64) -> SimulatedSocket {
        line.borrow_mut().has_news = true;
        self.0.push((name, Rc::clone(&line)));
        SimulatedSocket(line)
    }

    /// How many sockets it has news of.
    pub(super) fn news(&mut self) -> usize {
        self.0.retain(|(_, line)| !line.borrow().server_closed);
        self.0.iter().filter(|(_, line)| line.borrow().has_news).count()
    }

    /// The news of one of those sockets: its name, and all that is so.
    pub(super) fn next(&mut self, place: usize) -> Option<(u64, EventFlags)> {
        let (name, line) = self.0.iter().filter(|(_, line)| line.borrow().has_news).nth(place)?;
        let mut wire = line.borrow_mut();
        wire.has_news = false;
        Some((*name, wire.flags()))
    }
}

/// The shard's side of a simulated connection.
pub(crate) struct SimulatedSocket(Line);

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
            // The kernel takes it, and is answered by a reset.
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
    /// Closing with anything unread is a reset, which takes from the client's hands what it has not read.
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
