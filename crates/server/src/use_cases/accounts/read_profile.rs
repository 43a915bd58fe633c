//! Reads a user. The wire bodies decide what of it others see; they never show an e-mail address.

use teahouse_core::{User, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// Why no user was read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadProfileError {
    /// The user does not exist.
    #[error("no such user")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The user of this id.
///
/// # Errors
/// There is no such user.
pub(crate) async fn read_profile(app: &App, id: UserId) -> Result<User, ReadProfileError> {
    app.store.user(id).await?.ok_or(ReadProfileError::NotFound)
}
