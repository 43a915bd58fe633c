//! The v1 dialect over a socket. What the session itself needs is answered here (hello, a fresh token, signs
//! of life) or by the hub; everything else is performed as over HTTP.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use teahouse_core::limits::{CONTENT_CHARS_MAX, FRAME_BYTES_MAX, PAGE_MESSAGES_MAX};
use teahouse_core::{ErrorCode, RoomId, Version};
use teahouse_hub::{BoxFuture, HubRequest, RequestOutcome, Response, SessionContext, SessionEffect, WelcomeData};
use teahouse_protocol::v1::{self, Envelope, ErrorBody, LimitsBody, Renewed, Request};

use super::perform::{Asker, Performed, perform};
use super::within_rate;
use crate::app::App;
use crate::http::refusal::Refusal;
use crate::http::sentence;
use crate::use_cases::greet::greet;
use crate::use_cases::renew_token::renew_token;

/// Takes one envelope.
pub(super) fn receive(app: &Arc<App>, caller: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
    let Envelope { id, request } = match v1::read_envelope(text) {
        Ok(envelope) => envelope,
        Err(error) => {
            let refusal = within_rate(app, caller).err().unwrap_or_else(|| error.fault.into());
            return RequestOutcome::Malformed(refused(app, caller, error.id.as_deref(), &refusal));
        }
    };
    if let Err(refusal) = admit(app, caller, greeted, &request) {
        return RequestOutcome::Reply(refused(app, caller, id.as_deref(), &refusal));
    }
    let (own, caller) = (Arc::clone(app), *caller);
    match request {
        Request::Hello { epoch, rooms, .. } => RequestOutcome::Hello(answering(app, caller, id.clone(), async move {
            hello(&own, caller, id, epoch, rooms).await
        })),
        Request::Auth { token } => {
            RequestOutcome::Pending(answering(
                app,
                caller,
                id.clone(),
                async move { auth(&own, caller, id, &token).await },
            ))
        }
        // The answer is the point of it, so that it comes without a reference too.
        Request::Heartbeat {} => RequestOutcome::Reply(v1::heartbeat(id.as_deref(), app.now())),
        Request::Sync { room, since } => RequestOutcome::Hub { id, request: HubRequest::Sync(room, since) },
        Request::Presence { room, on } => RequestOutcome::Hub { id, request: HubRequest::Presence(room, on) },
        Request::Typing { room, on } => RequestOutcome::Hub { id, request: HubRequest::Typing(room, on) },
        request => {
            let past_of = match &request {
                Request::History { room, .. } => Some(*room),
                _ => None,
            };
            let reference = id.clone();
            let work = answering(app, caller, id.clone(), async move {
                // Who gave no reference is told of the room by the entry that all their sessions get.
                let session = id.is_some().then_some(caller.session);
                let asker = Asker { user: caller.user, address: caller.address, session };
                let Performed { body, entered } = perform(own, asker, request).await?;
                let effect = entered.map(|(room, version)| SessionEffect::EnterRoom(room, version));
                Ok(Response { envelope: id.map(|id| v1::ack(&id, &body)), effect })
            });
            match past_of {
                Some(room) => RequestOutcome::ReadingHistory { room, id: reference, work },
                None => RequestOutcome::Pending(work),
            }
        }
    }
}

/// Whether this is the moment for it: at a rate that is not too fast, after hello, and hello once.
fn admit(app: &App, caller: &SessionContext, greeted: bool, request: &Request) -> Result<(), Refusal> {
    let is_hello = matches!(request, Request::Hello { .. });
    let is_due = is_hello != greeted;
    // A message that is due is counted where it is sent, as one that comes by HTTP.
    if !(is_due && matches!(request, Request::Message { .. })) {
        within_rate(app, caller)?;
    }
    match (is_due, is_hello) {
        (true, _) => Ok(()),
        (false, true) => Err(Refusal::new(ErrorCode::BadRequest).saying(sentence::hello_once())),
        (false, false) => Err(Refusal::new(ErrorCode::BadRequest).saying(sentence::hello_first())),
    }
}

/// Work that takes time; what is refused by then is said under the request's reference.
fn answering(
    app: &Arc<App>,
    caller: SessionContext,
    id: Option<String>,
    work: impl Future<Output = Result<Response, Refusal>> + Send + 'static,
) -> BoxFuture<Response> {
    let app = Arc::clone(app);
    Box::pin(async move {
        work.await.unwrap_or_else(|refusal| Response::with_envelope(refused(&app, &caller, id.as_deref(), &refusal)))
    })
}

async fn hello(
    app: &App,
    caller: SessionContext,
    id: Option<String>,
    epoch: Option<String>,
    rooms: Vec<(RoomId, Version)>,
) -> Result<Response, Refusal> {
    let welcomed = greet(app, caller.user).await?;
    // What was held of another history, or of nobody knows which, is worth nothing in this one.
    let is_ours = epoch.as_deref() == Some(app.store.epoch());
    let greeting = WelcomeData {
        id,
        user: welcomed.user,
        epoch: app.store.epoch().to_owned(),
        time: app.now(),
        limits: limits(app),
        rooms: welcomed.rooms,
        held: rooms.into_iter().map(|(room, version)| (room, is_ours.then_some(version))).collect(),
    };
    Ok(Response { envelope: None, effect: Some(SessionEffect::Welcome(Box::new(greeting))) })
}

fn limits(app: &App) -> LimitsBody {
    let limits = &app.config.limits;
    LimitsBody {
        content_chars_max: CONTENT_CHARS_MAX,
        frame_bytes_max: FRAME_BYTES_MAX,
        sends_per_second: limits.sends_per_second,
        sends_burst: limits.sends_burst,
        envelopes_per_second: limits.envelopes_per_second,
        envelopes_burst: limits.envelopes_burst,
        history_messages_max: PAGE_MESSAGES_MAX,
    }
}

async fn auth(app: &App, caller: SessionContext, id: Option<String>, token: &str) -> Result<Response, Refusal> {
    let mark = renew_token(app, caller.user, token, caller.address).await?;
    let left_ms = mark.expires_at.saturating_mul(1000).saturating_sub(app.now().0);
    let expires_in_ms = u64::try_from(left_ms).unwrap_or(0);
    let effect = SessionEffect::RenewToken(mark, Duration::from_millis(expires_in_ms));
    Ok(Response { envelope: id.map(|id| v1::ack(&id, &Renewed { expires_in_ms })), effect: Some(effect) })
}

fn refused(app: &App, caller: &SessionContext, id: Option<&str>, refusal: &Refusal) -> String {
    app.rejections.count(refusal.code);
    let body = ErrorBody {
        code: refusal.code.as_str(),
        message: refusal.sentence(caller.language),
        field: refusal.field.as_deref(),
        retry_after_ms: refusal.retry_after_ms(),
    };
    v1::error(id, &body)
}
