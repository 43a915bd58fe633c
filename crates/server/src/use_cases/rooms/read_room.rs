//! Reads one room.

use teahouse_core::{RoomEntry, RoomId, UserId};
use teahouse_store::RoomError;

use crate::app::App;

/// The room as this member sees it.
///
/// # Errors
/// The room does not exist, or the user is not a member.
pub(crate) async fn read_room(app: &App, user: UserId, room: RoomId) -> Result<RoomEntry, RoomError> {
    app.store.room_entry(room, user, app.now()).await
}
