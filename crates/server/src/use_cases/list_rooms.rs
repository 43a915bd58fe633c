//! The rooms of a user: all of them, or one.

use teahouse_core::{RoomEntry, RoomId, UserId};
use teahouse_store::{RoomError, StoreError};

use crate::app::App;

/// Every room that a user is in, as this user sees it.
///
/// # Errors
/// The store failed.
pub async fn list_rooms(app: &App, user: UserId) -> Result<Vec<RoomEntry>, StoreError> {
    app.store.rooms_of(user, app.now()).await
}

/// One room as a member sees it.
///
/// # Errors
/// There is none, or the user is not in it.
pub async fn read_room(app: &App, user: UserId, room: RoomId) -> Result<RoomEntry, RoomError> {
    app.store.room_entry(room, user, app.now()).await
}
