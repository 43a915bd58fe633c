//! The HTTP interface: handlers turn requests into calls of use cases, and their results into answers. The protocol crate
//! defines the bodies, and the use cases define the behaviour.

pub mod address;
pub mod answer;
pub mod caller;
pub mod context;
pub mod fuzzing;
pub mod origin;
pub mod panics;
pub mod redaction;
pub mod refusal;
pub mod router;

mod account;
mod body;
mod chat;
mod conversations;
mod cookie;
mod cors;
mod health;
mod language;
pub mod page;
mod parameters;
mod refusals;
pub mod sentence;
mod server_api;
mod v1;

#[cfg(test)]
pub(crate) mod tests;
