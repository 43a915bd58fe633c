//! The schemas say what is on the wire: every golden frame fits its own, and nobody's address has a place.

use std::collections::BTreeSet;

use serde_json::Value;
use teahouse_protocol::catalogue::{Catalogue, SHAPES_PATH, catalogue};
use teahouse_protocol::v1::{EVENT_TYPES, REQUEST_TYPES};

use crate::golden;

/// Why a value does not fit a schema: as much of JSON Schema as ours use, and stricter in that a field
/// which no schema names does not fit.
fn misfit(value: &Value, schema: &Value, catalogue: &Catalogue) -> Option<String> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix(SHAPES_PATH).unwrap_or(name);
        return match catalogue.shapes.get(name) {
            Some(shape) => misfit(value, shape, catalogue),
            None => Some(format!("there is no shape {name}")),
        };
    }
    let fits = |option: &Value| misfit(value, option, catalogue).is_none();
    for choice in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(choice).and_then(Value::as_array) {
            return (!options.iter().any(fits)).then(|| format!("{value} is none of {options:?}"));
        }
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return (!words.contains(value)).then(|| format!("{value} is none of {words:?}"));
    }
    if let Some(word) = schema.get("const") {
        return (word != value).then(|| format!("{value} is not {word}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = &schema["type"];
    if kinds != kind && !kinds.as_array().is_some_and(|kinds| kinds.iter().any(|one| one == kind)) {
        return Some(format!("{value} is no {kinds}"));
    }
    match value {
        Value::Number(_) => {
            let (least, most) = (schema["minimum"].as_u64(), schema["maximum"].as_u64());
            let number = value.as_u64();
            (number < least || number > most || least.is_none() || most.is_none())
                .then(|| format!("{value} is not within {least:?} and {most:?}"))
        }
        Value::Array(items) => items.iter().find_map(|item| misfit(item, &schema["items"], catalogue)),
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required.into_iter().find(|name| !fields.contains_key(*name));
            missing.map(|name| format!("{name} is missing")).or_else(|| {
                fields.iter().find_map(|(name, value)| {
                    match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                        Some(property) => misfit(value, property, catalogue).map(|why| format!("{name}: {why}")),
                        None => Some(format!("nothing is said of {name}")),
                    }
                })
            })
        }
        _ => None,
    }
}

fn data_of(frame: &str) -> (String, Value) {
    let mut frame: Value = serde_json::from_str(frame).expect("a frame is JSON");
    (frame["type"].as_str().unwrap_or_default().to_owned(), frame["data"].take())
}

#[test]
fn every_golden_frame_fits_the_schema_of_its_type() {
    let catalogue = catalogue();
    for golden in golden::events() {
        let (kind, data) = data_of(&golden.frame);
        let event = catalogue.events.iter().find(|event| event.kind == kind).expect("an event of the catalogue");
        let misfits: Vec<_> = event.data.iter().map(|schema| misfit(&data, schema, &catalogue)).collect();
        assert!(misfits.iter().any(Option::is_none), "{kind}: {misfits:?}");
    }
    for golden in golden::acks() {
        let (_, data) = data_of(&golden.frame);
        let request = catalogue.requests.iter().find(|request| request.kind == golden.of).expect("a request");
        let misfits: Vec<_> = request.ack.iter().map(|schema| misfit(&data, schema, &catalogue)).collect();
        assert!(misfits.iter().any(Option::is_none), "{}: {misfits:?}", golden.of);
    }
    for golden in golden::errors() {
        let (_, data) = data_of(&golden.frame);
        assert_eq!(misfit(&data, &catalogue.shapes["Refusal"], &catalogue), None, "{}", golden.frame);
    }
}

#[test]
fn what_fits_is_not_just_anything() {
    let catalogue = catalogue();
    let fits = |data: &str| {
        let data: Value = serde_json::from_str(data).expect("JSON");
        misfit(&data, &catalogue.shapes["Stored"], &catalogue).is_none()
    };
    let time = r#""send_time":"2026-11-22T06:25:36.120Z""#;
    assert!(fits(&format!(r#"{{"id":1,"seq":1,"version":1,{time}}}"#)));
    for wrong in [
        "7".to_owned(),
        format!(r#"{{"id":1,"seq":1,{time}}}"#),
        format!(r#"{{"id":"1","seq":1,"version":1,{time}}}"#),
        format!(r#"{{"id":9007199254740992,"seq":1,"version":1,{time}}}"#),
        format!(r#"{{"id":1,"seq":1,"version":1,{time},"duplicate":null}}"#),
        format!(r#"{{"id":1,"seq":1,"version":1,{time},"address":"10.0.0.1"}}"#),
    ] {
        assert!(!fits(&wrong), "{wrong}");
    }
}

#[test]
fn the_catalogue_is_whole() {
    let catalogue = catalogue();
    let asked: Vec<&str> = catalogue.requests.iter().map(|request| request.kind).collect();
    assert_eq!(asked, REQUEST_TYPES);
    for request in &catalogue.requests {
        assert_eq!(request.ack.is_empty(), request.kind == "hello", "{}", request.kind);
    }
    let mut told: BTreeSet<&str> = catalogue.events.iter().map(|event| event.kind).collect();
    told.extend(["ack", "error"]);
    assert_eq!(told, EVENT_TYPES.iter().copied().collect());
}

/// What a client is sent has no field for where somebody is, nor for how else to reach them; a backend alone
/// says an e-mail address, and is not told one.
#[test]
fn nobody_is_told_anybodys_ip_or_email_address() {
    let catalogue = catalogue();
    let asked_by_backends = ["SiteUser", "Publication"];
    let shapes = catalogue.shapes.iter().filter(|(name, _)| !asked_by_backends.contains(&name.as_str()));
    let mut names = BTreeSet::new();
    shapes.for_each(|(_, shape)| names_in(shape, &mut names));
    catalogue.events.iter().flat_map(|event| &event.data).for_each(|schema| names_in(schema, &mut names));
    assert!(names.contains("nickname") && names.contains("send_time"), "{names:?}");
    for name in names {
        let suspicious = ["mail", "address", "addr", "phone", "password", "token"];
        assert!(name == "token_expires_in_ms" || !suspicious.iter().any(|word| name.contains(word)), "{name}");
        assert!(!name.split('_').any(|word| word == "ip"), "{name}");
    }
    // And a look at what is really said: amy has an e-mail address, and the server knows it.
    assert!(crate::stage::user().email.is_some());
    for golden in golden::events().iter().chain(&golden::errors()) {
        assert!(!golden.frame.contains("amy@"), "{}", golden.frame);
    }
}

fn names_in(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                names.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| names_in(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| names_in(value, names)),
        _ => {}
    }
}
