//! Answers in the envelope that stands around everything under `/api`. Handlers say what came out; the
//! bytes are made at the very end, where the request's language and id are known.

use axum::body::Body;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_protocol::classic::http;

use super::context::Context;
use super::refusal::Refusal;
use super::sentence;
use crate::metrics::Rejections;

/// What a handler gives.
pub type Handled = Result<Answer, Refusal>;

/// Something went well.
pub struct Answer {
    status: StatusCode,
    data: Box<RawValue>,
    cookie: Option<HeaderValue>,
}

impl Answer {
    /// 200 with this data.
    pub fn ok<T: Serialize>(data: &T) -> Self {
        Self { status: StatusCode::OK, data: http::http_data(data), cookie: None }
    }

    /// 201 with this data.
    pub fn created<T: Serialize>(data: &T) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(data) }
    }

    /// And a cookie.
    #[must_use]
    pub fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookie = Some(cookie);
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Outcome::Done(self.data).into_response(self.status);
        if let Some(cookie) = self.cookie {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

/// What came out, on its way to the envelope in the extensions of a response without a body.
#[derive(Clone)]
pub(super) enum Outcome {
    Done(Box<RawValue>),
    Refused(Box<Refusal>),
}

impl Outcome {
    pub(super) fn into_response(self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Puts what came out into the envelope. What the framework refused by itself under `/api` is wrapped as
/// well; everything else (pages, probes, upgrades) stays as it is. Refusals are counted here, all in one place.
pub(super) fn enveloped(
    mut response: Response,
    context: &Context,
    under_api: bool,
    rejections: &Rejections,
) -> Response {
    let status = response.status();
    let outcome = match response.extensions_mut().remove::<Outcome>() {
        Some(outcome) => outcome,
        None if under_api && (status.is_client_error() || status.is_server_error()) => {
            Outcome::Refused(Box::new(Refusal::of_status(status)))
        }
        None => return response,
    };
    let body = match &outcome {
        Outcome::Done(data) => {
            http::http_success(status.as_u16(), sentence::success(context.language), data, &context.request_id)
        }
        Outcome::Refused(refusal) => {
            rejections.count(refusal.code);
            add_refusal_headers(&mut response, refusal);
            let sentence = refusal.sentence(context.language);
            http::http_refusal(status.as_u16(), refusal.code, sentence, refusal.field.as_deref(), &context.request_id)
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

fn add_refusal_headers(response: &mut Response, refusal: &Refusal) {
    let headers = response.headers_mut();
    if let Some(seconds) = refusal.retry_after_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if refusal.status == StatusCode::UNAUTHORIZED {
        headers.entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
    if refusal.status == StatusCode::UPGRADE_REQUIRED {
        // What to upgrade to, and in which version (RFC 9110, section 15.5.22; RFC 6455, section 4.4).
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
}
