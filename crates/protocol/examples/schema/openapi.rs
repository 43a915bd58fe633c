//! The OpenAPI document of every HTTP route.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use teahouse_protocol::routes::{Auth, Output, Route, Tag};
use teahouse_protocol::schema_catalog::{RouteSchema, SCHEMAS_PATH, SchemaCatalog};

use crate::errors;
use crate::parameters;

/// The document.
pub(crate) fn document(catalog: &SchemaCatalog) -> String {
    let mut paths: Vec<(&str, Vec<(String, Value)>)> = Vec::new();
    for schema in &catalog.routes {
        let route = schema.route;
        let operation = (route.method.as_str().to_lowercase(), operation(schema, catalog));
        match paths.iter_mut().find(|(path, _)| *path == route.path) {
            Some((_, operations)) => operations.push(operation),
            None => paths.push((route.path, vec![operation])),
        }
    }
    let paths = paths.into_iter().map(|(path, all)| (path.to_owned(), Node::Fields(plain(all)))).collect();
    let document = Node::Fields(vec![
        ("openapi".into(), json!("3.1.0").into()),
        ("info".into(), info().into()),
        ("servers".into(), json!([{ "url": "/", "description": "The server of this document." }]).into()),
        ("security".into(), json!([{ "bearer": [] }]).into()),
        ("tags".into(), tags().into()),
        ("paths".into(), Node::Fields(paths)),
        ("components".into(), components(catalog).into()),
    ]);
    // Our own values in memory cannot fail.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// JSON with fields in the order of the table, unlike those of [`Value`].
enum Node {
    Plain(Value),
    Fields(Vec<(String, Node)>),
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        Self::Plain(value)
    }
}

fn plain(fields: Vec<(String, Value)>) -> Vec<(String, Node)> {
    fields.into_iter().map(|(name, value)| (name, Node::Plain(value))).collect()
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, node) in fields {
                    map.serialize_entry(name, node)?;
                }
                map.end()
            }
        }
    }
}

fn info() -> Value {
    json!({
        "title": "Teahouse",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        "description": "Every HTTP route of a Teahouse server. The routes under /api/v1 have the same requests, \
                        permissions, limits and errors as the WebSocket. docs/protocol.md is the specification. Every \
                        response under /api has the envelope {\"code\", \"message\", \"data\", \"request_id\"}, with \
                        \"error_code\" in errors; `message` is in English or 简体中文 by Accept-Language.",
    })
}

const TAGS: &[(Tag, &str, &str)] = &[
    (Tag::Accounts, "accounts", "Registration, login, profiles."),
    (Tag::Chat, "chat", "The classic lobby, and the WebSocket."),
    (Tag::Conversations, "conversations", "Classic private conversations."),
    (Tag::Rooms, "rooms", "Rooms and their members."),
    (Tag::Messages, "messages", "Messages in rooms."),
    (Tag::People, "people", "Users and presence."),
    (Tag::Server, "server", "The server API for a site's backend, with a key of its own."),
    (Tag::About, "about", "The API and the state of the server."),
];

fn tags() -> Value {
    TAGS.iter().map(|(_, name, description)| json!({ "name": name, "description": description })).collect()
}

fn operation(schema: &RouteSchema, catalog: &SchemaCatalog) -> Value {
    let route = schema.route;
    let input = parameters::input(schema, catalog);
    let tag = TAGS.iter().find(|(tag, ..)| *tag == route.tag).map(|(_, name, _)| name);
    let mut operation = json!({
        "operationId": route.operation_id(),
        "tags": [tag],
        "summary": input.summary,
        "responses": responses(schema),
    });
    let mut insert = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            operation[name] = value;
        }
    };
    insert("parameters", (!input.parameters.is_empty()).then(|| input.parameters.into()));
    insert("requestBody", input.body);
    insert("security", security(route.auth));
    // Metrics have a listener of their own, whose address is in the configuration.
    let other_listener = || json!([{ "url": "http://127.0.0.1:9090", "description": "The listener of metrics." }]);
    insert("servers", matches!(route.output, Output::Metrics).then(other_listener));
    operation
}

/// `None` is the document's own: a token.
fn security(auth: Auth) -> Option<Value> {
    match auth {
        Auth::Bearer => None,
        Auth::None => Some(json!([])),
        Auth::Handshake => Some(json!([{ "bearer": [] }, { "token": [] }])),
        Auth::Cookie => Some(json!([{ "cookie": [] }])),
        Auth::BearerOrCookie => Some(json!([{ "bearer": [] }, { "cookie": [] }])),
        Auth::ApiKey => Some(json!([{ "ApiKey": [] }])),
    }
}

fn responses(schema: &RouteSchema) -> Value {
    let route = schema.route;
    let mut responses = Map::new();
    responses.insert(route.success_status().to_string(), success(schema));
    if let Output::Health(_) = route.output {
        let body = schema.response.clone().unwrap_or_default();
        responses.insert("503".to_owned(), response("A part does not work, or the server shuts down.", &body));
    }
    for status in route.error_statuses() {
        responses.insert(status.to_string(), errors::response_reference(status));
    }
    responses.into()
}

fn success(schema: &RouteSchema) -> Value {
    let data = schema.response.clone().unwrap_or_default();
    match schema.route.output {
        Output::Ok(_) | Output::Created(_) => response("Success.", &enveloped(schema.route, &data)),
        Output::Live(_) | Output::Health(_) => response("Success.", &data),
        Output::Document => response("This document, without an envelope.", &json!({ "type": "object" })),
        Output::Metrics => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            json!({ "description": "Metrics.", "content": { kind: { "schema": { "type": "string" } } } })
        }
        Output::Upgrade => json!({ "description": "The connection is a WebSocket." }),
    }
}

fn response(description: &str, schema: &Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn enveloped(route: &Route, data: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["code", "message", "data", "request_id"],
        "properties": {
            "code": { "const": route.success_status(), "description": "The HTTP status." },
            "message": { "type": "string" },
            "data": data,
            "request_id": { "type": "string", "description": "As in X-Request-ID." },
        },
    })
}

fn components(catalog: &SchemaCatalog) -> Value {
    let mut schemas = referred_schemas(catalog);
    schemas.insert("ErrorCode".into(), errors::error_code());
    json!({
        "schemas": schemas,
        "securitySchemes": {
            "bearer": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A user's token." },
            "token": {
                "type": "apiKey", "in": "query", "name": "token",
                "description": "A user's token, from browsers in the classic dialect.",
            },
            "cookie": {
                "type": "apiKey", "in": "cookie", "name": "teahouse_refresh",
                "description": "The refresh cookie, which logging in sets.",
            },
            "ApiKey": {
                "type": "apiKey", "in": "header", "name": "Authorization",
                "description": "`ApiKey ` and the key of a site's backend, which `teahouse key create` prints.",
            },
        },
        "parameters": {
            "IdempotencyKey": {
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "The same as `client_id` in the body; a request has one of the two.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 64 },
            },
        },
        "responses": errors::responses(),
    })
}

/// The schemas to which the operations refer, and those to which these refer.
fn referred_schemas(catalog: &SchemaCatalog) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut texts: Vec<String> = catalog.routes.iter().map(|schema| operation(schema, catalog).to_string()).collect();
    while let Some(text) = texts.pop() {
        for part in text.split(SCHEMAS_PATH).skip(1) {
            let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
            if let Some(schema) = catalog.schemas.get(&name)
                && found.insert(name, schema.clone()).is_none()
            {
                texts.push(schema.to_string());
            }
        }
    }
    found
}

/// A reference to a named schema.
pub(crate) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMAS_PATH}{name}") })
}
