//! How the command line speaks to a running server: one JSON line in over a Unix socket in the data
//! directory that only its owner can open; out come lines of progress and one answer. What is asked for
//! is done by a [`Handler`]; when no server runs, the command line does it itself.

mod apply;
mod client;
mod controller;
mod offline;
mod operator;
mod server;
mod stdin;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use teahouse_core::{TokenKey, User};
use teahouse_protocol::rfc3339;
use tokio::sync::watch;

pub use controller::Controller;
pub use operator::operate;
pub use server::{BindError, ControlServer};

use client::{ReachError, ask};

use crate::config::{Secret, exposed_secret};

const SOCKET: &str = "control.sock";
/// A request is a name and a few words.
const REQUEST_BYTES_MAX: u64 = 4096;
/// An answer is a page of users at most.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// Users in one page of a list: a tenth of what an answer may have, however long their names are.
const PAGE_USERS: u32 = 100;

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Make an account.
    UserCreate {
        /// The username, checked.
        name: String,
        /// The e-mail address, checked.
        email: Option<String>,
        /// The role's name.
        role: String,
        /// What is kept of the password.
        #[serde(with = "exposed_secret")]
        password_hash: Secret,
    },
    /// A page of all users.
    UserList {
        /// The last id of the page before.
        after: u64,
    },
    /// Set a user's password, and end every login there is.
    UserPasswd {
        /// The username.
        name: String,
        /// What is kept of the password.
        #[serde(with = "exposed_secret")]
        password_hash: Secret,
    },
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
    /// Keep a user from writing for a while.
    UserMute {
        /// The username.
        name: String,
        /// For so long; nothing: no longer.
        for_ms: Option<u64>,
    },
    /// Keep a key of a site's backend.
    KeyCreate {
        /// Its name, checked.
        name: String,
        /// What is kept of it, in hex.
        #[serde(with = "exposed_secret")]
        key: Secret,
    },
    /// All keys.
    KeyList,
    /// Make a key worthless.
    KeyRevoke {
        /// Its name.
        name: String,
    },
    /// Copy everything that is needed to come back.
    Backup {
        /// Where to, from the root on.
        into: String,
    },
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "snake_case")]
pub enum ControlAnswer {
    /// It is done.
    Done(String),
    /// A page of users.
    Users(UserPage),
    /// The names of all keys, and since when they are.
    Keys(Vec<(String, String)>),
    /// It was not done, since something is not there, or is there already.
    Refused(String),
    /// The request could not be understood.
    BadRequest(String),
    /// It could not be done.
    Failed(String),
}

/// A page of users.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserPage {
    /// In the order of their ids.
    pub users: Vec<UserLine>,
    /// There are more.
    pub has_more: bool,
}

/// A user as the operator sees them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserLine {
    /// The id.
    pub id: u64,
    /// The unique name.
    pub username: String,
    /// The name that is shown.
    pub nickname: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// What they may do.
    pub role: String,
    /// They are kept out.
    pub disabled: bool,
    /// They may not write until then.
    pub muted_until: Option<String>,
    /// When the account was made.
    pub created_at: String,
}

impl From<&User> for UserLine {
    fn from(user: &User) -> Self {
        Self {
            id: user.profile.id.0,
            username: user.profile.username.clone(),
            nickname: user.profile.nickname.clone(),
            email: user.email.clone(),
            role: user.role.as_str().to_owned(),
            disabled: user.disabled,
            muted_until: user.muted_until.map(rfc3339),
            created_at: rfc3339(user.created_at),
        }
    }
}

impl ControlAnswer {
    /// The status that the command exits with.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) | Self::Users(_) | Self::Keys(_) => 0,
            Self::Refused(_) => 1,
            Self::BadRequest(_) => crate::cli::EXIT_USAGE,
            Self::Failed(_) => 70,
        }
    }
}

/// What goes back over the socket, a line each.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    /// So much of it is done, from 0 to 1.
    Progress { progress: f64 },
    /// It is over.
    Answer(ControlAnswer),
}

/// Where whoever does something says how much of it is done, from 0 to 1.
pub type Progress = watch::Sender<f64>;

/// Whoever does what is asked.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Does it.
    async fn handle(&self, request: ControlRequest, progress: Progress) -> ControlAnswer;
}

/// How a key's hash is spelled in a request.
fn key_text(key: TokenKey) -> Secret {
    Secret::new(crate::crypto::hex(&key.0))
}

fn key_of_text(text: &Secret) -> Option<TokenKey> {
    let bytes = u128::from_str_radix(text.expose(), 16).ok()?.to_be_bytes();
    (crate::crypto::hex(&bytes) == text.expose()).then_some(TokenKey(bytes))
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
