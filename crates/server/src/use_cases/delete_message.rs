//! Deleting a message: one's own, or with a moderator's right. Whoever sees it hears of it by the commit.

use teahouse_core::{MessageId, RoomId, UserId, Version};
use teahouse_store::ChangeError;

use crate::app::App;

/// Deletes it, wherever it is or in one room alone; deleting what is already gone succeeds.
///
/// # Errors
/// It is not there, or not the actor's to delete.
pub async fn delete_message(
    app: &App,
    actor: UserId,
    room: Option<RoomId>,
    message: MessageId,
) -> Result<Version, ChangeError> {
    app.store.delete_message(room, message, actor).await
}
