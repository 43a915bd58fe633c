//! A shard: one thread that owns its sessions. All code that changes them is sequential, on [`state::Shard`], and
//! needs no lock; work that takes time leaves the shard as a job.
//!
//! The files depend one way, each only on files to its left. Parts hold data with invariants of their own, and none
//! knows the shard; behaviour is written on the shard.
//!
//! ```text
//! parts       poll ← connection ← socket, run_queues ← slots; typing ← room_table; environment, jobs, store_reads,
//!             entry_reads, hello_window, watches, broadcast, revocations, drain
//!
//! behaviour   state ← flush ← closing ← entries, presence ← membership ← unlisted ← hello, delivery, read_results
//!                   ← requests ← attach, service, maintenance ← turn ← event_loop
//! ```

mod attach;
mod broadcast;
mod closing;
mod connection;
mod delivery;
mod drain;
mod entries;
mod entry_reads;
mod environment;
mod event_loop;
mod flush;
mod hello;
mod hello_window;
mod jobs;
mod maintenance;
mod membership;
mod poll;
mod presence;
mod read_results;
mod requests;
mod revocations;
mod room_table;
mod run_queues;
mod service;
#[cfg(test)]
mod simulator;
mod slots;
mod socket;
mod state;
mod store_reads;
#[cfg(test)]
mod tests;
mod turn;
mod typing;
mod unlisted;
mod watches;

pub(crate) use environment::{Environment, Ports};
pub(crate) use event_loop::run;
pub(crate) use poll::Poll;

use std::time::Duration;

use teahouse_core::UserId;
use teahouse_core::token::Revoked;
use tokio::sync::oneshot;

use crate::ports::NewConnection;

/// Control messages of a shard; they do not go through its inbox. A sender waits while the queue is full.
pub(crate) enum Control {
    /// Begins a session.
    Attach(Box<NewConnection>),
    /// Ends the sessions whose token is revoked.
    Revoke(Revoked, oneshot::Sender<()>),
    /// Ends a user's sessions, with this reason.
    Disconnect(UserId, String, oneshot::Sender<()>),
    /// Answers if the shard is alive.
    Probe(oneshot::Sender<()>),
    /// Closes all sessions, spread over this time; answered when the last socket is closed.
    Drain(Duration, oneshot::Sender<()>),
}
