//! Reads the lobby for the classic dialect, page by page in either direction.

use teahouse_core::limits::PAGE_BYTES_MAX;
use teahouse_core::{LOBBY, MessageId};
use teahouse_store::{HistoryFrom, HistoryPage, HistoryQuery, PageLimit, StoreError};

use crate::app::App;

/// The newest messages, or the newest before a message; oldest first.
///
/// # Errors
/// The store failed.
pub(crate) async fn read_lobby_backward(
    app: &App,
    before: Option<MessageId>,
    limit: u32,
) -> Result<HistoryPage, StoreError> {
    let from = before.map_or(HistoryFrom::Newest, HistoryFrom::Before);
    read(app, from, limit).await
}

/// The oldest messages after a message, or of the whole lobby; oldest first. A client that repeats this with its last id
/// until no more follow has every message (P14 in docs/internals/regressions.md).
///
/// # Errors
/// The store failed.
pub(crate) async fn read_lobby_forward(
    app: &App,
    after: Option<MessageId>,
    limit: u32,
) -> Result<HistoryPage, StoreError> {
    let from = HistoryFrom::After(after.unwrap_or_default());
    read(app, from, limit).await
}

async fn read(app: &App, from: HistoryFrom, messages: u32) -> Result<HistoryPage, StoreError> {
    let limit = PageLimit { entries: messages, bytes: PAGE_BYTES_MAX };
    app.store.history(LOBBY, HistoryQuery { from, limit }).await
}
