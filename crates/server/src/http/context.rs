//! What every request carries with it (an id, a language, where it comes from), and what stands around
//! every answer: the envelope, the headers that keep browsers out of trouble, one line in the log.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use teahouse_core::Language;
use tokio::time::Instant;
use tracing::{Instrument, Span};

use super::address::{Peer, Whence, whence};
use super::language;
use super::redaction::redacted;
use super::response::write_envelope;
use crate::app::App;

/// The header by which a request is named.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters that a request's own id may have.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Paths that machines ask every few seconds; their lines are for who looks for them.
const PROBES: [&str; 3] = ["/health", "/live", "/ready"];

/// What every request carries with it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request's own id, or one that we gave it; visible ASCII.
    pub request_id: Arc<str>,
    /// What answers are written in.
    pub language: Language,
    /// The client's address.
    pub address: IpAddr,
    /// Whether a listed proxy brought the request, so that its headers are believed.
    pub through_proxy: bool,
}

impl Context {
    /// What the headers of a request from this peer say.
    #[must_use]
    pub fn of(headers: &HeaderMap, peer: IpAddr, app: &App) -> Self {
        let Whence { address, through_proxy } = whence(peer, headers, &app.config.server.trusted_proxies);
        let request_id = own_id(headers).unwrap_or_else(|| app.request_ids.next());
        Self { request_id, language: language::of(headers), address, through_proxy }
    }

    /// What the log lines of a request stand in.
    #[must_use]
    pub fn span(&self) -> Span {
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
        };
        Ok(parts.extensions.get().cloned().unwrap_or_else(unknown))
    }
}

/// The outermost layer: every request passes here first, every answer last.
pub(super) async fn surround(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    // Without a peer (a test, or an accept loop that forgot) nobody's headers are believed.
    let peer = request.extensions().get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.0.ip());
    let context = Context::of(request.headers(), peer, &app);
    request.extensions_mut().insert(context.clone());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let address = redacted(request.uri().path_and_query().map_or("/", |address| address.as_str()));

    let span = context.span();
    let under_api = path == "/api" || path.starts_with("/api/");
    let response = next.run(request).instrument(span).await;
    let mut response = write_envelope(response, &context, under_api, &app.rejections);
    guard(response.headers_mut(), under_api);
    if let Ok(id) = HeaderValue::from_str(&context.request_id) {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }

    log_access(&method, &path, &address, response.status(), started, &context);
    response
}

/// The line of a request in the log; its address with the values of tokens hidden.
pub fn log_access(method: &Method, path: &str, address: &str, status: StatusCode, started: Instant, context: &Context) {
    let (status, duration_ms) = (status.as_u16(), started.elapsed().as_millis());
    let request_id = &*context.request_id;
    if PROBES.contains(&path) {
        tracing::debug!(target: "access", %method, path = address, status, duration_ms, request_id);
    } else {
        tracing::info!(target: "access", %method, path = address, status, duration_ms, request_id);
    }
}

/// The request's own id when it is short and plain, so that it can stand in logs and headers.
fn own_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let own = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let is_plain = (1..=REQUEST_ID_CHARS_MAX).contains(&own.len()) && own.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| own.into())
}

/// What browsers are told about every answer; a page may have said more about itself already.
fn guard(headers: &mut HeaderMap, under_api: bool) {
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
    fn a_requests_own_id_is_kept_when_it_is_short_and_plain() {
        let kept = |id: &[u8]| {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(id).unwrap())]);
            own_id(&headers).is_some_and(|own| own.as_bytes() == id)
        };
        assert!(kept(b"r-1"));
        assert!(kept("a".repeat(128).as_bytes()));
        assert!(!kept("a".repeat(129).as_bytes()));
        assert!(!kept(b""));
        assert!(!kept(b"two words"));
        assert!(!kept("茶".as_bytes()));
        assert_eq!(own_id(&HeaderMap::new()), None);
    }
}
