//! Who may call: whoever has a key of this server. And bodies from there, which may be larger than a
//! browser's.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use teahouse_core::ErrorCode;

use super::sentences;
use crate::app::App;
use crate::http::body::{Shape, parse, read};
use crate::http::context::Context;
use crate::http::refusal::Refusal;
use crate::limits::AddressLimit;
use crate::secrets::ApiKey;

/// The largest body: a thousand users with all that can be said of them.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A site's backend. It stands first among what a route asks for, so that nobody else's body is read.
pub(super) struct Backend;

/// Somebody without a key that is good.
pub(super) struct NotTheBackend(Refusal);

impl IntoResponse for NotTheBackend {
    fn into_response(self) -> Response {
        let status = self.0.status;
        let mut response = self.0.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
        response
    }
}

impl FromRequestParts<Arc<App>> for Backend {
    type Rejection = NotTheBackend;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, NotTheBackend> {
        let Ok(context) = Context::from_request_parts(parts, app).await;
        let refused = || Refusal::new(ErrorCode::Unauthorized).saying(sentences::no_key());
        let presented = presented(&parts.headers).ok_or_else(refused).map_err(NotTheBackend)?;
        let known = match ApiKey::parse(presented) {
            Some(key) => app.store.api_key(key.fingerprint()).await.map_err(|error| NotTheBackend(error.into()))?,
            None => None,
        };
        match known {
            Some(name) => {
                tracing::debug!(key = name, "a site's backend calls");
                Ok(Self)
            }
            // A good key is never held to its address's limit; a bad one counts, as a bad token does.
            None => Err(NotTheBackend(match app.limits.take_for_address(AddressLimit::BadToken, context.address) {
                Ok(()) => refused(),
                Err(retry_after) => Refusal::too_fast(retry_after),
            })),
        }
    }
}

/// What stands in an `Authorization` header as a key.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("apikey").then(|| key.trim())
}

/// The fields of a backend's body. An empty body is an empty object.
pub(super) struct BackendFields<T>(pub(super) T);

/// An object, or a list of them.
pub(super) struct OneOrMany<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for BackendFields<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        body(request, app, Shape::Object).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OneOrMany<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        body(request, app, Shape::ObjectOrList).await.map(Self)
    }
}

async fn body<T: DeserializeOwned>(request: Request, app: &App, shape: Shape) -> Result<T, Refusal> {
    let bytes_max = app.config.server.body_bytes_max.0.max(BODY_BYTES_MAX);
    parse(&read(request, app, bytes_max).await?, shape)
}
