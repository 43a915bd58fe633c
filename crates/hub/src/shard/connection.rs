//! A session's connection: what a shard asks of the kernel about one socket, and nothing else. In tests of
//! this crate it can be a simulated one, whose kernel is the simulator; elsewhere there is only the real one.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

#[cfg(test)]
use super::simulator::SimulatedSocket;

/// A session's connection.
pub(crate) enum Connection {
    /// A socket of this thread's runtime.
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
    /// Makes a socket one of this thread's runtime and bounds what the kernel may hold for a reader that stalls.
    pub(crate) fn adopt(stream: std::net::TcpStream, send_buffer_bytes: usize) -> io::Result<Self> {
        let socket = SockRef::from(&stream);
        socket.set_send_buffer_size(send_buffer_bytes)?;
        socket.set_tcp_nodelay(true)?;
        stream.set_nonblocking(true)?;
        TcpStream::from_std(stream).map(Self::Tcp)
    }

    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ask!(self, socket => socket.poll_read_ready(context))
    }

    pub(crate) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ask!(self, socket => socket.poll_write_ready(context))
    }

    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        ask!(self, socket => socket.try_read(buffer))
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        ask!(self, socket => socket.try_write(bytes))
    }

    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        ask!(self, socket => socket.try_write_vectored(pieces))
    }

    /// Nothing more is written; what the peer still sends is read.
    pub(crate) fn end_writing(&self) {
        match self {
            // One that is broken has nothing more to say anyway.
            Self::Tcp(stream) => drop(SockRef::from(stream).shutdown(Shutdown::Write)),
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
            Self::Tcp(stream) => crate::queue::unacknowledged_bytes(stream),
            #[cfg(test)]
            Self::Simulated(socket) => socket.unacknowledged_bytes(),
        }
    }
}
