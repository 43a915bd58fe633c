//! Invariants of the request parsers of both dialects: every text is a request or a typed error, errors can be encoded as
//! JSON, and reformatting a request does not change its meaning.

use teahouse_core::limits::REQUEST_ID_CHARS_MAX;
use teahouse_core::{ErrorCode, Language};
use teahouse_protocol::classic;
use teahouse_protocol::v1::{self, ErrorBody, REQUEST_TYPES, RequestFault};

use crate::json;

pub(crate) fn check(bytes: &[u8]) {
    // The codec passes only valid UTF-8 on.
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    v1_envelope(text);
    classic_envelope(text);
}

fn v1_envelope(text: &str) {
    let read = v1::read_envelope(text);
    let id = match &read {
        Ok(envelope) => &envelope.id,
        Err(error) => &error.id,
    };
    if let Some(id) = id {
        assert!(id.chars().count() <= REQUEST_ID_CHARS_MAX);
    }
    match &read {
        Ok(envelope) => {
            assert!(REQUEST_TYPES.contains(&envelope.request.kind()));
            if let Some(reformatted) = reformatted(text) {
                assert_eq!(v1::read_envelope(&reformatted), read, "{reformatted}");
            }
        }
        Err(error) => {
            let mut body = ErrorBody::new(ErrorCode::BadRequest, Language::En);
            if let RequestFault::Malformed { field } = &error.fault {
                body.field = field.as_deref();
                assert!(body.field != Some(""), "the field has a name");
            }
            let encoded = json(&v1::error(error.id.as_deref(), &body)).expect("an error is JSON");
            assert_eq!(encoded["id"].as_str(), error.id.as_deref());
            assert_eq!(encoded["data"]["field"].as_str(), body.field);
        }
    }
    // Over HTTP, the data of a request is the body.
    for kind in REQUEST_TYPES {
        if let Ok(request) = v1::read_request(kind, text) {
            assert_eq!(request.kind(), *kind);
        }
    }
}

fn classic_envelope(text: &str) {
    let read = classic::read_request(text);
    if read.is_ok()
        && let Some(reformatted) = reformatted(text)
    {
        assert_eq!(classic::read_request(&reformatted), read, "{reformatted}");
    }
}

/// The same document with other white space, escapes and field order. `None` if only a lenient parser can read it, such as
/// numbers beyond a double in ignored fields.
fn reformatted(text: &str) -> Option<String> {
    Some(format!(" {:#}\n", json(text)?))
}
