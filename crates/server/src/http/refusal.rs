//! A refusal: a code of the error table, a status, a sentence, and what else helps whoever was refused. Over
//! HTTP it becomes bytes in `answer`, once the request's language and id are known; over a socket, in the door.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use teahouse_core::{ErrorCode, Language};
use teahouse_store::StoreError;

use super::answer::Outcome;
use super::sentence::Sentence;
use crate::limits::RetryAfter;

/// How soon whoever finds the server busy may come back.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);

/// Why a request was refused, as its sender sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub(crate) code: ErrorCode,
    pub(super) status: StatusCode,
    pub(crate) field: Option<Cow<'static, str>>,
    pub(crate) retry_after: Option<Duration>,
    sentence: Option<Sentence>,
}

impl Refusal {
    /// With the table's own status and sentence.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        let status = StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = (code == ErrorCode::Overloaded).then_some(OVERLOADED_RETRY);
        Self { code, status, field: None, retry_after, sentence: None }
    }

    /// A field of the body that is missing or wrong.
    #[must_use]
    pub fn field(field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest).with_status(StatusCode::UNPROCESSABLE_ENTITY).naming(field)
    }

    /// Too fast.
    #[must_use]
    pub fn too_fast(retry_after: RetryAfter) -> Self {
        Self { retry_after: Some(retry_after.0), ..Self::new(ErrorCode::RateLimited) }
    }

    /// The user may not write for so long.
    pub fn muted(time: Duration) -> Self {
        Self { retry_after: Some(time), ..Self::new(ErrorCode::Muted) }
    }

    /// Something of ours failed. It is logged here, once; the sender never sees what it was.
    #[must_use]
    pub fn failure(error: impl Display) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(ErrorCode::Internal)
    }

    /// With a sentence that says more than the table's.
    #[must_use]
    pub fn saying(mut self, sentence: Sentence) -> Self {
        self.sentence = Some(sentence);
        self
    }

    /// Naming what in the request it is about.
    #[must_use]
    pub fn naming(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The same about the field `known`, which the request called something else.
    #[must_use]
    pub(super) fn renaming(mut self, known: &str, asked: &'static str) -> Self {
        if self.field.as_deref() == Some(known) {
            self.field = Some(asked.into());
        }
        self
    }

    /// The same when what is wrong stood in the request's address or headers: that is 400 and not 422.
    #[must_use]
    pub(super) fn outside_the_body(mut self, is_outside: impl Fn(&str) -> bool) -> Self {
        if self.code == ErrorCode::BadRequest && self.field.as_deref().is_some_and(is_outside) {
            self.status = StatusCode::BAD_REQUEST;
        }
        self
    }

    /// With another status than the table's.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The sentence in one language.
    #[must_use]
    pub fn sentence(&self, language: Language) -> &str {
        self.sentence.as_ref().map_or_else(|| self.code.sentence(language), |sentence| sentence.text(language))
    }

    /// The one for a status that the framework answered with, which knows no more.
    #[must_use]
    pub(super) fn of_status(status: StatusCode) -> Self {
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
        Self::new(code).with_status(status)
    }

    /// Whole seconds for `Retry-After`, never less than one: what is rounded down is asked too early.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| RetryAfter(wait).seconds().max(1))
    }

    /// The same in milliseconds, for an envelope.
    pub(crate) fn retry_after_ms(&self) -> Option<u64> {
        let wait_ms = |wait: Duration| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.retry_after.map(|wait| wait_ms(wait).max(1))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded(_) | StoreError::Closed => Self::new(ErrorCode::Overloaded),
            StoreError::Internal(_) => Self::failure(error),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status;
        Outcome::Refused(Box::new(self)).into_response(status)
    }
}
