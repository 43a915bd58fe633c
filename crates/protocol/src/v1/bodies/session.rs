//! Responses about the session itself.

use schemars::JsonSchema;
use serde::Serialize;
use teahouse_core::Timestamp;

use crate::time::{self, Rfc3339};

/// `auth`: the life of the fresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Renewed {
    /// In milliseconds.
    pub expires_in_ms: u64,
}

/// `heartbeat`: the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Beat {
    /// The server's time.
    #[serde(serialize_with = "time::serialize")]
    #[schemars(with = "Rfc3339")]
    pub time: Timestamp,
}

/// The `data` of an `ack` that says nothing more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct Nothing {}

/// The limits of this server, in `welcome`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Limits")]
pub struct LimitsBody {
    /// Characters (Unicode scalar values) of a message.
    pub content_chars_max: usize,
    /// Bytes of a frame.
    pub frame_bytes_max: usize,
    /// Messages per second.
    pub sends_per_second: u32,
    /// Messages in a burst.
    pub sends_burst: u32,
    /// Other envelopes per second.
    pub envelopes_per_second: u32,
    /// Other envelopes in a burst.
    pub envelopes_burst: u32,
    /// Messages in a page of history.
    pub history_messages_max: u32,
}
