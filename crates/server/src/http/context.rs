//! The context of a request (id, language, client address), and the outermost layer around every route: the envelope of
//! the answer, security headers and the access log.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use teahouse_core::{ErrorCode, Language, UserId};
use tracing::{Instrument, Span};

use super::address::{ClientAddr, resolve_client_addr};
use super::language::preferred_language;
use super::redaction::redacted;
use super::response::write_envelope;
use crate::app::App;
use crate::clock;
use crate::connection::{PeerAddr, Place};
use crate::errors::ApiError;
use crate::ip_prefix::IpPrefix;

/// The header with the id of a request.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum characters of an id that the client chose.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Paths that monitoring polls every few seconds; the access log has them at debug level.
const PROBES: [&str; 3] = ["/health", "/live", "/ready"];

/// The context of a request.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The client's id of the request, or a generated one; visible ASCII.
    pub request_id: Arc<str>,
    /// The language of the answer.
    pub language: Language,
    /// The client's address.
    pub address: IpAddr,
    /// Whether a trusted proxy forwarded the request.
    pub through_proxy: bool,
    /// Whether that proxy named the client.
    client_is_named: bool,
    /// The user, once the request is authenticated.
    pub user: Option<UserId>,
}

impl Context {
    /// Reads the context of a request from this peer.
    #[must_use]
    pub(crate) fn of(headers: &HeaderMap, peer: IpAddr, app: &App) -> Self {
        let proxies = app.config.server.trusted_proxies();
        let ClientAddr { address, through_proxy, is_named } = resolve_client_addr(peer, headers, proxies);
        if !through_proxy && headers.contains_key("x-forwarded-for") {
            app.unlisted_proxies.log_once(peer);
        }
        let request_id = client_request_id(headers).unwrap_or_else(|| app.request_ids.next());
        let language = preferred_language(headers);
        Self { request_id, language, address, through_proxy, client_is_named: is_named, user: None }
    }

    /// The span of the request's log lines.
    #[must_use]
    pub(crate) fn span(&self) -> Span {
        tracing::info_span!("request", request_id = %self.request_id)
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let unknown = || Self {
            request_id: "-".into(),
            language: Language::En,
            address: Ipv4Addr::UNSPECIFIED.into(),
            through_proxy: false,
            client_is_named: false,
            user: None,
        };
        Ok(parts.extensions.get().cloned().unwrap_or_else(unknown))
    }
}

/// The outermost layer.
pub(super) async fn with_context(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = clock::monotonic();
    // Without a peer address (in a test) no proxy is trusted.
    let peer = request.extensions().get::<PeerAddr>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    let context = Context::of(request.headers(), peer, &app);
    request.extensions_mut().insert(context.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let address = redacted(request.uri().path_and_query().map_or("/", |address| address.as_str()));

    let span = context.span();
    let under_api = path == "/api" || path.starts_with("/api/");
    let response = if PROBES.contains(&path.as_str()) || count_client(&context, &request) {
        next.run(request).instrument(span).await
    } else {
        ApiError::new(ErrorCode::Overloaded).into_response()
    };
    let mut response = write_envelope(response, &context, under_api, &app.rejections);
    add_security_headers(response.headers_mut(), under_api);
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }

    log_access(&method, &path, &address, response.status(), started, &context);
    response
}

/// Counts a request for the client that a proxy named, until the request is authenticated. Returns whether the client
/// may have one more.
fn count_client(context: &Context, request: &Request) -> bool {
    let place = request.extensions().get::<Arc<Place>>().filter(|_| context.client_is_named);
    place.is_none_or(|place| place.count_client(IpPrefix::of(context.address)))
}

/// Writes the access log line of a request. `address` is its redacted URL.
pub(crate) fn log_access(
    method: &Method,
    path: &str,
    address: &str,
    status: StatusCode,
    started: Instant,
    context: &Context,
) {
    let (status, duration_ms) = (status.as_u16(), started.elapsed().as_millis());
    let request_id = &*context.request_id;
    if PROBES.contains(&path) {
        tracing::debug!(target: "access", %method, path = address, status, duration_ms, request_id);
    } else {
        tracing::info!(target: "access", %method, path = address, status, duration_ms, request_id);
    }
}

/// The client's id of the request, if it is short visible ASCII and therefore safe in logs and headers.
fn client_request_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let is_safe = (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    is_safe.then(|| id.into())
}

/// Adds headers for browsers; those that a handler has set stay.
fn add_security_headers(headers: &mut HeaderMap, under_api: bool) {
    let mut add = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    add(X_CONTENT_TYPE_OPTIONS, "nosniff");
    add(X_FRAME_OPTIONS, "DENY");
    add(REFERRER_POLICY, "no-referrer");
    if under_api {
        add(CACHE_CONTROL, "no-store");
        add(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_request_id_is_kept_when_it_is_short_visible_ascii() {
        let kept = |id: &[u8]| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]);
            client_request_id(&headers).is_some_and(|kept| kept.as_bytes() == id)
        };
        assert!(kept(b"r-1"));
        assert!(kept("a".repeat(128).as_bytes()));
        assert!(!kept("a".repeat(129).as_bytes()));
        assert!(!kept(b""));
        assert!(!kept(b"two words"));
        assert!(!kept("茶".as_bytes()));
        assert_eq!(client_request_id(&HeaderMap::new()), None);
    }
}
