//! The hub's ports over the model store. Requests become writes in its queue. A read looks at the store some polls after
//! it began, and completes some polls after that.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use teahouse_core::{ErrorCode, LOBBY, Language, MessageId, RoomEntry, RoomId, Seq, Timestamp, UserId, Version};
use teahouse_core::{TokenKey, TokenMark};
use teahouse_protocol::classic;
use teahouse_protocol::v1::{self, Request, RequestEnvelope};

use super::store::{Store, Write};
use crate::ports::{
    BoxFuture, CatchUpFrom, ChangesPage, ClassicPage, Dialect, HistoryReader, HubRequest, RequestHandler,
    RequestOutcome, Response, SessionContext, SessionEffect,
};

/// The model store, shared by all parts of a run.
#[derive(Clone)]
pub(super) struct SharedStore(Arc<Mutex<Store>>);

impl SharedStore {
    pub(super) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A read that looks at the store some polls after the first one, and completes some polls after that.
    fn delayed<T: Send + Unpin + 'static>(&self, look: impl FnOnce(&mut Store) -> T + Send + 'static) -> BoxFuture<T> {
        let mut store = self.lock();
        let slowness = store.slowness;
        let (before, after) = (store.rng.u64(..=slowness), store.rng.u64(..=slowness));
        drop(store);
        Box::pin(DelayedRead { store: self.clone(), before, after, look: Some(Box::new(look)), found: None })
    }

    /// A delayed read that may fail.
    fn delayed_fallible<T: Send + Unpin + 'static>(
        &self,
        look: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> BoxFuture<Option<T>> {
        self.delayed(|store| if store.fails() { None } else { Some(look(store)) })
    }
}

/// The access of a read to the store.
type Look<T> = Box<dyn FnOnce(&mut Store) -> T + Send>;

struct DelayedRead<T> {
    store: SharedStore,
    before: u64,
    after: u64,
    look: Option<Look<T>>,
    found: Option<T>,
}

impl<T: Unpin> Future for DelayedRead<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        if self.before > 0 {
            self.before -= 1;
            return Poll::Pending;
        }
        if let Some(look) = self.look.take() {
            let found = look(&mut self.store.lock());
            self.found = Some(found);
        }
        if self.after > 0 {
            self.after -= 1;
            return Poll::Pending;
        }
        self.found.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// A write. Its first poll puts it into the store's queue, so that a session's requests keep their order.
struct Written {
    store: SharedStore,
    asked: Option<(SessionContext, Dialect, Option<String>, Write)>,
    ticket: u64,
}

impl Future for Written {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Response> {
        if let Some((session, dialect, id, write)) = self.asked.take() {
            let requester = id.is_some().then_some(session.session);
            let ticket = self.store.lock().ask(session.user.0, dialect, id, requester, write);
            self.ticket = ticket;
        }
        let outcome = self.store.lock().outcome(self.ticket);
        outcome.map_or(Poll::Pending, |outcome| {
            let effect = outcome.entered.map(SessionEffect::EnterRoom);
            Poll::Ready(Response { envelope: outcome.envelope, effect, permit: None })
        })
    }
}

pub(super) struct ModelHandler(pub(super) SharedStore);

impl ModelHandler {
    fn write(&self, session: &SessionContext, dialect: Dialect, id: Option<String>, write: Write) -> RequestOutcome {
        let asked = Some((*session, dialect, id, write));
        RequestOutcome::Pending(Box::pin(Written { store: self.0.clone(), asked, ticket: 0 }))
    }

    fn hello(
        &self,
        session: &SessionContext,
        id: Option<String>,
        epoch: Option<String>,
        rooms: Vec<(RoomId, Version)>,
    ) -> RequestOutcome {
        let session = (session.session, session.user.0);
        RequestOutcome::Hello(self.0.delayed(move |store| {
            if store.fails() {
                let body = v1::ErrorBody::new(ErrorCode::Overloaded, Language::En);
                return Response::with_envelope(v1::error(id.as_deref(), &body));
            }
            let welcome = store.welcome_data(session, id, epoch.as_deref(), rooms);
            Response { effect: Some(SessionEffect::Welcome(Box::new(welcome))), ..Response::default() }
        }))
    }

    fn past(&self, session: &SessionContext, id: Option<String>, room: RoomId, before: Option<Seq>) -> RequestOutcome {
        let (user, reference) = (session.user.0, id.clone());
        let work = self.0.delayed(move |store| {
            let found = if store.fails() {
                Err(ErrorCode::Overloaded)
            } else {
                store.past(room.0, user, before.map_or(u64::MAX, |seq| seq.0))
            };
            Response::with_envelope(match found {
                Ok((messages, more)) => {
                    let ids: Vec<MessageId> = messages.iter().map(|message| message.id).collect();
                    let own = v1::own_reactions(store.own_reactions(user, &ids));
                    v1::ack(reference.as_deref().unwrap_or(""), &v1::History::new(&messages, (more, true), &own))
                }
                Err(code) => v1::error(reference.as_deref(), &v1::ErrorBody::new(code, Language::En)),
            })
        });
        RequestOutcome::ReadingHistory { room, id, work }
    }
}

