//! What a session begins with: who one is, and every room one is in, as they are now.

use teahouse_core::{RoomEntry, User, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// What somebody comes in to.
pub struct Welcomed {
    /// Oneself.
    pub user: User,
    /// Every room one is in.
    pub rooms: Vec<RoomEntry>,
}

/// Why nobody is welcomed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GreetError {
    /// The user is gone.
    #[error("no such user")]
    Gone,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads both anew: what was known when the socket was opened may have changed since.
///
/// # Errors
/// There is nobody to greet, or nobody knows now.
pub async fn greet(app: &App, user: UserId) -> Result<Welcomed, GreetError> {
    let (user, rooms) = app.store.welcome(user, app.now()).await?.ok_or(GreetError::Gone)?;
    Ok(Welcomed { user, rooms })
}
