//! The JSON Schemas of everything on the wire, collected from the tables of requests, events and routes: the source of
//! `docs/openapi.json`, `packages/types` and tests.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};
use teahouse_core::ids::ID_MAX;

use crate::routes::{Input, Output, ROUTES, Route, SchemaOf};
use crate::v1::{ErrorBody, RequestKind, events};

/// The prefix of a reference to one of [`SchemaCatalog::schemas`].
pub const SCHEMAS_PATH: &str = "#/components/schemas/";

/// Every schema of the wire.
pub struct SchemaCatalog {
    /// The requests of the v1 dialect.
    pub requests: Vec<RequestSchema>,
    /// The events of the v1 dialect: everything but `ack`, `error` and what backends publish.
    pub events: Vec<EventSchema>,
    /// The routes, in the order of [`ROUTES`].
    pub routes: Vec<RouteSchema>,
    /// The named schemas to which the others refer.
    pub schemas: BTreeMap<String, Value>,
}

/// The schemas of a v1 request.
pub struct RequestSchema {
    /// The request's type.
    pub kind: &'static str,
    /// Its `data`.
    pub data: Value,
    /// The `data` of its `ack`: one of these. `hello` has none, since `welcome` responds to it.
    pub ack: Vec<Value>,
}

/// The schema of a v1 event.
pub struct EventSchema {
    /// The event's type.
    pub kind: &'static str,
    /// Its `data`.
    pub data: Value,
}

/// The schemas of a route. A v1 request's input is in [`SchemaCatalog::requests`].
pub struct RouteSchema {
    /// The route.
    pub route: &'static Route,
    /// The body of the request.
    pub body: Option<Value>,
    /// The parameters of the query, in the order of the table.
    pub query: Vec<Value>,
    /// The `data` of the response, or the whole body where the route has no envelope.
    pub response: Option<Value>,
}

/// Collects every schema.
#[must_use]
pub fn schema_catalog() -> SchemaCatalog {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS_PATH.trim_start_matches('#').into();
            settings.meta_schema = None;
        })
    };
    let mut input = settings().for_deserialize().into_generator();
    let mut output = settings().for_serialize().into_generator();
    let requests = RequestKind::ALL.iter().map(|kind| request_schema(*kind, &mut input, &mut output)).collect();
    let events = events::data_schemas(&mut output)
        .into_iter()
        .map(|(kind, data)| EventSchema { kind, data: output_schema(data) })
        .collect();
    let routes = ROUTES.iter().map(|route| route_schema(route, &mut input, &mut output)).collect();
    output.subschema_for::<ErrorBody<'static>>();
    let mut schemas = BTreeMap::new();
    schemas.extend(input.take_definitions(true).into_iter().map(|(name, schema)| (name, input_schema(schema))));
    schemas.extend(output.take_definitions(true).into_iter().map(|(name, schema)| (name, output_schema(schema))));
    SchemaCatalog { requests, events, routes, schemas }
}

fn request_schema(kind: RequestKind, input: &mut SchemaGenerator, output: &mut SchemaGenerator) -> RequestSchema {
    let ack = kind.response_schemas(output).into_iter().map(output_schema).collect();
    RequestSchema { kind: kind.as_str(), data: input_schema(kind.data_schema(input)), ack }
}

fn route_schema(route: &'static Route, input: &mut SchemaGenerator, output: &mut SchemaGenerator) -> RouteSchema {
    let (body, query) = match route.input {
        Input::Nothing | Input::Request { .. } => (None, Vec::new()),
        Input::Body(schema) => (Some(input_schema(schema(input))), Vec::new()),
        Input::Query(parameters) => {
            (None, parameters.iter().map(|parameter| input_schema((parameter.schema)(input))).collect())
        }
    };
    let mut written = |schema: SchemaOf| Some(output_schema(schema(output)));
    let response = match route.output {
        Output::Ok(schema) | Output::Created(schema) | Output::Live(schema) | Output::Health(schema) => written(schema),
        Output::Document | Output::Metrics | Output::Upgrade => None,
    };
    RouteSchema { route, body, query, response }
}

/// A schema of what a client reads: an absent property is never null.
fn output_schema(schema: impl Into<Value>) -> Value {
    let mut schema = input_schema(schema);
    visit(&mut schema, &mut |object| {
        let required = object.get("required").cloned().unwrap_or_default();
        let is_required = |name: &String| required.as_array().is_some_and(|all| all.iter().any(|word| word == name));
        if let Some(Value::Object(properties)) = object.get_mut("properties") {
            properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, property)| not_null(property));
        }
    });
    schema
}

/// A schema of what a client writes. JavaScript reads every number exactly.
fn input_schema(schema: impl Into<Value>) -> Value {
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
        types.retain(|kind| kind != "null");
        if let [kind] = &types[..] {
            let kind = kind.clone();
            property.insert("type".to_owned(), kind);
        }
    }
    if let Some(Value::Array(mut options)) = property.remove("anyOf") {
        options.retain(|option| option["type"] != "null");
        match options.pop() {
            Some(Value::Object(option)) if options.is_empty() => property.extend(option),
            Some(last) => {
                options.push(last);
                property.insert("anyOf".to_owned(), options.into());
            }
            None => {}
        }
    }
}
