//! Deletes a message: the user's own, or as a moderator. Clients learn of it from the commit.

use teahouse_core::{MessageId, RoomId, UserId, Version};
use teahouse_store::ChangeError;

use crate::app::App;

/// Deletes the message; where `room` is given, only if the message is in it. Deleting a deleted message succeeds.
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
