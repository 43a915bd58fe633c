//! What stands around everything that goes to a client: a type and its data.

use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: D,
}

/// An envelope that nobody asked for.
pub(crate) fn envelope<D: Serialize>(kind: &str, data: D) -> String {
    answer(kind, None, data)
}

/// An envelope that answers the request of this reference.
pub(crate) fn answer<D: Serialize>(kind: &str, id: Option<&str>, data: D) -> String {
    // Serializing our own structs into memory has no way to fail: string keys, no custom errors.
    serde_json::to_string(&Envelope { kind, id, data }).unwrap_or_default()
}
