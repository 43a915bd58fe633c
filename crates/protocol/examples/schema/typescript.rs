//! TypeScript types of the whole wire, with the documentation of the Rust types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use teahouse_core::{CloseCode, ErrorCode, Language};
use teahouse_protocol::routes::{Input, Output, Route};
use teahouse_protocol::schema_catalog::{RouteSchema, SCHEMAS_PATH, SchemaCatalog};

const LINE_CHARS_MAX: usize = 100;

/// The module.
pub(crate) fn module(catalog: &SchemaCatalog) -> String {
    let mut out = String::from(HEAD);
    error_codes(&mut out);
    close_codes(&mut out);
    out.push_str("\n// ── Requests ──\n");
    for request in &catalog.requests {
        declare(&mut out, &request_name(request.kind), &request.data);
    }
    requests(&mut out, catalog);
    out.push_str("\n// ── Events and responses ──\n");
    events(&mut out, catalog);
    out.push_str(ENVELOPES);
    out.push_str("\n// ── HTTP ──\n");
    routes(&mut out, catalog);
    out.push_str("\n// ── Schemas ──\n");
    for (name, schema) in catalog.schemas.iter().filter(|(name, _)| *name != "ErrorCode") {
        declare(&mut out, name, schema);
    }
    out
}

const HEAD: &str = "\
// The wire of Teahouse: the v1 dialect, and the bodies of every HTTP route. docs/protocol.md says what it means.
// `make types` generates this file from crates/protocol: change it there.

/** The subprotocol to offer when the WebSocket is opened. */
export const SUBPROTOCOL = 'teahouse.v1';
";

const ENVELOPES: &str = "\
\n/** A request. To one with an `id`, the server responds exactly once, with the same `id`. */
export type ClientEnvelope = {
  [Type in keyof RequestData]: { type: Type; id?: string; data: RequestData[Type] };
}[keyof RequestData];

/** An event, which answers no request. */
export type EventEnvelope = {
  [Type in keyof EventData]: { type: Type; data: EventData[Type] };
}[keyof EventData];

/** The response to `hello`, with its `id`. */
export interface WelcomeEnvelope {
  type: 'welcome';
  id?: string;
  data: Welcome;
}

/** The request of this `id` succeeded. Only the response to a `heartbeat` may have no `id`. */
export interface AckEnvelope<Type extends keyof AckData = keyof AckData> {
  type: 'ack';
  id?: string;
  data: AckData[Type];
}

/** The server refused the request of this `id`, and did nothing of it. */
export interface ErrorEnvelope {
  type: 'error';
  id?: string;
  data: Refusal;
}

/** Every envelope from the server, except for those that a site's backend publishes. */
export type ServerEnvelope = EventEnvelope | WelcomeEnvelope | AckEnvelope | ErrorEnvelope;

/** An envelope that a site's backend publishes. Its type is none of the server's own. */
export interface PublishedEnvelope {
  type: string;
  data: Record<string, unknown>;
}
";

fn error_codes(out: &mut String) {
    out.push_str(
        "\n/** The codes of errors: the HTTP status, and whether a retry of the same request can succeed. */\n",
    );
    out.push_str("export const ERROR_CODES = {\n");
    for code in ErrorCode::ALL {
        let (word, status, helps) = (code.as_str(), code.http_status(), code.retry_helps());
        let _ = writeln!(
            out,
            "  /** {} */\n  {word}: {{ status: {status}, retryHelps: {helps} }},",
            code.sentence(Language::En)
        );
    }
    out.push_str("} as const;\n\n/** The stable code of an error. */\n");
    out.push_str("export type ErrorCode = keyof typeof ERROR_CODES;\n");
}

