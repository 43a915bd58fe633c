//! How the command line speaks to a running server: one JSON line in, one out, over a Unix socket in
//! the data directory that only its owner can open. What is asked for is done by a [`Handler`].

mod client;
mod offline;
mod server;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use teahouse_core::{UserId, UserRole};
use teahouse_store::{Store, StoreError};

pub use client::{ReachError, ask};
pub use offline::change;
pub use server::{BindError, ControlServer};

const SOCKET: &str = "control.sock";
/// A request or an answer is a name and a few words.
const LINE_BYTES_MAX: u64 = 4096;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::enum_variant_names, reason = "users are only the first thing to be controlled")]
pub enum ControlRequest {
    /// Set a user's role.
    UserRole {
        /// The username.
        name: String,
        /// The role's name.
        role: String,
    },
    /// Keep a user out.
    UserDisable {
        /// The username.
        name: String,
    },
    /// Let a user in again.
    UserEnable {
        /// The username.
        name: String,
    },
}

/// What became of it, with a sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "sentence", rename_all = "snake_case")]
pub enum ControlAnswer {
    /// It is done.
    Done(String),
    /// There is no such user.
    NoSuchUser(String),
    /// The request could not be understood.
    BadRequest(String),
    /// It could not be done.
    Failed(String),
}

impl ControlAnswer {
    /// The status that the command exits with.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) => 0,
            Self::NoSuchUser(_) => 1,
            Self::BadRequest(_) => crate::cli::EXIT_USAGE,
            Self::Failed(_) => 70,
        }
    }

    /// What to tell the operator.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            Self::Done(text) | Self::NoSuchUser(text) | Self::BadRequest(text) | Self::Failed(text) => text,
        }
    }
}

/// Whoever does what is asked.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Does it.
    async fn handle(&self, request: ControlRequest) -> ControlAnswer;
}

/// The durable part of a request: all there is to do when no server runs, and the first half of it when
/// one does (the sessions of a disabled user are the hub's, so whoever was changed comes with the answer).
pub async fn apply(store: &dyn Store, request: &ControlRequest) -> (ControlAnswer, Option<UserId>) {
    let (name, changed, what) = match request {
        ControlRequest::UserRole { name, role } => {
            let Some(role) = UserRole::parse(role) else {
                return (ControlAnswer::BadRequest(format!("there is no role {role:?}")), None);
            };
            (name, store.set_role(name, role).await, format!("is now {}", role.as_str()))
        }
        ControlRequest::UserDisable { name } => (name, store.set_disabled(name, true).await, "is disabled".to_owned()),
        ControlRequest::UserEnable { name } => (name, store.set_disabled(name, false).await, "is enabled".to_owned()),
    };
    match changed {
        Ok(Some(user)) => (ControlAnswer::Done(format!("{} {what}", user.profile.username)), Some(user.profile.id)),
        Ok(None) => (ControlAnswer::NoSuchUser(format!("there is no user {name:?}")), None),
        Err(error @ (StoreError::Overloaded(_) | StoreError::Closed | StoreError::Internal(_))) => {
            (ControlAnswer::Failed(error.to_string()), None)
        }
    }
}

/// The socket's address, through a descriptor of its directory: a socket's path may have 107 bytes at
/// most, and a data directory's path may be longer.
fn short_path(directory: &std::os::fd::OwnedFd) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()).into()
}

fn open_directory(path: &std::path::Path) -> std::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    Ok(rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests;
