//! The one error type of every request, whichever transport it came through.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use teahouse_core::{ErrorCode, Language};
use teahouse_hub::AnswerRefusal;
use teahouse_store::StoreError;

use super::messages::{self, LocalizedMessage};
use crate::limits::RetryAfter;

/// How soon a client may retry when the server is overloaded.
const OVERLOADED_RETRY: Duration = Duration::from_secs(1);
/// The HTTP status of a body with an invalid field.
const UNPROCESSABLE_CONTENT: u16 = 422;
/// The HTTP status of an invalid parameter of the path, the query or the headers.
const BAD_REQUEST: u16 = 400;

/// Why a request failed, as its sender sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiError {
    code: ErrorCode,
    status: u16,
    field: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    message: Option<LocalizedMessage>,
}

impl ApiError {
    /// An error with the status and the message that the table of error codes gives it.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        let retry_after = (code == ErrorCode::Overloaded).then_some(OVERLOADED_RETRY);
        Self { code, status: code.http_status(), field: None, retry_after, message: None }
    }

    /// A field of the body is missing or invalid.
    #[must_use]
    pub fn invalid_field(field: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest).with_status(UNPROCESSABLE_CONTENT).with_field(field)
    }

    /// The sender exceeded a rate limit.
    #[must_use]
    pub fn rate_limited(retry_after: RetryAfter) -> Self {
        Self { retry_after: Some(retry_after.0), ..Self::new(ErrorCode::RateLimited) }
    }

    /// The user is muted for `time`.
    #[must_use]
    pub fn muted(time: Duration) -> Self {
        Self { retry_after: Some(time), ..Self::new(ErrorCode::Muted) }
    }

    /// The server failed. The cause goes to the log, once, and never to the client.
    #[must_use]
    pub fn internal(cause: impl Display) -> Self {
        tracing::error!(error = %cause, "request failed");
        Self::new(ErrorCode::Internal)
    }

    /// Replaces the message of the table.
    #[must_use]
    pub fn with_message(mut self, message: LocalizedMessage) -> Self {
        self.message = Some(message);
        self
    }

    /// Names the part of the request that is to blame.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Replaces the HTTP status of the table.
    #[must_use]
    pub fn with_status(mut self, status: impl Into<u16>) -> Self {
        self.status = status.into();
        self
    }

    /// Renames the field `from`, which the request called `to`.
    #[must_use]
    pub fn rename_field(self, from: &str, to: &'static str) -> Self {
        if self.field.as_deref() == Some(from) { self.with_field(to) } else { self }
    }

    /// Prefixes the field with its index in a list.
    #[must_use]
    pub fn prefix_field(self, prefix: &str) -> Self {
        match self.field.clone() {
            Some(field) => self.with_field(format!("{prefix}.{field}")),
            None => self,
        }
    }

    /// Turns 422 into 400 when the invalid field came in the path, the query or a header.
    #[must_use]
    pub fn with_parameters(self, is_parameter: impl Fn(&str) -> bool) -> Self {
        if self.code == ErrorCode::BadRequest && self.field.as_deref().is_some_and(is_parameter) {
            return self.with_status(BAD_REQUEST);
        }
        self
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The part of the request that is to blame.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The message for a person.
    #[must_use]
    pub fn message(&self, language: Language) -> &str {
        self.message.as_ref().map_or_else(|| self.code.sentence(language), |message| message.text(language))
    }

    /// The `Retry-After` header in whole seconds, rounded up so that a client that obeys it is not refused again.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after.map(|wait| RetryAfter(wait).seconds().max(1))
    }

    /// The `retry_after_ms` of an error envelope, rounded up as well.
    #[must_use]
    pub fn retry_after_ms(&self) -> Option<u64> {
        let wait_ms = |wait: Duration| u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
        self.retry_after.map(|wait| wait_ms(wait).max(1))
    }
}

impl From<AnswerRefusal> for ApiError {
    fn from(refusal: AnswerRefusal) -> Self {
        match refusal {
            AnswerRefusal::Overloaded => Self::new(ErrorCode::Overloaded),
            AnswerRefusal::TooManyWaiting => {
                Self::rate_limited(RetryAfter(OVERLOADED_RETRY)).with_message(messages::too_many_answers())
            }
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Overloaded(_) | StoreError::Closed => Self::new(ErrorCode::Overloaded),
            StoreError::Internal(_) => Self::internal(error),
        }
    }
}
