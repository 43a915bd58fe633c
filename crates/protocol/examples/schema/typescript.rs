//! TypeScript types of everything that is said, with the documentation of the Rust types.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use teahouse_core::{CloseCode, ErrorCode, Language};
use teahouse_protocol::catalogue::{Catalogue, SHAPES_PATH};

const LINE_CHARS_MAX: usize = 100;

/// The module.
pub fn module(catalogue: &Catalogue) -> String {
    let mut out = String::from(HEAD);
    error_codes(&mut out);
    close_codes(&mut out);
    out.push_str("\n// ── What a client asks ──\n");
    for request in &catalogue.requests {
        declare(&mut out, &request_name(request.kind), &request.data);
    }
    requests(&mut out, catalogue);
    out.push_str("\n// ── What the server sends ──\n");
    events(&mut out, catalogue);
    out.push_str(ENVELOPES);
    out.push_str("\n// ── The shapes in both ──\n");
    for (name, shape) in catalogue.shapes.iter().filter(|(name, _)| *name != "ErrorCode") {
        declare(&mut out, name, shape);
    }
    out
}

const HEAD: &str = "\
// What a client and the server say to each other, in the v1 dialect and the server API; docs/protocol.md says
// what it means. Made by `make types` from crates/protocol: change it there.

/** The subprotocol to offer when the WebSocket is opened. */
export const SUBPROTOCOL = 'teahouse.v1';
";

const ENVELOPES: &str = "\
\n/** What goes to the server: under an `id` it is answered with the same `id`, once. */
export type ClientEnvelope = {
  [Type in keyof RequestData]: { type: Type; id?: string; data: RequestData[Type] };
}[keyof RequestData];

/** What comes of itself. */
export type EventEnvelope = {
  [Type in keyof EventData]: { type: Type; data: EventData[Type] };
}[keyof EventData];

/** The answer to `hello`; its `id` is that one's. */
export interface WelcomeEnvelope {
  type: 'welcome';
  id?: string;
  data: Welcome;
}

/** What was asked under this `id` is done. Only a `heartbeat` is answered without one, when it had none. */
export interface AckEnvelope<Type extends keyof AckData = keyof AckData> {
  type: 'ack';
  id?: string;
  data: AckData[Type];
}

/** What was asked, under this `id` if it had one, was refused. It never half-happened. */
export interface ErrorEnvelope {
  type: 'error';
  id?: string;
  data: Refusal;
}

/** Everything that comes from the server, but for what a site's backend publishes. */
export type ServerEnvelope = EventEnvelope | WelcomeEnvelope | AckEnvelope | ErrorEnvelope;

/** What a site's backend publishes: its type is none of the server's own. */
export interface PublishedEnvelope {
  type: string;
  data: Record<string, unknown>;
}
";

fn error_codes(out: &mut String) {
    out.push_str(
        "\n/** Why something is refused: the HTTP status, and whether asking the very same again later can help. */\n",
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
    out.push_str("} as const;\n\n/** A stable word for why something was refused. */\n");
    out.push_str("export type ErrorCode = keyof typeof ERROR_CODES;\n");
}

fn close_codes(out: &mut String) {
    out.push_str("\n/** Why the server closes a socket. */\nexport const CloseCode = {\n");
    for code in CloseCode::ALL {
        let _ = writeln!(out, "  /** {} */\n  {code:?}: {},", capitalized(code.reason()), code.code());
    }
    out.push_str("} as const;\nexport type CloseCode = (typeof CloseCode)[keyof typeof CloseCode];\n\n");
    out.push_str("/**\n * Whether a client comes back by itself. Of a code that is not here: from 4000 to 4499 it does, from 4500 to 4999\n * it does not.\n */\n");
    out.push_str("export const CLOSE_CODES: Record<CloseCode, { reconnect: boolean }> = {\n");
    for code in CloseCode::ALL {
        let _ = writeln!(out, "  {}: {{ reconnect: {} }},", code.code(), code.reconnects());
    }
    out.push_str("};\n");
}

fn requests(out: &mut String, catalogue: &Catalogue) {
    out.push_str("\n/** The `data` of every request, by its type. */\nexport interface RequestData {\n");
    for request in &catalogue.requests {
        let _ = writeln!(out, "  {}: {};", request.kind, request_name(request.kind));
    }
    out.push_str("}\n\n/** The `data` of every request's `ack`; `hello` is answered by `welcome`. */\nexport interface AckData {\n");
    for request in &catalogue.requests {
        let options: Vec<String> = request.ack.iter().map(of).collect();
        if !options.is_empty() {
            let _ = writeln!(out, "  {}: {};", request.kind, options.join(" | "));
        }
    }
    out.push_str("}\n");
}

fn events(out: &mut String, catalogue: &Catalogue) {
    out.push_str(
        "\n/** The `data` of everything that comes of itself, by its type. */\nexport interface EventData {\n",
    );
    for event in catalogue.events.iter().filter(|event| event.kind != "welcome") {
        let options: Vec<String> = event.data.iter().map(of).collect();
        let _ = writeln!(out, "  {}: {};", event.kind, options.join(" | "));
    }
    out.push_str("}\n");
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
        Some(Value::Object(properties)) if schema.get("oneOf").is_none() => {
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

/// What must be there stands first and in the order of the Rust type, as it does on the wire.
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

/// The type of what this schema describes.
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
        return vec![name.trim_start_matches(SHAPES_PATH).to_owned()];
    }
    if let Some(word) = schema.get("const").and_then(Value::as_str) {
        return vec![format!("'{word}'")];
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(|word| format!("'{word}'")).collect();
    }
    if let Some(options) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array) {
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
