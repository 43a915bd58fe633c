//! Deletes a message: one's own, or any with a moderator's right. Clients learn of it by the commit.

use teahouse_core::{MessageId, RoomId, UserId, Version};
use teahouse_store::ChangeError;

use crate::app::App;

/// Deletes the message, in whatever room it is or in `room` only. Deleting a deleted message succeeds.
///
/// # Errors
/// The message does not exist, or the actor may not delete it.
pub(crate) async fn delete_message(
    app: &App,
    actor: UserId,
    room: Option<RoomId>,
    message: MessageId,
) -> Result<Version, ChangeError> {
    app.store.delete_message(room, message, actor).await
}
