//! A shard: one thread that owns its sessions outright. What happens to them is plain sequential code
//! on [`State`], without a lock; what takes time leaves it as a [`Job`]. The loop is in `shard/run.rs`,
//! the sockets in `shard/socket.rs`.

mod connection;
mod delivery;
mod entries;
mod poll;
mod presence;
mod requests;
mod rooms;
mod run;
#[cfg(test)]
mod simulator;
mod socket;
mod state;
mod upkeep;

pub(crate) use poll::Poll;
pub(crate) use run::{Ports, Setup, run};

use teahouse_core::UserId;
use teahouse_core::token::Revoked;
use tokio::sync::oneshot;

use crate::ports::NewConnection;

/// What a shard is asked, beside commits. Whoever asks waits when the queue is full.
pub(crate) enum Control {
    /// A new session.
    Arrive(Box<NewConnection>),
    /// Tokens are void; end the sessions that were opened with them.
    Revoke(Revoked, oneshot::Sender<()>),
    /// End a user's sessions, with this reason.
    Disconnect(UserId, String, oneshot::Sender<()>),
    /// Are you there?
    Probe(oneshot::Sender<()>),
    /// Send everybody away, spread over this time; answered when the last socket is closed.
    Drain(std::time::Duration, oneshot::Sender<()>),
}
