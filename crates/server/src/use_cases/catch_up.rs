//! What changed in a room since a version, for whoever asks once and by HTTP: all of it, or, when that is
//! too much, the room anew.

use teahouse_core::limits::{CATCH_UP_CHANGES_MAX, RESET_MESSAGES};
use teahouse_core::{MessageId, RoomId, UserId, Version};
use teahouse_store::{CatchUpBounds, CatchUpPage, RoomError};

use crate::app::App;

/// What changed.
pub struct Changes {
    /// All of it, in one page.
    pub page: CatchUpPage,
    /// The reader's own reactions to these messages.
    pub own_reactions: Vec<(MessageId, String)>,
}

/// Everything that changed after `since`.
///
/// # Errors
/// There is no such room, or the reader is not in it.
pub async fn catch_up(app: &App, user: UserId, room: RoomId, since: Version) -> Result<Changes, RoomError> {
    app.store.room_entry(room, user, app.now()).await?;
    // As many as may be brought one by one are one page, so there is never a second one.
    let bounds = CatchUpBounds {
        limit: CATCH_UP_CHANGES_MAX,
        changes_max: Some(CATCH_UP_CHANGES_MAX),
        reset_messages: RESET_MESSAGES,
    };
    let page = app.store.catch_up(room, Some(since), bounds).await?;
    let ids: Vec<MessageId> = page.messages.iter().map(|message| message.id).collect();
    let own_reactions = app.store.own_reactions(user, &ids).await?;
    Ok(Changes { page, own_reactions })
}