fn close_codes(out: &mut String) {
    out.push_str("\n/** The close codes of the server. */\nexport const CloseCode = {\n");
    for code in CloseCode::ALL {
        let _ = writeln!(out, "  /** {} */\n  {code:?}: {},", capitalized(code.reason()), code.code());
    }
    out.push_str("} as const;\nexport type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];\n\n");
    out.push_str("/**\n * Whether a client reconnects by itself. With a code that is not here, it does from 4000 to 4499, and does not from\n * 4500 to 4999.\n */\n");
    out.push_str("export const CLOSE_CODES: Record<CloseCode, { reconnect: boolean }> = {\n");
    for code in CloseCode::ALL {
        let _ = writeln!(out, "  {}: {{ reconnect: {} }},", code.code(), code.reconnects());
    }
    out.push_str("};\n");
}

fn requests(out: &mut String, catalog: &SchemaCatalog) {
    out.push_str("\n/** The `data` of every request, by its type. */\nexport interface RequestData {\n");
    for request in &catalog.requests {
        let _ = writeln!(out, "  {}: {};", request.kind, request_name(request.kind));
    }
    out.push_str("}\n\n/** The `data` of every request's `ack`; the response to `hello` is `welcome`. */\nexport interface AckData {\n");
    for request in &catalog.requests {
        let options: Vec<String> = request.ack.iter().map(of).collect();
        if !options.is_empty() {
            let _ = writeln!(out, "  {}: {};", request.kind, options.join(" | "));
        }
    }
    out.push_str("}\n");
}

fn events(out: &mut String, catalog: &SchemaCatalog) {
    out.push_str("\n/** The `data` of every event, by its type. */\nexport interface EventData {\n");
    for event in catalog.events.iter().filter(|event| event.kind != "welcome") {
        let _ = writeln!(out, "  {}: {};", event.kind, of(&event.data));
    }
    out.push_str("}\n");
}

/// Every route with an envelope, by method and path.
fn routes(out: &mut String, catalog: &SchemaCatalog) {
    out.push_str(ROUTES);
    for schema in &catalog.routes {
        let (Output::Ok(_) | Output::Created(_)) = schema.route.output else { continue };
        let (method, path) = (schema.route.method.as_str(), schema.route.path);
        let data = schema.response.as_ref().map_or_else(|| "null".to_owned(), of);
        let (query, body) = (query(schema), body(schema));
        let _ = writeln!(out, "  '{method} {path}': {{ query: {query}; body: {body}; data: {data} }};");
    }
    out.push_str("}\n");
}

