//! Reading a room's past, page by page, from either end or around a place.

use teahouse_core::limits::{PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use teahouse_core::{RoomId, UserId};
use teahouse_store::{RoomError, RoomHistoryPage, RoomHistoryQuery, SeqFrom};

use crate::app::App;

/// Why nothing is shown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadHistoryError {
    /// A page has at least one message.
    #[error("a limit is at least 1")]
    Limit,
    /// No such room, or not the reader's to see.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// A page of at most so many messages: 50 when nothing is said, never more than 100.
///
/// # Errors
/// Nothing is shown.
pub async fn read_room_history(
    app: &App,
    user: UserId,
    room: RoomId,
    from: SeqFrom,
    limit: Option<u64>,
) -> Result<RoomHistoryPage, ReadHistoryError> {
    let limit = match limit {
        Some(0) => return Err(ReadHistoryError::Limit),
        Some(limit) => u32::try_from(limit).map_or(PAGE_MESSAGES_MAX, |limit| limit.min(PAGE_MESSAGES_MAX)),
        None => PAGE_MESSAGES_DEFAULT,
    };
    Ok(app.store.room_history(user, RoomHistoryQuery { room, from, limit }).await?)
}
