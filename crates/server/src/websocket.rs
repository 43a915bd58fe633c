//! `GET /api/chat/ws`: from a request to a socket on its user's shard. Every check comes before the
//! upgrade, and the same path without an `Upgrade` header runs the same checks, so that a page can ask
//! why a handshake failed.

mod direct;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use teahouse_core::{AcceptOrder, ErrorCode, Language, Seq, TokenMark, UserId, Version};
use teahouse_hub::{Dialect, Hub, NewConnection};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

pub use direct::{First, PATH};

use crate::accept::{Arrived, Place, Tracked};
use crate::app::App;
use crate::errors::ApiError;
use crate::http::caller::bearer;
use crate::http::context::Context;
use crate::http::origin;
use crate::limits::UserLimit;
use crate::use_cases::accounts::authenticate::authenticate;

/// What the key is hashed with (RFC 6455, section 1.3).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The subprotocol of the v1 dialect.
const V1: &str = "teahouse.v1";
/// Characters of a device's name.
const DEVICE_CHARS_MAX: usize = 64;

/// What handshakes need beside the app.
#[derive(Clone)]
pub struct Handshakes {
    app: Arc<App>,
    hub: Hub,
    /// Handshakes under way; more of them wait here in their order.
    permits: Arc<Semaphore>,
    /// The last steps, after the answer: waited for when the server goes down.
    last_steps: TaskTracker,
}

impl Handshakes {
    /// Handshakes into this hub, at most `server.handshakes_max` at a time.
    #[must_use]
    pub fn new(app: Arc<App>, hub: Hub) -> Self {
        let permits = Arc::new(Semaphore::new(app.config.server.handshakes_max));
        Self { app, hub, permits, last_steps: TaskTracker::new() }
    }

    /// Waits until every handshake that was answered has reached the hub.
    pub async fn finished(&self) {
        self.last_steps.close();
        self.last_steps.wait().await;
    }
}

/// A first request that was refused before it came to HTTP, in its extensions: the route answers with this.
#[derive(Clone)]
pub struct Refused(pub ApiError);

/// The route.
pub async fn handshake(State(handshakes): State<Handshakes>, request: Request) -> axum::response::Response {
    match shake(&handshakes, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn shake(handshakes: &Handshakes, request: Request) -> Result<axum::response::Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    if let Some(Refused(refusal)) = parts.extensions.remove() {
        return Err(refusal);
    }
    let Ok(context) = Context::from_request_parts(&mut parts, &()).await;
    let admitted = handshakes.admit(&context, &parts).await?;
    let (Some(&Arrived(accepted)), Some(place)) = (parts.extensions.get(), parts.extensions.get::<Place>().cloned())
    else {
        return Err(ApiError::internal("a request that did not come through the accept loop"));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in admitted.answer() {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    let upgrade = hyper::upgrade::on(Request::from_parts(parts, body));
    let hub = handshakes.hub.clone();
    handshakes.last_steps.spawn(async move {
        // When the client went away before its answer, there is nobody to attach.
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Tracked>>() else {
            tracing::error!("an upgraded connection is not one of the accept loop's");
            return;
        };
        let Ok(stream) = parts.io.into_inner().into_stream().into_std() else { return };
        // The rest of hyper's read buffer is copied out of it, which would otherwise pin 8 KiB for life.
        let early = Bytes::copy_from_slice(&parts.read_buf);
        drop(parts.read_buf);
        let socket = Socket { accepted, stream, early, place: place.take(), answer: Bytes::new() };
        admitted.attach(&hub, socket).await;
    });
    Ok(response)
}

impl Handshakes {
    /// Waits for its turn, then runs every check, in order.
    ///
    /// # Errors
    /// The handshake is refused, or is none.
    async fn admit(&self, context: &Context, head: &Parts) -> Result<Admitted, ApiError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let app = &self.app;
        origin::check(app, context, &head.headers)?;
        let offer = Offer::read(&head.headers, &head.uri);
        let key = match wants_upgrade(&head.headers) {
            true => Some(upgrade_key(head)?),
            false => None,
        };
        if app.is_draining() {
            return Err(ApiError::new(ErrorCode::Overloaded));
        }
        let checked_at = Instant::now();
        let who = authenticate(app, offer.token.as_deref(), context.address).await?;
        let user = who.user.profile.id;
        app.limits.user(UserLimit::Connect, user).map_err(ApiError::rate_limited)?;
        let Some(key) = key else { return Err(ApiError::new(ErrorCode::UpgradeRequired)) };
        Ok(Admitted {
            permit,
            key,
            user,
            mark: who.mark,
            dialect: offer.dialect,
            device: offer.device,
            checked_at,
            lobby: self.hub.lobby_head(),
            language: context.language,
            address: context.address,
        })
    }
}

/// A handshake that passed every check.
struct Admitted {
    /// The right to be under way, held until the socket is on its shard.
    permit: Result<OwnedSemaphorePermit, AcquireError>,
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
struct Socket {
    accepted: AcceptOrder,
    stream: std::net::TcpStream,
    early: Bytes,
    place: Option<OwnedSemaphorePermit>,
    /// What the socket is to be sent before all else; empty when its handshake was answered.
    answer: Bytes,
}

impl Admitted {
    /// The headers of the answer. Never the rest of what was offered: there is a token in it.
    fn answer(&self) -> impl Iterator<Item = (HeaderName, Cow<'static, str>)> {
        let v1 = (self.dialect == Dialect::V1).then_some((SEC_WEBSOCKET_PROTOCOL, V1.into()));
        [
            (UPGRADE, "websocket".into()),
            (CONNECTION, "Upgrade".into()),
            (SEC_WEBSOCKET_ACCEPT, accept_of(&self.key).into()),
        ]
        .into_iter()
        .chain(v1)
    }

    /// Hands the socket to its user's shard.
    async fn attach(self, hub: &Hub, socket: Socket) {
        let Self { permit, user, mark, dialect, device, checked_at, lobby, language, address, .. } = self;
        let Socket { accepted, stream, early, place, answer } = socket;
        let arrival = NewConnection {
            user,
            accepted,
            dialect,
            device,
            mark,
            lobby,
            checked_at,
            language,
            address,
            stream,
            handshake_response: answer,
            early_bytes: early,
            permit: place,
        };
        // A hub that is going down drops the socket; the client comes back by itself.
        let _ = hub.attach(arrival).await;
        drop(permit);
    }
}

/// What a key is answered with (RFC 6455, section 1.3).
fn accept_of(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(KEY_SUFFIX);
    STANDARD.encode(hash.finalize())
}

/// What a client offers beside the bare handshake.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    dialect: Dialect,
    token: Option<String>,
    device: Option<String>,
}

impl Offer {
    /// Reads the token from wherever it may come (PROTOCOL.md section 1): header, subprotocol, query.
    fn read(headers: &HeaderMap, uri: &Uri) -> Self {
        let mut offer = Self { dialect: Dialect::Classic, token: None, device: None };
        let mut by_protocol = None;
        for protocol in items(headers, &SEC_WEBSOCKET_PROTOCOL) {
            if protocol == V1 {
                offer.dialect = Dialect::V1;
            } else if let Some(token) = protocol.strip_prefix("bearer.") {
                by_protocol = Some(token.to_owned());
            } else if let Some(device) = protocol.strip_prefix("device.") {
                offer.device = Some(device.chars().take(DEVICE_CHARS_MAX).collect());
            }
        }
        let by_query = || {
            let query = uri.query()?;
            query.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
        };
        offer.token = bearer(headers).map(str::to_owned).or(by_protocol).or_else(by_query);
        offer
    }
}

fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty())
}

