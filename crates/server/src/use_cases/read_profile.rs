//! Looking at somebody. What of it is shown to whom is the wire's business: others never see an e-mail address.

use teahouse_core::{User, UserId};
use teahouse_store::StoreError;

use crate::app::App;

/// Why nobody is to be seen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadProfileError {
    /// No such user.
    #[error("no such user")]
    NotFound,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A user as they are now.
///
/// # Errors
/// There is none of this id.
pub async fn read_profile(app: &App, id: UserId) -> Result<User, ReadProfileError> {
    app.store.user(id).await?.ok_or(ReadProfileError::NotFound)
}
