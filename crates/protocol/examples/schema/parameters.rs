//! Where a route of the OpenAPI document has its input: parameters of the path and the query, the body.

use serde_json::{Value, json};
use teahouse_protocol::routes::{Input, Route};
use teahouse_protocol::schema_catalog::{RouteSchema, SCHEMAS_PATH, SchemaCatalog};

/// The input of an operation.
pub(crate) struct OperationInput {
    pub(crate) summary: Value,
    pub(crate) parameters: Vec<Value>,
    pub(crate) body: Option<Value>,
}

/// The input of a route.
pub(crate) fn input(schema: &RouteSchema, catalog: &SchemaCatalog) -> OperationInput {
    let route = schema.route;
    let mut input = match route.input {
        Input::Request { kind, on } => {
            let request = catalog.requests.iter().find(|request| request.kind == kind.as_str());
            request_input(route, &request.unwrap_or_else(|| panic!("there is no request {kind:?}")).data, on.is_some())
        }
        _ => OperationInput {
            summary: route.summary.into(),
            parameters: query(schema),
            body: schema.body.as_ref().map(|body| json_body(body, catalog)),
        },
    };
    for name in route.path_parameters() {
        if !input.parameters.iter().any(|parameter| parameter["name"] == name) {
            input.parameters.insert(0, json!({ "name": name, "in": "path", "required": true, "schema": number() }));
        }
    }
    if route.takes_idempotency_key {
        input.parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    input
}

fn query(schema: &RouteSchema) -> Vec<Value> {
    let Input::Query(parameters) = schema.route.input else { return Vec::new() };
    let parameter = |(parameter, schema): (&teahouse_protocol::routes::QueryParameter, &Value)| {
        let mut value = json!({
            "name": parameter.name, "in": "query", "required": parameter.required,
            "description": parameter.description, "schema": schema,
        });
        if schema["type"] == "array" {
            value["explode"] = false.into();
        }
        value
    };
    parameters.iter().zip(&schema.query).map(parameter).collect()
}

/// Distributes the fields of a v1 request over the path, the query and the body.
fn request_input(route: &Route, data: &Value, is_on_implied: bool) -> OperationInput {
    let mut body = data.clone();
    let required: Vec<String> = serde_json::from_value(data["required"].clone()).unwrap_or_default();
    let mut parameters = Vec::new();
    let mut in_query = serde_json::Map::new();
    let Some(properties) = body["properties"].as_object_mut() else {
        return OperationInput { summary: data["description"].clone(), parameters, body: None };
    };
    if is_on_implied {
        properties.remove("on");
    }
    for name in route.path_parameters() {
        parameters.extend(properties.remove(name).map(|schema| parameter(name, "path", true, schema)));
    }
    for (name, _) in route.query_fields() {
        in_query.extend(properties.remove(name).map(|schema| (name.to_owned(), schema)));
    }
    let has_body = !properties.is_empty();
    parameters.extend(exclusive(data, &mut in_query));
    let query = in_query.into_iter().map(|(name, schema)| parameter(&name, "query", required.contains(&name), schema));
    parameters.extend(query);
    // Over HTTP, the server gives a message a reference when the client gives none.
    let stays = |name: &&String| {
        body["properties"].get(name.as_str()).is_some() && !(route.takes_idempotency_key && *name == "client_id")
    };
    let required: Vec<String> = required.iter().filter(stays).cloned().collect();
    let is_required = !required.is_empty();
    body["required"] = json!(required);
    if let Some(body) = body.as_object_mut() {
        body.remove("description");
    }
    let body =
        has_body.then(|| json!({ "required": is_required, "content": { "application/json": { "schema": body } } }));
    OperationInput { summary: data["description"].clone(), parameters, body }
}

/// Query parameters of which a request has at most one. OpenAPI says that of the properties of an object, which is
/// spread over the query.
fn exclusive(data: &Value, in_query: &mut serde_json::Map<String, Value>) -> Option<Value> {
    let pairs = data["not"]["anyOf"].as_array()?;
    let names: Vec<&str> =
        pairs.iter().flat_map(|pair| pair["required"].as_array()).flatten().filter_map(Value::as_str).collect();
    let mut properties = serde_json::Map::new();
    for name in names {
        properties.extend(in_query.remove(name).map(|schema| (name.to_owned(), without_null(schema))));
    }
    (!properties.is_empty()).then(|| {
        json!({
            "name": "position", "in": "query", "style": "form", "explode": true,
            "description": "At most one of these parameters, each under its own name.",
            "schema": {
                "type": "object", "properties": properties, "additionalProperties": false, "maxProperties": 1,
            },
        })
    })
}

fn parameter(name: &str, place: &str, required: bool, schema: Value) -> Value {
    let mut schema = if place == "query" { without_null(schema) } else { schema };
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    json!({ "name": name, "in": place, "required": required, "description": description, "schema": schema })
}

/// A query has no null: what may be null may be absent.
fn without_null(mut schema: Value) -> Value {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        schema["type"] = kinds.first().cloned().unwrap_or_default();
    }
    schema
}

fn json_body(schema: &Value, catalog: &SchemaCatalog) -> Value {
    let named = schema["$ref"].as_str().and_then(|path| catalog.schemas.get(path.trim_start_matches(SCHEMAS_PATH)));
    let required = named.unwrap_or(schema).get("required").or_else(|| schema.get("anyOf")).is_some();
    json!({ "required": required, "content": { "application/json": { "schema": schema } } })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0, "maximum": teahouse_core::ids::ID_MAX })
}
