//! One member of the crowd: its socket and how far it has come. Some tens of bytes, since there are
//! thousands; what it says and hears is the crowd's.

use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr};

use socket2::Socket;

use crate::target::Door;

/// Clients of one source address: a part of the ports that the kernel gives out for one (28,232).
const CLIENTS_PER_ADDRESS: usize = 10_000;
/// Nobody was told yet how many are online.
const UNTOLD: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    Away,
    Connecting,
    /// The handshake is sent.
    Shaking,
    /// It was answered; the first envelope will show that the session is there.
    Joining,
    /// It was welcomed, and hears what it missed.
    CatchingUp,
    Live,
}

pub(crate) struct Client {
    pub(crate) socket: Option<Socket>,
    pub(crate) stage: Stage,
    pub(crate) door: Door,
    /// Whether it leaves unread what comes.
    pub(crate) paused: bool,
    /// Tells events of this socket from those of the one before.
    pub(crate) generation: u32,
    /// When it began to connect, in microseconds of the crowd's time.
    pub(crate) began_micros: u32,
    count: u32,
    /// The beginning of a frame whose end is still to come.
    pub(crate) rest: Vec<u8>,
    unsent: Vec<u8>,
}

impl Client {
    pub(crate) fn new(door: Door) -> Self {
        Self {
            socket: None,
            stage: Stage::Away,
            door,
            paused: false,
            generation: 0,
            began_micros: 0,
            count: UNTOLD,
            rest: Vec::new(),
            unsent: Vec::new(),
        }
    }

    pub(crate) fn leave(&mut self) {
        self.socket = None;
        self.stage = Stage::Away;
        self.count = UNTOLD;
        self.rest = Vec::new();
        self.unsent = Vec::new();
    }

    /// How many people are online, as it was told last.
    pub(crate) fn count(&self) -> Option<u64> {
        (self.count != UNTOLD).then_some(u64::from(self.count))
    }

    pub(crate) fn told_count(&mut self, count: u64) {
        self.count = u32::try_from(count).unwrap_or(UNTOLD);
    }

    /// Writes what waits and then these bytes. What does not fit waits; a broken socket shows when it is read.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let Some(socket) = self.socket.as_ref() else { return };
        // Nearly always everything fits at once, and nothing is to be kept.
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

    /// Whether something waits to be sent.
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

/// Loopback is a network of sixteen million addresses, each with ports of its own.
pub(crate) fn source_address(target: IpAddr, index: usize) -> Option<IpAddr> {
    let wanted = matches!(target, IpAddr::V4(address) if address.is_loopback());
    let [.., high, low] = u32::try_from(index / CLIENTS_PER_ADDRESS).unwrap_or(0).to_be_bytes();
    wanted.then(|| Ipv4Addr::new(127, 1, high, low.saturating_add(1)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_away_is_small() {
        assert!(size_of::<Client>() <= 80, "{}", size_of::<Client>());
    }

    #[test]
    fn sources_are_many_on_loopback_and_none_elsewhere() {
        let loopback = "127.0.0.1".parse().unwrap();
        assert_eq!(source_address(loopback, 0), "127.1.0.1".parse().ok());
        assert_eq!(source_address(loopback, CLIENTS_PER_ADDRESS), "127.1.0.2".parse().ok());
        assert_eq!(source_address("192.0.2.1".parse().unwrap(), 0), None);
    }
}
