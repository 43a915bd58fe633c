//! Loads the initial state of a v1 session: its user and the user's rooms.

use teahouse_core::limits::DIRECTS_LISTED;
use teahouse_core::{RoomId, RoomList, User, UserId};
use teahouse_store::{RoomListQuery, StoreError};

use crate::app::App;

/// The initial state of a session, from one snapshot of the store.
pub(crate) struct Welcome {
    /// The session's user.
    pub user: User,
    /// The rooms of which the user is a member.
    pub rooms: RoomList,
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

/// Reads user and rooms from the store: either may have changed since the handshake. Direct rooms that the client `named`
/// are always listed.
///
/// # Errors
/// Nothing was loaded.
pub(crate) async fn load_welcome(app: &App, user: UserId, named: Vec<RoomId>) -> Result<Welcome, LoadWelcomeError> {
    let query = RoomListQuery { user, directs_max: DIRECTS_LISTED, named, now: app.now() };
    let (user, rooms) = app.store.welcome(query).await?.ok_or(LoadWelcomeError::NoSuchUser)?;
    Ok(Welcome { user, rooms })
}
