//! Requests of classic clients. One frame is one envelope.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A classic client's request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClassicRequest {
    /// Sends a lobby message.
    Message {
        /// The text, neither trimmed nor measured yet.
        content: String,
    },
    /// Asks for the time, as a sign of life.
    Heartbeat,
}

/// Why a frame is no request. These errors count towards closing the session; refusals of readable requests do not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClassicRequestError {
    /// Broken JSON, no `type`, or a missing or wrong field.
    Malformed {
        /// The field that is missing or wrong; none in broken JSON.
        field: Option<&'static str>,
    },
    /// This dialect has no such `type`.
    UnknownType,
}

#[derive(Deserialize)]
struct RawEnvelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct MessageData {
    content: String,
}

/// Reads one classic frame. Ignores unknown fields; an absent or null `data` is an empty object.
///
/// # Errors
/// The frame is no request of this dialect.
pub fn read_request(text: &str) -> Result<ClassicRequest, ClassicRequestError> {
    let envelope: RawEnvelope<'_> = read_object(text, "type")?;
    let data = envelope.data.map_or("{}", RawValue::get);
    if !data.starts_with('{') {
        return Err(ClassicRequestError::Malformed { field: Some("data") });
    }
    match envelope.kind.as_ref() {
        "message" => {
            let MessageData { content } = read_object(data, "content")?;
            Ok(ClassicRequest::Message { content })
        }
        "heartbeat" => Ok(ClassicRequest::Heartbeat),
        _ => Err(ClassicRequestError::UnknownType),
    }
}

/// Reads a JSON object; the error names `field` when the JSON is well-formed and a field is wrong.
fn read_object<'a, T: Deserialize<'a>>(text: &'a str, field: &'static str) -> Result<T, ClassicRequestError> {
    // Serde would also read an array as a struct.
    if !text.trim_start().starts_with('{') {
        return Err(ClassicRequestError::Malformed { field: None });
    }
    serde_json::from_str(text)
        .map_err(|error| ClassicRequestError::Malformed { field: if error.is_data() { Some(field) } else { None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_a_request_or_a_typed_error() {
        let check = |text: &str, expect| assert_eq!(read_request(text), expect, "{:.80}", text);
        let malformed = |field| Err(ClassicRequestError::Malformed { field });
        let hi = || Ok(ClassicRequest::Message { content: "hi".into() });
        check(r#"{"type":"message","data":{"content":"hi"}}"#, hi());
        check(r#"{"type":"message","id":"c-1","data":{"content":"hi","more":[1]},"x":{}}"#, hi());
        check(r#"{"type":"heartbeat"}"#, Ok(ClassicRequest::Heartbeat));
        check(r#"{"type":"heartbeat","data":null}"#, Ok(ClassicRequest::Heartbeat));
        check(r#"{"type":"heartbeat","data":{}}"#, Ok(ClassicRequest::Heartbeat));
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
        check(r#"{"type":"hello","data":{}}"#, Err(ClassicRequestError::UnknownType));
    }
}
