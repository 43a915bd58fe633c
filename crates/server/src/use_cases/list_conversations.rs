//! The direct rooms of a user, and what is unread in them.

use teahouse_core::UserId;
use teahouse_store::{Conversation, StoreError};

use crate::app::App;

/// Newest first.
///
/// # Errors
/// The store failed.
pub async fn list_conversations(app: &App, user: UserId) -> Result<Vec<Conversation>, StoreError> {
    app.store.conversations(user).await
}

/// Unread messages over all of them.
///
/// # Errors
/// The store failed.
pub async fn count_unread(app: &App, user: UserId) -> Result<u32, StoreError> {
    app.store.unread_total(user).await
}
