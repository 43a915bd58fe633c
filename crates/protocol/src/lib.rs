//! The wire format: how core's types are spelled as JSON, once for each dialect, and the one table of HTTP routes.
//! Pure: bytes in, values out, and back. No other crate names a type or a field of the wire.

pub mod classic;
mod envelope;
pub mod http;
mod number;
mod object;
mod person;
pub mod routes;
mod schema;
pub mod schema_catalog;
pub mod server_api;
mod time;
pub mod v1;

pub use person::PersonBody;
pub use time::rfc3339;

use teahouse_core::Language;

/// The notice for a session that was too slow for events that are not stored.
fn events_missed_sentence(language: Language) -> &'static str {
    match language {
        Language::En => "Some events were missed because this connection was too slow; please reload.",
        Language::Zh => "由于连接过慢，部分事件已丢失，请刷新页面。",
    }
}
