//! Parameters in a request's path, query and headers. An invalid one is a 400 that names it.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use teahouse_core::ids::ID_MAX;
use teahouse_core::limits::{CLIENT_ID_CHARS_MAX, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use teahouse_core::{ErrorCode, MessageId};

use crate::errors::{ApiError, messages as texts};

/// The header that carries a message's `client_id`.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The id in a path.
pub(super) struct PathId(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let parameters =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| invalid_id("id".to_owned()))?;
        let (name, text) = parameters.iter().next().unwrap_or(("id", ""));
        parse_integer(text).map(Self).ok_or_else(|| invalid_id(name.to_owned()))
    }
}

/// The parameters of a query. Unknown ones are ignored; of a repeated one the last counts.
pub(super) struct QueryParams(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let pairs = Query::from_request_parts(parts, state).await.map_err(|_| ApiError::new(ErrorCode::BadRequest))?;
        Ok(Self(pairs.0))
    }
}

impl QueryParams {
    /// The `limit` of a page, or its default.
    pub(super) fn limit(&self) -> Result<u32, ApiError> {
        self.value("limit").map_or(Ok(PAGE_MESSAGES_DEFAULT), parse_limit)
    }

    /// The id of a message; 0 means absent.
    pub(super) fn message(&self, name: &'static str) -> Result<Option<MessageId>, ApiError> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let id = parse_integer(text).ok_or_else(|| invalid_id(name.to_owned()))?;
        Ok((id != 0).then_some(MessageId(id)))
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The `client_id` of a message, from its header.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        idempotency_key(&parts.headers).map(Self)
    }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let invalid = || {
        ApiError::new(ErrorCode::BadRequest)
            .with_field(IDEMPOTENCY_KEY)
            .with_message(texts::invalid_client_id(CLIENT_ID_CHARS_MAX))
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // The use case checks its length, for every transport.
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(key) => Ok(Some(key.to_owned())),
            Err(_) => Err(invalid()),
        },
        (Some(_), Some(_)) => Err(invalid()),
    }
}

/// Names the header where the error names the `client_id` that came in it.
pub(super) fn blame_idempotency_key(error: ApiError) -> ApiError {
    error.rename_field("client_id", IDEMPOTENCY_KEY).with_parameters(|field| field == IDEMPOTENCY_KEY)
}

/// A `limit`: a positive integer, cut to `PAGE_MESSAGES_MAX`.
pub(super) fn parse_limit(text: &str) -> Result<u32, ApiError> {
    let digits = text.trim_start_matches('0');
    let is_positive = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_positive {
        let message = texts::invalid_limit("limit");
        return Err(ApiError::new(ErrorCode::BadRequest).with_field("limit").with_message(message));
    }
    // A number that overflows exceeds the maximum as well.
    Ok(digits.parse().map_or(PAGE_MESSAGES_MAX, |limit: u32| limit.min(PAGE_MESSAGES_MAX)))
}

/// An integer in plain digits that JavaScript represents exactly.
pub(super) fn parse_integer(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && *number <= ID_MAX)
}

pub(super) fn invalid_id(name: String) -> ApiError {
    let message = texts::invalid_id(&name);
    ApiError::new(ErrorCode::BadRequest).with_field(name).with_message(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, value: &str) -> QueryParams {
        QueryParams(vec![("_t".into(), "x".into()), (name.into(), value.into())])
    }

    #[test]
    fn p6_p7_limits_are_whole_numbers_from_one_up() {
        assert_eq!(QueryParams(vec![]).limit().unwrap(), 50);
        for (value, expect) in [
            ("1", Some(1)),
            ("50", Some(50)),
            ("100", Some(100)),
            ("007", Some(7)),
            ("101", Some(100)),
            ("99999999999999999999999", Some(100)),
            ("0", None),
            ("00", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e2", None),
            ("abc", None),
            ("NaN", None),
            ("1; DROP TABLE messages", None),
            ("٣", None),
        ] {
            assert_eq!(query("limit", value).limit().ok(), expect, "{value:?}");
        }
    }

    #[test]
    fn ids_are_below_two_to_the_53rd_and_zero_means_absent() {
        assert_eq!(QueryParams(vec![]).message("before_id").unwrap(), None);
        for (value, expect) in [
            ("0", Some(None)),
            ("7", Some(Some(MessageId(7)))),
            ("9007199254740991", Some(Some(MessageId(ID_MAX)))),
            ("9007199254740992", None),
            ("99999999999999999999999", None),
            ("-1", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(query("before_id", value).message("before_id").ok(), expect, "{value:?}");
        }
    }
}
