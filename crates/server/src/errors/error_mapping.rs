//! How each failure of a use case looks to clients: one conversion for each error type, and nothing else. Fields have the
//! names that v1 gives them; a route that names one otherwise renames it.

mod accounts;
mod messages;
mod rooms;
mod site;

use std::time::Duration;

use teahouse_core::ErrorCode;
use teahouse_core::text::TextError;
use teahouse_protocol::classic::ClassicRequestError;
use teahouse_protocol::v1::RequestFault;

use super::ApiError;
use super::messages as texts;
use crate::limits::RetryAfter;

fn unauthorized() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized)
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound)
}

fn forbidden() -> ApiError {
    ApiError::new(ErrorCode::Forbidden)
}

fn conflict() -> ApiError {
    ApiError::new(ErrorCode::Conflict)
}

fn too_many_strangers(wait: Duration) -> ApiError {
    ApiError::rate_limited(RetryAfter(wait)).with_message(texts::too_many_strangers())
}

fn too_long(field: &'static str, chars_max: usize) -> ApiError {
    ApiError::new(ErrorCode::TooLong).with_field(field).with_message(texts::too_long(chars_max))
}

fn invalid_text(field: &'static str, error: TextError) -> ApiError {
    match error {
        TextError::Empty => ApiError::new(ErrorCode::Empty).with_field(field),
        TextError::TooLong { chars_max } => too_long(field, chars_max),
    }
}

/// The content of a message is invalid.
impl From<TextError> for ApiError {
    fn from(error: TextError) -> Self {
        invalid_text("content", error)
    }
}

/// A frame is not a request of the classic dialect.
impl From<ClassicRequestError> for ApiError {
    fn from(error: ClassicRequestError) -> Self {
        match error {
            ClassicRequestError::UnknownType => Self::new(ErrorCode::UnknownType),
            ClassicRequestError::Malformed { .. } => Self::new(ErrorCode::BadRequest),
        }
    }
}

/// An envelope or a body is not a request of v1.
impl From<RequestFault> for ApiError {
    fn from(fault: RequestFault) -> Self {
        match fault {
            RequestFault::UnknownType => Self::new(ErrorCode::UnknownType),
            RequestFault::Malformed { field: None } => Self::new(ErrorCode::BadRequest),
            RequestFault::Malformed { field: Some(field) } => {
                let message = texts::missing_or_wrong_type(&field);
                Self::invalid_field(field).with_message(message)
            }
        }
    }
}
