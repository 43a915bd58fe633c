//! What comes in from sessions: frames become requests for the door, and answers go back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use teahouse_core::{CloseCode, ErrorCode, Revocation, SessionId, TokenMark};

use super::state::{Job, State};
use crate::clock::MonotonicMs;
use crate::ports::{BoxFuture, Dialect, RequestOutcome, Response, SessionEffect};
use crate::registry::LeaveReason;
use crate::session::{GOODBYE_TIMEOUT, Phase};
use crate::websocket::{self, Event, Flow};

impl State {
    /// Takes what was read from a session's socket.
    pub(crate) fn received(&mut self, slot: usize, bytes: &mut [u8]) {
        self.metrics.bytes_in.inc_by(bytes.len() as u64);
        self.slots[slot].session.health.record_received();
        if self.slots[slot].deaf {
            return;
        }
        let mut decoder = std::mem::take(&mut self.slots[slot].decoder);
        let limit = self.options.frame_bytes_max;
        let result = decoder.read(bytes, limit, |event| self.event(slot, event));
        let entry = &mut self.slots[slot];
        entry.frame_since = match result {
            Ok(_) if !decoder.has_partial_frame() => None,
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
        let farewell = if code == Some(CloseCode::Done.code()) { LeaveReason::Clean } else { LeaveReason::Lost };
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
        let caller = session.context();
        let greeted = session.v1.as_ref().map(|v1| !matches!(v1.phase, Phase::AwaitingHello { .. }));
        let door = Arc::clone(&self.ports.handler);
        // A panic in a handler is a bug of ours; it ends this session and no other.
        let receipt = catch_unwind(AssertUnwindSafe(|| match greeted {
            None => door.handle_classic(&caller, text),
            Some(greeted) => door.handle_v1(&caller, greeted, text),
        }));
        match receipt {
            Ok(receipt) => self.receipt(slot, receipt),
            Err(_) => self.answer(caller.session, Err(())),
        }
    }

    /// What becomes of a request. What is asked behind a hello is begun when that is answered, so that nothing
    /// comes of it before the session has its rooms.
    pub(super) fn receipt(&mut self, slot: usize, receipt: RequestOutcome) {
        let session = &mut self.slots[slot].session;
        let id = session.id;
        if let Some(v1) = &mut session.v1
            && let Phase::Welcoming { deferred_requests, .. } = &mut v1.phase
            && matches!(
                receipt,
                RequestOutcome::Pending(_) | RequestOutcome::ReadingHistory { .. } | RequestOutcome::Hub { .. }
            )
        {
            deferred_requests.push(receipt);
            return;
        }
        match receipt {
            RequestOutcome::NoReply => {}
            RequestOutcome::Reply(answer) => session.reply(websocket::text_frame(&answer)),
            RequestOutcome::Malformed(answer) => {
                self.metrics.malformed.inc();
                session.reply(websocket::text_frame(&answer));
                if session.record_malformed(self.now) {
                    self.end(slot, CloseCode::Malformed);
                }
            }
            RequestOutcome::Hello(future) => {
                // What happens from here on is kept for it, and only then the store is looked at.
                self.begin_greeting(slot);
                let future = async move {
                    let answer = future.await;
                    Response { effect: answer.effect.or(Some(SessionEffect::AbortHello)), ..answer }
                };
                self.poll_once(id, Box::pin(future));
            }
            RequestOutcome::ReadingHistory { room, id: reference, work } => {
                // The room waits from here on, and only then the store is looked at.
                let held = session.begin_reading(room);
                let work = async move {
                    Response { effect: Some(SessionEffect::FinishReading { room, id: reference, held }), ..work.await }
                };
                self.poll_once(id, Box::pin(work));
            }
            RequestOutcome::Pending(future) => self.poll_once(id, future),
            RequestOutcome::Hub { id, request } => self.ask(slot, id, request),
        }
    }

    fn poll_once(&mut self, session: SessionId, mut future: BoxFuture<Response>) {
        let mut context = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Ok(Poll::Ready(answer)) => self.answer(session, Ok(answer)),
            Ok(Poll::Pending) => self.jobs.push(Job::Response(session, future)),
            Err(_) => self.answer(session, Err(())),
        }
    }

    /// What came of a request; `Err` when its handler panicked.
    pub(crate) fn answer(&mut self, id: SessionId, answer: Result<Response, ()>) {
        if let Ok(Response { effect: Some(SessionEffect::EnterRoom(..)), .. }) = &answer {
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
        if let Some(SessionEffect::EnterRoom(..)) = &answer.effect
            && let Some(Phase::Welcoming { deferred_requests, .. }) =
                self.slots[slot].session.v1.as_mut().map(|v1| &mut v1.phase)
        {
            // It was asked behind a hello that was refused. What became of the room is told behind the welcome.
            return deferred_requests.push(RequestOutcome::Pending(Box::pin(std::future::ready(answer))));
        }
        let Response { envelope, effect } = answer;
        if let Some(SessionEffect::FinishReading { room, id, held }) = &effect
            && !self.finish_read(slot, *room, *held)
        {
            // It came in or went out meanwhile: what was read may be older than what it was told with that.
            return self.refuse(slot, id.as_deref(), ErrorCode::Overloaded);
        }
        if let Some(text) = envelope {
            self.slots[slot].session.reply(websocket::text_frame(&text));
        }
        match effect {
            Some(SessionEffect::Welcome(greeting)) => self.greet(slot, *greeting),
            Some(SessionEffect::RenewToken(mark, good_for)) => self.renew(slot, mark, good_for),
            Some(SessionEffect::EnterRoom(room, version)) => self.entry_answered(slot, room, version),
            Some(SessionEffect::AbortHello) => self.give_up_greeting(slot),
            Some(SessionEffect::FinishReading { .. }) | None => {}
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
        let covered = |(at, what): &(MonotonicMs, Revocation)| *at >= since && what.covers(&mark);
        if self.revoked.get(&entry.session.user).is_some_and(|list| list.iter().any(covered)) {
            self.end(slot, CloseCode::Revoked);
        }
    }
}
