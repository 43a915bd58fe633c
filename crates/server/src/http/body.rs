//! Request bodies: read within a size and a time limit and parsed as JSON, whatever their Content-Type says. An error
//! names the field.

use std::error::Error;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use teahouse_core::ErrorCode;

use super::body_budget::{BodyOwner, BodyPermit, BodyRefusal};
use super::context::Context;
use crate::app::App;
use crate::errors::{ApiError, messages as texts};
use crate::limits::RetryAfter;

/// A body that is a JSON object. An empty body is an empty object.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let bytes_max = app.config.server.body_bytes_max.0;
        let context = request.extensions().get::<Context>();
        let owner = match context.and_then(|context| context.user) {
            Some(user) => BodyOwner::User(user),
            None => BodyOwner::address(context.map_or(Ipv4Addr::UNSPECIFIED.into(), |context| context.address)),
        };
        let bytes = read(request, app, bytes_max, Some(owner)).await?;
        parse(&bytes, Shape::Object).map(Self)
    }
}

/// Counts a body among those that are being received.
fn begin(app: &App, owner: BodyOwner, bytes: usize) -> Result<BodyPermit, ApiError> {
    app.bodies.begin(owner, bytes).map_err(|refusal| {
        let (bound, figure) = refusal.bound();
        app.bounds.record(bound, figure);
        match refusal {
            BodyRefusal::Owner(_) => ApiError::rate_limited(RetryAfter(Duration::from_secs(1))),
            BodyRefusal::All => ApiError::new(ErrorCode::Overloaded),
        }
    })
}

fn announced_length(request: &Request) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// The kind of JSON that a body may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object. Serde alone would also read a struct from an array.
    Object,
    /// An object or an array of objects.
    ObjectOrArray,
}

/// Reads a body, and counts it for its owner if it does not arrive with its head. A backend's bodies are not counted.
pub(super) async fn read(
    request: Request,
    app: &App,
    bytes_max: usize,
    owner: Option<BodyOwner>,
) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(ErrorCode::TooLong)
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
            .with_message(texts::body_too_large(bytes_max))
    };
    // A body whose announced length is too large is not read at all.
    let length = announced_length(&request);
    if length.is_some_and(|length| length > bytes_max as u64) {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(request.into_body(), bytes_max).collect());
    // hyper hands a body out only after it was asked for it, so one turn passes even if all of it has arrived.
    let arrived = tokio::select! {
        biased;
        body = &mut body => Ok(body),
        () = tokio::task::yield_now() => {
            let bytes = length.map_or(bytes_max, |length| length as usize);
            let _permit = owner.map(|owner| begin(app, owner, bytes)).transpose()?;
            // The same bound as for the head protects against slow bodies.
            tokio::time::timeout(app.config.server.header_timeout, body).await
        }
    };
    match arrived {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() || is_caused_by_length(error.as_ref()) => Err(too_large()),
        // The connection broke or the chunks are invalid; most likely nobody receives this.
        Ok(Err(_)) => Err(ApiError::new(ErrorCode::BadRequest)),
        Err(_) => Err(ApiError::new(ErrorCode::BadRequest)
            .with_status(StatusCode::REQUEST_TIMEOUT)
            .with_message(texts::body_timeout())),
    }
}

