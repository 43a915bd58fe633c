//! The envelope around every HTTP response under `/api`, in both dialects and the server API (docs/protocol.md,
//! "HTTP").

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use teahouse_core::ErrorCode;

#[derive(Serialize)]
struct ResponseBody<'a> {
    code: u16,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    data: &'a RawValue,
    request_id: &'a str,
}

/// The body of a successful response; `data` is its JSON.
#[must_use]
pub fn success(status: u16, message: &str, data: &RawValue, request_id: &str) -> String {
    json(&ResponseBody { code: status, message, error_code: None, data, request_id })
}

/// The body of an error response; an error about one field of the request names it.
#[must_use]
pub fn error(status: u16, code: ErrorCode, message: &str, field: Option<&str>, request_id: &str) -> String {
    #[derive(Serialize)]
    struct FieldName<'a> {
        field: &'a str,
    }
    let data = raw_json(&field.map(|field| FieldName { field }));
    json(&ResponseBody { code: status, message, error_code: Some(code.as_str()), data: &data, request_id })
}

/// A response's `data` as JSON, for [`success`].
#[must_use]
pub fn raw_json<T: Serialize>(data: &T) -> Box<RawValue> {
    // Serializing our own structs into memory cannot fail: string keys, no custom errors.
    serde_json::value::to_raw_value(data).unwrap_or_default()
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The response of a request that has no result but its success.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Done {
    #[schemars(extend("const" = true))]
    ok: bool,
}

impl Done {
    /// `{"ok":true}`.
    pub const OK: Self = Self { ok: true };
}

/// `GET /health` and `/ready`: the state of each part.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct HealthBody {
    /// One word for all of it.
    #[schemars(extend("enum" = ["ok", "ready", "unavailable"]))]
    pub status: &'static str,
    /// Whether the store accepts writes.
    #[schemars(extend("enum" = ["ok", "failing"]))]
    pub store: &'static str,
    /// Whether every shard of the hub responds.
    #[schemars(extend("enum" = ["ok", "failing"]))]
    pub hub: &'static str,
    /// Whether the server is shutting down.
    pub draining: bool,
}

/// `GET /live`: the process answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Liveness")]
pub struct LivenessBody {
    /// Always `ok`.
    pub status: &'static str,
}
