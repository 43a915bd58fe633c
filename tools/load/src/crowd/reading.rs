//! How the crowd reads: bytes to frames and answers, and what an envelope says of its session. What else it
//! says is its caller's.

use std::io::{ErrorKind, Read};

use super::{BUFFER_BYTES, Crowd, Heard};
use crate::client::Stage;
use crate::envelopes;
use crate::error::LoadError;
use crate::target::Door;
use crate::wire;

impl Crowd {
    pub(super) fn readable(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        loop {
            let client = &mut self.clients[index];
            let Some(mut socket) = client.socket.as_ref() else { return Ok(()) };
            let kept = client.rest.len();
            if kept >= buffer.len() {
                return Err(LoadError::Protocol(format!("a frame of more than {BUFFER_BYTES} bytes")));
            }
            let read = match socket.read(&mut buffer[kept..]) {
                Ok(read @ 1..) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(_) | Err(_) => {
                    self.ended(index);
                    return Ok(());
                }
            };
            buffer[..kept].copy_from_slice(&client.rest);
            client.rest.clear();
            self.counters.bytes += read as u64;
            let drained = kept + read < buffer.len();
            let taken = self.understand(index, &buffer[..kept + read], listen)?;
            let rest = &buffer[taken..kept + read];
            let client = &mut self.clients[index];
            if rest.is_empty() {
                client.rest = Vec::new();
            } else if client.socket.is_some() {
                client.rest.extend_from_slice(rest);
            }
            if drained {
                return Ok(());
            }
        }
    }

    /// Reads what is there whole, and says how many bytes that were.
    fn understand(
        &mut self,
        index: usize,
        bytes: &[u8],
        listen: &mut impl FnMut(usize, Heard<'_>, &mut Vec<u8>) -> Result<(), LoadError>,
    ) -> Result<usize, LoadError> {
        let broken = |what: &str| LoadError::Protocol(what.to_owned());
        let mut taken = 0;
        let mut say = Vec::new();
        while self.clients[index].stage != Stage::Away {
            let waiting = &bytes[taken..];
            let door = self.clients[index].door;
            if door == Door::Http || self.clients[index].stage == Stage::Shaking {
                let Some(answer) = wire::read_answer(waiting).map_err(broken)? else { break };
                taken += answer.length;
                if door == Door::Http {
                    self.counters.heard += 1;
                    listen(index, Heard::Answer(answer.status, answer.body), &mut say)?;
                } else if answer.status == 101 {
                    self.clients[index].stage = Stage::Joining;
                    if door == Door::V1 {
                        let held = self.held.get(index).filter(|held| held.room > 0);
                        envelopes::push_hello(&mut say, self.epoch.as_deref(), held);
                    }
                } else {
                    let body = String::from_utf8_lossy(answer.body);
                    return Err(LoadError::Refused(format!("{} {body}", answer.status)));
                }
                continue;
            }
            let Some(frame) = wire::read_frame(waiting).map_err(broken)? else { break };
            taken += frame.length;
            match frame.opcode {
                wire::TEXT if door == Door::V1 => {
                    for envelope in envelopes::split(frame.payload) {
                        self.heard(index, envelope)?;
                        listen(index, Heard::Text(envelope), &mut say)?;
                    }
                }
                wire::TEXT => {
                    self.heard(index, frame.payload)?;
                    listen(index, Heard::Text(frame.payload), &mut say)?;
                }
                wire::PING => wire::push_frame(&mut say, wire::PONG, frame.payload),
                wire::CLOSE => self.ended(index),
                opcode => return Err(LoadError::Protocol(format!("a frame of opcode {opcode}"))),
            }
        }
        if !say.is_empty() {
            self.clients[index].send(&say);
        }
        Ok(taken)
    }

    /// What an envelope says of the session itself.
    fn heard(&mut self, index: usize, envelope: &[u8]) -> Result<(), LoadError> {
        self.counters.heard += 1;
        if let Some(count) = envelopes::online_count(envelope) {
            self.clients[index].told_count(count);
        }
        match self.clients[index].stage {
            Stage::Joining if self.clients[index].door == Door::V1 => {
                if envelopes::is_refusal(envelope) {
                    return Err(LoadError::Refused(String::from_utf8_lossy(envelope).into_owned()));
                }
                if !envelopes::is_welcome(envelope) {
                    return Ok(());
                }
                if self.epoch.is_none() {
                    self.epoch = envelopes::epoch(envelope);
                }
                if self.held(index).room == 0 {
                    self.became_live(index);
                } else {
                    self.clients[index].stage = Stage::CatchingUp;
                }
            }
            Stage::Joining => self.became_live(index),
            Stage::CatchingUp if envelopes::is_caught_up(envelope) => self.became_live(index),
            _ => {}
        }
        Ok(())
    }
}
