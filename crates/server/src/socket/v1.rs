//! The v1 dialect over a socket. Requests that concern the session (hello, auth, heartbeat) are handled here, those that
//! the hub keeps track of (sync, presence, typing) by the hub, all others by `dispatch`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use teahouse_core::limits::{CONTENT_CHARS_MAX, FRAME_BYTES_MAX, PAGE_MESSAGES_MAX};
use teahouse_core::{ErrorCode, RoomId, Version};
use teahouse_hub::{BoxFuture, HubRequest, RequestOutcome, Response, SessionContext, SessionEffect, WelcomeData};
use teahouse_protocol::v1::{self, ErrorBody, LimitsBody, Renewed, Request, RequestEnvelope};

use super::check_rate;
use crate::app::App;
use crate::dispatch::{self, RequestContext, dispatch};
use crate::errors::{ApiError, messages as texts};
use crate::use_cases::accounts::renew_token::renew_token;
use crate::use_cases::rooms::load_welcome::load_welcome;

/// Handles one envelope. `greeted` says whether the session has sent hello.
pub(super) fn receive(app: &Arc<App>, session: &SessionContext, greeted: bool, text: &str) -> RequestOutcome {
    let RequestEnvelope { id, request } = match v1::read_envelope(text) {
        Ok(envelope) => envelope,
        Err(invalid) => {
            let error = check_rate(app, session).err().unwrap_or_else(|| invalid.fault.into());
            return RequestOutcome::Malformed(refuse(app, session, invalid.id.as_deref(), &error));
        }
    };
    if let Err(error) = admit(app, session, greeted, &request) {
        return RequestOutcome::Reply(refuse(app, session, id.as_deref(), &error));
    }
    let (own, session) = (Arc::clone(app), *session);
    match request {
        Request::Hello { epoch, rooms, .. } => {
            let work = hello(Arc::clone(&own), session, id.clone(), epoch, rooms);
            RequestOutcome::Hello(respond_later(own, session, id, work))
        }
        Request::Auth { token } => {
            let work = auth(Arc::clone(&own), session, id.clone(), token);
            RequestOutcome::Pending(respond_later(own, session, id, work))
        }
        // A heartbeat gets its response even without a reference: the client needs the sign of life.
        Request::Heartbeat {} => RequestOutcome::Reply(v1::heartbeat(id.as_deref(), app.now())),
        Request::Sync { room, since } => RequestOutcome::Hub { id, request: HubRequest::Sync(room, since) },
        Request::Presence { room, on } => RequestOutcome::Hub { id, request: HubRequest::Presence(room, on) },
        Request::Typing { room, on } => RequestOutcome::Hub { id, request: HubRequest::Typing(room, on) },
        Request::History { room, .. } => {
            let work =
                respond_later(Arc::clone(&own), session, id.clone(), dispatched(own, session, id.clone(), request));
            RequestOutcome::ReadingHistory { room, id, work }
        }
        request => {
            let work = dispatched(Arc::clone(&own), session, id.clone(), request);
            RequestOutcome::Pending(respond_later(own, session, id, work))
        }
    }
}

/// Checks the sender's rate and the order of requests: hello first, and only once.
fn admit(app: &App, session: &SessionContext, greeted: bool, request: &Request) -> Result<(), ApiError> {
    let is_hello = matches!(request, Request::Hello { .. });
    let is_in_order = is_hello != greeted;
    // A use case counts sends itself, as over HTTP.
    let is_send = matches!(request, Request::Message { .. } | Request::Edit { .. } | Request::Update { .. });
    if !(is_in_order && is_send) {
        check_rate(app, session)?;
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
    session: SessionContext,
    id: Option<String>,
    work: impl Future<Output = Result<Response, ApiError>> + Send + 'static,
) -> BoxFuture<Response> {
    Box::pin(async move {
        work.await.unwrap_or_else(|error| Response::with_envelope(refuse(&app, &session, id.as_deref(), &error)))
    })
}

async fn dispatched(
    app: Arc<App>,
    session: SessionContext,
    id: Option<String>,
    request: Request,
) -> Result<Response, ApiError> {
    // Without a reference there is no response, so the session gets a room that it enters by the entry that all sessions
    // of the user get.
    let receiver = id.is_some().then_some(session.session);
    let context = RequestContext { user: session.user, address: session.address, session: receiver };
    let dispatch::Response { body, entered, permit } = dispatch(app, context, request).await?;
    let effect = entered.map(SessionEffect::EnterRoom);
    Ok(Response { envelope: id.map(|id| v1::ack(&id, &body)), effect, permit })
}

async fn hello(
    app: Arc<App>,
    session: SessionContext,
    id: Option<String>,
    epoch: Option<String>,
    rooms: Vec<(RoomId, Version)>,
) -> Result<Response, ApiError> {
    let permit = app.begin_whole_answer(session.user).await?;
    let named = rooms.iter().map(|(room, _)| *room).collect();
    let welcome = load_welcome(&app, session.user, named).await?;
    // Versions of another epoch, or of an unknown one, mean nothing in this one.
    let is_same_epoch = epoch.as_deref() == Some(app.store.epoch());
    let welcome_data = WelcomeData {
        id,
        user: welcome.user,
        epoch: app.store.epoch().to_owned(),
        time: app.now(),
        limits: limits(&app),
        rooms: welcome.rooms,
        held: rooms.into_iter().map(|(room, version)| (room, is_same_epoch.then_some(version))).collect(),
    };
    let effect = Some(SessionEffect::Welcome(Box::new(welcome_data)));
    Ok(Response { envelope: None, effect, permit: Some(permit) })
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

async fn auth(app: Arc<App>, session: SessionContext, id: Option<String>, token: String) -> Result<Response, ApiError> {
    let mark = renew_token(&app, session.user, &token, session.address).await?;
    let left_ms = mark.expires_at.saturating_mul(1000).saturating_sub(app.now().0);
    let expires_in_ms = u64::try_from(left_ms).unwrap_or(0);
    let effect = SessionEffect::RenewToken(mark, Duration::from_millis(expires_in_ms));
    Ok(Response { envelope: id.map(|id| v1::ack(&id, &Renewed { expires_in_ms })), effect: Some(effect), permit: None })
}

fn refuse(app: &App, session: &SessionContext, id: Option<&str>, error: &ApiError) -> String {
    app.rejections.count(error.code());
    let body = ErrorBody {
        code: error.code().as_str(),
        message: error.message(session.language),
        field: error.field(),
        retry_after_ms: error.retry_after_ms(),
    };
    v1::error(id, &body)
}
