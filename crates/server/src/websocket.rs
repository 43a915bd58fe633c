//! `GET /api/chat/ws`: from a request to a socket on its user's shard. All checks precede the upgrade, and a request
//! without `Upgrade` runs the same checks, so that a page can ask why a handshake failed. `websocket/upgrade.rs`
//! validates the upgrade; a handshake that arrives complete skips HTTP (`websocket/fast_handshake.rs`).

mod fast_handshake;
mod upgrade;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use axum::response::IntoResponse;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use teahouse_core::{AcceptOrder, ErrorCode, Language, Seq, TokenMark, UserId, Version};
use teahouse_hub::{Dialect, Hub, Identity, NewConnection};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

pub(crate) use fast_handshake::PATH;
use upgrade::{HandshakeParameters, V1_SUBPROTOCOL, accept_key, check_upgrade, wants_upgrade};

use crate::app::App;
use crate::clock;
use crate::connection::{FirstByteOrder, Place, StallTimeoutStream};
use crate::errors::ApiError;
use crate::http::context::Context;
use crate::http::origin;
use crate::limits::UserLimit;
use crate::use_cases::accounts::authenticate::authenticate;

/// The state of the WebSocket route.
#[derive(Clone)]
pub(crate) struct Handshakes {
    app: Arc<App>,
    hub: Hub,
    /// Handshakes in progress; the others wait here in order.
    permits: Arc<Semaphore>,
    /// Handshakes that are answered and not yet attached; shutdown waits for them.
    attaching: TaskTracker,
}

impl Handshakes {
    /// Handshakes into this hub, at most `server.handshakes_max` at a time.
    #[must_use]
    pub(crate) fn new(app: Arc<App>, hub: Hub) -> Self {
        let permits = Arc::new(Semaphore::new(app.config.server.handshakes_max));
        Self { app, hub, permits, attaching: TaskTracker::new() }
    }

    /// Waits until every answered handshake has reached the hub.
    pub(crate) async fn finished(&self) {
        self.attaching.close();
        self.attaching.wait().await;
    }

    /// The permit of one handshake, which waits for it while too many are in progress.
    async fn permit(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        self.app.bounds.record("server.handshakes_max", self.app.config.server.handshakes_max as u64);
        Arc::clone(&self.permits).acquire_owned().await
    }

    /// Waits for a permit, then runs all checks in order.
    ///
    /// # Errors
    /// The handshake is refused, or the request is not a handshake.
    async fn check(&self, context: &Context, head: &Parts) -> Result<AcceptedHandshake, ApiError> {
        let app = &self.app;
        let handshake_permit = self.permit().await;
        origin::check(app, context, &head.headers)?;
        let parameters = HandshakeParameters::read(&head.headers, &head.uri);
        let key = match wants_upgrade(&head.headers) {
            true => Some(check_upgrade(head)?),
            false => None,
        };
        if app.is_draining() {
            return Err(ApiError::new(ErrorCode::Overloaded));
        }
        let checked_at = clock::monotonic();
        let caller = authenticate(app, parameters.token.as_deref(), context.address).await?;
        let user = caller.user.profile.id;
        app.take_rate_token(UserLimit::Connect, user).map_err(ApiError::rate_limited)?;
        let Some(key) = key else { return Err(ApiError::new(ErrorCode::UpgradeRequired)) };
        Ok(AcceptedHandshake {
            handshake_permit,
            key,
            user,
            mark: caller.mark,
            dialect: parameters.dialect,
            device: parameters.device,
            checked_at,
            lobby: self.hub.lobby_head(),
            language: context.language,
            address: context.address,
        })
    }
}

/// The refusal of a fast handshake, in the request's extensions: the route answers with it.
#[derive(Clone)]
pub(crate) struct RefusedHandshake(pub ApiError);

/// The route's handler.
pub(crate) async fn handle(State(handshakes): State<Handshakes>, request: Request) -> axum::response::Response {
    match handshake(&handshakes, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn handshake(handshakes: &Handshakes, request: Request) -> Result<axum::response::Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    if let Some(RefusedHandshake(error)) = parts.extensions.remove() {
        return Err(error);
    }
    // The router hands HEAD to the handler of GET.
    if parts.method != Method::GET {
        return Err(ApiError::new(ErrorCode::MethodNotAllowed));
    }
    let Ok(context) = Context::from_request_parts(&mut parts, &()).await;
    let accepted_handshake = handshakes.check(&context, &parts).await?;
    let (Some(&FirstByteOrder(accepted)), Some(place)) =
        (parts.extensions.get(), parts.extensions.get::<Arc<Place>>().cloned())
    else {
        return Err(ApiError::internal("a handshake request bypassed the accept loop"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in accepted_handshake.response_headers() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
    let hub = handshakes.hub.clone();
    handshakes.attaching.spawn(async move {
        // The upgrade fails when the client leaves before its answer.
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<StallTimeoutStream>>() else {
            tracing::error!("upgraded connection does not come from the accept loop");
            return;
        };
        let Ok(stream) = parts.io.into_inner().into_stream().into_std() else { return };
        // A copy, since the bytes would keep hyper's read buffer of 8 KiB alive as long as the session.
        let early = Bytes::copy_from_slice(&parts.read_buf);
        drop(parts.read_buf);
        let socket = AcceptedSocket { accepted, stream, early, permit: place.take_permit(), response: Bytes::new() };
        accepted_handshake.attach(&hub, socket).await;
    });
    Ok(response)
}

/// A handshake that passed all checks.
struct AcceptedHandshake {
    /// Held until the socket is on its shard.
    handshake_permit: Result<OwnedSemaphorePermit, AcquireError>,
    key: String,
    user: UserId,
    mark: TokenMark,
    dialect: Dialect,
    device: Option<String>,
    checked_at: Instant,
    lobby: (Version, Seq),
    language: Language,
    address: IpAddr,
}

/// A socket on its way to its shard.
struct AcceptedSocket {
    accepted: AcceptOrder,
    stream: std::net::TcpStream,
    /// Bytes that arrived after the handshake.
    early: Bytes,
    permit: Option<OwnedSemaphorePermit>,
    /// The response to the handshake, which the shard writes first; empty when HTTP has written it.
    response: Bytes,
}

impl AcceptedHandshake {
    /// The headers of the answer. It repeats no other offered subprotocol, since one of them contains the token.
    fn response_headers(&self) -> impl Iterator<Item = (HeaderName, Cow<'static, str>)> {
        let v1 = (self.dialect == Dialect::V1).then_some((SEC_WEBSOCKET_PROTOCOL, V1_SUBPROTOCOL.into()));
        [
            (UPGRADE, "websocket".into()),
            (CONNECTION, "Upgrade".into()),
            (SEC_WEBSOCKET_ACCEPT, accept_key(&self.key).into()),
        ]
        .into_iter()
        .chain(v1)
    }

    /// Hands the socket to its user's shard.
    async fn attach(self, hub: &Hub, socket: AcceptedSocket) {
        let Self { handshake_permit, user, mark, dialect, device, checked_at, lobby, language, address, .. } = self;
        let AcceptedSocket { accepted, stream, early, permit, response } = socket;
        let connection = NewConnection {
            identity: Identity { user, token: mark, language, address },
            accepted,
            dialect,
            device,
            lobby,
            checked_at,
            stream,
            handshake_response: response,
            early_bytes: early,
            permit,
        };
        // A hub that is shutting down drops the socket; the client reconnects.
        let _ = hub.attach(connection).await;
        drop(handshake_permit);
    }
}
