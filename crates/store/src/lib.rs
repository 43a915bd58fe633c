//! The contract between Teahouse and the database that keeps its messages, rooms, accounts and tokens.
//!
//! One trait for each noun; [`Store`] is their sum. A store hands its commits to the [`CommitSink`] that it was
//! opened with. This crate knows no database, no socket and no HTTP. `teahouse-store-sqlite` implements it, and
//! `teahouse-conformance` holds the tests that every implementation passes.

mod accounts;
mod conversations;
mod error;
mod lifecycle;
mod messages;
mod metrics;
mod page;
mod rooms;
mod sink;
mod site;
mod tokens;

pub use accounts::*;
pub use conversations::*;
pub use error::StoreError;
pub use lifecycle::Lifecycle;
pub use messages::*;
pub use metrics::{BoundHook, OverloadLabel, OverloadReason, StoreMetrics};
pub use page::PageLimit;
pub use rooms::*;
pub use sink::{CommitGroup, CommitSink};
pub use site::*;
pub use tokens::*;

/// All that a server needs of its database.
///
/// A write is durable when its future resolves with `Ok`. It runs to its end even when the future is dropped. A
/// write waits in a bounded queue; when the queue is full, it fails at once with [`StoreError::Overloaded`] and
/// changes nothing. A read sees one snapshot, however many statements it takes.
pub trait Store: Accounts + Tokens + Messages + Rooms + Conversations + Site + Lifecycle + 'static {}

impl<S: Accounts + Tokens + Messages + Rooms + Conversations + Site + Lifecycle + 'static> Store for S {}
