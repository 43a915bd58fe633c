//! Reads a page of a direct room for the classic dialect, and marks it as read up to the page's newest message.

use teahouse_core::{Message, MessageId, RoomId, UserId};
use teahouse_store::{DirectRoom, DirectRoomError, HistoryFrom, HistoryQuery, PageLimit};

use crate::app::App;

/// A page as one of the two users sees it.
pub(crate) struct ConversationPage {
    /// Both users and their read marks, this page included.
    pub room: DirectRoom,
    /// Oldest first.
    pub messages: Vec<Message>,
}

/// The newest messages, or the newest before a message. The peer learns of the read mark from the commit.
///
/// # Errors
/// The conversation does not exist, or the user is not part of it.
pub(crate) async fn read_conversation(
    app: &App,
    user: UserId,
    room: RoomId,
    before: Option<MessageId>,
    limit: u32,
) -> Result<ConversationPage, DirectRoomError> {
    let mut direct = app.store.direct_room(room, user).await?;
    let from = before.map_or(HistoryFrom::Newest, HistoryFrom::Before);
    // Not bounded in bytes: the front end takes a page with fewer messages than it requested for the last one.
    let limit = PageLimit::of_entries(limit);
    let page = app.store.history(room, HistoryQuery { from, limit }).await?;
    if let Some(newest) = page.messages.last() {
        match app.store.mark_read(room, user, Some(newest.seq)).await {
            Ok(mark) => direct.read_seq = mark.read_seq,
            // A store that takes no writes can still be read; the mark moves with the next page.
            Err(error) => tracing::warn!(%error, "read mark not stored"),
        }
    }
    Ok(ConversationPage { room: direct, messages: page.messages })
}
