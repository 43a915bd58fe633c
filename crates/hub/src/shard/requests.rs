//! Requests of sessions: bytes become frames, frames become requests for the handler or for the hub itself, and
//! responses go back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use teahouse_core::limits::TYPING_MEMBERS_MAX;
use teahouse_core::{CloseCode, ErrorCode, LOBBY, RoomId, SessionId, TokenMark};
use teahouse_protocol::v1;

use super::state::Shard;
use crate::answers::AnswerPermit;
use crate::inbox::Delivery;
use crate::ports::{BoxFuture, Dialect, HubRequest, RequestOutcome, Response, SessionEffect};
use crate::session::{Phase, SYNCS_WAITING_MAX};
use crate::websocket::{self, Event, Flow};

impl Shard {
    // ── Frames ──

    /// Processes what was read from a session's socket.
    pub(super) fn receive(&mut self, index: usize, bytes: &mut [u8]) {
        self.environment.metrics.bytes_in.inc_by(bytes.len() as u64);
        let slot = &mut self.slots[index];
        slot.session.health.record_received();
        if slot.leaving.discarding_input {
            return;
        }
        let mut decoder = std::mem::take(&mut slot.decoder);
        let limit = self.environment.options.frame_bytes_max;
        let result = decoder.read(bytes, limit, |event| self.receive_frame(index, event));
        let slot = &mut self.slots[index];
        slot.frame_since = match result {
            Ok(_) if !decoder.has_partial_frame() => None,
            Ok(0) => slot.frame_since.or(Some(self.now)),
            _ => Some(self.now),
        };
        slot.decoder = decoder;
        if let Err(error) = result
            && !slot.leaving.peer_closed
        {
            slot.leaving.discarding_input = true;
            if !slot.session.closing {
                self.end(index, error.into());
            }
        }
    }

    fn receive_frame(&mut self, index: usize, event: Event<'_>) -> Flow {
        let session = &mut self.slots[index].session;
        match event {
            Event::Close(code) => {
                self.peer_closed(index, code);
                return Flow::Stop;
            }
            // After our close frame only the peer's is of interest.
            _ if session.closing => {}
            Event::Text(text) => {
                self.environment.metrics.frames_in.inc();
                match session.dialect() {
                    Dialect::Classic => self.receive_request(index, text),
                    Dialect::V1 => self.receive_lines(index, text),
                }
            }
            Event::Binary(_) => self.end(index, CloseCode::Binary),
            Event::Ping(payload) => session.reply(websocket::pong_frame(payload)),
            Event::Pong => {}
        }
        Flow::Continue
    }

    /// A v1 frame has one envelope per line.
    fn receive_lines(&mut self, index: usize, text: &str) {
        let mut lines = text.split('\n').filter(|line| !line.trim().is_empty()).peekable();
        if lines.peek().is_none() {
            self.receive_request(index, text);
        }
        for line in lines {
            if self.slots[index].session.closing {
                return;
            }
            self.receive_request(index, line);
        }
    }

    // ── Requests ──

    fn receive_request(&mut self, index: usize, text: &str) {
        let session = &self.slots[index].session;
        let context = session.context();
        let greeted = session.v1.as_ref().map(|v1| !matches!(v1.phase, Phase::AwaitingHello { .. }));
        let handler = Arc::clone(&self.environment.ports.handler);
        let outcome = catch_unwind(AssertUnwindSafe(|| match greeted {
            None => handler.handle_classic(&context, text),
            Some(greeted) => handler.handle_v1(&context, greeted, text),
        }));
        match outcome {
            Ok(outcome) => self.begin_request(index, outcome, text.len()),
            Err(_) => self.end_panicked(Some(index)),
        }
    }

    /// A panic in the handler is a bug of ours; it ends this session and no other.
    fn end_panicked(&mut self, index: Option<usize>) {
        self.environment.metrics.panics.inc();
        if let Some(index) = index {
            self.end(index, CloseCode::Internal);
        }
    }

    /// Begins a request. While the session waits for its welcome, requests that need its rooms or the store wait too:
    /// none takes effect before the session has its rooms. `bytes` are those of its text.
    fn begin_request(&mut self, index: usize, outcome: RequestOutcome, bytes: usize) {
        let session = &mut self.slots[index].session;
        let id = session.id;
        if let Some(v1) = &mut session.v1
            && let Phase::Welcoming { deferred_requests, deferred_bytes, .. } = &mut v1.phase
            && matches!(
                outcome,
                RequestOutcome::Pending(_) | RequestOutcome::ReadingHistory { .. } | RequestOutcome::Hub { .. }
            )
        {
            deferred_requests.push(outcome);
            *deferred_bytes += bytes;
            return;
        }
        match outcome {
            RequestOutcome::NoReply => {}
            RequestOutcome::Reply(text) => session.reply(websocket::text_frame(&text)),
            RequestOutcome::Malformed(text) => {
                self.environment.metrics.malformed.inc();
                session.reply(websocket::text_frame(&text));
                if session.record_malformed(self.now) {
                    self.end(index, CloseCode::Malformed);
                }
            }
            RequestOutcome::Hello(future) => {
                // From here on the shard records changes; only then may the store be read.
                self.begin_hello(index);
                let future = async move {
                    let response = future.await;
                    Response { effect: response.effect.or(Some(SessionEffect::AbortHello)), ..response }
                };
                self.begin_work(id, Box::pin(future));
            }
            RequestOutcome::ReadingHistory { room, id: reference, work } => {
                // From here on the room is held; only then may the store be read.
                let held = session.begin_reading(room);
                let effect = SessionEffect::FinishReading { room, id: reference, held };
                self.begin_work(id, Box::pin(async move { Response { effect: Some(effect), ..work.await } }));
            }
            RequestOutcome::Pending(future) => self.begin_work(id, future),
            RequestOutcome::Hub { id, request } => self.serve(index, id, request),
        }
    }

