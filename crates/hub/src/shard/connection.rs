//! A session's connection: what a shard asks of the kernel about one socket, and nothing else. In tests of
//! this crate it can be a simulated one, whose kernel is the simulator; elsewhere there is only the real one.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use teahouse_core::SessionId;

use super::poll::Poll;
#[cfg(test)]
use super::simulator::SimulatedSocket;

/// A session's connection. Nothing of it waits.
pub(crate) enum Connection {
    Tcp(TcpStream),
    #[cfg(test)]
    Simulated(SimulatedSocket),
}

/// Asks whichever socket it is.
macro_rules! ask {
    ($connection:expr, $socket:ident => $question:expr) => {
        match $connection {
            Self::Tcp($socket) => $question,
            #[cfg(test)]
            Self::Simulated($socket) => $question,
        }
    };
}

impl Connection {
    /// Makes a socket one that the shard hears of, and bounds what the kernel may hold for a reader that stalls.
    pub(crate) fn adopt(
        stream: TcpStream,
        send_buffer_bytes: usize,
        sockets: &Poll,
        slot: usize,
        session: SessionId,
    ) -> io::Result<Self> {
        SockRef::from(&stream).set_send_buffer_size(send_buffer_bytes)?;
        sockets.add(&stream, slot, session)?;
        Ok(Self::Tcp(stream))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        ask!(self, socket => socket.read(buffer))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ask!(self, socket => socket.write(bytes))
    }

    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        ask!(self, socket => socket.write_vectored(pieces))
    }

    /// Nothing more is written; what the peer still sends is read.
    pub(crate) fn end_writing(&self) {
        match self {
            // One that is broken has nothing more to say anyway.
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Write)),
            #[cfg(test)]
            Self::Simulated(socket) => socket.end_writing(),
        }
    }

    /// What the peer has not taken when this is closed, the kernel does not go on offering it.
    pub(crate) fn reset_when_closed(&self) {
        match self {
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            #[cfg(test)]
            Self::Simulated(socket) => socket.reset_when_closed(),
        }
    }

    /// Bytes that were written and that the peer has not acknowledged.
    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        match self {
            Self::Tcp(stream) => crate::send_queue::unacknowledged_bytes(stream),
            #[cfg(test)]
            Self::Simulated(socket) => socket.unacknowledged_bytes(),
        }
    }
}
