//! Invariants of HTTP request bodies: every body is parsed or refused with a status, a message in each language, and, for a
//! valid document with an invalid field, the field's name. Published data keeps its meaning.

use serde_json::value::RawValue;
use teahouse::fuzzing::{BODIES, read_body};
use teahouse_protocol::server_api::{PublishBody, check_published_type, publishable};

use crate::json;

/// The first byte selects the type of body.
pub(crate) fn check(bytes: &[u8]) {
    let [place, body @ ..] = bytes else { return };
    let place = usize::from(*place) % BODIES.len();
    match read_body(place, body) {
        Ok(()) => assert!(std::str::from_utf8(body).is_ok()),
        Err(refused) => {
            assert_eq!(refused.field.is_some(), refused.status == 422, "{refused:?}");
            assert!([400, 422].contains(&refused.status), "{refused:?}");
            for body in &refused.bodies {
                let encoded = json(body).expect("an error is JSON");
                assert_eq!(encoded["code"], refused.status);
                assert_eq!(encoded["data"]["field"].as_str(), refused.field.as_deref());
                assert!(encoded["message"].as_str().is_some_and(|text| !text.is_empty()), "{encoded}");
            }
        }
    }
    if let Ok(publication) = serde_json::from_slice::<PublishBody>(body) {
        let _ = check_published_type(&publication.kind);
        keeps_its_meaning(publication.data.as_deref());
    }
}

fn keeps_its_meaning(data: Option<&RawValue>) {
    let Ok(line) = publishable(data) else { return };
    let written = data.map_or("{}", RawValue::get);
    assert_eq!(json(line.get()), json(written), "{written} became {line}");
    assert!(!line.get().contains(['\n', '\r']), "{line} is not one line");
    // The conversion is idempotent.
    assert_eq!(publishable(Some(&line)).map(|again| again.get().to_owned()), Ok(line.get().to_owned()));
}
