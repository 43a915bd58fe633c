//! The HTTP transport: reads requests, runs their use cases, writes responses. `teahouse_protocol` defines the bodies,
//! `errors` the errors.

pub mod address;
pub mod caller;
pub mod context;
pub mod fuzzing;
pub mod origin;
pub mod page;
pub mod panics;
pub mod redaction;
pub mod response;
pub mod router;

mod account;
mod body;
mod chat;
mod conversations;
mod cookie;
mod cors;
mod health;
mod language;
mod parameters;
mod server_api;
mod v1;

#[cfg(test)]
pub(crate) mod tests;
