//! The live half: who is connected, who is online, what each session was sent. It knows nothing of HTTP or SQL.
//!
//! A [`Hub`] is a set of shards, one thread each; a user always lives on the same one. See ARCHITECTURE.md.

mod options;
mod seams;

pub use options::HubOptions;
pub use seams::{Arrival, BoxFuture, Caller, Changes, Door, History, Receipt};
