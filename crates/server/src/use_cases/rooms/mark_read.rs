//! Marks a room as read. A read mark never moves back.

use teahouse_core::{RoomId, Seq, UserId};
use teahouse_store::{DirectRoomError, ReadMark, RoomError};

use crate::app::App;

/// Moves the mark to this seq, or to the room's newest message. Other readers learn of it from the commit.
///
/// # Errors
/// The room does not exist, or the user is not a member.
pub(crate) async fn mark_read(app: &App, user: UserId, room: RoomId, seq: Option<Seq>) -> Result<ReadMark, RoomError> {
    let mark = app.store.mark_read(room, user, seq).await?;
    // The store answers 0 both for a member who has read nothing and for a user who is not a member.
    if mark.read_seq == Seq(0) {
        app.store.room_entry(room, user, app.now()).await?;
    }
    Ok(mark)
}

/// Marks a direct room as read for the classic dialect, which knows no other rooms.
///
/// # Errors
/// The conversation does not exist, or the user is not part of it.
pub(crate) async fn mark_conversation_read(app: &App, user: UserId, room: RoomId) -> Result<(), DirectRoomError> {
    app.store.direct_room(room, user).await?;
    app.store.mark_read(room, user, None).await?;
    Ok(())
}
