//! What a classic client sends. One frame is one envelope.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A classic client's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Say something in the lobby; not yet trimmed or measured.
    Message {
        /// As it came.
        content: String,
    },
    /// A sign of life, answered with the time.
    Heartbeat,
}

/// Why a frame is no request. These count towards closing the session, refusals of understood requests do not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// Broken JSON, no `type`, or a missing or wrong field (named).
    Malformed {
        /// The field that is missing or wrong; none when it is not JSON at all.
        field: Option<&'static str>,
    },
    /// A `type` that this dialect does not have.
    UnknownType,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageData {
    content: String,
}

/// Reads one classic frame. Unknown fields are ignored; an absent or null `data` is an empty object.
///
/// # Errors
/// When it is no request of this dialect.
pub fn read_request(text: &str) -> Result<Request, RequestError> {
    let envelope: Envelope<'_> = read_object(text, "type")?;
    let data = envelope.data.map_or("{}", RawValue::get);
    if !data.starts_with('{') {
        return Err(RequestError::Malformed { field: Some("data") });
    }
    match envelope.kind.as_ref() {
        "message" => {
            let MessageData { content } = read_object(data, "content")?;
            Ok(Request::Message { content })
        }
        "heartbeat" => Ok(Request::Heartbeat),
        _ => Err(RequestError::UnknownType),
    }
}

/// Reads a JSON object; `field` is the one to name when the JSON is right and its fields are not.
fn read_object<'a, T: Deserialize<'a>>(text: &'a str, field: &'static str) -> Result<T, RequestError> {
    // Serde reads an array as a struct too; on this wire an envelope is an object.
    if !text.trim_start().starts_with('{') {
        return Err(RequestError::Malformed { field: None });
    }
    serde_json::from_str(text)
        .map_err(|error| RequestError::Malformed { field: if error.is_data() { Some(field) } else { None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_a_request_or_a_typed_error() {
        let check = |text: &str, expect| assert_eq!(read_request(text), expect, "{:.80}", text);
        let malformed = |field| Err(RequestError::Malformed { field });
        let hi = || Ok(Request::Message { content: "hi".into() });
        check(r#"{"type":"message","data":{"content":"hi"}}"#, hi());
        check(r#"{"type":"message","id":"c-1","data":{"content":"hi","more":[1]},"x":{}}"#, hi());
        check(r#"{"type":"heartbeat"}"#, Ok(Request::Heartbeat));
        check(r#"{"type":"heartbeat","data":null}"#, Ok(Request::Heartbeat));
        check(r#"{"type":"heartbeat","data":{}}"#, Ok(Request::Heartbeat));
        check("", malformed(None));
        check("{", malformed(None));
        check("NaN", malformed(None));
        check(r#"{"type":"message","data":{"content":"\ud800"}}"#, malformed(None));
        check(&format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), malformed(None));
        check(r#"{"type":"message","type":"heartbeat"}"#, malformed(Some("type")));
        check("[]", malformed(None));
        check(r#"["heartbeat"]"#, malformed(None));
        check("7", malformed(None));
        check("{}", malformed(Some("type")));
        check(r#"{"type":7}"#, malformed(Some("type")));
        check(r#"{"type":"message","data":[]}"#, malformed(Some("data")));
        check(r#"{"type":"message"}"#, malformed(Some("content")));
        check(r#"{"type":"message","data":{"content":9007199254740993}}"#, malformed(Some("content")));
        check(r#"{"type":"hello","data":{}}"#, Err(RequestError::UnknownType));
    }
}
