//! The schemas describe the wire: every golden frame is valid by its schema, and none has a field for an address.

use std::collections::BTreeSet;

use serde_json::Value;
use teahouse_protocol::schema_catalog::{SCHEMAS_PATH, SchemaCatalog, schema_catalog};
use teahouse_protocol::v1::{EVENT_TYPES, REQUEST_TYPES};

use crate::golden;

/// Why a value is not valid by a schema. Knows as much of JSON Schema as ours use, and is stricter: a field that no
/// schema names is not valid.
fn misfit(value: &Value, schema: &Value, catalog: &SchemaCatalog) -> Option<String> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.strip_prefix(SCHEMAS_PATH).unwrap_or(name);
        return match catalog.schemas.get(name) {
            Some(shape) => misfit(value, shape, catalog),
            None => Some(format!("there is no shape {name}")),
        };
    }
    let fits = |option: &Value| misfit(value, option, catalog).is_none();
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
        Value::Array(items) => items.iter().find_map(|item| misfit(item, &schema["items"], catalog)),
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required.into_iter().find(|name| !fields.contains_key(*name));
            missing.map(|name| format!("{name} is missing")).or_else(|| {
                fields.iter().find_map(|(name, value)| {
                    match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                        Some(property) => misfit(value, property, catalog).map(|why| format!("{name}: {why}")),
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
fn every_golden_frame_is_valid_by_its_schema() {
    let catalog = schema_catalog();
    for golden in golden::events() {
        let (kind, data) = data_of(&golden.frame);
        let event = catalog.events.iter().find(|event| event.kind == kind).expect("an event of the catalog");
        assert_eq!(misfit(&data, &event.data, &catalog), None, "{kind}");
    }
    for golden in golden::acks() {
        let (_, data) = data_of(&golden.frame);
        let request = catalog.requests.iter().find(|request| request.kind == golden.of).expect("a request");
        let misfits: Vec<_> = request.ack.iter().map(|schema| misfit(&data, schema, &catalog)).collect();
        assert!(misfits.iter().any(Option::is_none), "{}: {misfits:?}", golden.of);
    }
    for golden in golden::errors() {
        let (_, data) = data_of(&golden.frame);
        assert_eq!(misfit(&data, &catalog.schemas["Refusal"], &catalog), None, "{}", golden.frame);
    }
}

#[test]
fn an_invalid_value_does_not_fit() {
    let catalog = schema_catalog();
    let fits = |data: &str| {
        let data: Value = serde_json::from_str(data).expect("JSON");
        misfit(&data, &catalog.schemas["Stored"], &catalog).is_none()
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
fn the_catalog_is_complete() {
    let catalog = schema_catalog();
    let asked: Vec<&str> = catalog.requests.iter().map(|request| request.kind).collect();
    assert_eq!(asked, REQUEST_TYPES);
    for request in &catalog.requests {
        assert_eq!(request.ack.is_empty(), request.kind == "hello", "{}", request.kind);
    }
    let mut kinds: BTreeSet<&str> = catalog.events.iter().map(|event| event.kind).collect();
    kinds.extend(["ack", "error"]);
    assert_eq!(kinds, EVENT_TYPES.iter().copied().collect());
}

/// No response or event has a field for an address, but for the caller's own account.
#[test]
fn no_response_or_event_has_an_ip_or_email_address() {
    let catalog = schema_catalog();
    let inputs = ["SiteUser", "Publication", "Register", "Login", "ChangePassword", "ProfileUpdate"];
    let own_account = ["Account", "OwnAccount", "LoggedIn", "Refreshed"];
    let is_exempt = |name: &str| inputs.contains(&name) || own_account.contains(&name);
    let shapes = catalog.schemas.iter().filter(|(name, _)| !is_exempt(name));
    let mut names = BTreeSet::new();
    shapes.for_each(|(_, shape)| names_in(shape, &mut names));
    catalog.events.iter().for_each(|event| names_in(&event.data, &mut names));
    assert!(names.contains("nickname") && names.contains("send_time"), "{names:?}");
    for name in names {
        let suspicious = ["mail", "address", "addr", "phone", "password", "token"];
        assert!(name == "token_expires_in_ms" || !suspicious.iter().any(|word| name.contains(word)), "{name}");
        assert!(!name.split('_').any(|word| word == "ip"), "{name}");
    }
    // The same for the golden frames: amy has an e-mail address, and the server knows it.
    assert!(crate::fixtures::user().email.is_some());
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
