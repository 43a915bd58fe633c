//! The v1 dialect over a socket. Requests that concern the session (hello, auth, heartbeat) are handled here, those that
//! the hub keeps track of (sync, presence, typing) by the hub, all others by `dispatch`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use teahouse_core::limits::{CONTENT_CHARS_MAX, FRAME_BYTES_MAX, PAGE_MESSAGES_MAX};
use teahouse_core::{ErrorCode, RoomId, Version};
use teahouse_hub::{Answer, Ask, BoxFuture, Caller, Greeting, Receipt, Then};
use teahouse_protocol::v1::{self, Envelope, ErrorBody, LimitsBody, Renewed, Request};

use super::check_rate;
use crate::app::App;
use crate::dispatch::{RequestContext, Response, dispatch};
use crate::errors::{ApiError, messages as texts};
use crate::use_cases::accounts::renew_token::renew_token;
use crate::use_cases::rooms::load_welcome::load_welcome;

/// Handles one envelope. `greeted` says whether the session has sent hello.
pub(super) fn receive(app: &Arc<App>, caller: &Caller, greeted: bool, text: &str) -> Receipt {
    let Envelope { id, request } = match v1::read_envelope(text) {
        Ok(envelope) => envelope,
        Err(invalid) => {
            let error = check_rate(app, caller).err().unwrap_or_else(|| invalid.fault.into());
            return Receipt::Malformed(refuse(app, caller, invalid.id.as_deref(), &error));
        }
    };
    if let Err(error) = admit(app, caller, greeted, &request) {
        return Receipt::Reply(refuse(app, caller, id.as_deref(), &error));
    }
    let (own, caller) = (Arc::clone(app), *caller);
    match request {
        Request::Hello { epoch, rooms, .. } => {
            let work = hello(Arc::clone(&own), caller, id.clone(), epoch, rooms);
            Receipt::Hello(respond_later(own, caller, id, work))
        }
        Request::Auth { token } => {
            let work = auth(Arc::clone(&own), caller, id.clone(), token);
            Receipt::Later(respond_later(own, caller, id, work))
        }
        // A heartbeat gets its response even without a reference: the client needs the sign of life.
        Request::Heartbeat {} => Receipt::Reply(v1::heartbeat(id.as_deref(), app.now())),
        Request::Sync { room, since } => Receipt::Ask { id, ask: Ask::Sync(room, since) },
        Request::Presence { room, on } => Receipt::Ask { id, ask: Ask::Presence(room, on) },
        Request::Typing { room, on } => Receipt::Ask { id, ask: Ask::Typing(room, on) },
        Request::History { room, .. } => {
            let work =
                respond_later(Arc::clone(&own), caller, id.clone(), dispatched(own, caller, id.clone(), request));
            Receipt::Reading { room, id, work }
        }
        request => {
            let work = dispatched(Arc::clone(&own), caller, id.clone(), request);
            Receipt::Later(respond_later(own, caller, id, work))
        }
    }
}

/// Checks the sender's rate and the order of requests: hello first, and only once.
fn admit(app: &App, caller: &Caller, greeted: bool, request: &Request) -> Result<(), ApiError> {
    let is_hello = matches!(request, Request::Hello { .. });
    let is_in_order = is_hello != greeted;
    // A message in order counts in `send_message`, as one over HTTP does.
    if !(is_in_order && matches!(request, Request::Message { .. })) {
        check_rate(app, caller)?;
    }
    match (is_in_order, is_hello) {
        (true, _) => Ok(()),
        (false, true) => Err(ApiError::new(ErrorCode::BadRequest).with_message(texts::hello_repeated())),
        (false, false) => Err(ApiError::new(ErrorCode::BadRequest).with_message(texts::hello_required())),
    }
}

/// Boxes the work for the hub; an error becomes an `error` envelope with the request's reference.
fn respond_later(
    app: Arc<App>,
    caller: Caller,
    id: Option<String>,
    work: impl Future<Output = Result<Answer, ApiError>> + Send + 'static,
) -> BoxFuture<Answer> {
    Box::pin(
        async move { work.await.unwrap_or_else(|error| Answer::saying(refuse(&app, &caller, id.as_deref(), &error))) },
    )
}

async fn dispatched(app: Arc<App>, caller: Caller, id: Option<String>, request: Request) -> Result<Answer, ApiError> {
    // Without a reference there is no response, so the session gets a room that it enters by the entry that all sessions
    // of the user get.
    let session = id.is_some().then_some(caller.session);
    let context = RequestContext { user: caller.user, address: caller.address, session };
    let Response { body, entered } = dispatch(app, context, request).await?;
    let then = entered.map(|(room, version)| Then::Enter(room, version));
    Ok(Answer { envelope: id.map(|id| v1::ack(&id, &body)), then })
}

async fn hello(
    app: Arc<App>,
    caller: Caller,
    id: Option<String>,
    epoch: Option<String>,
    rooms: Vec<(RoomId, Version)>,
) -> Result<Answer, ApiError> {
    let welcome = load_welcome(&app, caller.user).await?;
    // Versions of another epoch, or of an unknown one, mean nothing in this one.
    let is_same_epoch = epoch.as_deref() == Some(app.store.epoch());
    let greeting = Greeting {
        id,
        user: welcome.user,
        epoch: app.store.epoch().to_owned(),
        time: app.now(),
        limits: limits(&app),
        rooms: welcome.rooms,
        held: rooms.into_iter().map(|(room, version)| (room, is_same_epoch.then_some(version))).collect(),
    };
    Ok(Answer { envelope: None, then: Some(Then::Greet(Box::new(greeting))) })
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

async fn auth(app: Arc<App>, caller: Caller, id: Option<String>, token: String) -> Result<Answer, ApiError> {
    let mark = renew_token(&app, caller.user, &token, caller.address).await?;
    let left_ms = mark.expires_at.saturating_mul(1000).saturating_sub(app.now().0);
    let expires_in_ms = u64::try_from(left_ms).unwrap_or(0);
    let then = Then::Renew(mark, Duration::from_millis(expires_in_ms));
    Ok(Answer { envelope: id.map(|id| v1::ack(&id, &Renewed { expires_in_ms })), then: Some(then) })
}

fn refuse(app: &App, caller: &Caller, id: Option<&str>, error: &ApiError) -> String {
    app.rejections.count(error.code());
    let body = ErrorBody {
        code: error.code().as_str(),
        message: error.message(caller.language),
        field: error.field(),
        retry_after_ms: error.retry_after_ms(),
    };
    v1::error(id, &body)
}