const ROUTES: &str = "\
\n/** Every HTTP route: the parameters of its query, its body, and the `data` of its response. */
export interface Routes {
";

fn query(schema: &RouteSchema) -> String {
    match schema.route.input {
        Input::Query(parameters) => {
            let field = |(parameter, schema): (&teahouse_protocol::routes::QueryParameter, &Value)| {
                let mark = if parameter.required { "" } else { "?" };
                format!("{}{mark}: {}", parameter.name, of(schema))
            };
            let fields: Vec<String> = parameters.iter().zip(&schema.query).map(field).collect();
            format!("{{ {} }}", fields.join("; "))
        }
        Input::Request { kind, .. } if schema.route.query_fields().next().is_some() => {
            without_address(schema.route, kind.as_str())
        }
        _ => "null".to_owned(),
    }
}

fn body(schema: &RouteSchema) -> String {
    match (schema.route.input, &schema.body) {
        (_, Some(body)) => of(body),
        (Input::Request { kind, .. }, None) if schema.route.has_body() && has_more_than_address(schema.route) => {
            without_address(schema.route, kind.as_str())
        }
        _ => "null".to_owned(),
    }
}

fn has_more_than_address(route: &Route) -> bool {
    let Input::Request { kind, on } = route.input else { return false };
    kind.fields().iter().any(|(name, _)| !(route.has_path_parameter(name) || on.is_some() && *name == "on"))
}

/// The type of a request's `data` without what the path and the method say. A `client_id` may be in the headers.
fn without_address(route: &Route, kind: &str) -> String {
    let mut left_out: Vec<String> = route.path_parameters().map(|name| format!("'{name}'")).collect();
    let name = request_name(kind);
    if route.takes_idempotency_key {
        left_out.push("'client_id'".to_owned());
        return format!("Omit<{name}, {}> & {{ client_id?: string }}", left_out.join(" | "));
    }
    if left_out.is_empty() { name } else { format!("Omit<{name}, {}>", left_out.join(" | ")) }
}

fn request_name(kind: &str) -> String {
    format!("{}Request", capitalized(kind))
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Declares a type of this name.
fn declare(out: &mut String, name: &str, schema: &Value) {
    out.push('\n');
    document(out, "", schema);
    match schema.get("properties") {
        Some(Value::Object(properties)) => {
            let _ = writeln!(out, "export interface {name} {{");
            fields(out, schema, properties);
            out.push_str("}\n");
        }
        _ => {
            let options = options(schema);
            let line = format!("export type {name} = {};", options.join(" | "));
            if line.chars().count() <= LINE_CHARS_MAX {
                let _ = writeln!(out, "{line}");
            } else {
                let _ = writeln!(out, "export type {name} =\n  | {};", options.join("\n  | "));
            }
        }
    }
}

/// Required fields come first, in the order of the Rust type and of the wire.
fn fields(out: &mut String, schema: &Value, properties: &Map<String, Value>) {
    let required: Vec<&str> = required(schema).collect();
    let rest = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    for name in required.iter().copied().chain(rest) {
        let property = &properties[name];
        document(out, "  ", property);
        let mark = if required.contains(&name) { "" } else { "?" };
        let _ = writeln!(out, "  {name}{mark}: {};", of(property));
    }
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn document(out: &mut String, indent: &str, schema: &Value) {
    let Some(text) = schema.get("description").and_then(Value::as_str) else { return };
    let lines = wrapped(&text.replace("*/", "* /"), 110 - indent.len());
    match &lines[..] {
        [line] => {
            let _ = writeln!(out, "{indent}/** {line} */");
        }
        lines => {
            let _ = writeln!(out, "{indent}/**\n{indent} * {}\n{indent} */", lines.join(&format!("\n{indent} * ")));
        }
    }
}

fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= chars_max {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// The type that a schema describes.
fn of(schema: &Value) -> String {
    let options = options(schema);
    options.join(" | ")
}

fn options(schema: &Value) -> Vec<String> {
    let mut options = Vec::new();
    let mut seen = BTreeSet::new();
    for option in all_options(schema) {
        if seen.insert(option.clone()) {
            options.push(option);
        }
    }
    options
}

fn all_options(schema: &Value) -> Vec<String> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return vec![name.trim_start_matches(SCHEMAS_PATH).to_owned()];
    }
    match schema.get("const") {
        Some(Value::String(word)) => return vec![format!("'{word}'")],
        Some(value) => return vec![value.to_string()],
        None => {}
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(|word| format!("'{word}'")).collect();
    }
    if schema.get("properties").is_none()
        && let Some(options) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
    {
        return options.iter().flat_map(all_options).collect();
    }
    match &schema["type"] {
        Value::String(kind) => vec![plain(kind, schema)],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(|kind| plain(kind, schema)).collect(),
        _ => vec!["unknown".to_owned()],
    }
}

fn plain(kind: &str, schema: &Value) -> String {
    match kind {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let items = options(&schema["items"]);
            if items.len() == 1 { format!("{}[]", items[0]) } else { format!("({})[]", items.join(" | ")) }
        }
        "object" => object(schema),
        other => other.to_owned(),
    }
}

fn object(schema: &Value) -> String {
    if let Some(values) = schema.get("additionalProperties") {
        return format!(
            "Record<string, {}>",
            if *values == Value::Bool(true) { "unknown".to_owned() } else { of(values) }
        );
    }
    let Some(Value::Object(properties)) = schema.get("properties") else { return "Record<string, never>".to_owned() };
    let required: Vec<&str> = required(schema).collect();
    let rest = properties.keys().map(String::as_str).filter(|name| !required.contains(name));
    let field = |name: &str| {
        let mark = if required.contains(&name) { "" } else { "?" };
        format!("{name}{mark}: {}", of(&properties[name]))
    };
    let all: Vec<String> = required.iter().copied().chain(rest).map(field).collect();
    format!("{{ {} }}", all.join("; "))
}
