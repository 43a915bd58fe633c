//! What comes in from sessions: frames become requests for the door, and answers go back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use teahouse_core::{CloseCode, ErrorCode, Revocation, SessionId, TokenMark};

use super::state::{Job, State};
use crate::clock::Moment;
use crate::registry::Farewell;
use crate::seams::{Answer, BoxFuture, Dialect, Receipt, Then};
use crate::session::{GOODBYE_TIMEOUT, Stage};
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
                match self.slots[slot].session.dialect() {
                    Dialect::Classic => self.request(slot, text),
                    Dialect::V1 => self.requests(slot, text),
                }
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

    /// A v1 frame carries an envelope a line.
    fn requests(&mut self, slot: usize, text: &str) {
        let mut lines = text.split('\n').filter(|line| !line.trim().is_empty()).peekable();
        if lines.peek().is_none() {
            self.request(slot, text);
        }
        for line in lines {
            if self.slots[slot].session.closing {
                return;
            }
            self.request(slot, line);
        }
    }

    fn request(&mut self, slot: usize, text: &str) {
        let session = &self.slots[slot].session;
        let caller = session.caller();
        let greeted = session.v1.as_ref().map(|v1| !matches!(v1.stage, Stage::Ungreeted { .. }));
        let door = Arc::clone(&self.seams.door);
        // A panic in a handler is a bug of ours; it ends this session and no other.
        let receipt = catch_unwind(AssertUnwindSafe(|| match greeted {
            None => door.receive(&caller, text),
            Some(greeted) => door.receive_v1(&caller, greeted, text),
        }));
        match receipt {
            Ok(receipt) => self.receipt(slot, receipt),
            Err(_) => self.answer(caller.session, Err(())),
        }
    }

    /// What becomes of a request. What is asked behind a hello is begun when that is answered, so that nothing
    /// comes of it before the session has its rooms.
    pub(super) fn receipt(&mut self, slot: usize, receipt: Receipt) {
        let session = &mut self.slots[slot].session;
        let id = session.id;
        if let Some(v1) = &mut session.v1
            && let Stage::Greeting { asked, .. } = &mut v1.stage
            && matches!(receipt, Receipt::Later(_) | Receipt::Reading { .. } | Receipt::Ask { .. })
        {
            asked.push(receipt);
            return;
        }
        match receipt {
            Receipt::Silent => {}
            Receipt::Reply(answer) => session.reply(websocket::text_frame(&answer)),
            Receipt::Malformed(answer) => {
                self.metrics.malformed.inc();
                session.reply(websocket::text_frame(&answer));
                if session.is_one_malformed_too_many(self.now) {
                    self.end(slot, CloseCode::Malformed);
                }
            }
            Receipt::Hello(future) => {
                // What happens from here on is kept for it, and only then the store is looked at.
                self.begin_greeting(slot);
                let future = async move {
                    let answer = future.await;
                    Answer { then: answer.then.or(Some(Then::StayUngreeted)), ..answer }
                };
                self.poll_once(id, Box::pin(future));
            }
            Receipt::Reading { room, id: reference, work } => {
                // The room waits from here on, and only then the store is looked at.
                let held = session.begin_reading(room);
                let work =
                    async move { Answer { then: Some(Then::HaveRead { room, id: reference, held }), ..work.await } };
                self.poll_once(id, Box::pin(work));
            }
            Receipt::Later(future) => self.poll_once(id, future),
            Receipt::Ask { id, ask } => self.ask(slot, id, ask),
        }
    }

    fn poll_once(&mut self, session: SessionId, mut future: BoxFuture<Answer>) {
        let mut context = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(answer)) => self.answer(session, Ok(answer)),
            Ok(Poll::Pending) => self.jobs.push(Job::Answer(session, future)),
            Err(_) => self.answer(session, Err(())),
        }
    }

    /// What came of a request; `Err` when its handler panicked.
    pub(crate) fn answer(&mut self, id: SessionId, answer: Result<Answer, ()>) {
        if let Ok(Answer { then: Some(Then::Enter(..)), .. }) = &answer {
            // The commit was laid into the inbox before the answer came, and comes first.
            let mail = self.inboxes[self.index].take();
            self.deliver(mail);
        }
        let Some(&slot) = self.by_id.get(&id) else {
            if answer.is_err() {
                self.metrics.panics.inc();
            }
            return;
        };
        let Ok(answer) = answer else {
            self.metrics.panics.inc();
            return self.end(slot, CloseCode::Internal);
        };
        if self.slots[slot].session.closing {
            return;
        }
        if let Some(Then::Enter(..)) = &answer.then
            && let Some(Stage::Greeting { asked, .. }) = self.slots[slot].session.v1.as_mut().map(|v1| &mut v1.stage)
        {
            // It was asked behind a hello that was refused. What became of the room is told behind the welcome.
            return asked.push(Receipt::Later(Box::pin(std::future::ready(answer))));
        }
        let Answer { envelope, then } = answer;
        if let Some(Then::HaveRead { room, id, held }) = &then
            && !self.has_read(slot, *room, *held)
        {
            // It came in or went out meanwhile: what was read may be older than what it was told with that.
            return self.refuse(slot, id.as_deref(), ErrorCode::Overloaded);
        }
        if let Some(text) = envelope {
            self.slots[slot].session.reply(websocket::text_frame(&text));
        }
        match then {
            Some(Then::Greet(greeting)) => self.greet(slot, *greeting),
            Some(Then::Renew(mark, good_for)) => self.renew(slot, mark, good_for),
            Some(Then::Enter(room, version)) => self.entry_answered(slot, room, version),
            Some(Then::StayUngreeted) => self.give_up_greeting(slot),
            Some(Then::HaveRead { .. }) | None => {}
        }
        // Not at once: its envelope and other answers that come with it leave in the same write.
        self.is_ready(slot);
    }

    /// A session goes on with a fresh token, unless that was revoked while it was looked at.
    fn renew(&mut self, slot: usize, mark: TokenMark, good_for: Duration) {
        let entry = &mut self.slots[slot];
        let since = entry.session.v1.as_ref().map_or(self.now, |v1| v1.since);
        entry.session.mark = mark;
        entry.expires_at = self.now.plus(good_for).plus(self.options.token_grace);
        let covered = |(at, what): &(Moment, Revocation)| *at >= since && what.covers(&mark);
        if self.revoked.get(&entry.session.user).is_some_and(|list| list.iter().any(covered)) {
            self.end(slot, CloseCode::Revoked);
        }
    }
}
