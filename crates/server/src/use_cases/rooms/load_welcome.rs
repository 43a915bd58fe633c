//! Loads the initial state of a v1 session: its user and every room of the user.

use teahouse_core::{RoomEntry, User, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// The initial state of a session, from one snapshot of the store.
pub(crate) struct Welcome {
    /// The session's user.
    pub user: User,
    /// Every room of which the user is a member.
    pub rooms: Vec<RoomEntry>,
}

/// Why nothing was loaded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LoadWelcomeError {
    /// The user was deleted.
    #[error("no such user")]
    NoSuchUser,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads user and rooms from the store: either may have changed since the handshake.
///
/// # Errors
/// Nothing was loaded.
pub(crate) async fn load_welcome(app: &App, user: UserId) -> Result<Welcome, LoadWelcomeError> {
    let (user, rooms) = app.store.welcome(user, app.now()).await?.ok_or(LoadWelcomeError::NoSuchUser)?;
    Ok(Welcome { user, rooms })
}
