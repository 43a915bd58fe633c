//! What comes in from sessions: frames become requests for the door, and answers go back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use teahouse_core::{CloseCode, SessionId};

use super::state::{Job, State};
use crate::registry::Farewell;
use crate::seams::Receipt;
use crate::session::GOODBYE_TIMEOUT;
use crate::websocket::{self, Event, Flow};

impl State {
    /// Takes what was read from a session's socket.
    pub(crate) fn received(&mut self, slot: usize, bytes: &mut [u8]) {
        self.metrics.bytes_in.inc_by(bytes.len() as u64);
        self.slots[slot].session.health.heard();
        if self.slots[slot].deaf {
            return;
        }
        let mut decoder = std::mem::take(&mut self.slots[slot].decoder);
        let limit = self.options.frame_bytes_max;
        let result = decoder.read(bytes, limit, |event| self.event(slot, event));
        let entry = &mut self.slots[slot];
        entry.frame_since = match result {
            Ok(_) if !decoder.is_in_a_frame() => None,
            Ok(0) => entry.frame_since.or(Some(self.now)),
            _ => Some(self.now),
        };
        entry.decoder = decoder;
        if let Err(error) = result
            && !self.slots[slot].peer_closed
        {
            self.slots[slot].deaf = true;
            if !self.slots[slot].session.closing {
                self.end(slot, error.into());
            }
        }
    }

    fn event(&mut self, slot: usize, event: Event<'_>) -> Flow {
        let closing = self.slots[slot].session.closing;
        match event {
            Event::Close(code) => {
                self.peer_closes(slot, code);
                return Flow::Stop;
            }
            // Once we said goodbye, only the peer's answer to it is of interest.
            _ if closing => {}
            Event::Text(text) => {
                self.metrics.frames_in.inc();
                self.request(slot, text);
            }
            Event::Binary(_) => self.end(slot, CloseCode::Binary),
            Event::Ping(payload) => self.slots[slot].session.reply(websocket::pong_frame(payload)),
            Event::Pong => {}
        }
        Flow::Continue
    }

    fn peer_closes(&mut self, slot: usize, code: Option<u16>) {
        let farewell = if code == Some(CloseCode::Done.code()) { Farewell::Goodbye } else { Farewell::Lost };
        self.leave(slot, farewell);
        let entry = &mut self.slots[slot];
        entry.peer_closed = true;
        if !entry.session.closing {
            entry.session.closing = true;
            entry.session.reply(match code {
                Some(code) => websocket::close_frame(code, ""),
                None => websocket::bare_close_frame(),
            });
            entry.goodbye_until = Some(self.now.plus(GOODBYE_TIMEOUT));
        }
    }

    fn request(&mut self, slot: usize, text: &str) {
        let caller = self.slots[slot].session.caller();
        let door = Arc::clone(&self.seams.door);
        // A panic in a handler is a bug of ours; it ends this session and no other.
        match catch_unwind(AssertUnwindSafe(|| door.receive(&caller, text))) {
            Ok(Receipt::Silent) => {}
            Ok(Receipt::Reply(answer)) => self.slots[slot].session.reply(websocket::text_frame(&answer)),
            Ok(Receipt::Malformed(answer)) => {
                self.metrics.malformed.inc();
                let session = &mut self.slots[slot].session;
                session.reply(websocket::text_frame(&answer));
                if session.is_one_malformed_too_many(self.now) {
                    self.end(slot, CloseCode::Policy);
                }
            }
            Ok(Receipt::Later(mut future)) => {
                let mut context = Context::from_waker(Waker::noop());
                match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
                    Ok(Poll::Ready(answer)) => self.answer(caller.session, Ok(answer)),
                    Ok(Poll::Pending) => self.jobs.push(Job::Answer(caller.session, future)),
                    Err(_) => self.answer(caller.session, Err(())),
                }
            }
            Err(_) => self.answer(caller.session, Err(())),
        }
    }

    /// What came of a request; `Err` when its handler panicked.
    pub(crate) fn answer(&mut self, id: SessionId, answer: Result<Option<String>, ()>) {
        if answer.is_err() {
            self.metrics.panics.inc();
        }
        let Some(&slot) = self.by_id.get(&id) else { return };
        match answer {
            Ok(None) => {}
            Ok(Some(text)) if !self.slots[slot].session.closing => {
                self.slots[slot].session.reply(websocket::text_frame(&text));
                self.pump(slot);
            }
            Ok(Some(_)) => {}
            Err(()) => self.end(slot, CloseCode::Internal),
        }
    }
}
