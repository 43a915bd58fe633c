//! The OpenAPI document of everything under `/api/v1` and `/api/server`.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use teahouse_core::{ErrorCode, Language};
use teahouse_protocol::catalogue::{Catalogue, SHAPES_PATH};

use crate::routes::{Answer, Asks, ROUTES, Route};

/// The document.
pub fn document(catalogue: &Catalogue) -> String {
    let mut paths: Vec<(&str, Vec<(&str, Value)>)> = Vec::new();
    for route in ROUTES {
        let operation = (route.method, operation(route, catalogue));
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, operations)) => operations.push(operation),
            None => paths.push((route.path, vec![operation])),
        }
    }
    let document = InOrder(vec![
        ("openapi", json!("3.1.0").into()),
        ("info", info().into()),
        ("servers", json!([{ "url": "/", "description": "The server that gave this document." }]).into()),
        ("security", json!([{ "bearer": [] }]).into()),
        ("tags", tags().into()),
        ("paths", Part::Paths(InOrder(paths.into_iter().map(|(path, all)| (path, InOrder(all))).collect()))),
        ("components", components(catalogue).into()),
    ]);
    // Our own values in memory have no way to fail.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// A JSON object whose fields stand in the order in which a person reads them.
struct InOrder<'a, T>(Vec<(&'a str, T)>);

enum Part<'a> {
    Plain(Value),
    Paths(InOrder<'a, InOrder<'a, Value>>),
}

impl From<Value> for Part<'_> {
    fn from(value: Value) -> Self {
        Self::Plain(value)
    }
}

impl<T: Serialize> Serialize for InOrder<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Paths(paths) => paths.serialize(serializer),
        }
    }
}

fn info() -> Value {
    json!({
        "title": "Teahouse",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "description": "The HTTP API of a Teahouse server: the same requests, permissions, limits and errors as over \
                        the WebSocket, and what a site's backend asks. docs/protocol.md is the specification. Every \
                        answer is the envelope {\"code\", \"message\", \"data\", \"request_id\"}, with \"error_code\" \
                        on errors; `message` is in English or 简体中文 by Accept-Language.",
    })
}

fn tags() -> Value {
    json!([
        { "name": "rooms", "description": "Rooms, and who is in them." },
        { "name": "messages", "description": "What is said in them." },
        { "name": "people", "description": "Who is there." },
        { "name": "server", "description": "For a site's backend alone, with a key of its own." },
        { "name": "about", "description": "The API itself." },
    ])
}

fn operation(route: &Route, catalogue: &Catalogue) -> Value {
    let mut operation = Map::new();
    operation.insert("operationId".into(), route.id.into());
    operation.insert("tags".into(), json!([route.tag]));
    let mut parameters = Vec::new();
    match route.asks {
        Asks::Nothing(summary) => {
            operation.insert("summary".into(), summary.into());
        }
        Asks::Request { kind, implied } => {
            let request = catalogue.requests.iter().find(|request| request.kind == kind);
            let data = &request.unwrap_or_else(|| panic!("there is no request {kind}")).data;
            operation.insert("summary".into(), data["description"].clone());
            let rest = place(route, data, implied, &mut parameters);
            if let Some(body) = rest {
                operation.insert("requestBody".into(), body_of(body));
            }
        }
        Asks::Query { summary, parameters: more } => {
            operation.insert("summary".into(), summary.into());
            parameters.extend(more.iter().map(|(name, about, schema)| {
                let schema: Value = serde_json::from_str(schema).expect("the table holds JSON");
                let required = schema.get("type").is_some_and(|kind| kind.is_string());
                json!({ "name": name, "in": "query", "required": required, "description": about, "schema": schema })
            }));
        }
        Asks::Body { summary, shape } => {
            operation.insert("summary".into(), summary.into());
            let schema: Value = serde_json::from_str(shape).unwrap_or_else(|_| reference(shape));
            operation.insert("requestBody".into(), body_of(schema));
        }
    }
    for name in route.path_parameters() {
        if !parameters.iter().any(|one| one["name"] == name) {
            parameters.insert(0, json!({ "name": name, "in": "path", "required": true, "schema": number() }));
        }
    }
    if route.takes_key {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if route.path.starts_with("/api/server/") {
        operation.insert("security".into(), json!([{ "ApiKey": [] }]));
    } else if route.is_open {
        operation.insert("security".into(), json!([]));
    }
    operation.insert("responses".into(), responses(route));
    operation.into()
}

/// Lays a request's fields where the route has them: into the path, the query or, what is given back, the body.
fn place(route: &Route, data: &Value, implied: &[&str], parameters: &mut Vec<Value>) -> Option<Value> {
    let mut rest = data.clone();
    let required: Vec<String> = serde_json::from_value(data["required"].clone()).unwrap_or_default();
    let properties = rest["properties"].as_object_mut()?;
    let in_path: Vec<&str> = route.path_parameters().collect();
    let all: Vec<String> = properties.keys().cloned().collect();
    for name in all {
        let is_in_path = in_path.contains(&name.as_str());
        if !is_in_path && route.method != "get" && !implied.contains(&name.as_str()) {
            continue;
        }
        let Some(mut schema) = properties.remove(&name) else { continue };
        if implied.contains(&name.as_str()) {
            continue;
        }
        let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let where_to = if is_in_path { "path" } else { "query" };
        let must = is_in_path || required.contains(&name);
        if where_to == "query"
            && let Some(Value::Array(kinds)) = schema.get_mut("type")
        {
            // A query has no null; what may be null may be left out.
            kinds.retain(|kind| kind != "null");
            schema["type"] = kinds.first().cloned().unwrap_or_default();
        }
        parameters
            .push(json!({ "name": name, "in": where_to, "required": must, "description": about, "schema": schema }));
    }
    parameters.sort_by_key(|parameter| (parameter["in"] != "path", parameter["required"] != true));
    if properties.is_empty() {
        return None;
    }
    // A message that has no reference of its own gets one over HTTP.
    let must_stay = |name: &&String| properties.contains_key(*name) && !(route.takes_key && *name == "client_id");
    let left: Vec<&String> = required.iter().filter(must_stay).collect();
    let left = json!(left);
    rest["required"] = left;
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("description");
    }
    Some(rest)
}

