//! The requests and responses of the control socket, a line of JSON each.

use serde::{Deserialize, Serialize};
use teahouse_core::{TokenKey, User};
use teahouse_protocol::rfc3339;

use crate::config::{Secret, exposed_secret};
use crate::crypto::hex;

/// A command for a running server, or for the store of one that does not run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ControlRequest {
    /// Create an account.
    UserCreate {
        /// A valid username.
        name: String,
        /// A valid e-mail address.
        email: Option<String>,
        /// The name of the role.
        role: String,
        /// The hash of the password.
        #[serde(with = "exposed_secret")]
        password_hash: Secret,
    },
    /// List a page of users.
    UserList {
        /// The last id of the previous page; 0 for the first page.
        after: u64,
    },
    /// Set a user's password and end all their logins.
    UserPasswd {
        /// The username.
        name: String,
        /// The hash of the password.
        #[serde(with = "exposed_secret")]
        password_hash: Secret,
    },
    /// Set a user's role.
    UserRole {
        /// The username.
        name: String,
        /// The name of the role.
        role: String,
    },
    /// Disable an account.
    UserDisable {
        /// The username.
        name: String,
    },
    /// Enable an account.
    UserEnable {
        /// The username.
        name: String,
    },
    /// Mute a user, or let them write again.
    UserMute {
        /// The username.
        name: String,
        /// For how long; without it the user may write again.
        for_ms: Option<u64>,
    },
    /// Add an API key.
    KeyCreate {
        /// A valid name.
        name: String,
        /// The hash of the key, in hex.
        #[serde(with = "exposed_secret")]
        key: Secret,
    },
    /// List all API keys.
    KeyList,
    /// Revoke an API key.
    KeyRevoke {
        /// The name of the key.
        name: String,
    },
    /// Copy database and secrets.
    Backup {
        /// The target directory, as an absolute path.
        into: String,
    },
}

/// The result of a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", content = "with", rename_all = "snake_case")]
pub(crate) enum ControlResponse {
    /// The command succeeded; the text says what it did.
    Done(String),
    /// A page of users.
    Users(UserPage),
    /// The name of every key and when it was created.
    Keys(Vec<(String, String)>),
    /// Nothing was done: something does not exist, or exists already.
    Refused(String),
    /// The request is invalid.
    BadRequest(String),
    /// The command failed.
    Failed(String),
}

/// A page of users.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct UserPage {
    /// In the order of their ids.
    pub users: Vec<UserSummary>,
    /// Whether more users may follow.
    pub has_more: bool,
}

/// A user as an administrator sees them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct UserSummary {
    /// The id.
    pub id: u64,
    /// The username.
    pub username: String,
    /// The name that others see.
    pub nickname: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The role on the whole server.
    pub role: String,
    /// Whether the account is disabled.
    pub disabled: bool,
    /// Until when the user is muted.
    pub muted_until: Option<String>,
    /// When the account was created.
    pub created_at: String,
}

impl From<&User> for UserSummary {
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

impl ControlResponse {
    /// The command's exit status.
    #[must_use]
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Done(_) | Self::Users(_) | Self::Keys(_) => 0,
            Self::Refused(_) => 1,
            Self::BadRequest(_) => crate::cli::EXIT_USAGE,
            Self::Failed(_) => 70,
        }
    }
}

/// A line of the server.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    /// The share of the work that is done, from 0 to 1.
    Progress {
        /// The share.
        progress: f64,
    },
    /// The last line.
    Response(ControlResponse),
}

/// The hash of a key as a request has it.
pub(super) fn key_to_text(key: TokenKey) -> Secret {
    Secret::new(hex(&key.0))
}

pub(super) fn key_from_text(text: &Secret) -> Option<TokenKey> {
    let bytes = u128::from_str_radix(text.expose(), 16).ok()?.to_be_bytes();
    (hex(&bytes) == text.expose()).then_some(TokenKey(bytes))
}
