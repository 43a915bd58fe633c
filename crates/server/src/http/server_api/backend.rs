//! Authenticates a site's backend by its API key, and reads its bodies, which may be larger than a browser's.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use teahouse_core::ErrorCode;

use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::http::body::{Shape, parse, read};
use crate::http::caller::note_authenticated;
use crate::http::context::Context;
use crate::http::response::http_status;
use crate::limits::AddressLimit;
use crate::secrets::ApiKey;

/// The largest body: a thousand users with their profiles.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request with a valid key. Handlers extract it first, so that no other body is read.
pub(in crate::http) struct Backend;

/// A request without a valid key.
pub(in crate::http) struct InvalidKey(ApiError);

impl IntoResponse for InvalidKey {
    fn into_response(self) -> Response {
        let status = http_status(&self.0);
        let mut response = self.0.into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
        response
    }
}

impl FromRequestParts<Arc<App>> for Backend {
    type Rejection = InvalidKey;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, InvalidKey> {
        let Ok(context) = Context::from_request_parts(parts, app).await;
        let unauthorized = || ApiError::new(ErrorCode::Unauthorized).with_message(texts::api_key_required());
        let presented = presented_key(&parts.headers).ok_or_else(unauthorized).map_err(InvalidKey)?;
        let known = match ApiKey::parse(presented) {
            Some(key) => app.store.api_key(key.fingerprint()).await.map_err(|error| InvalidKey(error.into()))?,
            None => None,
        };
        match known {
            Some(name) => {
                tracing::debug!(key = name, "server API request");
                note_authenticated(parts);
                Ok(Self)
            }
            // Like invalid tokens, only invalid keys count against the address.
            None => Err(InvalidKey(match app.take_address_token(AddressLimit::BadToken, context.address) {
                Ok(()) => unauthorized(),
                Err(retry_after) => ApiError::rate_limited(retry_after),
            })),
        }
    }
}

/// The key of an `Authorization: ApiKey` header.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("apikey").then(|| key.trim())
}

/// A backend's body that is an object. An empty body is an empty object.
pub(in crate::http) struct BackendBody<T>(pub(super) T);

/// A backend's body that is an object or an array of objects.
pub(in crate::http) struct OneOrMany<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for BackendBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        body(request, app, Shape::Object).await.map(Self)
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for OneOrMany<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        body(request, app, Shape::ObjectOrArray).await.map(Self)
    }
}

async fn body<T: DeserializeOwned>(request: Request, app: &App, shape: Shape) -> Result<T, ApiError> {
    let bytes_max = app.config.server.body_bytes_max.0.max(BODY_BYTES_MAX);
    parse(&read(request, app, bytes_max, None).await?, shape)
}
