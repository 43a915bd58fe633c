//! Lists a user's direct rooms.

use teahouse_core::UserId;
use teahouse_store::{Conversation, StoreError};

use crate::app::App;

/// The user's direct rooms, newest first.
///
/// # Errors
/// The store failed.
pub(crate) async fn list_conversations(app: &App, user: UserId) -> Result<Vec<Conversation>, StoreError> {
    app.store.conversations(user).await
}
