//! A session's connection: the calls that a shard makes to the kernel about one socket. None of them waits.
//! In tests of this crate it can be a simulated socket, whose kernel is the simulator.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use teahouse_core::SessionId;

use super::poll::Poll;
#[cfg(test)]
use super::simulator::SimulatedSocket;

/// A session's connection.
pub(crate) enum Connection {
    Tcp(TcpStream),
    #[cfg(test)]
    Simulated(SimulatedSocket),
}

/// Calls the same method on either kind of socket.
macro_rules! on_socket {
    ($connection:expr, $socket:ident => $call:expr) => {
        match $connection {
            Self::Tcp($socket) => $call,
            #[cfg(test)]
            Self::Simulated($socket) => $call,
        }
    };
}

impl Connection {
    /// Registers a socket with the shard's epoll.
    pub(crate) fn adopt(stream: TcpStream, sockets: &Poll, slot: usize, session: SessionId) -> io::Result<Self> {
        sockets.add(&stream, slot, session)?;
        Ok(Self::Tcp(stream))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        on_socket!(self, socket => socket.read(buffer))
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        on_socket!(self, socket => socket.write(bytes))
    }

    pub(crate) fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        on_socket!(self, socket => socket.write_vectored(pieces))
    }

    /// Shuts the writing side down; what the peer still sends can be read.
    pub(crate) fn end_writing(&self) {
        match self {
            // It fails only on a socket that is broken anyway.
            Self::Tcp(stream) => drop(stream.shutdown(Shutdown::Write)),
            #[cfg(test)]
            Self::Simulated(socket) => socket.end_writing(),
        }
    }

    /// Makes closing discard what the peer has not received, instead of leaving it to the kernel's retransmissions.
    pub(crate) fn reset_when_closed(&self) {
        match self {
            Self::Tcp(stream) => drop(SockRef::from(stream).set_linger(Some(Duration::ZERO))),
            #[cfg(test)]
            Self::Simulated(socket) => socket.reset_when_closed(),
        }
    }

    /// Bytes that were written and not acknowledged by the peer.
    pub(crate) fn unacknowledged_bytes(&self) -> u64 {
        match self {
            Self::Tcp(stream) => crate::send_queue::unacknowledged_bytes(stream),
            #[cfg(test)]
            Self::Simulated(socket) => socket.unacknowledged_bytes(),
        }
    }
}
