//! The HTTP door: requests become use cases, and what comes of them becomes answers. What a body looks
//! like is the protocol's business; what happens is the use cases'.

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
