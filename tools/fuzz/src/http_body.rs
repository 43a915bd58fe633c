//! The bodies of HTTP requests: every one is read or refused with a status, a sentence in each language and, when the
//! document is right and a field is not, that field. What may be published stays what it was.

use serde_json::value::RawValue;
use teahouse::fuzzing::{BODIES, read_body};
use teahouse_protocol::server_api::{PublishBody, check_published_type, publishable};

use crate::json;

/// The first byte chooses the body.
pub(crate) fn check(bytes: &[u8]) {
    let [place, body @ ..] = bytes else { return };
    let place = usize::from(*place) % BODIES.len();
    match read_body(place, body) {
        Ok(()) => assert!(std::str::from_utf8(body).is_ok()),
        Err(refused) => {
            assert_eq!(refused.field.is_some(), refused.status == 422, "{refused:?}");
            assert!([400, 422].contains(&refused.status), "{refused:?}");
            for body in &refused.bodies {
                let said = json(body).expect("a refusal is JSON");
                assert_eq!(said["code"], refused.status);
                assert_eq!(said["data"]["field"].as_str(), refused.field.as_deref());
                assert!(said["message"].as_str().is_some_and(|sentence| !sentence.is_empty()), "{said}");
            }
        }
    }
    if let Ok(publication) = serde_json::from_slice::<PublishBody>(body) {
        let _ = check_published_type(&publication.kind);
        stays_what_it_was(publication.data.as_deref());
    }
}

fn stays_what_it_was(data: Option<&RawValue>) {
    let Ok(line) = publishable(data) else { return };
    let written = data.map_or("{}", RawValue::get);
    assert_eq!(json(line.get()), json(written), "{written} became {line}");
    assert!(!line.get().contains(['\n', '\r']), "{line} is not one line");
    // Once more changes nothing.
    assert_eq!(publishable(Some(&line)).map(|again| again.get().to_owned()), Ok(line.get().to_owned()));
}
