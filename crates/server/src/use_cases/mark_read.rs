//! Marking a room as read, up to a message or up to its newest one at this moment; never back.

use teahouse_core::{RoomId, Seq, UserId};
use teahouse_store::{DirectRoomError, ReadMark, RoomError};

use crate::app::App;

/// Moves the mark to this seq, or to the room's head. Its author, and who else is to know, is told by the commit.
///
/// # Errors
/// There is no such room, or the reader is not in it.
pub async fn mark_read(app: &App, user: UserId, room: RoomId, seq: Option<Seq>) -> Result<ReadMark, RoomError> {
    let mark = app.store.mark_read(room, user, seq).await?;
    // Who is not in the room has no mark, which looks like the mark of somebody who has read nothing yet.
    if mark.read_seq == Seq(0) {
        app.store.room_entry(room, user, app.now()).await?;
    }
    Ok(mark)
}

/// The same for a conversation of the classic dialect, which knows no other rooms.
///
/// # Errors
/// There is no such conversation, or it is somebody else's.
pub async fn mark_conversation_read(app: &App, user: UserId, room: RoomId) -> Result<(), DirectRoomError> {
    app.store.direct_room(room, user).await?;
    app.store.mark_read(room, user, None).await?;
    Ok(())
}
