//! Everything that is said in the v1 dialect and in the server API, as JSON Schemas: what `docs/openapi.json`,
//! `packages/types` and tests are made from.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};
use teahouse_core::ids::ID_MAX;

use crate::person::Person;
use crate::server_api::{DisconnectBody, OnlineNow, PostBody, PostedBody, PublishBody, SiteUsers, UserBody};
use crate::v1::*;
use crate::v1::{events, request};

/// Where a schema refers to one of [`Catalogue::shapes`].
pub const SHAPES_PATH: &str = "#/components/schemas/";

/// Everything that is said.
pub struct Catalogue {
    /// What a client asks.
    pub requests: Vec<RequestShape>,
    /// What the server sends of itself, but for `ack`, `error` and what backends publish.
    pub events: Vec<EventShape>,
    /// The shapes to which the others refer, by name.
    pub shapes: BTreeMap<String, Value>,
}

/// What a client asks.
pub struct RequestShape {
    /// Its type.
    pub kind: &'static str,
    /// Its `data`.
    pub data: Value,
    /// What the `data` of its `ack` may be: one of these. `hello` has none, it is answered by `welcome`.
    pub ack: Vec<Value>,
}

/// What the server sends of itself.
pub struct EventShape {
    /// Its type.
    pub kind: &'static str,
    /// What its `data` may be: one of these.
    pub data: Vec<Value>,
}

/// The catalogue.
#[must_use]
pub fn catalogue() -> Catalogue {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SHAPES_PATH.trim_start_matches('#').into();
            settings.meta_schema = None;
        })
    };
    let mut reading = settings().for_deserialize().into_generator();
    let mut writing = settings().for_serialize().into_generator();
    let requests = request::shapes(&mut reading)
        .into_iter()
        .map(|(kind, data)| RequestShape { kind, data: read(data), ack: ack_of(kind, &mut writing) })
        .collect();
    let events = events_of(&mut writing);
    // What is said besides: refusals, what is said over HTTP alone, and what a site's backend says.
    one::<ErrorBody<'static>>(&mut writing);
    one::<Changes<'static>>(&mut writing);
    one::<OwnRooms<'static>>(&mut writing);
    one::<PostedBody>(&mut writing);
    one::<SiteUsers<'static>>(&mut writing);
    one::<OnlineNow>(&mut writing);
    reading.subschema_for::<PublishBody>();
    reading.subschema_for::<PostBody>();
    reading.subschema_for::<UserBody>();
    reading.subschema_for::<DisconnectBody>();
    let mut shapes = BTreeMap::new();
    shapes.extend(reading.take_definitions(true).into_iter().map(|(name, shape)| (name, read(shape))));
    shapes.extend(writing.take_definitions(true).into_iter().map(|(name, shape)| (name, written(shape))));
    Catalogue { requests, events, shapes }
}

/// The answer to each request: one arm for each, so that a new one cannot be forgotten.
fn ack_of(kind: &str, generator: &mut SchemaGenerator) -> Vec<Value> {
    let of: fn(&mut SchemaGenerator) -> Value = match kind {
        "message" => one::<Stored>,
        "edit" | "delete" | "react" | "sync" => one::<Changed>,
        "read" => one::<Marked>,
        "history" => one::<History<'static>>,
        // Who no longer wants to know is told nothing.
        "presence" => return vec![one::<PresenceNow>(generator), one::<Nothing>(generator)],
        "rooms" => one::<Cards<'static>>,
        "create" | "update" | "join" | "leave" | "invite" | "remove" | "role" | "open" => one::<RoomBody<'static>>,
        "members" => one::<Members<'static>>,
        "users" => one::<Users<'static>>,
        "auth" => one::<Renewed>,
        "heartbeat" => one::<Beat>,
        "typing" => one::<Nothing>,
        _ => return Vec::new(),
    };
    vec![of(generator)]
}

fn events_of(generator: &mut SchemaGenerator) -> Vec<EventShape> {
    let mut event = |kind, data: &[fn(&mut SchemaGenerator) -> Value]| EventShape {
        kind,
        data: data.iter().map(|of| of(generator)).collect(),
    };
    vec![
        event("welcome", &[one::<events::Welcome<'static>>]),
        event("catch_up", &[one::<events::CatchUp>]),
        event("caught_up", &[one::<events::CaughtUp<'static>>]),
        event("message", &[one::<MessageBody<'static>>]),
        event("read", &[one::<events::Read>]),
        event("typing", &[one::<events::Typing>]),
        event("presence", &[one::<events::Presence>]),
        event("online_count", &[one::<events::OnlineCount>]),
        event("room", &[one::<RoomBody<'static>>]),
        event("removed", &[one::<events::Removed>]),
        event("user", &[one::<Person<'static>>]),
        event("system", &[one::<events::System<'static>>]),
        event("goodbye", &[one::<events::Goodbye<'static>>]),
    ]
}

fn one<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    written(generator.subschema_for::<T>())
}

/// What a client reads: what may be left out of it is never null.
fn written(schema: impl Into<Value>) -> Value {
    let mut schema = read(schema);
    visit(&mut schema, &mut |object| {
        let required = object.get("required").cloned().unwrap_or_default();
        let is_required = |name: &String| required.as_array().is_some_and(|all| all.iter().any(|word| word == name));
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, property)| not_null(property));
        }
    });
    schema
}

/// What a client writes. Every number is one that JavaScript reads exactly.
fn read(schema: impl Into<Value>) -> Value {
    let mut schema = schema.into();
    visit(&mut schema, &mut |object| {
        if object.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
            object.remove("format");
            object.entry("maximum").or_insert(ID_MAX.into());
        }
    });
    schema
}

fn visit(schema: &mut Value, each: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(object) => {
            each(object);
            object.values_mut().for_each(|value| visit(value, each));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| visit(value, each)),
        _ => {}
    }
}

fn not_null(property: &mut Value) {
    let Value::Object(property) = property else { return };
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|one| one != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            property.insert("type".to_owned(), one);
        }
    }
    if let Some(Value::Array(mut options)) = property.remove("anyOf") {
        options.retain(|one| one["type"] != "null");
        match options.pop() {
            Some(Value::Object(one)) if options.is_empty() => property.extend(one),
            Some(last) => {
                options.push(last);
                property.insert("anyOf".to_owned(), options.into());
            }
            None => {}
        }
    }
}
