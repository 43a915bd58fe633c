//! Reading a page of a direct room, which marks it as read up to the newest message of the page.

use teahouse_core::{Message, MessageId, RoomId, UserId};
use teahouse_store::{DirectRoom, DirectRoomError, HistoryFrom, HistoryQuery};

use crate::app::App;

/// What one of the two people sees.
pub struct ConversationView {
    /// Both people, and what each has read, with this page.
    pub room: DirectRoom,
    /// Oldest first.
    pub messages: Vec<Message>,
}

/// The newest messages, or the newest ones before a message. Its author is told by the commit.
///
/// # Errors
/// There is no such conversation, or it is somebody else's.
pub async fn read_conversation(
    app: &App,
    user: UserId,
    room: RoomId,
    before: Option<MessageId>,
    limit: u32,
) -> Result<ConversationView, DirectRoomError> {
    let mut view = app.store.direct_room(room, user).await?;
    let from = before.map_or(HistoryFrom::Newest, HistoryFrom::Before);
    let page = app.store.history(room, HistoryQuery { from, limit }).await?;
    if let Some(newest) = page.messages.last() {
        match app.store.mark_read(room, user, Some(newest.seq)).await {
            Ok(mark) => view.read_seq = mark.read_seq,
            // Reading goes on while the store takes no writes; the mark moves with the next page.
            Err(error) => tracing::warn!(%error, "a read mark was not stored"),
        }
    }
    Ok(ConversationView { room: view, messages: page.messages })
}