    fn begin_work(&mut self, session: SessionId, future: BoxFuture<Response>) {
        if let Some(response) = self.jobs.begin(session, future) {
            self.finish_request(session, response);
        }
    }

    /// Begins the requests that arrived between a session's hello and its welcome, in order.
    fn begin_deferred(&mut self, index: usize, deferred: Vec<RequestOutcome>) {
        for outcome in deferred {
            if self.slots[index].session.closing {
                return;
            }
            self.begin_request(index, outcome, 0);
        }
        // While responses waited for the welcome, further requests may have been left in the socket.
        self.schedule(index);
    }

    // ── Requests that the hub itself serves ──

    fn serve(&mut self, index: usize, id: Option<String>, request: HubRequest) {
        let (HubRequest::Sync(room, _) | HubRequest::Presence(room, _) | HubRequest::Typing(room, _)) = request;
        if !self.slots[index].session.is_in(room) {
            return self.refuse(index, id.as_deref(), ErrorCode::NotFound);
        }
        match request {
            HubRequest::Sync(room, since) => {
                let cursor = self.slots[index].session.cursor_in(room);
                if let Some(Err(id)) = cursor.map(|cursor| cursor.request_sync(since, id)) {
                    self.environment.metrics.bounds.record("SYNCS_WAITING_MAX", SYNCS_WAITING_MAX as u64);
                    self.refuse(index, id.as_deref(), ErrorCode::Overloaded);
                }
            }
            HubRequest::Presence(room, true) => self.watch(index, id, room),
            HubRequest::Presence(room, false) => self.unwatch(index, id, room),
            HubRequest::Typing(room, on) => self.set_typing(index, id, room, on),
        }
    }

    fn set_typing(&mut self, index: usize, id: Option<String>, room: RoomId, on: bool) {
        let members = self.rooms.get(room).map_or(0, |room| room.members);
        if room == LOBBY || members > TYPING_MEMBERS_MAX {
            return self.refuse(index, id.as_deref(), ErrorCode::Forbidden);
        }
        self.acknowledge(index, id, &v1::Nothing {});
        let user = self.slots[index].session.identity.user;
        self.rooms.set_typing(room, user, on, self.now);
        self.environment.put_to_other_shards(&[Delivery::Typing { room, user, on }]);
    }

    // ── Responses ──

    /// Answers a request, after the commits that precede its answer; `Err` when its handler panicked.
    pub(super) fn finish_request(&mut self, id: SessionId, response: Result<Response, ()>) {
        let index = self.slot_of(id);
        let Ok(response) = response else { return self.end_panicked(index) };
        let Some(index) = index else { return };
        let session = &mut self.slots[index].session;
        if session.closing {
            return;
        }
        if let Some(SessionEffect::EnterRoom(_)) = &response.effect
            && let Some(Phase::Welcoming { deferred_requests, .. }) = session.v1.as_mut().map(|v1| &mut v1.phase)
        {
            // The request followed a hello that was refused. Changes of the room come with the welcome.
            return deferred_requests.push(RequestOutcome::Pending(Box::pin(std::future::ready(response))));
        }
        let Response { envelope, effect, permit } = response;
        if let Some(SessionEffect::FinishReading { room, id, held }) = &effect
            && !self.finish_reading(index, *room, *held)
        {
            return self.refuse(index, id.as_deref(), ErrorCode::Overloaded);
        }
        if let Some(text) = envelope {
            let frame = AnswerPermit::hold_if_any(permit.clone(), websocket::text_frame(&text));
            self.slots[index].session.reply(frame);
        }
        match effect {
            Some(SessionEffect::Welcome(data)) => {
                let deferred = self.welcome(index, *data, permit);
                self.begin_deferred(index, deferred);
            }
            Some(SessionEffect::AbortHello) => {
                let deferred = self.abort_hello(index);
                self.begin_deferred(index, deferred);
            }
            Some(SessionEffect::RenewToken(mark, good_for)) => self.renew(index, mark, good_for),
            Some(SessionEffect::EnterRoom(entered)) => self.finish_entering(index, entered),
            Some(SessionEffect::FinishReading { .. }) | None => {}
        }
        // Written later in this turn, together with the envelope of the same commit.
        self.mark_ready(index);
    }

    /// A session continues with a fresh token, unless the token was revoked since it was checked.
    fn renew(&mut self, index: usize, mark: TokenMark, good_for: Duration) {
        let slot = &mut self.slots[index];
        let since = slot.session.v1.as_ref().map_or(self.now, |v1| v1.attached_at);
        slot.session.identity.token = mark;
        slot.expires_at = self.now.plus(good_for).plus(self.environment.options.token_grace);
        if self.revocations.cover(slot.session.identity.user, &mark, since) {
            self.end(index, CloseCode::Revoked);
        }
    }
}
