//! Reads a room's history, page by page, from either end or around a message.

use teahouse_core::limits::{PAGE_BYTES_MAX, PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use teahouse_core::{RoomId, UserId};
use teahouse_store::{PageLimit, RoomError, RoomHistoryPage, RoomHistoryQuery, SeqFrom};

use crate::app::App;

/// Why no page was read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadHistoryError {
    /// The limit is 0.
    #[error("the limit must be positive")]
    Limit,
    /// The room does not exist, or the reader may not see it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// A page of at most `limit` messages; without a limit `PAGE_MESSAGES_DEFAULT`, never more than `PAGE_MESSAGES_MAX` or
/// `PAGE_BYTES_MAX`.
///
/// # Errors
/// No page was read.
pub(crate) async fn read_history(
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
    let limit = PageLimit { entries: limit, bytes: PAGE_BYTES_MAX };
    Ok(app.store.room_history(user, RoomHistoryQuery { room, from, limit }).await?)
}
