//! Marking a direct room as read, up to its newest message at this moment and never back.

use teahouse_core::{RoomId, UserId};
use teahouse_store::{DirectRoomError, ReadMark};

use crate::app::App;

/// Moves the mark to the room's head.
///
/// # Errors
/// There is no such conversation, or it is somebody else's.
pub async fn mark_read(app: &App, user: UserId, room: RoomId) -> Result<ReadMark, DirectRoomError> {
    app.store.direct_room(room, user).await?;
    Ok(app.store.mark_read(room, user, None).await?)
}
