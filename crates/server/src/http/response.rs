//! The envelope around every response under `/api`. Handlers return what the envelope holds; the outermost layer writes
//! it, since only there the request's language and id are known.

use axum::body::Body;
use axum::http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, SET_COOKIE, UPGRADE, WWW_AUTHENTICATE,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::{ErrorCode, Language};
use teahouse_hub::AnswerPermit;
use teahouse_protocol::http;

use super::context::Context;
use crate::errors::ApiError;
use crate::metrics::Rejections;

/// The result of a handler.
pub(crate) type ApiResult = Result<ApiResponse, ApiError>;

/// A successful response.
pub(crate) struct ApiResponse {
    status: StatusCode,
    data: Box<RawValue>,
    cookies: Vec<HeaderValue>,
    permit: Option<AnswerPermit>,
}

impl ApiResponse {
    /// 200 with this data.
    pub(crate) fn ok<T: Serialize>(data: &T) -> Self {
        Self::ok_json(http::raw_json(data))
    }

    /// 200 with data that is JSON already.
    pub(crate) fn ok_json(data: Box<RawValue>) -> Self {
        Self { status: StatusCode::OK, data, cookies: Vec::new(), permit: None }
    }

    /// Makes it a 201: the request created something.
    #[must_use]
    pub(crate) fn created(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    /// Holds the permit of a large answer until its body is written.
    #[must_use]
    pub(crate) fn holding(self, permit: Option<AnswerPermit>) -> Self {
        Self { permit, ..self }
    }

    /// Adds a cookie.
    #[must_use]
    pub(crate) fn with_cookie(mut self, cookie: HeaderValue) -> Self {
        self.cookies.push(cookie);
        self
    }
}

impl IntoResponse for ApiResponse {
    fn into_response(self) -> Response {
        let mut response = Content::Success(self.data, self.permit).into_response(self.status);
        for cookie in self.cookies {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = http_status(&self);
        Content::Error(Box::new(self)).into_response(status)
    }
}

/// The status of an error.
pub(super) fn http_status(error: &ApiError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The content of the future envelope, in the extensions of a response without a body.
#[derive(Clone)]
enum Content {
    Success(Box<RawValue>, Option<AnswerPermit>),
    Error(Box<ApiError>),
}

impl Content {
    fn into_response(self, status: StatusCode) -> Response {
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the envelope and counts errors. An error of the framework under `/api` gets an envelope too; everything else
/// (pages, probes, upgrades) stays as it is.
pub(super) fn write_envelope(
    mut response: Response,
    context: &Context,
    under_api: bool,
    rejections: &Rejections,
) -> Response {
    let status = response.status();
    let content = match response.extensions_mut().remove::<Content>() {
        Some(content) => content,
        None if under_api && (status.is_client_error() || status.is_server_error()) => {
            Content::Error(Box::new(error_of_status(status)))
        }
        None => return response,
    };
    let body = match content {
        Content::Success(data, permit) => {
            let message = success_message(context.language);
            let body = http::success(status.as_u16(), message, &data, &context.request_id);
            AnswerPermit::hold_if_any(permit, body.into())
        }
        Content::Error(error) => {
            rejections.count(error.code());
            add_error_headers(&mut response, &error);
            let message = error.message(context.language);
            http::error(status.as_u16(), error.code(), message, error.field(), &context.request_id).into()
        }
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().remove(CONTENT_LENGTH);
    *response.body_mut() = Body::from(body);
    response
}

/// The message of a successful response.
pub(super) fn success_message(language: Language) -> &'static str {
    match language {
        Language::En => "OK",
        Language::Zh => "成功",
    }
}

/// The error for a status that the framework responded with.
fn error_of_status(status: StatusCode) -> ApiError {
    let code = match status {
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => ErrorCode::Forbidden,
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::CONFLICT => ErrorCode::Conflict,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => ErrorCode::TooLong,
        StatusCode::UPGRADE_REQUIRED => ErrorCode::UpgradeRequired,
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::Overloaded,
        _ if status.is_server_error() => ErrorCode::Internal,
        _ => ErrorCode::BadRequest,
    };
    ApiError::new(code).with_status(status)
}

fn add_error_headers(response: &mut Response, error: &ApiError) {
    let status = http_status(error);
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after_seconds() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.entry(WWW_AUTHENTICATE).or_insert(HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::UPGRADE_REQUIRED {
        // Required by RFC 9110, section 15.5.22, and RFC 6455, section 4.4.
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
}