fn body_of(schema: Value) -> Value {
    let required = schema.get("required").is_none_or(|names| names.as_array().is_some_and(|names| !names.is_empty()));
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn responses(route: &Route) -> Value {
    let (status, data) = match route.answer {
        Answer::Data(shape) => ("200", reference(shape)),
        Answer::Created(shape) => ("201", reference(shape)),
        Answer::Done => {
            ("200", json!({ "type": "object", "required": ["ok"], "properties": { "ok": { "const": true } } }))
        }
        Answer::Document => {
            let content = json!({ "application/json": { "schema": { "type": "object" } } });
            return json!({ "200": { "description": "This document, without an envelope.", "content": content } });
        }
    };
    let envelope = json!({
        "type": "object",
        "required": ["code", "message", "data", "request_id"],
        "properties": {
            "code": { "type": "integer", "description": "The HTTP status." },
            "message": { "type": "string" },
            "data": data,
            "request_id": { "type": "string", "description": "As in X-Request-ID." },
        },
    });
    let content = json!({ "application/json": { "schema": envelope } });
    json!({
        status: { "description": "Done.", "content": content },
        "default": { "$ref": "#/components/responses/Refused" },
    })
}

fn components(catalogue: &Catalogue) -> Value {
    let mut schemas = catalogue.shapes.clone();
    // Over HTTP a refusal has an envelope of its own.
    schemas.remove("Refusal");
    schemas.insert("ErrorCode".into(), error_code());
    let (referred, mut known) = (referred(catalogue), BTreeMap::new());
    for (name, shape) in schemas {
        if referred.contains(&name) {
            known.insert(name, shape);
        }
    }
    known.insert("ErrorCode".into(), error_code());
    json!({
        "schemas": known,
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A user's token." },
            "ApiKey": {
                "type": "apiKey", "in": "header", "name": "Authorization",
                "description": "A site's backend: `ApiKey ` and the key, which the operator makes on the command line.",
            },
        },
        "parameters": {
            "IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "The same as `client_id` in the body; one of the two.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 64 },
            },
        },
        "responses": { "Refused": refused() },
    })
}

/// The shapes to which the routes refer, and those to which these refer.
fn referred(catalogue: &Catalogue) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut texts: Vec<String> = ROUTES.iter().map(|route| operation(route, catalogue).to_string()).collect();
    while let Some(text) = texts.pop() {
        for part in text.split(SHAPES_PATH).skip(1) {
            let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
            if !names.contains(&name) {
                texts.extend(catalogue.shapes.get(&name).map(Value::to_string));
                names.push(name);
            }
        }
    }
    names
}

fn error_code() -> Value {
    let words: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let lines: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let again = if code.retry_helps() { "; trying again later can help" } else { "" };
            format!("- `{}` ({}){again}: {}", code.as_str(), code.http_status(), code.sentence(Language::En))
        })
        .collect();
    let about = format!("A stable word for why something was refused.\n\n{}", lines.join("\n"));
    json!({ "type": "string", "enum": words, "description": about })
}

fn refused() -> Value {
    let schema = json!({
        "type": "object",
        "required": ["code", "message", "error_code", "data", "request_id"],
        "properties": {
            "code": { "type": "integer", "description": "The HTTP status." },
            "message": { "type": "string", "description": "A sentence for a person." },
            "error_code": reference("ErrorCode"),
            "data": {
                "type": ["object", "null"],
                "required": ["field"],
                "properties": { "field": { "type": "string", "description": "What in the request it is about." } },
            },
            "request_id": { "type": "string", "description": "As in X-Request-ID." },
        },
    });
    json!({
        "description": "Refused: nothing of it happened.",
        "headers": {
            "Retry-After": { "description": "Seconds; with 429 and 503.", "schema": { "type": "integer", "minimum": 1 } },
        },
        "content": { "application/json": { "schema": schema } },
    })
}

fn reference(shape: &str) -> Value {
    json!({ "$ref": format!("{SHAPES_PATH}{shape}") })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": teahouse_core::ids::ID_MAX })
}
