//! The wire: how core's nouns are spelled as JSON, once for each dialect. Pure: bytes in, values out, and back.
//!
//! Nothing else in the workspace names an envelope's type or a field of one.

pub mod catalogue;
pub mod classic;
mod envelope;
mod moment;
mod person;
pub mod server_api;
mod shape;
pub mod v1;

pub use moment::rfc3339;
pub use person::Person;

use teahouse_core::Language;

/// What is said to a client that was too slow for what is not stored.
fn events_missed_sentence(language: Language) -> &'static str {
    match language {
        Language::En => "Some events were missed because this connection was too slow; please reload.",
        Language::Zh => "由于连接过慢，部分事件已丢失，请刷新页面。",
    }
}
