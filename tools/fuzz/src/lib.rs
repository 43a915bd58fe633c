//! What must hold for any bytes at all: each check panics when it does not. The fuzzer looks for such bytes, and
//! tests/corpus.rs plays all those that were ever worth keeping.

mod configuration;
mod envelope;
mod http_body;
mod http_head;
mod websocket;

/// Something that must hold for these bytes.
pub type Check = fn(&[u8]);

/// Every check, by the name of its corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("websocket", websocket::check),
    ("envelope", envelope::check),
    ("http_body", http_body::check),
    ("http_head", http_head::check),
    ("configuration", configuration::check),
];

/// A JSON document, or nothing when it is none that every client can read.
fn json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str(text).ok()
}