fn wants_upgrade(headers: &HeaderMap) -> bool {
    items(headers, &UPGRADE).any(|item| item.eq_ignore_ascii_case("websocket"))
}

/// Checks the handshake itself (RFC 6455, section 4.2.1) and gives its key. What a proxy in front of us could read in
/// another way is refused: a line that is there twice, and a body, which somebody else takes for frames.
fn upgrade_key(parts: &Parts) -> Result<String, ApiError> {
    let refuse = |what: &'static str| ApiError::new(ErrorCode::BadRequest).with_field(what);
    let once = |name: &HeaderName| {
        let mut lines = parts.headers.get_all(name).iter();
        lines.next().filter(|_| lines.next().is_none())
    };
    if parts.version != axum::http::Version::HTTP_11 {
        return Err(refuse("HTTP/1.1"));
    }
    if once(&HOST).is_none() {
        return Err(refuse("Host"));
    }
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        return Err(refuse("Transfer-Encoding"));
    }
    if parts.headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(refuse("Content-Length"));
    }
    if !items(&parts.headers, &CONNECTION).any(|item| item.eq_ignore_ascii_case("upgrade")) {
        return Err(refuse("Connection"));
    }
    if once(&SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(refuse("Sec-WebSocket-Version").with_status(StatusCode::UPGRADE_REQUIRED));
    }
    let key = once(&SEC_WEBSOCKET_KEY).and_then(|key| key.to_str().ok()).map(str::trim);
    match key {
        Some(key) if STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16) => Ok(key.to_owned()),
        _ => Err(refuse("Sec-WebSocket-Key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_token_comes_by_header_by_subprotocol_or_by_query() {
        use axum::http::header::AUTHORIZATION;
        let check = |lines: &[(HeaderName, &str)], uri: &str, token: Option<&str>, device: Option<&str>, dialect| {
            let offer = Offer::read(&headers(lines), &uri.parse().unwrap());
            assert_eq!(offer, Offer { dialect, token: token.map(Into::into), device: device.map(Into::into) });
        };
        let (ws, classic) = ("/api/chat/ws", Dialect::Classic);
        check(&[], ws, None, None, classic);
        check(&[(AUTHORIZATION, "Bearer a.b.c")], "/api/chat/ws?token=q", Some("a.b.c"), None, classic);
        check(&[], "/api/chat/ws?_t=1&token=a.b.c", Some("a.b.c"), None, classic);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "bearer.a.b.c")], ws, Some("a.b.c"), None, classic);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "chat, teahouse.v2")], ws, None, None, classic);
        let v1 = "teahouse.v1, bearer.a.b.c, device.phone";
        check(&[(SEC_WEBSOCKET_PROTOCOL, v1)], ws, Some("a.b.c"), Some("phone"), Dialect::V1);
        let lines = [(SEC_WEBSOCKET_PROTOCOL, "device.phone"), (SEC_WEBSOCKET_PROTOCOL, "teahouse.v1")];
        check(&lines, ws, None, Some("phone"), Dialect::V1);
        check(&[(SEC_WEBSOCKET_PROTOCOL, "teahouse.v1")], "/api/chat/ws?token=q", Some("q"), None, Dialect::V1);
    }

    #[test]
    fn the_answer_to_a_key_is_that_of_the_rfc() {
        // RFC 6455, section 1.3.
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
