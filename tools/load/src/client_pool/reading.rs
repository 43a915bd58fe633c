//! Reading: from bytes to frames and responses, and the envelopes that change a connection's state. All other
//! content is handled by the pool's caller.

use std::io::{ErrorKind, Read};

use super::{BUFFER_BYTES, ClientPool, Incoming};
use crate::client::ClientState;
use crate::envelopes;
use crate::error::LoadError;
use crate::target::Transport;
use crate::wire;

impl ClientPool {
    pub(super) fn readable(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        loop {
            let client = &mut self.clients[index];
            let Some(mut socket) = client.socket.as_ref() else { return Ok(()) };
            let kept = client.partial.len();
            if kept >= buffer.len() {
                return Err(LoadError::Protocol(format!("frame of more than {BUFFER_BYTES} bytes")));
            }
            let read = match socket.read(&mut buffer[kept..]) {
                Ok(read @ 1..) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.handle_disconnect(index);
                    return Ok(());
                }
            };
            buffer[..kept].copy_from_slice(&client.partial);
            client.partial.clear();
            self.counters.bytes += read as u64;
            let drained = kept + read < buffer.len();
            let taken = self.parse(index, &buffer[..kept + read], listen)?;
            let rest = &buffer[taken..kept + read];
            let client = &mut self.clients[index];
            if rest.is_empty() {
                client.partial = Vec::new();
            } else if client.socket.is_some() {
                client.partial.extend_from_slice(rest);
            }
            if drained {
                return Ok(());
            }
        }
    }

    /// Handles all complete frames and responses, and returns the number of bytes consumed.
    fn parse(
        &mut self,
        index: usize,
        bytes: &[u8],
        listen: &mut impl FnMut(usize, Incoming<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<usize, LoadError> {
        let broken = |what: &str| LoadError::Protocol(what.to_owned());
        let mut taken = 0;
        let mut reply = Vec::new();
        while self.clients[index].state != ClientState::Disconnected {
            let waiting = &bytes[taken..];
            let transport = self.clients[index].transport;
            if transport == Transport::Http || self.clients[index].state == ClientState::Handshaking {
                let Some(response) = wire::read_response(waiting).map_err(broken)? else { break };
                taken += response.length;
                if transport == Transport::Http {
                    self.counters.received += 1;
                    listen(index, Incoming::Response(response.status, response.body), &mut reply)?;
                } else if response.status == 101 {
                    self.clients[index].state = ClientState::AwaitingWelcome;
                    if transport == Transport::V1 {
                        let held = self.held.get(index).filter(|held| held.room > 0);
                        envelopes::push_hello(&mut reply, self.epoch.as_deref(), held);
                    }
                } else {
                    let body = String::from_utf8_lossy(response.body);
                    return Err(LoadError::Refused(format!("{} {body}", response.status)));
                }
                continue;
            }
            let Some(frame) = wire::read_frame(waiting).map_err(broken)? else { break };
            taken += frame.length;
            match frame.opcode {
                wire::TEXT if transport == Transport::V1 => {
                    for envelope in envelopes::split(frame.payload) {
                        self.handle_envelope(index, envelope)?;
                        listen(index, Incoming::Envelope(envelope), &mut reply)?;
                    }
                }
                wire::TEXT => {
                    self.handle_envelope(index, frame.payload)?;
                    listen(index, Incoming::Envelope(frame.payload), &mut reply)?;
                }
                wire::PING => wire::push_frame(&mut reply, wire::PONG, frame.payload),
                wire::CLOSE => self.handle_disconnect(index),
                opcode => return Err(LoadError::Protocol(format!("frame with opcode {opcode}"))),
            }
        }
        if !reply.is_empty() {
            self.clients[index].send(&reply);
        }
        Ok(taken)
    }

    /// Updates the state of the connection.
    fn handle_envelope(&mut self, index: usize, envelope: &[u8]) -> Result<(), LoadError> {
        self.counters.received += 1;
        if let Some(count) = envelopes::online_count(envelope) {
            self.clients[index].set_online_count(count);
        }
        match self.clients[index].state {
            ClientState::AwaitingWelcome if self.clients[index].transport == Transport::V1 => {
                if envelopes::is_error(envelope) {
                    return Err(LoadError::Refused(String::from_utf8_lossy(envelope).into_owned()));
                }
                if !envelopes::is_welcome(envelope) {
                    return Ok(());
                }
                if self.epoch.is_none() {
                    self.epoch = envelopes::epoch(envelope);
                }
                if self.held(index).room == 0 {
                    self.mark_live(index);
                } else {
                    self.clients[index].state = ClientState::CatchingUp;
                }
            }
            ClientState::AwaitingWelcome => self.mark_live(index),
            ClientState::CatchingUp if envelopes::is_caught_up(envelope) => self.mark_live(index),
            _ => {}
        }
        Ok(())
    }
}
