//! Administration of accounts, API keys and the data. Every change affects live sessions at once; without a running
//! server the same use cases change the store alone.

pub(crate) mod create_key;
pub(crate) mod create_user;
pub(crate) mod list_keys;
pub(crate) mod list_users;
pub(crate) mod make_backup;
pub(crate) mod mute_user;
pub(crate) mod revoke_key;
pub(crate) mod set_disabled;
pub(crate) mod set_password;
pub(crate) mod set_role;

use teahouse_core::Timestamp;
use teahouse_store::{Store, StoreError};

use crate::app::{App, LiveSessions};
use crate::config::Config;
use crate::storage::Backups;

/// The context of these use cases.
#[derive(Clone, Copy)]
pub(crate) struct AdminContext<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// Copies the store; `None` when the database has its own tools for that.
    pub backups: Option<&'a Backups>,
    /// The live sessions; `None` when no server runs.
    pub live: Option<&'a dyn LiveSessions>,
    /// The operator's configuration.
    pub config: &'a Config,
    /// The time.
    pub now: Timestamp,
}

impl<'a> From<&'a App> for AdminContext<'a> {
    fn from(app: &'a App) -> Self {
        Self {
            store: app.store.as_ref(),
            backups: app.backups.as_ref(),
            live: Some(app.live.as_ref()),
            config: &app.config,
            now: app.now(),
        }
    }
}

/// Why a user was not changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ChangeUserError {
    /// No user has this name.
    #[error("no such user")]
    NoSuchUser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
