//! A simulated socket: what the kernel and the network between a shard and a client do with bytes, closes and
//! resets. It decides nothing by chance; the world moves the bytes.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, BytesMut};

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
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// A connection as both of its sides hold it.
pub(super) type Line = Rc<RefCell<Wire>>;

impl Wire {
    pub(super) fn new(capacity: usize) -> Line {
        Rc::new(RefCell::new(Self { capacity, ..Self::default() }))
    }

    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Bytes arrive at the shard's side.
    pub(super) fn arrive(&mut self, bytes: &[u8]) {
        if !self.server_closed && !self.is_reset {
            self.to_server.extend_from_slice(bytes);
            self.wake();
        }
    }

    /// The client takes so many bytes at most.
    pub(super) fn take(&mut self, bytes: usize) -> BytesMut {
        let taken = self.to_client.split_to(bytes.min(self.to_client.len()));
        self.wake();
        taken
    }

    pub(super) fn reset(&mut self) {
        self.is_reset = true;
        self.to_client.clear();
        self.wake();
    }

    /// The client closes its socket.
    pub(super) fn close(&mut self) {
        self.client_ended = true;
        self.client_closed = true;
        self.to_client.clear();
        self.wake();
    }
}

/// The shard's side of a simulated connection.
pub(crate) struct SimulatedSocket(pub(super) Line);

impl SimulatedSocket {
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        if !wire.to_server.is_empty() || wire.client_ended || wire.is_reset {
            return Poll::Ready(Ok(()));
        }
        wire.reader = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.borrow_mut();
        if wire.to_client.len() < wire.capacity || wire.is_reset {
            return Poll::Ready(Ok(()));
        }
        wire.writer = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
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

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_vectored(&[IoSlice::new(bytes)])
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.is_reset || wire.server_ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if wire.client_closed {
            // The kernel takes it, and is answered by a reset.
            wire.reset();
            return Ok(pieces.iter().map(|piece| piece.len()).sum());
        }
        let room = wire.capacity.saturating_sub(wire.to_client.len());
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
