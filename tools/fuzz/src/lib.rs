//! Invariants that must hold for any input: each check panics if one does not. The fuzzer searches for such input, and
//! tests/corpus.rs replays the corpora.

mod configuration;
mod envelope;
mod http_body;
mod http_head;
mod websocket;

/// A check of an invariant; panics if the input breaks it.
pub type Check = fn(&[u8]);

/// All checks, by the name of the corpus.
pub const TARGETS: &[(&str, Check)] = &[
    ("websocket", websocket::check),
    ("envelope", envelope::check),
    ("http_body", http_body::check),
    ("http_head", http_head::check),
    ("configuration", configuration::check),
];

/// Parses JSON; `None` if not every client could read it.
fn json(text: &str) -> Option<serde_json::Value> {
    serde_json::from_str(text).ok()
}
