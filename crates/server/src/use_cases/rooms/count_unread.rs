//! Counts a user's unread messages.

use teahouse_core::UserId;
use teahouse_store::StoreError;

use crate::app::App;

/// The unread messages of all direct rooms.
///
/// # Errors
/// The store failed.
pub(crate) async fn count_unread(app: &App, user: UserId) -> Result<u32, StoreError> {
    app.store.unread_total(user).await
}
