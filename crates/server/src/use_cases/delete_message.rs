//! Deleting a message of the lobby: one's own, or with a moderator's right. Whoever sees it hears of it by the commit.

use teahouse_core::{LOBBY, MessageId, UserId};
use teahouse_store::DeleteError;

use crate::app::App;

/// Deletes it; deleting what is already gone succeeds.
///
/// # Errors
/// It is not there, or not the actor's to delete.
pub async fn delete_message(app: &App, actor: UserId, message: MessageId) -> Result<(), DeleteError> {
    app.store.delete_message(LOBBY, message, actor).await
}
