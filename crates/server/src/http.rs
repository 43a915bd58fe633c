//! The HTTP transport: reads requests, runs their use cases, writes responses. `teahouse_protocol` defines the bodies,
//! `errors` the errors.

pub(crate) mod address;
pub(crate) mod caller;
pub(crate) mod context;
pub(crate) mod fuzzing;
pub(crate) mod origin;
pub(crate) mod page;
pub(crate) mod panics;
pub(crate) mod redaction;
pub(crate) mod response;
pub(crate) mod router;

mod account;
mod body;
pub(crate) mod body_budget;
mod chat;
mod conversations;
mod cookie;
mod cors;
mod health;
mod language;
mod online_users;
mod parameters;
mod server_api;
mod v1;

#[cfg(test)]
pub(crate) mod tests;
