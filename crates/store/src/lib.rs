//! The durable half: what was said, by whom, and who may come in. It knows nothing of sockets or HTTP.
//!
//! [`Store`] is the contract, in the language of the domain; `sqlite` holds the one behind it. Commits
//! leave by the [`CommitSink`] that the store was opened with, in the order of commit.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod metrics;
mod model;
mod queue;
mod sqlite;
mod store;

pub use metrics::{Refusal, StoreMetrics};
pub use model::*;
pub use sqlite::{OpenError, SqliteOptions, SqliteStore};
pub use store::{CommitSink, Store};
