//! One client of a pool: its socket and the state of its connection, in some tens of bytes. The pool decides what
//! it sends and receives.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr};

use socket2::Socket;

use crate::target::Transport;

/// Clients per source address: below the 28,232 ephemeral ports of the kernel's default range.
const CLIENTS_PER_ADDRESS: usize = 10_000;
const NO_COUNT: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ClientState {
    Disconnected,
    Connecting,
    /// The handshake is sent and not answered.
    Handshaking,
    /// The handshake was answered. The first envelope will prove that the session exists.
    AwaitingWelcome,
    /// The session is welcomed and receives what it missed.
    CatchingUp,
    Live,
}

pub(crate) struct Client {
    pub(crate) socket: Option<Socket>,
    pub(crate) state: ClientState,
    pub(crate) transport: Transport,
    /// The client does not read.
    pub(crate) paused: bool,
    /// Distinguishes events of this socket from those of earlier ones.
    pub(crate) generation: u32,
    /// Start of the connection attempt, in microseconds since the pool's start.
    pub(crate) began_micros: u32,
    count: u32,
    /// The first part of an incomplete frame.
    pub(crate) partial: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            socket: None,
            state: ClientState::Disconnected,
            transport,
            paused: false,
            generation: 0,
            began_micros: 0,
            count: NO_COUNT,
            partial: Vec::new(),
            unsent: Vec::new(),
        }
    }

    pub(crate) fn disconnect(&mut self) {
        self.socket = None;
        self.state = ClientState::Disconnected;
        self.count = NO_COUNT;
        self.partial = Vec::new();
        self.unsent = Vec::new();
    }

    /// The online count that the client received last.
    pub(crate) fn online_count(&self) -> Option<u64> {
        (self.count != NO_COUNT).then_some(u64::from(self.count))
    }

    pub(crate) fn set_online_count(&mut self, count: u64) {
        self.count = u32::try_from(count).unwrap_or(NO_COUNT);
    }

    /// Writes pending bytes, then `bytes`, and buffers what the socket does not take. Reading reports a broken socket.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let Some(socket) = self.socket.as_ref() else { return };
        // The socket nearly always takes everything, and nothing needs buffering.
        if self.unsent.is_empty() {
            let written = write(socket, bytes);
            if written < bytes.len() {
                self.unsent.extend_from_slice(&bytes[written..]);
            }
            return;
        }
        self.unsent.extend_from_slice(bytes);
        let written = write(socket, &self.unsent);
        if written == self.unsent.len() {
            self.unsent = Vec::new();
        } else {
            self.unsent.drain(..written);
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}

fn write(mut socket: &Socket, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match socket.write(&bytes[written..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

/// On loopback, clients spread over source addresses, since each has its own ports.
pub(crate) fn source_address(target: IpAddr, index: usize) -> Option<IpAddr> {
    let wanted = matches!(target, IpAddr::V4(address) if address.is_loopback());
    let [.., high, low] = u32::try_from(index / CLIENTS_PER_ADDRESS).unwrap_or(0).to_be_bytes();
    wanted.then(|| Ipv4Addr::new(127, 1, high, low.saturating_add(1)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnected_client_is_small() {
        assert!(size_of::<Client>() <= 80, "{}", size_of::<Client>());
    }

    #[test]
    fn source_addresses_vary_on_loopback_only() {
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(source_address(loopback, 0), "127.1.0.1".parse().ok());
        assert_eq!(source_address(loopback, CLIENTS_PER_ADDRESS), "127.1.0.2".parse().ok());
        assert_eq!(source_address("192.0.2.1".parse().unwrap(), 0), None);
    }
}
