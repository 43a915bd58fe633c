//! Reading the lobby's past, page by page.

use teahouse_core::{LOBBY, MessageId};
use teahouse_store::{HistoryFrom, HistoryPage, HistoryQuery, StoreError};

use crate::app::App;

/// The newest messages, or the newest ones before a message; oldest first.
///
/// # Errors
/// The store failed.
pub async fn read_backward(app: &App, before: Option<MessageId>, limit: u32) -> Result<HistoryPage, StoreError> {
    let from = before.map_or(HistoryFrom::Newest, HistoryFrom::Before);
    app.store.history(LOBBY, HistoryQuery { from, limit }).await
}

/// The oldest messages after a message, or from the very beginning; oldest first. Whoever asks again with
/// the last id until there is no more has everything (ANCESTOR.md P14).
///
/// # Errors
/// The store failed.
pub async fn read_forward(app: &App, after: Option<MessageId>, limit: u32) -> Result<HistoryPage, StoreError> {
    let from = HistoryFrom::After(after.unwrap_or_default());
    app.store.history(LOBBY, HistoryQuery { from, limit }).await
}
