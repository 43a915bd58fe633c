//! The error responses of the OpenAPI document: one for each status.

use serde_json::{Map, Value, json};
use teahouse_core::{ErrorCode, Language};

use crate::openapi::reference;

/// Every status of an error, with the name of its response.
const RESPONSES: &[(u16, &str)] = &[
    (400, "BadRequest"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (404, "NotFound"),
    (408, "RequestTimeout"),
    (409, "Conflict"),
    (413, "ContentTooLarge"),
    (422, "UnprocessableContent"),
    (426, "UpgradeRequired"),
    (429, "TooManyRequests"),
    (500, "InternalServerError"),
    (503, "ServiceUnavailable"),
];

/// A reference to the response of a status.
pub(crate) fn response_reference(status: u16) -> Value {
    let known = RESPONSES.iter().find(|(known, _)| *known == status);
    let (_, name) = known.unwrap_or_else(|| panic!("there is no response for {status}"));
    json!({ "$ref": format!("#/components/responses/{name}") })
}

/// The responses themselves.
pub(crate) fn responses() -> Value {
    RESPONSES.iter().map(|(status, name)| ((*name).to_owned(), response(*status))).collect::<Map<_, _>>().into()
}

/// The schema of `error_code`, with the table of docs/protocol.md, "Errors".
pub(crate) fn error_code() -> Value {
    let words: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    let lines: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| {
            let retry = if code.retry_helps() { "; a retry can succeed" } else { "" };
            format!("- `{}` ({}){retry}: {}", code.as_str(), code.http_status(), code.sentence(Language::En))
        })
        .collect();
    let about = format!("The stable code of an error.\n\n{}", lines.join("\n"));
    json!({ "type": "string", "enum": words, "description": about })
}

/// The codes that come with a status: those of the table, and those of a wrong body.
fn codes(status: u16) -> Vec<&'static str> {
    let mut codes: Vec<&str> =
        ErrorCode::ALL.iter().filter(|code| code.http_status() == status).map(|code| code.as_str()).collect();
    match status {
        408 | 422 => codes.insert(0, ErrorCode::BadRequest.as_str()),
        413 => codes.push(ErrorCode::TooLong.as_str()),
        _ => {}
    }
    codes
}

fn response(status: u16) -> Value {
    let schema = json!({
        "type": "object",
        "required": ["code", "message", "error_code", "data", "request_id"],
        "properties": {
            "code": { "const": status, "description": "The HTTP status." },
            "message": { "type": "string", "description": "A sentence for a person." },
            "error_code": { "allOf": [reference("ErrorCode"), { "enum": codes(status) }] },
            "data": {
                "type": ["object", "null"],
                "required": ["field"],
                "properties": { "field": { "type": "string", "description": "The field of the request that is wrong." } },
            },
            "request_id": { "type": "string", "description": "As in X-Request-ID." },
        },
    });
    let mut response = json!({
        "description": "The request failed, and changed nothing.",
        "content": { "application/json": { "schema": schema } },
    });
    if let Some(headers) = headers(status) {
        response["headers"] = headers;
    }
    response
}

fn headers(status: u16) -> Option<Value> {
    match status {
        401 => Some(json!({
            "WWW-Authenticate": {
                "description": "The scheme of `Authorization`.", "required": true,
                "schema": { "type": "string", "enum": ["Bearer", "ApiKey"] },
            },
        })),
        429 => Some(json!({
            "Retry-After": { "description": "Seconds.", "required": true, "schema": { "type": "integer", "minimum": 1 } },
        })),
        _ => None,
    }
}