fn is_caused_by_length(error: &(dyn Error + 'static)) -> bool {
    error.source().is_some_and(|cause| cause.is::<LengthLimitError>() || is_caused_by_length(cause))
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8], shape: Shape) -> Result<T, ApiError> {
    let bad_request = |message| Err(ApiError::new(ErrorCode::BadRequest).with_message(message));
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => "{}",
        // Some clients send a byte order mark.
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(_) => return bad_request(texts::invalid_json()),
    };
    let first = text.trim_start().chars().next();
    if first != Some('{') && (first, shape) != (Some('['), Shape::ObjectOrArray) {
        return bad_request(if is_json(text) { texts::not_an_object() } else { texts::invalid_json() });
    }
    let mut json = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize(&mut json) {
        Ok(fields) if json.end().is_ok() => Ok(fields),
        // A wrong field is reported only where the whole body is JSON.
        Err(error) if error.inner().is_data() && is_json(text) => Err(invalid_field(&error)),
        Ok(_) | Err(_) => bad_request(texts::invalid_json()),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// Names the field. Serde names a missing or repeated one only in its message.
fn invalid_field(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let (path, message) = (error.path().to_string(), error.inner().to_string());
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let repeated = message.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next());
    let name = match (path.as_str(), missing.or(repeated)) {
        (".", Some(field)) => field.to_owned(),
        (path, Some(field)) if !path.ends_with(field) => format!("{path}.{field}"),
        (path, _) => path.to_owned(),
    };
    let message = if missing.is_some() { texts::missing_field(&name) } else { texts::wrong_type(&name) };
    ApiError::invalid_field(name).with_message(message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use teahouse_core::Language;
    use teahouse_protocol::classic::http::{PrivateBody, ProfileBody};

    use super::*;

    fn refused<T: DeserializeOwned>(body: &[u8]) -> Option<(u16, Option<String>)> {
        let error = parse::<T>(body, Shape::Object).err()?;
        assert!(!error.message(Language::En).is_empty());
        Some((error.status(), error.field().map(str::to_owned)))
    }

    #[test]
    fn broken_json_is_400_and_a_wrong_field_422_with_its_name() {
        let check = |body: &str, expect: Option<(u16, Option<&str>)>| {
            let expect = expect.map(|(status, field)| (status, field.map(str::to_owned)));
            assert_eq!(refused::<PrivateBody>(body.as_bytes()), expect, "{body:.80}");
        };
        check(r#"{"receiver_id":7,"content":"hi"}"#, None);
        check(r#"{"receiver_id":7,"content":"hi","_t":1,"x":{"y":[null]}}"#, None);
        check("\u{feff}{\"receiver_id\":7,\"content\":\"hi\"}\n", None);
        check("", Some((422, Some("receiver_id"))));
        check("{}", Some((422, Some("receiver_id"))));
        check(r#"{"receiver_id":7}"#, Some((422, Some("content"))));
        check(r#"{"receiver_id":7,"content":null}"#, Some((422, Some("content"))));
        check(r#"{"receiver_id":"7","content":"hi"}"#, Some((422, Some("receiver_id"))));
        check(r#"{"receiver_id":-7,"content":"hi"}"#, Some((422, Some("receiver_id"))));
        check(r#"{"receiver_id":7.5,"content":"hi"}"#, Some((422, Some("receiver_id"))));
        check(r#"{"receiver_id":7,"receiver_id":8,"content":"hi"}"#, Some((422, Some("receiver_id"))));
        check(r#"{"receiver_id":7,"content":["hi"]}"#, Some((422, Some("content"))));
        check("{", Some((400, None)));
        check(r#"{"receiver_id":"7","content":"#, Some((400, None)));
        check(r#"{"receiver_id":7,"content":"hi"} x"#, Some((400, None)));
        check(r#"{"receiver_id":NaN,"content":"hi"}"#, Some((400, None)));
        check(r#"{"receiver_id":7,"content":"\ud800"}"#, Some((400, None)));
        check("receiver_id=7&content=hi", Some((400, None)));
        check("[7,\"hi\"]", Some((400, None)));
        check("7", Some((400, None)));
        check("null", Some((400, None)));
        check(r#"{"receiver_id":9007199254740992,"content":"hi"}"#, Some((422, Some("receiver_id"))));
        // An ignored field may be nested to any depth, others may not.
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        check(&format!(r#"{{"x":{deep}}}"#), Some((422, Some("receiver_id"))));
        check(&format!(r#"{{"receiver_id":7,"content":{deep}}}"#), Some((422, Some("content"))));
        check(&deep, Some((400, None)));
        assert_eq!(refused::<PrivateBody>(b"{\"content\":\"\xff\"}"), Some((400, None)));
    }

    #[test]
    fn a_nested_field_is_named_with_its_path() {
        let body = br#"{"profile":{"nickname":7}}"#;
        assert_eq!(refused::<ProfileBody>(body), Some((422, Some("profile.nickname".to_owned()))));
        assert_eq!(refused::<ProfileBody>(b""), None);

        #[derive(Deserialize)]
        struct Outer {
            #[serde(rename = "inner")]
            _inner: Inner,
        }
        #[derive(Deserialize)]
        struct Inner {
            #[serde(rename = "name")]
            _name: String,
        }
        assert_eq!(refused::<Outer>(br#"{"inner":{}}"#), Some((422, Some("inner.name".to_owned()))));
    }
}
