//! Which pages of other origins may call the API with credentials: those in `server.allowed_origins`.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderValue, Method};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::context::X_REQUEST_ID;
use crate::config::WebOrigin;

/// How long a browser may cache a preflight answer. A change of the list takes effect after ten minutes at most.
const MAX_AGE: Duration = Duration::from_secs(600);

pub(super) fn layer(allowed: &[WebOrigin]) -> CorsLayer {
    let origins: Vec<HeaderValue> = allowed.iter().filter_map(|origin| origin.as_str().parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, X_REQUEST_ID, HeaderName::from_static("idempotency-key")])
        .expose_headers([X_REQUEST_ID, RETRY_AFTER])
        .max_age(MAX_AGE)
}
