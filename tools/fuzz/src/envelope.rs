//! The requests of both dialects: every text is one or a typed refusal, refusals can be said in JSON, and how a
//! request is written makes no difference to what it is.

use teahouse_core::limits::REQUEST_ID_CHARS_MAX;
use teahouse_core::{ErrorCode, Language};
use teahouse_protocol::classic;
use teahouse_protocol::v1::{self, ErrorBody, REQUEST_TYPES, RequestFault};

use crate::json;

pub(crate) fn check(bytes: &[u8]) {
    // The codec hands on nothing else.
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
            if let Some(spelled_anew) = spelled_anew(text) {
                assert_eq!(v1::read_envelope(&spelled_anew), read, "{spelled_anew}");
            }
        }
        Err(error) => {
            let mut body = ErrorBody::new(ErrorCode::BadRequest, Language::En);
            if let RequestFault::Malformed { field } = &error.fault {
                body.field = field.as_deref();
                assert!(body.field != Some(""), "a field has a name");
            }
            let said = json(&v1::error(error.id.as_deref(), &body)).expect("a refusal is JSON");
            assert_eq!(said["id"].as_str(), error.id.as_deref());
            assert_eq!(said["data"]["field"].as_str(), body.field);
        }
    }
    // Over HTTP the same is a body.
    for kind in REQUEST_TYPES {
        if let Ok(request) = v1::read_request(kind, text) {
            assert_eq!(request.kind(), *kind);
        }
    }
}

fn classic_envelope(text: &str) {
    let read = classic::read_request(text);
    if read.is_ok()
        && let Some(spelled_anew) = spelled_anew(text)
    {
        assert_eq!(classic::read_request(&spelled_anew), read, "{spelled_anew}");
    }
}

/// The same document with other white space, other escapes and another order of fields; none for what is read more
/// leniently than a document as a whole: numbers that no double holds, where nobody looks at them.
fn spelled_anew(text: &str) -> Option<String> {
    Some(format!(" {:#}\n", json(text)?))
}
