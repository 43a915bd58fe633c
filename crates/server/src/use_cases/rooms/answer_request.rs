//! Accepts or declines a stranger's invite to a room, or the request of a direct room.

use teahouse_core::{RoomEntry, RoomId, SessionId, UserId};
use teahouse_store::RoomError;

use crate::app::App;

/// Accepts it, and returns the room as the user sees it then. `requester` is the session that receives this entry as its
/// response and enters the room with it.
///
/// # Errors
/// There is nothing to accept, or the user is in too many rooms.
pub(crate) async fn accept(
    app: &App,
    user: UserId,
    room: RoomId,
    requester: Option<SessionId>,
) -> Result<RoomEntry, RoomError> {
    app.store.accept(room, user, app.now(), requester).await
}

/// Declines it. Only the user's own sessions learn of that.
///
/// # Errors
/// There is nothing to decline.
pub(crate) async fn decline(app: &App, user: UserId, room: RoomId) -> Result<(), RoomError> {
    app.store.decline(room, user).await
}
