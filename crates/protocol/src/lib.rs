//! The wire: how core's nouns are spelled as JSON, once for each dialect. Pure: bytes in, values out, and back.
//!
//! Nothing else in the workspace names an envelope's type or a field of one.

pub mod classic;
mod moment;

pub use moment::rfc3339;