impl RequestHandler for ModelHandler {
    fn handle_classic(&self, session: &SessionContext, text: &str) -> RequestOutcome {
        match classic::read_request(text) {
            Ok(classic::ClassicRequest::Message { content }) => {
                let write = Write::Post { room: LOBBY.0, content, client_id: None };
                self.write(session, Dialect::Classic, None, write)
            }
            Ok(classic::ClassicRequest::Heartbeat) => RequestOutcome::Reply(classic::heartbeat(Timestamp(0))),
            Err(_) => RequestOutcome::Malformed(classic::refusal(ErrorCode::BadRequest, session.language)),
        }
    }

    fn handle_v1(&self, session: &SessionContext, has_said_hello: bool, text: &str) -> RequestOutcome {
        let refused = |id: Option<&str>, code| v1::error(id, &v1::ErrorBody::new(code, Language::En));
        let RequestEnvelope { id, request } = match v1::read_envelope(text) {
            Ok(envelope) => envelope,
            Err(error) => return RequestOutcome::Malformed(refused(error.id.as_deref(), ErrorCode::BadRequest)),
        };
        if matches!(request, Request::Hello { .. }) == has_said_hello {
            return RequestOutcome::Reply(refused(id.as_deref(), ErrorCode::BadRequest));
        }
        let write = match request {
            Request::Hello { epoch, rooms, .. } => return self.hello(session, id, epoch, rooms),
            Request::History { room, before, .. } => return self.past(session, id, room, before),
            Request::Sync { room, since } => return RequestOutcome::Hub { id, request: HubRequest::Sync(room, since) },
            Request::Presence { room, on } => {
                return RequestOutcome::Hub { id, request: HubRequest::Presence(room, on) };
            }
            Request::Typing { room, on } => return RequestOutcome::Hub { id, request: HubRequest::Typing(room, on) },
            Request::Heartbeat {} => return RequestOutcome::Reply(v1::heartbeat(id.as_deref(), Timestamp(0))),
            Request::Auth { .. } => {
                let user = session.user;
                return RequestOutcome::Pending(self.0.delayed(move |_| Response {
                    envelope: id.map(|id| v1::ack(&id, &v1::Renewed { expires_in_ms: 600_000 })),
                    effect: Some(SessionEffect::RenewToken(mark(user, i64::MAX / 2), Duration::from_secs(600))),
                    permit: None,
                }));
            }
            Request::Message { content, .. } if content == "panic" => std::panic::resume_unwind(Box::new("on purpose")),
            Request::Message { room, content, client_id, .. } => {
                Write::Post { room: room.0, content, client_id: Some(client_id) }
            }
            Request::Edit { message, content } => Write::Edit { message: message.0, content },
            Request::Delete { message } => Write::Delete { message: message.0 },
            Request::React { message, emoji, on } => Write::React { message: message.0, emoji, on },
            Request::Read { room, seq } => Write::Read { room: room.0, seq: seq.0 },
            Request::Join { room } => Write::Join { room: room.0 },
            Request::Leave { room } => Write::Leave { room: room.0 },
            Request::Invite { room, user } => Write::Invite { room: room.0, user: user.0 },
            Request::Remove { room, user } => Write::Remove { room: room.0, user: user.0 },
            Request::Update { room, .. } => Write::Rename { room: room.0 },
            Request::Decline { room } => Write::Decline { room: room.0 },
            Request::Open { user } => Write::Open { user: user.0 },
            _ => return RequestOutcome::Reply(refused(id.as_deref(), ErrorCode::Forbidden)),
        };
        self.write(session, Dialect::V1, id, write)
    }
}

/// The token of a user.
pub(super) fn mark(user: UserId, expires_at: i64) -> TokenMark {
    TokenMark { token: TokenKey([user.0 as u8; 16]), login: None, issued_at: 0, expires_at }
}

pub(super) struct ModelReader(pub(super) SharedStore);

impl HistoryReader for ModelReader {
    fn classic_page(&self, room: RoomId, after: (Version, Seq)) -> BoxFuture<Option<ClassicPage>> {
        self.0.delayed_fallible(move |store| store.classic_page(room, after))
    }

    fn changes(&self, room: RoomId, from: CatchUpFrom) -> BoxFuture<Option<ChangesPage>> {
        self.0.delayed_fallible(move |store| store.changes(room, from))
    }

    fn own_reactions(&self, user: UserId, messages: Vec<MessageId>) -> BoxFuture<Option<Vec<(MessageId, String)>>> {
        self.0.delayed_fallible(move |store| store.own_reactions(user.0, &messages))
    }

    fn entries(&self, room: RoomId, users: Vec<UserId>) -> BoxFuture<Option<Vec<(UserId, RoomEntry)>>> {
        self.0.delayed_fallible(move |store| {
            let found = &store.rooms[&room.0];
            let sees_it = |user: &UserId| found.members.contains_key(&user.0) && !found.declined.contains(&user.0);
            let mine = users.into_iter().filter(sees_it);
            mine.map(|user| (user, store.entry(room.0, user.0))).collect()
        })
    }

    fn members(&self, room: RoomId) -> BoxFuture<Option<Vec<UserId>>> {
        self.0.delayed_fallible(move |store| store.rooms[&room.0].members.keys().map(|user| UserId(*user)).collect())
    }
}
