//! What stands in a request's address and headers: ids in paths, pages in queries, the key under which a
//! message is stored once. What cannot be read is refused with its name.

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use teahouse_core::ids::ID_MAX;
use teahouse_core::limits::{CLIENT_ID_CHARS_MAX, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use teahouse_core::{ErrorCode, MessageId};

use super::refusal::Refusal;
use super::refusals::IDEMPOTENCY_KEY;
use super::sentence;

/// The id in a path.
pub(super) struct PathId(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let parameters =
            RawPathParams::from_request_parts(parts, state).await.map_err(|_| not_an_id("id".to_owned()))?;
        let (name, text) = parameters.iter().next().unwrap_or(("id", ""));
        number(text).map(Self).ok_or_else(|| not_an_id(name.to_owned()))
    }
}

/// What a query asks for. Parameters that we do not know are ignored; of one given twice the last counts.
pub(super) struct Asked(pub(super) Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let pairs = Query::from_request_parts(parts, state).await.map_err(|_| Refusal::new(ErrorCode::BadRequest))?;
        Ok(Self(pairs.0))
    }
}

impl Asked {
    /// How many messages: 50 when nothing is said, never more than 100.
    pub(super) fn limit(&self) -> Result<u32, Refusal> {
        self.value("limit").map_or(Ok(PAGE_MESSAGES_DEFAULT), limit)
    }

    /// The message from which on; 0 means absent.
    pub(super) fn message(&self, name: &'static str) -> Result<Option<MessageId>, Refusal> {
        let Some(text) = self.value(name) else { return Ok(None) };
        let id = number(text).ok_or_else(|| not_an_id(name.to_owned()))?;
        Ok((id != 0).then_some(MessageId(id)))
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The `client_id` of a message that comes over HTTP.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        idempotency_key(&parts.headers).map(Self)
    }
}

pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let wrong = || {
        Refusal::new(ErrorCode::BadRequest)
            .naming(IDEMPOTENCY_KEY)
            .saying(sentence::not_a_client_id(CLIENT_ID_CHARS_MAX))
    };
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        // Its length is the use case's business, as for every other door.
        (Some(value), None) => match std::str::from_utf8(value.as_bytes()) {
            Ok(key) => Ok(Some(key.to_owned())),
            Err(_) => Err(wrong()),
        },
        // Two keys name two messages.
        (Some(_), Some(_)) => Err(wrong()),
    }
}

/// How many messages: never more than 100.
pub(super) fn limit(text: &str) -> Result<u32, Refusal> {
    let digits = text.trim_start_matches('0');
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !whole {
        let sentence = sentence::not_a_limit("limit");
        return Err(Refusal::new(ErrorCode::BadRequest).naming("limit").saying(sentence));
    }
    // What is too large for a number is over 100 as well.
    Ok(digits.parse().map_or(PAGE_MESSAGES_MAX, |limit: u32| limit.min(PAGE_MESSAGES_MAX)))
}

/// A whole number that JavaScript reads exactly, in plain digits.
pub(super) fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| plain && *number <= ID_MAX)
}

pub(super) fn not_an_id(name: String) -> Refusal {
    let sentence = sentence::not_an_id(&name);
    Refusal::new(ErrorCode::BadRequest).naming(name).saying(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, value: &str) -> Asked {
        Asked(vec![("_t".into(), "x".into()), (name.into(), value.into())])
    }

    #[test]
    fn p6_p7_limits_are_whole_numbers_from_one_up() {
        assert_eq!(Asked(vec![]).limit().unwrap(), 50);
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
            assert_eq!(asked("limit", value).limit().ok(), expect, "{value:?}");
        }
    }

    #[test]
    fn ids_are_below_two_to_the_53rd_and_zero_means_absent() {
        assert_eq!(Asked(vec![]).message("before_id").unwrap(), None);
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
            assert_eq!(asked("before_id", value).message("before_id").ok(), expect, "{value:?}");
        }
    }
}
