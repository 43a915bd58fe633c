//! The envelope around everything that goes to a client over the socket: a type and its data.

use serde::Serialize;

#[derive(Serialize)]
struct Envelope<'a, D> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    data: D,
}

/// An event, which answers no request.
pub(crate) fn event<D: Serialize>(kind: &str, data: D) -> String {
    response(kind, None, data)
}

/// The response to a request, with the request's `id` if it had one.
pub(crate) fn response<D: Serialize>(kind: &str, id: Option<&str>, data: D) -> String {
    // Serializing our own structs into memory cannot fail: string keys, no custom errors.
    serde_json::to_string(&Envelope { kind, id, data }).unwrap_or_default()
}
